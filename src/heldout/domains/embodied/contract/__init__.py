"""Contracts of backbones: what each needs, makes and may publish."""
