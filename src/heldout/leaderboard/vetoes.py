"""What no lead can make good: outputs that a consumer could not use.

A veto is absolute, and a check that could not be measured has not been passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heldout.errors import InputError
from heldout.leaderboard.dated import Floats, Paired

VetoOutcome = Literal["PASS", "VETO", "UNKNOWN"]
BEHAVIOUR = ("non-finite", "constant", "dispersion", "flipped")


@dataclass(frozen=True)
class VetoPolicy:
    """Bounds on behaviour.

    Attributes:
        dispersion_ratio: Least median spread of a date's outputs, over the champion's.
        dispersion_floor: Least median spread in the outputs' own units; 0 for none.
        used: Names a date that the consumer acts on, the highest ones; None for all.
        modal_share: A date is constant if so many of its names get the same output.
        constant_dates: Largest share of constant dates.
        champion_correlation: Least median rank correlation with the champion: below it the sign was flipped.
        missed: Largest share of the champion's dates without an output.
        least_dates: Dates below which nothing is measured.
    """

    dispersion_ratio: float = 0.5
    dispersion_floor: float = 0.0
    used: int | None = None
    modal_share: float = 0.9
    constant_dates: float = 0.01
    champion_correlation: float = -0.5
    missed: float = 0.05
    least_dates: int = 20


@dataclass(frozen=True)
class Veto:
    """What one check says.

    Attributes:
        id: non-finite, constant, dispersion, flipped or missed.
        outcome: VETO, PASS, or UNKNOWN where it could not be measured.
        observed: The number that was judged.
        bound: The bound, as declared.
        sentence: For people.
    """

    id: str
    outcome: VetoOutcome
    observed: float | None
    bound: str
    sentence: str

    def to_json(self) -> dict[str, object]:
        """The check as a document."""
        return asdict(self)


def behaviour(
    outputs: ArrayLike,
    champion: ArrayLike | None = None,
    *,
    present: ArrayLike | None = None,
    policy: VetoPolicy | None = None,
) -> list[Veto]:
    """Check a challenger's outputs on the inputs that the champion saw.

    Args:
        outputs: Shape ``[dates, names]``.
        champion: The champion's on the same dates and names, or None where there is none.
        present: Whether a name was there to be scored on a date, bool of the same shape; all of them if None.
        policy: Bounds.

    Raises:
        InputError: If shapes do not match.
    """
    policy = policy or VetoPolicy()
    ours = np.asarray(outputs, dtype=np.float64)
    here = np.ones(ours.shape, dtype=bool) if present is None else np.asarray(present, dtype=bool)
    theirs = None if champion is None else np.asarray(champion, dtype=np.float64)
    if ours.ndim != 2 or here.shape != ours.shape or (theirs is not None and theirs.shape != ours.shape):
        raise InputError("outputs, champion and present are not of one shape", hint="[dates, names] for each of them")
    usable = here & np.isfinite(ours)
    enough = int((usable.sum(axis=1) >= 2).sum()) >= policy.least_dates
    checks = [_non_finite(ours, here)]
    checks += [_constant(ours, usable, policy, enough), _dispersion(ours, theirs, usable, policy, enough)]
    return [*checks, _flipped(ours, theirs, usable, policy)]


def unchecked(checks: Sequence[Veto]) -> list[Veto]:
    """The checks of behaviour that nobody made, as such: they have not been passed either."""
    made = {check.id for check in checks}
    return [Veto(each, "UNKNOWN", None, "measured", "nobody checked it") for each in BEHAVIOUR if each not in made]


def attendance(paired: Paired, policy: VetoPolicy | None = None) -> Veto:
    """Check that a challenger did not sit out dates on which the champion had to answer."""
    policy = policy or VetoPolicy()
    bound = f"at_most {policy.missed:g}"
    if not paired.offered:
        return Veto("missed", "UNKNOWN", None, bound, "there is no date that it could have missed")
    share = paired.missed / paired.offered
    words = f"no score on {paired.missed:,} of the champion's {paired.offered:,} dates since its first"
    return Veto("missed", "VETO" if share > policy.missed else "PASS", share, bound, words)


def _non_finite(ours: Floats, here: NDArray[np.bool_]) -> Veto:
    total, bad = int(here.sum()), int((here & ~np.isfinite(ours)).sum())
    if not total:
        return Veto("non-finite", "UNKNOWN", None, "at_most 0", "there is no output")
    words = f"{bad:,} of {total:,} outputs are not finite" if bad else f"all {total:,} outputs are finite"
    return Veto("non-finite", "VETO" if bad else "PASS", float(bad), "at_most 0", words)


def _constant(ours: Floats, usable: NDArray[np.bool_], policy: VetoPolicy, enough: bool) -> Veto:
    bound = f"at_most {policy.constant_dates:g}"
    if not enough:
        return _unmeasured("constant", bound, policy)
    rows = [row[mask] for row, mask in zip(ours, usable, strict=True) if mask.sum() >= 2]
    shares = np.array([np.unique(row, return_counts=True)[1].max() / len(row) for row in rows])
    share = float((shares >= policy.modal_share).mean())
    words = f"on {share:.1%} of dates one value is given to {policy.modal_share:.0%} of names or more"
    return Veto("constant", "VETO" if share > policy.constant_dates else "PASS", share, bound, words)


def _dispersion(
    ours: Floats, theirs: Floats | None, usable: NDArray[np.bool_], policy: VetoPolicy, enough: bool
) -> Veto:
    bound = f"at_least {policy.dispersion_ratio:g} of the champion's"
    spread = _median_spread(ours, usable, policy.used) if enough else None
    if spread is None:
        return _unmeasured("dispersion", bound, policy)
    if spread < policy.dispersion_floor:
        words = f"the median spread of a date's outputs is {spread:.4g}, below {policy.dispersion_floor:g}"
        return Veto("dispersion", "VETO", spread, f"at_least {policy.dispersion_floor:g}", words)
    reference = None if theirs is None else _median_spread(theirs, usable & np.isfinite(theirs), policy.used)
    if not reference:
        words = "the champion's spread is not known"
        return Veto("dispersion", "PASS" if policy.dispersion_floor else "UNKNOWN", None, bound, words)
    ratio = spread / reference
    words = f"the median spread of a date's outputs is {ratio:.2f} of the champion's"
    return Veto("dispersion", "VETO" if ratio < policy.dispersion_ratio else "PASS", ratio, bound, words)


def _flipped(ours: Floats, theirs: Floats | None, usable: NDArray[np.bool_], policy: VetoPolicy) -> Veto:
    bound = f"at_least {policy.champion_correlation:g}"
    found = [] if theirs is None else rank_correlations(ours, theirs, usable & np.isfinite(theirs))
    if len(found) < policy.least_dates:
        return _unmeasured("flipped", bound, policy)
    median = float(np.median(found))
    words = f"the median rank correlation with the champion's outputs is {median:.2f}"
    return Veto("flipped", "VETO" if median < policy.champion_correlation else "PASS", median, bound, words)


def _median_spread(values: Floats, usable: NDArray[np.bool_], used: int | None) -> float | None:
    """Median over dates of the standard deviation of the outputs that are acted on."""
    rows = [np.sort(row[mask])[-(used or len(row)) :] for row, mask in zip(values, usable, strict=True)]
    found = [float(row.std()) for row in rows if len(row) >= 2]
    return float(np.median(found)) if found else None


def rank_correlations(ours: Floats, theirs: Floats, usable: NDArray[np.bool_]) -> list[float]:
    """Rank correlation of two arms' outputs, of every date with at least three names and no constant side."""
    from scipy.stats import rankdata

    found = []
    for one, other, mask in zip(ours, theirs, usable, strict=True):
        if mask.sum() >= 3:
            first, second = rankdata(one[mask]), rankdata(other[mask])
            if first.std() > 0 and second.std() > 0:
                found.append(float(np.corrcoef(first, second)[0, 1]))
    return found


def _unmeasured(identifier: str, bound: str, policy: VetoPolicy) -> Veto:
    words = f"not measured: it takes {policy.least_dates} dates with outputs, and the champion's beside them"
    return Veto(identifier, "UNKNOWN", None, bound, words)
