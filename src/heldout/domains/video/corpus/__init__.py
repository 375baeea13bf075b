"""Scored frames as a corpus."""
