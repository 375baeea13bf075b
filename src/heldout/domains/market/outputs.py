"""What the outputs of an arm are checked for, and what every reader of a board over a panel must be told."""

from __future__ import annotations

import numpy as np

from heldout.domains.market.panel import Matrix, Panel
from heldout.domains.market.scoring import Policy
from heldout.leaderboard import Veto, VetoPolicy, behaviour


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
