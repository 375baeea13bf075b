"""A plug-in of heldout: one of each kind, as small as it can be."""
