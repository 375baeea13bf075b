"""What every training writes, and who watches it."""
