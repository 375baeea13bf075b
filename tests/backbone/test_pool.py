"""Sums over sets of groups: always the same additions for the same set, and none of a group that is left out."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.backbone.pool import Pool
from heldout.errors import InputError

NAMES = st.lists(st.text(alphabet="abc.é ", max_size=4), min_size=1, max_size=40, unique=True)


def shown(names: list[str], keep: bool = True) -> Pool[str]:
    """A pool whose sums show every addition and its order."""
    return Pool(names, lambda name: f"<{name}>", lambda one, other: f"({one}+{other})", keep=keep)


@settings(max_examples=200, deadline=None)
@given(names=NAMES, data=st.data(), keep=st.booleans())
def test_a_sum_depends_on_its_set_alone(names: list[str], data: st.DataObject, keep: bool) -> None:
    """A model would change in its last bits with the folds that are fitted beside it, and a resumed run with it."""
    pool = shown(names, keep)
    for _ in range(3):
        chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        found = pool.of(chosen)
        assert shown(sorted(chosen)).of(chosen) == found
        assert pool.but([name for name in names if name not in chosen]) == found
        for name in names:
            assert (1 if name in chosen else 0) == found.count(f"<{name}>")


def test_leaving_one_out_reads_each_group_once_and_adds_few() -> None:
    """A thousand folds would cost a thousand passes over the rows, or a million additions."""
    read, added = Counter[str](), Counter[str]()

    def summarise(name: str) -> int:
        read[name] += 1
        return 1

    def join(one: int, other: int) -> int:
        added["all"] += 1
        return one + other

    names = [f"group{number}" for number in range(1024)]
    pool = Pool(names, summarise, join)
    assert {1023} == {pool.but([held_out]) for held_out in names}
    assert {1} == set(read.values())
    assert added["all"] < 1024 * 30


def test_a_group_that_is_left_out_is_never_read() -> None:
    """What nobody trains on could still stop the training, or leak."""
    read: list[str] = []
    pool = Pool(["a", "b", "c"], lambda name: read.append(name) or 1, lambda one, other: one + other)
    assert 2 == pool.of(["a", "c"])
    assert ["a", "c"] == sorted(read)


def test_nothing_has_no_sum() -> None:
    """A fold without training groups would end in a traceback."""
    with pytest.raises(InputError, match="no rows"):
        shown(["a"]).of([])
