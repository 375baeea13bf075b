"""A splitter: the largest groups are held out, one a fold, and the small ones only train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from heldout.corpus import GroupRecord
from heldout.errors import CorpusError
from heldout.split import Fold, Splitter
from heldout.study import SplitSpec


class LargestParams(SplitSpec):
    """The `split:` block."""

    count: int = Field(5, ge=2, description="how many of the largest groups are held out")


class LargestGroups(Splitter):
    """Each of the largest groups is held out once; ties go to the first name."""

    kind: ClassVar[str] = "largest-groups"
    Params = LargestParams
    params: LargestParams

    def folds(self, groups: Sequence[GroupRecord]) -> Iterator[Fold]:
        """As many as the block says."""
        if self.params.count > len(groups):
            raise CorpusError(
                f"there are {len(groups)} groups", where="split.count", hint=f"hold out at most {len(groups)}"
            )
        ordered = sorted(groups, key=lambda group: (-group.samples, group.id))
        for group in ordered[: self.params.count]:
            yield Fold(group.id, (group.id,))
