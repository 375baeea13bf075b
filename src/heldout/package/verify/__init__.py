"""Verification of whatever a path holds."""
