"""One neutral form of an episode, and the readers of the forms there are."""
