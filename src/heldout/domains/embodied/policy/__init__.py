"""Policies: from what a robot observes and is told to what it does next."""
