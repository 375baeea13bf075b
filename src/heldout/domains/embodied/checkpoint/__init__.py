"""The gate of weights: what a checkpoint must be before it is asked."""
