"""The demonstration: simulated episodes, four families, four verdicts."""
