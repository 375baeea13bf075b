"""Running a study: the road from corpus to verdict, in one directory."""

from typing import TYPE_CHECKING

from heldout.lazy import lazily

if TYPE_CHECKING:
    from heldout.run.api import Study
    from heldout.run.champion import Champion, Opener
    from heldout.run.prepare import Prepared
    from heldout.run.resolve import Resolved, load_backbone
    from heldout.run.result import Run
    from heldout.run.units.contender import Contender

__all__ = ["Champion", "Contender", "Opener", "Prepared", "Resolved", "Run", "Study", "load_backbone"]

_HOLDS = {
    "api": ("Study",),
    "champion": ("Champion", "Opener"),
    "prepare": ("Prepared",),
    "units.contender": ("Contender",),
    "resolve": ("Resolved", "load_backbone"),
    "result": ("Run",),
}
__getattr__ = lazily(__name__, _HOLDS)
