"""Public packages: only what a contract allows."""
