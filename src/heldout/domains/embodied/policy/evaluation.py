"""A policy in the evaluation engine: what it predicts of held-out windows, and how it fares in the simulator.

A window's metrics say whether the policy would have done what the expert did; only the simulator says whether that is
enough. Where the episodes are simulated the verdict asks for both: the runs of ``heldout embodied policy rollout`` in
``<out>/closed_loop``, of the same checkpoint; ``--closed-loop`` takes them there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from heldout.domains.embodied.episodes.observed import opened
from heldout.domains.embodied.episodes.paths import hand_path, last_place
from heldout.domains.embodied.episodes.store import Episode
from heldout.domains.embodied.evaluate.families import Plain
from heldout.domains.embodied.index.known import Truth, answer_of
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.policy.closed_loop import DOCUMENT_FILE, FOLDER, METRIC, ROWS_FILE, read_closed_loop
from heldout.domains.embodied.policy.model import load_policy
from heldout.domains.embodied.policy.predictor import episode_folder
from heldout.domains.embodied.policy.retarget import AUDIT_FILE, audit_predictions
from heldout.domains.embodied.score.metrics_answers import nothing
from heldout.domains.embodied.score.rules import judge
from heldout.domains.embodied.score.score import Scored
from heldout.domains.embodied.training.files import checkpoint_folder, folder_digest, json_bytes
from heldout.errors import InputError, RefusedError
from heldout.evidence import loads, read_json, read_plain, sha256_file, write_bytes
from heldout.predict.session import Sample

_FIELDS = ("action", "subtask", "objects", "contact", "transition", "next_action")
_SIMULATED = "heldout.metaworld/"


class PolicyFamily(Plain):
    """Actions of windows."""

    sources = ("heldout.domains.embodied.policy.predictor",)

    def __init__(self, source: IndexSource, adapter: Path | None) -> None:
        """Read what the checkpoint plans."""
        super().__init__(source, adapter)
        self._folder = checkpoint_folder(adapter)
        self._policy = load_policy(self._folder)

    def samples(self, split: str, limit: int) -> list[Sample]:
        """Every window."""
        return self.source.samples(split, limit)

    def windows(self, split: str, samples: Sequence[Sample]) -> Sequence[Sample]:
        """Those that are predicted."""
        return samples

    def rows(self, samples: Sequence[Sample], truth: Truth, said: Sequence[bytes]) -> list[dict[str, object]]:
        """Rows of ``policy_predictions.jsonl``; a path that would leave its episode has no truth."""
        found = []
        for record, row in zip(self.source.records(samples), said, strict=True):
            predicted = loads(row, where=str(record["id"]))
            if "pred" not in predicted:
                raise InputError("the predictor predicts no actions", where="--predictor", hint="policy_vla_branch")
            answer = answer_of(truth, str(record["id"]))
            episode = opened(episode_folder(self.source, record))
            found.append(
                {
                    "id": record["id"],
                    "episode_id": record["episode_id"],
                    "split": record["split"],
                    "target": "policy",
                    "center_window": {key: record["window"][key] for key in ("start_frame", "end_frame", "num_frames")},
                    "true": {name: answer[name] for name in _FIELDS},
                    "retargeting": None,
                }
                | {key: value for key, value in predicted.items() if key != "id"}
                | self._truth(episode, int(record["window"]["end_frame"]))
            )
        return found

    def take_runs(self, folder: Path, out: Path) -> None:
        """Take the runs of ``heldout embodied policy rollout`` into the folder of the evaluation.

        Raises:
            InputError: If there are none, they are of another checkpoint, or the episodes are not simulated.
            RefusedError: If the evaluation has other runs already.
        """
        document = read_closed_loop(folder)
        if document is None:
            hint = "heldout embodied policy rollout CHECKPOINT --out FOLDER writes them"
            raise InputError("there are no closed-loop runs", where=f"--closed-loop {folder}", hint=hint)
        if not self._simulated():
            hint = "leave --closed-loop out: no simulator knows these episodes"
            raise InputError("the episodes of the index are not simulated", where=str(self.source.folder), hint=hint)
        if document["checkpoint_sha256"] != folder_digest(self._folder):
            hint = f"let this one act: heldout embodied policy rollout {self._folder} --out FOLDER"
            raise InputError("these runs are of another checkpoint", where=f"--closed-loop {folder}", hint=hint)
        for name in (ROWS_FILE, DOCUMENT_FILE):
            there, content = out / FOLDER / name, read_plain(folder / name)
            if there.is_file() and read_plain(there) != content:
                hint = "choose another --out: runs are not exchanged for better ones"
                raise RefusedError("the evaluation has other closed-loop runs", where=str(there), hint=hint)
            write_bytes(there, content)

    def complete(self, scored: Scored, out: Path) -> Scored:
        """Add the closed loop as evidence and as a rule, where the episodes are simulated."""
        if not self._simulated():
            return scored
        document = read_closed_loop(out / FOLDER)
        if document is None:
            why = "it was not run; heldout embodied policy rollout, then heldout eval run --closed-loop"
            evidence: Mapping[str, Any] = nothing(why)
        elif document["checkpoint_sha256"] != folder_digest(self._folder):
            evidence = nothing("the runs there are of another checkpoint")
        else:
            evidence = document["evidence"]
        metrics = dict(scored.metrics) | {METRIC: evidence["value"]}
        metrics["evidence"] = dict(metrics["evidence"]) | {METRIC: evidence}
        rules = judge(metrics, [*scored.contract.config["primary_metrics"], METRIC])
        return replace(scored, metrics=metrics, rules=rules)

    def bound(self, out: Path) -> Mapping[str, str]:
        """The closed loop and its runs, if there are any."""
        paths = [out / FOLDER / name for name in (DOCUMENT_FILE, ROWS_FILE)]
        return {f"{FOLDER}/{path.name}": sha256_file(path) for path in paths if path.is_file()}

    def files(self, scored: Scored) -> dict[str, bytes]:
        """``retargeting_audit.json`` with what was measured."""
        path = self._folder / AUDIT_FILE
        trained = read_json(path) if path.is_file() else None
        return {AUDIT_FILE: json_bytes(audit_predictions(scored.rows, self._policy.space, trained))}

    def _truth(self, episode: Episode, frame: int) -> dict[str, object]:
        place, velocity = last_place(episode, self._policy.chunks, frame)
        path = hand_path(episode, self._policy.chunks, frame)
        found: dict[str, object] = {"last_points": [place.tolist()], "last_velocity": [velocity.tolist()]}
        return found if path is None else found | {"true_trajectory": [[one] for one in path.tolist()]}

    def _simulated(self) -> bool:
        record = next(self.source.records(self.source.samples("train", 1)))
        provenance = opened(episode_folder(self.source, record)).header.provenance
        return str(provenance.get("generator", "")).startswith(_SIMULATED)
