"""The audit of converted actions: what is lost between what was recorded and what a policy is trained to do.

Here a command of the end effector stays what it is, so the conversion is the identity; the audit shows that it is: what
leaves the bounds, what scaling there and back changes, and how far the hand followed its commands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from heldout.domains.embodied.episodes.observed import stream_span
from heldout.domains.embodied.episodes.paths import Chunks
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.policy.space import CONVERSION, ActionSpace, Normaliser
from heldout.evidence import finite_or_none

SCHEMA = "heldout.retargeting-audit/1"
AUDIT_FILE = "retargeting_audit.json"
WHY_NONE = "commands of the end effector stay commands of the same end effector: no metric here is about another body"
_LAG = 4  # frames in which a hand follows


def audit(episodes: Sequence[Episode], space: ActionSpace, normaliser: Normaliser, chunks: Chunks) -> dict[str, object]:
    """The audit of demonstrations.

    Args:
        episodes: That were learnt from.
        space: Of actions.
        normaliser: Of actions.
        chunks: Names of the streams.
    """
    actions = [stream_span(one, chunks.action_stream, 0, one.header.frames - 1) for one in episodes]
    places = [stream_span(one, chunks.path_stream, 0, one.header.frames - 1)[:, :3] for one in episodes]
    whole = np.concatenate(actions)
    scale = normaliser.action
    back = (whole - scale.mean) / scale.std * scale.std + scale.mean
    commanded = np.concatenate([values[:-_LAG, :3] for values in actions if len(values) > _LAG] or [np.zeros((0, 3))])
    moved = np.concatenate(
        [place[_LAG:] - place[:-_LAG] for place in places if len(place) > _LAG] or [np.zeros((0, 3))]
    )
    return {
        "schema": SCHEMA,
        "rows": len(whole),
        "retargeted_rows": 0,
        "conversions": [],
        "conversion": CONVERSION,
        "why_none": WHY_NONE,
        "beyond_bounds": int(((whole < space.low) | (whole > space.high)).any(axis=1).sum()),
        "largest_round_trip_error": float(np.abs(back - whole).max()),
        "hand_follows_command": {
            "frames": _LAG,
            "seconds": _LAG / space.rate_hz,
            "correlation": [_correlation(commanded[:, axis], moved[:, axis]) for axis in range(3)],
        },
    }


def audit_predictions(rows: Sequence[Mapping[str, Any]], space: ActionSpace, trained: Any) -> dict[str, object]:
    """The audit of predicted actions: what had to be cut, and whether actions and path agree.

    Args:
        rows: Of ``policy_predictions.jsonl``.
        space: Of actions.
        trained: The audit of the demonstrations.
    """
    actions = np.array([row["pred_actions"] for row in rows], dtype=np.float64)
    paths = np.array([row["pred_trajectory"] for row in rows], dtype=np.float64)[:, :, 0]
    starts = np.array([row["last_points"] for row in rows], dtype=np.float64)[:, 0]
    shown = min(actions.shape[1], paths.shape[1])
    commanded, moved = actions[:, :shown, :3].mean(axis=1), paths[:, shown - 1] - starts
    return {
        "schema": SCHEMA,
        "rows": len(rows),
        "retargeted_rows": 0,
        "conversions": [],
        "conversion": CONVERSION,
        "why_none": WHY_NONE,
        "share_cut_at_bounds": float(np.mean([row["share_cut_at_bounds"] for row in rows])),
        "beyond_bounds": int(((actions < space.low) | (actions > space.high)).any(axis=(1, 2)).sum()),
        "path_follows_actions": {
            "frames": shown,
            "correlation": [_correlation(commanded[:, axis], moved[:, axis]) for axis in range(3)],
        },
        "demonstrations": trained,
    }


def _correlation(left: Any, right: Any) -> float | None:
    if len(left) < 3 or not left.std() or not right.std():
        return None
    return finite_or_none(float(np.corrcoef(left, right)[0, 1]))
