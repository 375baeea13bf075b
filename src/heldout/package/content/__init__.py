"""What bytes say: their kind, secrets, names and places in them."""
