"""Commands of the video domain."""
