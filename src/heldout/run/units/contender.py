"""One model family in the table of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from heldout.backbone import Backbone
from heldout.evidence.secrets import with_digests


@dataclass(frozen=True)
class Contender:
    """The variant itself, or a baseline.

    Attributes:
        id: Variant or baseline id.
        description: For the table.
        backbone: Bound to its parameters.
        seeds: Seeds that it is fitted with.
        secrets: Values of ``--set`` that are written as digests only.
    """

    id: str
    description: str
    backbone: Backbone
    seeds: tuple[int, ...]
    secrets: tuple[Any, ...] = ()

    @property
    def fit(self) -> Any:
        """Its ``fit:`` block as it is written."""
        return with_digests(self.backbone.params.model_dump(mode="json"), self.secrets)
