"""How often CI repeats what `make test-nightly` repeats more often."""

from __future__ import annotations

import os

NIGHTLY = "HELDOUT_NIGHTLY" in os.environ


def times(in_ci: int, at_night: int) -> int:
    """Rounds, kills or histories: fewer in CI, the number of the promise at night."""
    return at_night if NIGHTLY else in_ci
