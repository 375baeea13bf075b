"""An evaluation, verified link by link; two of them, compared."""
