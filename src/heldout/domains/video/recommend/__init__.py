"""From predicted quality to a ladder of settings."""
