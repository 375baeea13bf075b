"""Closed-loop runs: the policy acts in the simulator, from seeds that it never saw, beside itself before training.

Runs are samples of the evaluation engine: one row a run, resumable, in any number of processes. Success rates stand
beside each other on the same tasks and seeds, with an interval over runs; the expert is shown, and rules nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np

from heldout.corpus.guards import Finding
from heldout.domains.embodied.policy.model import Simulated, load_policy, read_config
from heldout.domains.embodied.policy.rollout import EXPERT, POLICY, UNTRAINED
from heldout.domains.embodied.score.metrics_future import mean_of, pairs
from heldout.domains.embodied.simulate.tasks import TASKS
from heldout.domains.embodied.training.files import METADATA_FILE, checkpoint_folder, folder_digest
from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import canonical, digest, loads, read_json, read_json_lines, write_bytes, write_json
from heldout.evidence.sources import program_digest
from heldout.gate.outcome import RuleBlock, RuleOutcome
from heldout.gate.verdict import verdict_of
from heldout.predict.identity import Identity
from heldout.predict.session import PredictorSpec, Sample, Session
from heldout.study import BootstrapSpec
from heldout.task.cluster import Contender, Draws, beside

SCHEMA = "heldout.closed-loop/1"
SEEN_CODE = "HO-G137"
FOLDER, DOCUMENT_FILE, ROWS_FILE = "closed_loop", "closed_loop.json", "rollouts.jsonl"
METRIC = "closed_loop_success_rate"
_PART = "heldout.domains.embodied"
_ROLLOUTS = f"{_PART}.policy.rollout"


class ClosedLoop(TypedDict):
    """``closed_loop.json``."""

    schema: str
    verdict: Literal["PROMOTE", "HOLD"]
    rule: RuleBlock
    closed_loop_success_rate: float | None
    evidence: Mapping[str, Any]
    by_task: dict[str, dict[str, float]]
    runs: int
    plan: Mapping[str, object]
    trained_on: Sequence[Simulated]
    checkpoint_sha256: str
    identity: str
    rows_sha256: str


@dataclass(frozen=True)
class RolloutOptions:
    """Which runs.

    Attributes:
        tasks: By name; empty takes those of the training.
        first_seed: Of each task.
        seeds: Of each task.
        max_steps: Longest run.
        expert: Whether the scripted expert runs too.
        render: Height and width of the pictures that are taken, pixels; those of the training's episodes.
        every: Steps from picture to picture, as in the training's episodes.
    """

    tasks: tuple[str, ...] = ()
    first_seed: int = 1000
    seeds: int = 5
    max_steps: int = 150
    expert: bool = True
    render: int = 96
    every: int = 4


def closed_loop(checkpoint: Path, out: Path, options: RolloutOptions, *, workers: int = 1) -> ClosedLoop:
    """Run what is missing, and judge.

    Args:
        checkpoint: Folder of the checkpoint, or of its training.
        out: Folder; resumed if it is there.
        options: Which runs.
        workers: Processes.

    Returns:
        ``closed_loop.json``.

    Raises:
        RefusedError: If a task and seed were trained on, or the folder holds runs of something else.
        InputError: If a task does not exist.
    """
    folder = checkpoint_folder(checkpoint)
    load_policy(folder)
    shown = _trained_on(folder)
    names = options.tasks or tuple(sorted({one["task"] for one in shown}))
    _check(names, options, shown)
    samples = _samples(names, options)
    weights = folder_digest(folder)
    plan = asdict(options) | {"tasks": list(names)}
    identity = Identity(
        adapter={"predictor": "closed loop", "weights": weights},
        dataset={"simulator": _versions()},
        split=plan,
        prompt=None,
        decoding=None,
        code=program_digest((_ROLLOUTS,), _PART),
    )
    spec = PredictorSpec(
        f"{_ROLLOUTS}:Rollouts",
        {"checkpoint": str(folder), "max_steps": options.max_steps, "render": options.render, "every": options.every},
    )
    session = Session(out, identity, samples, {"run_id": out.resolve().name, "eval_split": "unseen seeds"})
    rows = [loads(row, where="rollouts") for row in session.run(spec, workers=workers).require()]
    evidence = success_evidence(rows)
    rule = beats_untrained(evidence)
    document: ClosedLoop = {
        "schema": SCHEMA,
        "verdict": verdict_of([rule]),
        "rule": rule.to_json(),
        "closed_loop_success_rate": evidence["value"],
        "evidence": evidence,
        "by_task": by_task(rows),
        "runs": len(rows),
        "plan": plan,
        "trained_on": shown,
        "checkpoint_sha256": weights,
        "identity": identity.key,
        "rows_sha256": digest(rows),
    }
    write_rows(out / ROWS_FILE, rows)
    write_json(out / DOCUMENT_FILE, document)
    return document


def success_evidence(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Success rate of the policy, beside the untrained one (ruled) and the expert, paired by task and seed."""
    by_contender: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        by_contender[row["contender"]][f"{row['task']}-s{row['seed']}"] = float(row["success"])
    names = sorted(by_contender[POLICY])
    draws = Draws(names, BootstrapSpec(level=0.95, draws=2000, seed=0))
    sums = {
        contender: draws.sums(pairs(np.array([found[name] for name in names])))
        for contender, found in by_contender.items()
    }
    others = {name: Contender(value, ruled=name != EXPERT) for name, value in sums.items() if name != POLICY}
    return beside(draws, mean_of, sums[POLICY], others) | {"rows": len(names)}


def beats_untrained(evidence: Mapping[str, Any]) -> RuleOutcome:
    """Whether training made a difference."""
    other = evidence["baselines"][UNTRAINED]
    gain = other["gain"]
    bound = "gain over the untrained policy > 0"
    span = f"gain {_number(gain['gain'])} ({_number(gain['low'])} to {_number(gain['high'])})"
    does = {True: "beats", False: "does not beat", None: "cannot be compared with"}[evidence["beats_trivial"]]
    words = f"success {_number(evidence['value'])} {does} the untrained policy's {_number(other['value'])}: {span}"
    return RuleOutcome.of(f"beats_trivial:{METRIC}", evidence["beats_trivial"], gain["low"], bound, words)


def by_task(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Success rate of each contender, a task."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[str(row["task"])][str(row["contender"])].append(float(row["success"]))
    return {task: {name: float(np.mean(values)) for name, values in one.items()} for task, one in sorted(found.items())}


def read_closed_loop(folder: Path) -> ClosedLoop | None:
    """The document of a folder, its rates computed again from its runs; None if nothing was run there.

    Raises:
        InputError: If it is something else.
        TamperedError: If it says something else than its runs.
    """
    path = folder / DOCUMENT_FILE
    if not path.is_file():
        return None
    document: ClosedLoop = read_json(path)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError("these are no closed-loop runs", where=str(path), hint="heldout embodied policy rollout")
    rows = read_json_lines(folder / ROWS_FILE)
    if digest(rows) != document["rows_sha256"] or success_evidence(rows) != document["evidence"]:
        raise TamperedError("the rates are not those of the runs", where=str(path), hint="run the rollouts again")
    return document


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """All runs as JSON lines."""
    write_bytes(path, b"".join(canonical(row) + b"\n" for row in rows))


def _samples(names: Sequence[str], options: RolloutOptions) -> list[Sample]:
    contenders = (POLICY, UNTRAINED, EXPERT) if options.expert else (POLICY, UNTRAINED)
    return [
        Sample(f"{task}:s{seed}:{who}", f"{task}-s{seed}", [task, seed, who])
        for task in names
        for seed in range(options.first_seed, options.first_seed + options.seeds)
        for who in contenders
    ]


def _check(names: Sequence[str], options: RolloutOptions, shown: Sequence[Simulated]) -> None:
    known = {task.name for task in TASKS}
    unknown = sorted(set(names) - known)
    if unknown or not names or options.seeds < 1 or options.first_seed < 0:
        what = f"no such task: {unknown[0]}" if unknown else "there is nothing to run"
        raise InputError(what, where="--task, --seeds", hint="heldout embodied tasks lists them")
    for one in check_seeds(names, range(options.first_seed, options.first_seed + options.seeds), shown):
        raise RefusedError(one.what, where=one.where, hint=one.hint, code=one.code)


def check_seeds(names: Collection[str], seeds: Collection[int], shown: Sequence[Simulated]) -> list[Finding]:
    """HO-G137: runs of a task from a seed that was trained on."""
    seen = sorted(f"{one['task']} seed {one['seed']}" for one in shown if one["task"] in names and one["seed"] in seeds)
    if not seen:
        return []
    what = f"{len(seen)} of the runs were trained on, such as {seen[0]}"
    return [Finding(SEEN_CODE, blocking=True, what=what, where="--first-seed", hint="seeds that training never saw")]


def _trained_on(folder: Path) -> list[Simulated]:
    """Task and seed of every episode of the training."""
    found = read_config(folder).get("trained_on")
    if found is None:
        raise InputError(
            "the checkpoint does not say which simulated episodes it was trained on",
            where=str(folder / METADATA_FILE),
            hint="train again, on simulated episodes",
        )
    return found


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("mujoco", "metaworld", "numpy")}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
