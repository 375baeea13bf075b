"""Arms over time and the board that compares them, net of costs."""
