"""From rows of predictions to metrics, rules, files and a report."""
