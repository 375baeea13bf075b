"""Which episodes: candidates, rules, the manifest and its guard."""
