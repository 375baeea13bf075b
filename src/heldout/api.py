"""The Python API: ``Study.load("study.yaml").run().verdict``. The command line is its client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from heldout.registry.champion import open_champion
from heldout.run.api import Study as _Study
from heldout.run.champion import Opener


@dataclass(frozen=True)
class Study(_Study):
    """A study file, ready to run; the champion that it names is verified before anything is compared with it.

    Example:
        >>> from heldout import Study
        >>> Study.load("study.yaml").run().verdict  # doctest: +SKIP
        'PROMOTE'
    """

    open_champion: ClassVar[Opener] = staticmethod(open_champion)
