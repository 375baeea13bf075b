"""A verdict over predictions that exist: files or arrays of them become a study, which is run as any other."""
