"""Backbones of the market: noise and the stack."""
