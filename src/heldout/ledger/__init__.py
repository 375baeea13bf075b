"""Looks at held-out truth, what was declared before them, and how a group that was seen is known again."""
