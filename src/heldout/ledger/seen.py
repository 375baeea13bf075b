"""Which groups of a run an earlier look saw: by their targets first, by name and features where targets say little.

Two kinds of targets are told apart. Where hardly a value stands in two groups (measurements, scores, returns), a group
is known again by values that only it has: half of those of the smaller group suffice, so that rows may be dropped and
a group be cut or joined. Labels and ratings say nothing so: such a group is known again by rows whose target and
features are the same, by its counts together with its name, or, if every name and feature was changed, by the digests
of all groups together; the last two only where other groups of such labels would hardly agree as often by chance.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import comb, lgamma
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.ledger.spelt import by_number
from heldout.ledger.targets import TELLING, Words, full_sketch, unpacked

_TOP = np.uint64(2**64 - 1)
# Of the smaller group's own values, or pairs of a label and a feature, this share must be the other's too. Of pairs of
# whole numbers and labels two groups have some in common by chance, and two targets of the same rows agree in most.
_SHARE = {"values": 0.5, "pairs": 0.75}
# So many common values cannot be chance; fewer count where half of all groups have them.
_SURE = 4
# A group whose values lie in several groups of the other side, by chance too where the values are coarse.
_SCATTERED, _FEWEST = 0.8, {"values": _SURE, "pairs": 8}
# Where so many pairs of groups have the same labels as each other, equal labels say nothing of two corpora.
_ALIKE = 0.25
# A group of labels and what is left of it, known by the name: so many of its rows must be there.
_COUNTS = 0.9
# Of the digests of all groups, names and features unknown.
_ALL = 0.9
# So likely may labels of other groups agree as often: two samples of patients, a row each, often do.
_LUCK = 0.001
_SAMPLES, _MOST_DRAWN = 200, 200_000
# Groups of which no more than this is common, though they are known again, were cut otherwise.
_SAME_CUT = 0.6


@dataclass(frozen=True)
class Match:
    """What an earlier look saw of the groups at hand.

    Attributes:
        seen: By group at hand: the group of the earlier look that it is, or is a part of.
        recut: Whether most of them were cut otherwise then: regrouped, joined or halved.
        reappeared: Names at hand that the earlier look has too, with other targets.
        of: Groups of the earlier look.
    """

    seen: Mapping[str, str] = field(default_factory=dict)
    recut: bool = False
    reappeared: tuple[str, ...] = ()
    of: int = 0


def match(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Match:
    """Compare the groups of two documents of ``targets.group_targets``."""
    here, there = by_number(mine["groups"]), by_number(theirs["groups"])
    if here == there:
        return Match({name: name for name in here}, of=len(there))
    telling = _telling(mine, theirs)
    seen: dict[str, str] = {}
    common: list[float] = []
    for key in ("values", "pairs") if telling else ("pairs",):
        sides = _Sketches(mine, key), _Sketches(theirs, key)
        near = _sure(_candidates(*sides, _SHARE[key]), len(here), len(there))
        for name, found in {**_scattered(*sides, _FEWEST[key]), **near}.items():
            if name not in seen:
                seen[name] = found.other
                common.append(found.common)
    for name, other in [*_by_rows(here, there), *_by_name(here, there, telling=telling)]:
        if name not in seen:
            seen[name] = other
            common.append(1.0)
    seen |= _by_all_digests(here, there, seen)
    named = {folded(name): name for name in there}
    again = tuple(sorted(name for name in here if name not in seen and folded(name) in named))
    return Match(seen, bool(common) and float(np.median(common)) <= _SAME_CUT, again, len(there))


def folded(name: str) -> str:
    """A group's name as people read it."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def _telling(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether a value says whose it is, in both corpora."""
    return max(float(mine.get("shared", 1.0)), float(theirs.get("shared", 1.0))) <= TELLING


@dataclass(frozen=True)
class _Found:
    other: str
    hits: int
    share: float
    common: float


class _Sketches:
    """The sketches of a document, as one sorted array of hashes with the group of each."""

    def __init__(self, document: Mapping[str, Any], key: str) -> None:
        self.names = list(document["groups"])
        kept = [unpacked(entry.get(key, "")) for entry in document["groups"].values()]
        below = np.uint64(int(document.get("pairs_below", "f" * 16), 16)) if key == "pairs" else _TOP
        full = full_sketch(len(kept))
        # A sketch that is full ends at its last hash; any other holds all that there are.
        self.ends = np.array([each[-1] if len(each) == full else below for each in kept], dtype=np.uint64)
        self.kept = kept
        self.codes = np.repeat(np.arange(len(kept)), [len(each) for each in kept])
        self.hashes: Words = np.concatenate([np.zeros(0, np.uint64), *kept])

    @cached_property
    def by_hash(self) -> tuple[Words, NDArray[np.intp]]:
        """Hashes in order, each of one group only, and the group of each."""
        order = np.argsort(self.hashes)
        return self.hashes[order], self.codes[order]

    def below(self, code: int, end: np.uint64) -> int:
        """How many hashes of a group are at most ``end``."""
        return int(np.searchsorted(self.kept[code], end, side="right"))


def _candidates(mine: _Sketches, theirs: _Sketches, least: float) -> dict[str, _Found]:
    """By group at hand: the group of the other document with which it shares most, if that is enough."""
    known, owners = theirs.by_hash
    if not len(known) or not len(mine.hashes):
        return {}
    places = np.minimum(np.searchsorted(known, mine.hashes), len(known) - 1)
    hit = known[places] == mine.hashes
    counts = Counter(zip(mine.codes[hit].tolist(), owners[places[hit]].tolist(), strict=True))
    best: dict[str, _Found] = {}
    for (code, other), hits in counts.items():
        end = min(mine.ends[code], theirs.ends[other])
        here, there = mine.below(code, end), theirs.below(other, end)
        share = hits / max(1, min(here, there))
        found = _Found(theirs.names[other], hits, share, hits / max(1, here + there - hits))
        name = mine.names[code]
        if share >= least and (name not in best or (share, hits) > (best[name].share, best[name].hits)):
            best[name] = found
    return best


def _scattered(mine: _Sketches, theirs: _Sketches, fewest: int) -> dict[str, _Found]:
    """Groups that were cut otherwise: most of what only they have stands somewhere in the other document."""
    known, owners = theirs.by_hash
    if not len(known):
        return {}
    end, found = theirs.ends.min(), {}
    for name, kept in zip(mine.names, mine.kept, strict=True):
        kept = kept[kept <= end]  # below it every hash of the other document was kept
        places = np.minimum(np.searchsorted(known, kept), len(known) - 1)
        hit = known[places] == kept
        if hit.sum() >= fewest and hit.mean() >= _SCATTERED:
            most = Counter(owners[places[hit]].tolist()).most_common(1)[0][0]
            found[name] = _Found(theirs.names[most], int(hit.sum()), float(hit.mean()), 0.0)
    return found


def _sure(found: Mapping[str, _Found], here: int, there: int) -> dict[str, _Found]:
    """Those that cannot be chance: by many values, or because most groups of either side have some."""
    most = 2 * len(found) >= min(here, there) and len(found) > 1
    return {name: each for name, each in found.items() if most or each.hits >= _SURE}


def _by_rows(
    here: Mapping[str, Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Groups of the very same rows, features and all, under any name."""
    contents = {entry["content"]: name for name, entry in there.items() if "content" in entry}
    yield from ((name, contents[entry["content"]]) for name, entry in here.items() if entry.get("content") in contents)


def _by_name(
    here: Mapping[str, Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]], *, telling: bool
) -> Iterator[tuple[str, str]]:
    """Groups of one name whose targets are the same; of labels, where that holds for half of the names in common.

    Of two groups of few labels the counts are often alike. That one's lie within the other's is rare, unless rows were
    left out of it, and rarer still for many groups.
    """
    named = {folded(name): name for name in there}
    both = [(name, named[folded(name)]) for name in here if folded(name) in named]
    found = [
        (name, other)
        for name, other in both
        if here[name]["targets"] == there[other]["targets"] or (not telling and _nested(here[name], there[other]))
    ]
    if not found:
        return
    every = len(found) == len(both) == len(here)  # each name with its very labels: a reason is asked for, design or not
    if telling or every or (2 * len(found) >= len(both) and not _by_luck(here, there, both, len(found))):
        yield from found


def _by_luck(
    here: Mapping[str, Mapping[str, Any]],
    there: Mapping[str, Mapping[str, Any]],
    both: Sequence[tuple[str, str]],
    found: int,
) -> bool:
    """Whether groups of the same sizes and labels, but others, would agree as often."""
    from scipy.special import bdtrc

    shares = _shares(here, there)
    chances = [_chance_of(here[name], abs(here[name]["rows"] - there[other]["rows"]), shares) for name, other in both]
    chance = max(float(np.mean(chances)), _alike(here), _alike(there))
    return bool(bdtrc(found - 1, len(both), min(1.0, chance)) > _LUCK)


def _alike(groups: Mapping[str, Mapping[str, Any]]) -> float:
    """The share of pairs of different groups of one corpus that have the same labels as each other."""
    counts = Counter(str(entry["targets"]) for entry in groups.values())
    total = len(groups)
    return sum(n * (n - 1) for n in counts.values()) / max(1, total * (total - 1))


def _chance_of(entry: Mapping[str, Any], left_out: int, shares: Mapping[str, float]) -> float:
    """How likely a group of as many rows has just these labels, or all but some of them that were left out."""
    if "times" not in entry:
        return 0.0  # more values than a label has
    known = entry["times"]
    log = lgamma(entry["rows"] + 1) + sum(n * np.log(shares[value]) - lgamma(n + 1) for value, n in known.items())
    return min(1.0, float(np.exp(log)) * comb(left_out + len(known) - 1, len(known) - 1))


def _shares(*sides: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """How often each label comes, over all groups."""
    counts: Counter[str] = Counter()
    for side in sides:
        for entry in side.values():
            counts.update(entry.get("times", {}))
    return {value: count / counts.total() for value, count in counts.items()}


def _nested(entry: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether one of two groups has what the other has and little more."""
    if "times" not in entry or "times" not in other:
        return False
    smaller, larger = sorted((entry, other), key=lambda each: int(each["rows"]))
    within = all(count <= larger["times"].get(value, 0) for value, count in smaller["times"].items())
    return bool(within and smaller["rows"] >= _COUNTS * larger["rows"])


def _by_all_digests(
    here: Mapping[str, Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]], seen: Mapping[str, str]
) -> dict[str, str]:
    """One group of few labels is like many others; a whole corpus of them is not."""
    mine, theirs = (Counter(str(entry["targets"]) for entry in side.values()) for side in (here, there))
    both, either = (mine & theirs).total(), (mine | theirs).total()
    if both < _SURE or both < _ALL * either:
        return {}
    if max(_alike(here), _alike(there)) >= _ALIKE or both <= _most_by_luck(here, there):
        return {}
    owner = {str(entry["targets"]): name for name, entry in there.items()}
    return {
        name: owner[str(entry["targets"])]
        for name, entry in here.items()
        if name not in seen and str(entry["targets"]) in owner
    }


def _most_by_luck(here: Mapping[str, Mapping[str, Any]], there: Mapping[str, Mapping[str, Any]]) -> int:
    """How many digests other groups of the same sizes and labels have in common with an earlier look, at most."""
    shares = _shares(here, there)
    sizes = np.array([entry["rows"] for entry in here.values() if "times" in entry])
    known = Counter(tuple(e["times"].get(value, 0) for value in shares) for e in there.values() if "times" in e)
    if not len(sizes) or not known:
        return 0
    rng = np.random.default_rng(0)
    most = 0
    for _ in range(max(20, min(_SAMPLES, _MOST_DRAWN // len(sizes)))):
        drawn = Counter(map(tuple, rng.multinomial(sizes, list(shares.values())).tolist()))
        most = max(most, (drawn & known).total())
    return most
