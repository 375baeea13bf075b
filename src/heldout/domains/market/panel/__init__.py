"""Panels: dates by names, their features and their reader."""
