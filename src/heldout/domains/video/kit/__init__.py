"""The portable training kit."""
