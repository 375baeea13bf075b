"""Which episodes are selected and how they are split: by size, session and hash, and by nothing else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from heldout.domains.embodied.select.candidates import Candidate
from heldout.domains.embodied.select.rules import (
    BANDS,
    SelectionRules,
    hash_fraction,
    parse_fractions,
    select,
    split_sizes,
)
from heldout.errors import CorpusError, InputError


def candidate(
    number: int, *, size: int | None = None, session: str | None = None, path: str | None = None
) -> Candidate:
    session = session or f"session{number:05d}"
    path = path or f"{session}/ep{number % 7}"
    size = 1000 + 13 * number if size is None else size
    files = (("annotation.hdf5", size), ("a.mp4", 500), ("visualization.rrd", 9000))
    return Candidate(Path("r"), Path("r") / path, path, path.replace("/", "__"), session, files)


def test_the_published_counts() -> None:
    """A figure on 96/16/16 could not be compared with anyone's."""
    selection = select([candidate(n) for n in range(1000)], SelectionRules())
    assert {"train": 96, "val": 16, "test": 16} == selection.split_counts()
    by_band = Counter((c.band, c.split) for c in selection.chosen)
    assert {(b, s): n for b in BANDS for s, n in (("train", 24), ("val", 4), ("test", 4))} == dict(by_band)
    assert list(range(1, 129)) == [c.rank for c in selection.chosen]
    assert 0.05 == selection.rules.drop_smallest


@pytest.mark.parametrize(
    ("bands", "expected"),
    [
        ([32, 32, 32, 32], [(4, 4)] * 4),
        ([24, 24, 24, 24], [(3, 3)] * 4),
        ([1, 1, 1, 0], [(1, 0), (0, 1), (0, 0), (0, 0)]),
        ([3, 3, 2, 2], [(1, 0), (0, 1), (0, 0), (0, 0)]),
        ([1, 1, 0, 0], [(0, 0)] * 4),
    ],
)
def test_fewer_episodes_are_split_in_proportion(bands: list[int], expected: list[tuple[int, int]]) -> None:
    """Twelve episodes would have no validation and no test, and nobody would be told."""
    found = split_sizes(bands, (0.75, 0.125, 0.125))
    assert expected == found
    assert all(val + test <= band for (val, test), band in zip(found, bands, strict=True))


def test_the_order_of_files_and_the_name_of_the_root_do_not_matter() -> None:
    """Another disk would give another test set."""
    candidates = [candidate(n) for n in range(40)]
    first, again = (select(c, SelectionRules(20)) for c in (candidates, candidates[::-1]))
    assert [c.to_json() for c in first.chosen] == [c.to_json() for c in again.chosen]
    other = select(candidates, SelectionRules(20, seed=8))
    assert {c.candidate.episode_id: c.split for c in first.chosen} != {
        c.candidate.episode_id: c.split for c in other.chosen
    }


def test_hash_is_the_published_one() -> None:
    """The same seed would choose other episodes than the published selection does."""
    assert int("bdefc234382d", 16) / 16**12 == hash_fraction(7, "s/ep1")


def test_one_session_gives_one_episode() -> None:
    """A model would be tested on the room and the people that it was trained on."""
    candidates = [candidate(n, session=f"s{n // 4}") for n in range(80)]
    selection = select(candidates, SelectionRules(20))
    assert 20 == len({c.candidate.session for c in selection.chosen})
    with pytest.raises(CorpusError, match="20 can be selected"):
        select(candidates, SelectionRules(21))


def test_weakness_16_a_session_with_many_episodes_never_straddles_splits() -> None:
    """``--per-session`` would be the way around the guard."""
    candidates = [candidate(n, session=f"s{n // 4}") for n in range(160)]
    selection = select(candidates, SelectionRules(160, per_session=4))
    splits: dict[str, set[str]] = {}
    for chosen in selection.chosen:
        splits.setdefault(chosen.candidate.session, set()).add(chosen.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {"train": 120, "val": 20, "test": 20} == selection.split_counts()


def test_small_and_rejected_episodes_are_counted_by_reason() -> None:
    """Episodes would vanish, and the manifest would look complete."""
    candidates = [candidate(n) for n in range(100)]
    rules = SelectionRules(40, drop_smallest=0.05, min_annotation_bytes=1100)
    selection = select(candidates, rules, {candidates[50].episode_id: "empty_audio"})
    assert {"annotation_too_small": 8, "empty_audio": 1} == selection.rejected
    assert candidates[50] not in [c.candidate for c in selection.chosen]


def test_wrong_rules_are_refused() -> None:
    """A typing error would leave the test split empty."""
    with pytest.raises(InputError, match="do not sum to 1"):
        select([candidate(1)], SelectionRules(1, fractions=(0.8, 0.1, 0.2)))
    with pytest.raises(InputError, match="three numbers"):
        parse_fractions("0.5,0.5")
