"""The zoo: declared variants, trained as challengers, each in a process of its own; nothing here moves a champion."""

from typing import TYPE_CHECKING

from heldout.lazy import lazily

if TYPE_CHECKING:
    from heldout.zoo.attempts import Attempt, read_attempts
    from heldout.zoo.roster import Entry, Roster
    from heldout.zoo.rotation import Rotation, pick
    from heldout.zoo.training import Training, rotate, train, train_all_active

__all__ = [
    "Attempt",
    "Entry",
    "Roster",
    "Rotation",
    "Training",
    "pick",
    "read_attempts",
    "rotate",
    "train",
    "train_all_active",
]

_HOLDS = {
    "attempts": ("Attempt", "read_attempts"),
    "roster": ("Entry", "Roster"),
    "rotation": ("Rotation", "pick"),
    "training": ("Training", "rotate", "train", "train_all_active"),
}
__getattr__ = lazily(__name__, _HOLDS)
