"""Archives, ours and those of others: written byte for byte the same, read within bounds."""
