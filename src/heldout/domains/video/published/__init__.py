"""The published formats of the video system, written and judged."""
