"""A unit of work: what it is, how its files are computed, and how they land in the run."""
