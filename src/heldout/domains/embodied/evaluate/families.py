"""What an evaluation predicts: answers about windows, futures of windows, or actions. One family a file of predictions.

A family chooses the samples, and makes published rows of what was predicted and what is true. Everything else (resume,
shards, the opening of sealed answers, the look in the ledger, metrics, the verdict) is one road for all.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from heldout.domains.embodied.index.known import Truth, answer_of
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.score import Scored
from heldout.errors import InputError
from heldout.evidence import loads
from heldout.predict.session import Sample

FAMILIES = {
    "predictions.jsonl": "heldout.domains.embodied.evaluate.families:AnswerFamily",
    "future_predictions.jsonl": "heldout.domains.embodied.world.evaluation:FutureFamily",
    "policy_predictions.jsonl": "heldout.domains.embodied.policy.evaluation:PolicyFamily",
}


class Family(Protocol):
    """What an evaluation drives; made with the source and the folder of the weights."""

    sources: Sequence[str]
    """Modules that a prediction depends on beside the predictor's own."""

    def samples(self, split: str, limit: int) -> list[Sample]:
        """What is predicted, in order; ``ref`` is that of the window that it is predicted from."""
        ...

    def windows(self, split: str, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Windows whose answers are asked."""
        ...

    def rows(self, samples: Sequence[Sample], truth: Truth, said: Sequence[bytes]) -> list[dict[str, object]]:
        """Published rows, one a sample."""
        ...

    def take_runs(self, folder: Path, out: Path) -> None:
        """Take closed-loop runs into the folder of the evaluation."""
        ...

    def complete(self, scored: Scored, out: Path) -> Scored:
        """Add what is not computed from rows."""
        ...

    def bound(self, out: Path) -> Mapping[str, str]:
        """Digests of what ``complete`` reads in the folder of the evaluation."""
        ...

    def files(self, scored: Scored) -> dict[str, bytes]:
        """Files beside those that the contract requires."""
        ...


def make_family(predictions: str, source: IndexSource, adapter: Path | None) -> Family:
    """The family of a file of predictions."""
    module, _, name = FAMILIES[predictions].partition(":")
    family: Family = getattr(importlib.import_module(module), name)(source, adapter)
    return family


class Plain:
    """A family whose metrics all come from its rows."""

    sources: Sequence[str] = ()

    def __init__(self, source: IndexSource, adapter: Path | None) -> None:
        """Bind an index and the folder of the weights."""
        self.source, self.adapter = source, adapter

    def take_runs(self, folder: Path, out: Path) -> None:
        """None are read.

        Raises:
            InputError: Always.
        """
        raise InputError("no rule here asks for closed-loop runs", where="--closed-loop", hint="policy_vla_branch does")

    def complete(self, scored: Scored, out: Path) -> Scored:
        """Nothing to add."""
        return scored

    def bound(self, out: Path) -> Mapping[str, str]:
        """Nothing is read."""
        return {}

    def files(self, scored: Scored) -> dict[str, bytes]:
        """None."""
        return {}


class AnswerFamily(Plain):
    """Answers about windows, in text."""

    def samples(self, split: str, limit: int) -> list[Sample]:
        """Every window."""
        return self.source.samples(split, limit)

    def windows(self, split: str, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Those that are predicted."""
        return samples

    def rows(self, samples: Sequence[Sample], truth: Truth, said: Sequence[bytes]) -> list[dict[str, object]]:
        """Rows of ``predictions.jsonl``, without what follows from them."""
        found = []
        for sample, record, row in zip(samples, self.source.records(samples), said, strict=True):
            answer = answer_of(truth, sample.id)
            found.append(
                {
                    "id": record["id"],
                    "target": record["target"],
                    "split": record["split"],
                    "episode_id": record["episode_id"],
                    "center_window": {key: record["window"][key] for key in ("start_frame", "end_frame", "num_frames")},
                    "true_label": answer["action"],
                    "raw_prediction": loads(row, where=sample.id)["raw_prediction"],
                    "true_json": dict(answer),
                }
            )
        return found
