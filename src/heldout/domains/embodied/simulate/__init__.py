"""Episodes made by physics."""
