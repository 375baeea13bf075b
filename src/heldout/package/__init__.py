"""Portable kits and result bundles: what leaves this machine, and what comes back to it."""
