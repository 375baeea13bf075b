"""The model to beat, verified: nothing is compared with a run whose evidence does not hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout.run.champion import Champion


def verified_champion(folder: Path, served: Mapping[str, Any] | None = None) -> Champion:
    """The judged run of a directory, its whole chain recomputed.

    Raises:
        InputError: If there is no judged run.
        TamperedError: Naming the first link that does not hold.
    """
    from heldout.verify.verify import verify_run

    found = Champion.open(folder, served)
    verify_run(folder).raise_if_broken()
    return found
