"""One package for each field: what it reads, what it fits, what it publishes. A domain never imports another."""
