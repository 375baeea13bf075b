"""Commands of the embodied domain."""
