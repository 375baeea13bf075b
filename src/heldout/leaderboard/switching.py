"""What switching has cost or earned against never switching at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from heldout.errors import InputError
from heldout.leaderboard.dated import Floats


@dataclass(frozen=True, eq=False)
class Regret:
    """A history of serving, against two yardsticks.

    Attributes:
        served: Mean score of what was served.
        never_switch: Mean score of the arm that served first, had it stayed.
        best_fixed: Mean score of the best single arm, known only in hindsight.
        best_arm: That arm.
        switches: Times that the champion changed.
        of_null: Periods in which an arm that is known to be noise served.
        regret: ``never_switch - served``: positive where switching has done harm.
        path: Running sum of never-switch minus served, float64 of shape ``[periods]``.
    """

    served: float
    never_switch: float
    best_fixed: float
    best_arm: str
    switches: int
    of_null: int
    regret: float
    path: Floats


def regret(scores: ArrayLike, arms: Sequence[str], served: Sequence[str], null_arms: Sequence[str] = ()) -> Regret:
    """Compare what was served with what would have been.

    Args:
        scores: Realised score of every arm in every period, served or not, shape ``[periods, arms]``.
        arms: Names of the columns.
        served: Arm that served in each period; the first is the one that never-switch keeps.
        null_arms: Arms that are noise by construction.

    Raises:
        InputError: On an unknown arm, shapes that do not match, or a score that is not finite.
    """
    values = np.asarray(scores, dtype=np.float64)
    names = list(arms)
    if values.shape != (len(served), len(names)) or not len(served):
        raise InputError(
            f"scores of shape {values.shape} do not match {len(served)} periods and {len(names)} arms",
            hint="one row a period, one column an arm",
        )
    if not np.isfinite(values).all():
        raise InputError("a score is not finite", where="scores", hint="use periods in which every arm has a score")
    if unknown := sorted({*served, *null_arms} - set(names)):
        raise InputError(f"there is no arm {unknown[0]!r}", where="served", hint=f"arms: {', '.join(names)}")
    columns = np.array([names.index(name) for name in served])
    own, first = values[np.arange(len(values)), columns], values[:, columns[0]]
    fixed = values.mean(axis=0)
    return Regret(
        served=float(own.mean()),
        never_switch=float(first.mean()),
        best_fixed=float(fixed.max()),
        best_arm=names[int(fixed.argmax())],
        switches=int((columns[1:] != columns[:-1]).sum()),
        of_null=sum(name in set(null_arms) for name in served),
        regret=float((first - own).mean()),
        path=(first - own).cumsum(),
    )
