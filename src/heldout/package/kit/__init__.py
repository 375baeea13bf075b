"""Portable kits: built here, run elsewhere, and one verified bundle back."""
