"""Backbones whose code lies beside the study: a class or function in Python, or commands in any language."""
