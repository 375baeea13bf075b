"""Years lived again, vintage by vintage."""
