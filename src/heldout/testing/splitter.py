"""What every splitter keeps: the contract of ``heldout.split.Splitter``, as tests."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from heldout.corpus import GroupRecord, TimeSpan
from heldout.split import Split, Splitter, read_split, split_groups
from heldout.testing.declared import declared

_FOLDS = 3


class SplitterConformance:
    """Tests of a splitter; a subclass sets ``splitter``, and ``groups`` if it needs others."""

    splitter: ClassVar[Splitter]

    def groups(self) -> Sequence[GroupRecord]:
        """Twelve groups one after the other in time, each with its targets and the name of a fold."""
        rng = np.random.default_rng(0)
        return [
            GroupRecord(
                id=f"g{number:02d}",
                samples=5 + number,
                sha256="",
                span=TimeSpan(3.0 * number, 3.0 * number + 1, 3.0 * number + 1),
                targets=np.sort(rng.normal(size=5 + number)),
                levels=(f"fold{number % _FOLDS}",),
            )
            for number in range(12)
        ]

    def test_it_is_declared_under_its_kind(self) -> None:
        """A study that names it would be split by another, or not at all."""
        found = declared("splitters", self.splitter.kind)
        assert type(self.splitter) is found, f"the kind {self.splitter.kind!r} leads to {found!r}"

    def test_no_group_trains_where_it_is_held_out(self) -> None:
        """A model would be judged on what it learnt by heart."""
        split = self._split()
        for fold in split.folds:
            train = fold.train(split.groups)
            assert train, f"fold {fold.id!r} leaves no group to learn from"
            assert fold.test, f"fold {fold.id!r} holds nothing out"
            assert sorted(split.groups) == sorted([*train, *fold.apart]), f"fold {fold.id!r} names a group twice"

    def test_a_group_is_held_out_as_often_as_it_says(self) -> None:
        """A group would be scored twice and counted as two."""
        split = self._split()
        often = Counter(name for fold in split.folds for name in fold.test)
        assert split.repeats or max(often.values()) == 1, "set `repeats = True`, or hold each group out once"

    def test_the_same_groups_give_the_same_folds(self) -> None:
        """A verdict would be over folds that nobody can make again."""
        groups = list(self.groups())
        mixed = [groups[number] for number in np.random.default_rng(1).permutation(len(groups))]
        expected = split_groups(self.splitter, groups)
        assert expected == split_groups(self.splitter, groups), "two calls give other folds: seed what is drawn"
        assert expected == split_groups(self.splitter, mixed), "the order of groups decides: sort them by id"
        again = pickle.loads(pickle.dumps(self.splitter))  # noqa: S301 - of this process
        assert expected == split_groups(again, groups), "a copy in another process gives other folds"

    def test_folds_come_back_from_their_document(self) -> None:
        """A run could not be verified from its files."""
        split = self._split()
        assert split == read_split(split.to_json(), split.groups)

    def _split(self) -> Split:
        return split_groups(self.splitter, list(self.groups()))
