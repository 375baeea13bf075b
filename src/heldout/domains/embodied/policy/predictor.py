"""The predictor that ``heldout eval run`` drives: what a policy would do at the end of each window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heldout.domains.embodied.episodes.observed import opened
from heldout.domains.embodied.episodes.paths import coasting
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.policy.model import load_policy
from heldout.domains.embodied.policy.space import STATS_FILE
from heldout.domains.embodied.training.files import checkpoint_folder
from heldout.domains.embodied.training.scaling import require_train_only
from heldout.errors import RefusedError
from heldout.predict.session import Sample

_DIGITS = 7


class PolicyPredictor:
    """Actions, path and labels at the end of each window."""

    batch = 16

    def __init__(self, index: str, adapter: str | None = None) -> None:
        """Load the policy.

        Raises:
            InputError: If there is no checkpoint.
            RefusedError: If its normaliser was fitted on anything but train episodes of this index.
        """
        self._source = IndexSource(Path(index))
        self._policy = load_policy(checkpoint_folder(Path(adapter) if adapter else None))
        train = {sample.group for sample in self._source.samples("train")}
        require_train_only(self._policy.normaliser.fitted_on, train, STATS_FILE)

    def predict(self, samples: Sequence[Sample]) -> list[Mapping[str, Any]]:
        """Rows with ``pred``, ``pred_actions``, ``pred_trajectory`` and the share that was cut at the bounds."""
        found: list[Mapping[str, Any]] = []
        for record in self._source.records(samples):
            _require_causal(record)
            episode, frame = opened(episode_folder(self._source, record)), int(record["window"]["end_frame"])
            self._policy.spec.check(episode)
            decision = self._policy.decide(self._policy.spec.of_episode(episode, frame))
            path = decision.path + coasting(episode, self._policy.chunks, frame)
            found.append(
                {
                    "pred": decision.said,
                    "pred_actions": [[_short(value) for value in action] for action in decision.actions.tolist()],
                    "pred_trajectory": [[[_short(value) for value in place]] for place in path.tolist()],
                    "share_cut_at_bounds": decision.beyond,
                }
            )
        return found


def episode_folder(source: IndexSource, record: Mapping[str, Any]) -> Path:
    """Where the episode of a window lies."""
    return Path(source.folder / str(record["provenance"]["episode_path"])).resolve()


def _require_causal(record: Mapping[str, Any]) -> None:
    if record["modalities"]["media"]["context_window"]["end_frame"] > record["window"]["end_frame"]:
        raise RefusedError(
            "the context goes on after the window, and shows what is asked for",
            where=str(record["id"]),
            hint="heldout index build --context causal",
            code="HO-G111",
        )


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
