"""The regressor of frame quality and its features."""
