"""Windows: the corpus of episodes, with sealed targets."""
