"""Whether a machine can run a study, and what it is."""
