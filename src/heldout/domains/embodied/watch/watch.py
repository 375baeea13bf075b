"""``heldout watch``: wait for a training, look at its checkpoint, evaluate a little, then evaluate all of it.

::

    watch_start -> training_progress* -> training_complete_observed -> adapter_shape_check_done | _skipped
      -> validation_training_start, _exit -> eval_smoke_start, _exit
      -> [eval_full_start, _exit -> validation_eval_start, _exit] -> watch_complete

Every state is a line of ``watch.jsonl``. What fails ends the watch with ``watch_failed``; started again it goes through
the states again, and evaluations go on where they were. Index and predictor are looked at before the wait, not after.
The smoke evaluation takes validation windows: whether the chain holds together can be seen without a look at test.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heldout.domains.embodied.checkpoint.gate import check_checkpoint
from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.run import run as evaluate
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.watch.progress import COMPLETE, FAILED, Progress, read_progress
from heldout.domains.embodied.watch.validation import Validation, validate_evaluation, validate_training
from heldout.errors import HeldoutError, UnitError
from heldout.evidence import JsonLines, alone, write_json

STATUS_FILE = "watch.jsonl"
SMOKE, FULL = "smoke", "eval"
OnEvent = Callable[[Mapping[str, Any]], None]


def _utc() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class WatchOptions:
    """How to watch.

    Attributes:
        poll_seconds: Between two looks at the training.
        timeout_hours: After which waiting ends.
        stale_minutes: Silence, or waiting for a first word, after which the training is said to be stale, once.
        smoke_limit: Windows of the smoke evaluation.
        smoke_split: Which windows.
        skip_checkpoint: Do not run the checkpoint gate.
        skip_full: End after the smoke evaluation.
        workers: Processes of the evaluations.
    """

    poll_seconds: float = 60.0
    timeout_hours: float = 12.0
    stale_minutes: float = 30.0
    smoke_limit: int = 8
    smoke_split: str = "val"
    skip_checkpoint: bool = False
    skip_full: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Watch:
    """One training that is watched.

    Attributes:
        training: Folder of ``progress.jsonl``.
        checkpoint: What will be gated.
        plan: What is evaluated then.
        out: Folder of ``watch.jsonl``, the validations and both evaluations.
        options: How to watch.
        on_event: Told every state.
        now: The clock.
        sleep: How to wait.
    """

    training: Path
    checkpoint: Checkpoint
    plan: Plan
    out: Path
    options: WatchOptions = WatchOptions()
    on_event: OnEvent = field(default=lambda _: None)
    now: Callable[[], dt.datetime] = _utc
    sleep: Callable[[float], None] = time.sleep

    def run(self) -> Mapping[str, Any]:
        """Go through all states.

        Returns:
            The last event; ``verdict`` where there was a full evaluation.

        Raises:
            InputError: If there is no such index or predictor; before anything is waited for.
            UnitError: If the training failed or took too long, a gate or a validation objects, or samples fail.
            StaleError: If another process watches into this folder.
        """
        self._check_plan()
        with alone(self.out, "watches there", lock=f".{STATUS_FILE}.lock"):
            try:
                self._say("watch_start", run=self.training.resolve().name, backbone=self.checkpoint.contract.id)
                return self._states()
            except HeldoutError as error:
                self._say("watch_failed", code=error.code, reason=error.what)
                raise

    def _check_plan(self) -> None:
        """See that there is something to evaluate, and by what: not after hours of waiting."""
        source = IndexSource(self.plan.index)
        source.samples(self.options.smoke_split, 1)
        self.plan.check()

    def _states(self) -> Mapping[str, Any]:
        self._wait()
        self._gate()
        self._validate("training", lambda: validate_training(self.checkpoint))
        self._evaluate(SMOKE, self.options.smoke_split, self.options.smoke_limit)
        if self.options.skip_full:
            return self._say("watch_complete", verdict=None)
        verdict = self._evaluate(FULL, self.plan.split, self.plan.limit)
        self._validate("eval", lambda: validate_evaluation(self.out / FULL, self.checkpoint.contract))
        return self._say("watch_complete", verdict=verdict)

    def _wait(self) -> None:
        """Until the training says that it is complete."""
        path, began = self.training / "progress.jsonl", self.now()
        deadline = began + dt.timedelta(hours=self.options.timeout_hours)
        shown: tuple[Any, ...] | None = None
        stale = False
        while True:
            seen = read_progress(path, self.now())
            if (seen.latest, seen.rows) != shown:
                shown, stale = (seen.latest, seen.rows), False
                awaited = {} if seen.rows else {"waits_for": str(path)}
                self._say("training_progress", **_facts(seen), **awaited)
            if seen.latest in COMPLETE:
                self._say("training_complete_observed", rows=seen.rows)
                return
            if seen.latest in FAILED:
                raise UnitError("the training failed", where=str(self.training), hint="look at its progress.jsonl")
            silent = (self.now() - began).total_seconds() if seen.silent_seconds is None else seen.silent_seconds
            if not stale and silent > 60 * self.options.stale_minutes:
                stale = True
                self._say("training_stale", silent_seconds=round(silent, 1))
            if self.now() >= deadline:
                raise UnitError(
                    f"the training was not complete after {self.options.timeout_hours:g} hours",
                    where=str(path) if seen.rows else f"{path}, which never came",
                    hint="give --timeout-hours, or look whether it still runs",
                )
            self.sleep(self.options.poll_seconds)

    def _gate(self) -> None:
        if self.options.skip_checkpoint:
            self._say("adapter_shape_check_skipped")
            return
        document = check_checkpoint(self.checkpoint)
        write_json(self.out / "adapter_shape_check.json", document)
        codes = sorted({finding["code"] for finding in document["findings"]})
        self._say("adapter_shape_check_done", status=document["status"], codes=codes)
        if document["status"] != "pass":
            what = f"the checkpoint gate objects: {', '.join(codes)}"
            raise UnitError(what, where=str(self.checkpoint.folder), hint="heldout backbone checkpoint says why")

    def _validate(self, stage: str, make: Callable[[], Validation]) -> None:
        self._say(f"validation_{stage}_start")
        document = make()
        write_json(self.out / f"validation_{stage}.json", document)
        failed = document["status"] != "pass"
        self._say(f"validation_{stage}_exit", returncode=int(failed), issues=len(document["issues"]))
        if failed:
            first = document["issues"][0]["message"]
            raise UnitError(f"the {stage} is not whole: {first}", where=str(self.out), hint=f"validation_{stage}.json")

    def _evaluate(self, name: str, split: str, limit: int) -> str:
        self._say(f"eval_{'smoke' if name == SMOKE else 'full'}_start", split=split, sample_limit=limit)
        plan = Plan(self.plan.index, self.plan.predictor, self.plan.adapter, split, limit, self.plan.decoding)
        started = self.now()
        done = evaluate(plan, self.checkpoint.contract, self.out / name, workers=self.options.workers)
        assert "verdict" in done  # of all windows: no shard was asked for
        verdict = str(done["verdict"]["verdict"])
        facts = {"returncode": 0, "samples": done["metrics"]["num_samples"], "verdict": verdict}
        facts["seconds"] = round((self.now() - started).total_seconds(), 3)
        self._say(f"eval_{'smoke' if name == SMOKE else 'full'}_exit", **facts)
        return verdict

    def _say(self, event: str, **facts: Any) -> Mapping[str, Any]:
        record = {"event": event, "time": self.now().isoformat(timespec="seconds")} | facts
        with JsonLines(self.out / STATUS_FILE, durable=True) as stream:
            stream.append(record)
        self.on_event(record)
        return record


def _facts(seen: Progress) -> dict[str, object]:
    facts: dict[str, object] = {"latest_event": seen.latest, "rows": seen.rows, "done": seen.done, "total": seen.total}
    for name in ("eta_seconds", "silent_seconds"):
        value = getattr(seen, name)
        facts[name] = None if value is None else round(value, 1)
    return facts
