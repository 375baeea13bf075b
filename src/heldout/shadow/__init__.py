"""The shadow: challengers predict beside the champion on the same inputs, and are judged when outcomes mature."""

from typing import TYPE_CHECKING

from heldout.lazy import lazily

if TYPE_CHECKING:
    from heldout.shadow.arms import Arm, live_arms, served_slot
    from heldout.shadow.batch import Batch
    from heldout.shadow.outcomes import Joined, join_outcomes
    from heldout.shadow.runner import DEFAULT_LIMITS, ShadowRun, backfill, run_shadow
    from heldout.shadow.store import ShadowStore, stored_slot

__all__ = [
    "DEFAULT_LIMITS",
    "Arm",
    "Batch",
    "Joined",
    "ShadowRun",
    "ShadowStore",
    "backfill",
    "join_outcomes",
    "live_arms",
    "run_shadow",
    "served_slot",
    "stored_slot",
]

_HOLDS = {
    "arms": ("Arm", "live_arms", "served_slot"),
    "batch": ("Batch",),
    "outcomes": ("Joined", "join_outcomes"),
    "runner": ("DEFAULT_LIMITS", "ShadowRun", "backfill", "run_shadow"),
    "store": ("ShadowStore", "stored_slot"),
}
__getattr__ = lazily(__name__, _HOLDS)
