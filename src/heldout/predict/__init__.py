"""Predictions as they come in: sessions, shards, partial files, and the key of what they are predictions of."""
