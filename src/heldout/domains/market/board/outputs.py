"""What the outputs of an arm are checked for, and what every reader of a board over a panel must be told."""

from __future__ import annotations

import numpy as np

from heldout.domains.market.board.scoring import Policy
from heldout.domains.market.panel.panel import Matrix, Panel
from heldout.leaderboard import Veto, VetoPolicy, behaviour, rank_scale
from heldout.leaderboard.vetoes import rank_correlations

_FEWEST, _MOST_ALIKE = 3, 0.99


def checks_against(outputs: Matrix, champion: Matrix, policy: VetoPolicy) -> list[Veto]:
    """Check outputs on the dates that both answered.

    A name that the champion answered and the challenger did not counts as an output that is not finite.

    Args:
        outputs: The challenger's, ``[dates, assets]``.
        champion: The champion's.
        policy: Bounds.
    """
    theirs = np.isfinite(champion)
    both = np.isfinite(outputs).any(axis=1) & theirs.any(axis=1)
    return behaviour(outputs[both], champion[both], present=theirs[both], policy=policy)


def expected_scale(outputs: Matrix, champion: Matrix, dates: int) -> float | None:
    """How much the difference of two arms' rank ICs will vary by luck, from how alike their outputs are.

    It is measured on the first ``dates`` that both answered, and so before an outcome of any of them was known, and
    never again: what chooses where an interval is tightest must not have seen what the interval is about.

    Args:
        outputs: The challenger's, ``[dates, assets]``.
        champion: The champion's.
        dates: The horizon.

    Returns:
        None where there are no such dates yet.
    """
    both = np.isfinite(outputs) & np.isfinite(champion)
    first = np.flatnonzero(both.sum(axis=1) >= _FEWEST)[:dates]
    alike = rank_correlations(outputs[first], champion[first], both[first])
    if not alike:
        return None
    names = int(np.median(both[first].sum(axis=1)))
    return rank_scale(names, min(max(float(np.mean(alike)), 0.0), _MOST_ALIKE))


def notes_on(panel: Panel, policy: Policy) -> list[str]:
    """What is missing from a panel, in sentences."""
    notes = []
    if panel.survivors:
        notes.append(
            f"All {len(panel.assets)} names are in the universe on every date. If they were chosen afterwards, as "
            "survivors are, returns show too much, and so may skill."
        )
    if panel.volume is None and policy.impact > 0:
        notes.append("The panel has no volumes: half-spread and fee are charged, the impact of trading is not.")
    if panel.index is None:
        notes.append("The panel has no index: alpha is told against the universe only.")
    return notes
