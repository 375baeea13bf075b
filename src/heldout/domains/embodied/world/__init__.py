"""World models: what the streams of an episode will show some seconds from now."""
