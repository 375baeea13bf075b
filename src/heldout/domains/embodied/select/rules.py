"""Which episodes take part, and in which split: by size band, by session, and by hash; never by what they show.

The rule is the published one. Bands are the quartiles of annotation size; within a band the episodes nearest to the
band's median are preferred; a session gives one episode; a band is split by the order of a hash. Where fewer episodes
are there than the published 128, the fractions hold over the whole selection by largest remainders, and validation
and test have at least one episode each.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from heldout.domains.embodied.select.candidates import Candidate
from heldout.errors import CorpusError, InputError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
BANDS = ("short", "lower_mid", "upper_mid", "long")
_ENOUGH = 2  # times the target: only then are the smallest dropped unless asked


@dataclass(frozen=True)
class SelectionRules:
    """How to select.

    Attributes:
        target: Episodes wanted; None takes 128, or as many sessions as there are.
        seed: Of the hashes.
        fractions: Of train, val and test; they sum to 1.
        drop_smallest: Share of the smallest, by annotation and by training size, that is rejected; None rejects 5 % if
            twice the target are there, else none.
        min_annotation_bytes: Smallest annotation.
        per_session: Episodes that one session may give. They never straddle two splits.
    """

    target: int | None = None
    seed: int = 7
    fractions: tuple[float, float, float] = (0.75, 0.125, 0.125)
    drop_smallest: float | None = None
    min_annotation_bytes: int = 0
    per_session: int = 1


@dataclass(frozen=True)
class Chosen:
    """One selected episode."""

    candidate: Candidate
    band: str
    score: float
    split: Split
    rank: int

    def to_json(self) -> dict[str, object]:
        """The published keys."""
        known = {"size_band": self.band, "selection_score": self.score, "split": self.split}
        return self.candidate.to_json() | known | {"selection_rank": self.rank}


@dataclass(frozen=True)
class Selection:
    """What was selected, and what was not.

    Attributes:
        chosen: By rank.
        rules: As applied: target and drop filled in.
        complete: Complete episodes that were there.
        candidates: Of these, those that passed the size rules.
        rejected: Of the others, how many for which reason.
    """

    chosen: tuple[Chosen, ...]
    rules: SelectionRules
    complete: int
    candidates: int
    rejected: Mapping[str, int] = field(default_factory=dict)

    def split_counts(self) -> dict[str, int]:
        """Episodes of each split."""
        counts = Counter(chosen.split for chosen in self.chosen)
        return {split: counts[split] for split in SPLITS}


def parse_fractions(text: str) -> tuple[float, float, float]:
    """Read ``0.75,0.125,0.125``.

    Raises:
        InputError: If these are not three numbers.
    """
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{text!r} are not three numbers", where="--fractions", hint="0.75,0.125,0.125") from None
    return train, val, test


def hash_fraction(seed: int, path: str) -> float:
    """A number in 0 .. 1 that depends on a seed and a path alone."""
    return int(hashlib.sha256(f"{seed}:{path}".encode()).hexdigest()[:12], 16) / 16**12


def select(
    candidates: Sequence[Candidate], rules: SelectionRules, rejected: Mapping[str, str] | None = None
) -> Selection:
    """Select and split.

    Args:
        candidates: What is there.
        rules: How.
        rejected: Ids that must not be chosen, with the code of the reason: their content cannot be used.

    Raises:
        InputError: If the rules contradict each other.
        CorpusError: If too few episodes are left.
    """
    _check(rules)
    rejected = rejected or {}
    complete = [c for c in candidates if c.complete and c.episode_id not in rejected]
    counts = Counter(rejected.values())
    counts["incomplete"] = sum(not c.complete for c in candidates)
    if not complete:
        raise CorpusError(
            "no episode is complete", where=f"{len(candidates)} episodes", hint=_first_problem(candidates)
        )
    rules = _filled(rules, complete)
    kept = _by_size(complete, rules, counts)
    quartiles = np.quantile([c.annotation_bytes for c in complete], (0.25, 0.5, 0.75))
    bands = {c.episode_id: BANDS[int(np.searchsorted(quartiles, c.annotation_bytes))] for c in kept}
    scores = _scores(kept, bands, rules.seed)
    chosen = _choose(kept, bands, scores, rules)
    splits = _split(chosen, bands, rules)
    order = sorted(chosen, key=lambda c: (BANDS.index(bands[c.episode_id]), scores[c.episode_id], c.episode_path))
    ranked = tuple(
        Chosen(c, bands[c.episode_id], scores[c.episode_id], splits[c.session], rank)
        for rank, c in enumerate(order, start=1)
    )
    return Selection(ranked, rules, len(complete), len(kept), {k: n for k, n in sorted(counts.items()) if n})


def split_sizes(bands: Sequence[int], fractions: Sequence[float]) -> list[tuple[int, int]]:
    """How many of each band go to val and to test.

    The totals are the rounded shares of all episodes, at least one each from three episodes on; bands share a total
    by largest remainders. 128 in four bands give 4 and 4 in each, which is 96/16/16.
    """
    total = sum(bands)
    least = 1 if total >= len(SPLITS) else 0
    val, test = (max(least, math.floor(total * f + 0.5)) if f else 0 for f in fractions[1:])
    vals = _share(val, bands)
    tests = _share(test, [band - taken for band, taken in zip(bands, vals, strict=True)])
    return list(zip(vals, tests, strict=True))


def _share(total: int, weights: Sequence[int]) -> list[int]:
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    quotas = [total * weight / whole for weight in weights]
    shares = [math.floor(quota) for quota in quotas]
    left = total - sum(shares)
    order = sorted(range(len(weights)), key=lambda i: (shares[i] - quotas[i], -weights[i], i))
    for index in order[:left]:
        shares[index] += 1
    return shares


def _check(rules: SelectionRules) -> None:
    if abs(sum(rules.fractions) - 1) > 1e-9 or min(rules.fractions) < 0:
        raise InputError(
            f"the fractions {rules.fractions} do not sum to 1", where="--fractions", hint="0.75,0.125,0.125"
        )
    if (rules.target is not None and rules.target < 1) or rules.per_session < 1:
        raise InputError(
            f"--target and --per-session must be at least 1, got {rules.target} and {rules.per_session}",
            where="--target, --per-session",
            hint="give a positive number",
        )
    if rules.drop_smallest is not None and not 0 <= rules.drop_smallest < 1:
        raise InputError(
            f"--drop-smallest must be in [0, 1), got {rules.drop_smallest:g}",
            where="--drop-smallest",
            hint="give a share",
        )


def _filled(rules: SelectionRules, complete: Sequence[Candidate]) -> SelectionRules:
    available = sum(min(n, rules.per_session) for n in Counter(c.session for c in complete).values())
    target = min(128, available) if rules.target is None else rules.target
    drop = rules.drop_smallest
    if drop is None:
        drop = 0.05 if available >= _ENOUGH * target else 0.0
    return SelectionRules(target, rules.seed, rules.fractions, drop, rules.min_annotation_bytes, rules.per_session)


def _by_size(complete: Sequence[Candidate], rules: SelectionRules, counts: Counter[str]) -> list[Candidate]:
    drop = rules.drop_smallest or 0.0
    annotation = max(rules.min_annotation_bytes, float(np.quantile([c.annotation_bytes for c in complete], drop)))
    training = float(np.quantile([c.training_bytes for c in complete], drop))
    kept = []
    for candidate in complete:
        if candidate.annotation_bytes < annotation:
            counts["annotation_too_small"] += 1
        elif candidate.training_bytes < training:
            counts["training_too_small"] += 1
        else:
            kept.append(candidate)
    return kept


def _scores(kept: Sequence[Candidate], bands: Mapping[str, str], seed: int) -> dict[str, float]:
    """Distance from the medians; then the episode's number; then a hash, so that no two are equal."""
    training = float(np.median([c.training_bytes for c in kept])) or 1.0
    medians = {
        band: float(np.median([c.annotation_bytes for c in kept if bands[c.episode_id] == band])) or 1.0
        for band in set(bands.values())
    }

    def score(candidate: Candidate) -> float:
        median = medians[bands[candidate.episode_id]]
        return (
            abs(candidate.annotation_bytes - median) / median
            + 0.25 * abs(candidate.training_bytes - training) / training
            + 0.02 * min(candidate.episode_number / 64, 1)
            + 0.001 * hash_fraction(seed, candidate.episode_path)
        )

    return {candidate.episode_id: score(candidate) for candidate in kept}


def _choose(
    kept: Sequence[Candidate], bands: Mapping[str, str], scores: Mapping[str, float], rules: SelectionRules
) -> list[Candidate]:
    """A quarter of the target from each band, then whatever is best, never more of a session than it may give."""
    assert rules.target is not None
    by_score = sorted(kept, key=lambda c: (scores[c.episode_id], c.episode_path))
    chosen: dict[str, Candidate] = {}
    sessions: Counter[str] = Counter()

    def take(pool: Sequence[Candidate], wanted: int) -> None:
        for candidate in pool:
            if wanted <= 0:
                return
            if candidate.episode_id not in chosen and sessions[candidate.session] < rules.per_session:
                chosen[candidate.episode_id] = candidate
                sessions[candidate.session] += 1
                wanted -= 1

    for number, band in enumerate(BANDS):
        quota = rules.target // len(BANDS) + (number < rules.target % len(BANDS))
        take([c for c in by_score if bands[c.episode_id] == band], quota)
    take(by_score, rules.target - len(chosen))
    if len(chosen) < rules.target:
        raise CorpusError(
            f"{rules.target} episodes are wanted; {len(chosen)} can be selected",
            where=f"{len(kept)} candidates of {len({c.session for c in kept})} sessions",
            hint="lower --target, raise --per-session, or add episodes",
        )
    return list(chosen.values())


def _split(chosen: Sequence[Candidate], bands: Mapping[str, str], rules: SelectionRules) -> dict[str, Split]:
    """The split of each session: within its band, by the order of a hash of its first episode's path."""
    first: dict[str, Candidate] = {}
    for candidate in sorted(chosen, key=lambda c: c.episode_path):
        first.setdefault(candidate.session, candidate)
    sizes = Counter(c.session for c in chosen)
    members = {band: [s for s in first if bands[first[s].episode_id] == band] for band in BANDS}
    wanted = split_sizes([sum(sizes[s] for s in members[band]) for band in BANDS], rules.fractions)
    splits: dict[str, Split] = {}
    due: dict[Split, float] = {"val": 0, "test": 0}  # over the bands so far: large sessions overdraw one and not all
    for band, (val, test) in zip(BANDS, wanted, strict=True):
        due["val"] += val
        due["test"] += test
        order = sorted(
            members[band],
            key=lambda s: hashlib.sha256(f"{rules.seed + 101}:{first[s].episode_path}".encode()).hexdigest(),
        )
        for session in order:
            half = sizes[session] / 2
            split: Split = "val" if due["val"] >= half else "test" if due["test"] >= half else "train"
            splits[session] = split
            if split in due:
                due[split] -= sizes[session]
    return splits


def _first_problem(candidates: Sequence[Candidate]) -> str:
    worst = next((c for c in candidates if not c.complete), None)
    return "" if worst is None else f"{worst.episode_path}: {worst.problem or 'missing ' + ', '.join(worst.missing)}"
