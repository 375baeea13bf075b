"""The demonstration: real prices, a zoo, a board."""
