"""How a study begins: written for a table, and tried out on a part of its groups."""
