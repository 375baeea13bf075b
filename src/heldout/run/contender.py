"""One model family in the table of a study."""

from __future__ import annotations

from dataclasses import dataclass

from heldout.backbone import Backbone


@dataclass(frozen=True)
class Contender:
    """The variant itself, or a baseline.

    Attributes:
        id: Variant or baseline id.
        description: For the table.
        backbone: Bound to its parameters.
        seeds: Seeds that it is fitted with.
    """

    id: str
    description: str
    backbone: Backbone
    seeds: tuple[int, ...]
