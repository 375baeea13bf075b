"""Training variants one after the other, each in its own process: fit, judge, register as a challenger.

One failure never ends the others, and every one is on record. The process that trains writes into the study's folder
of runs and nowhere else; what it leaves is verified and registered from here, and registered is all that it can be.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from heldout.errors import ExitCode, HeldoutError, InputError, MachineError, UnitError
from heldout.registry import Asked, Registry, add
from heldout.zoo.attempts import FAILURES, Attempts, read_attempts
from heldout.zoo.process import Ended, Limits, run_limited
from heldout.zoo.roster import Entry, Roster
from heldout.zoo.rotation import Rotation, pick

SCHEMA = "heldout.training/1"
State = Literal["trained", "held", "failed", "timed_out", "out_of_memory", "skipped"]


@dataclass(frozen=True)
class Trained:
    """What became of one variant.

    Attributes:
        variant: Id of the variant.
        state: trained (PROMOTE), held (ran and lost), failed, timed_out, out_of_memory or skipped.
        reason: Why it is not trained; empty if it is.
        run: Its run directory.
        version: What it is registered as.
        unchanged: Whether a finished run was found of which nothing had changed.
        could_not: Rules that no result of this run could have passed.
        seconds: Wall-clock time of its process.
        peak_mb: Largest memory of its process that was seen.
    """

    variant: str
    state: State
    reason: str = ""
    run: str | None = None
    version: str | None = None
    unchanged: bool = False
    could_not: tuple[str, ...] = ()
    seconds: float | None = None
    peak_mb: int | None = None

    @property
    def failed(self) -> bool:
        """Whether something went wrong; a variant that ran and lost did not."""
        return self.state in FAILURES

    def to_json(self) -> dict[str, object]:
        """The result as a document."""
        return asdict(self) | {"could_not": list(self.could_not)}


@dataclass(frozen=True)
class Training:
    """What became of every variant of the roster that was asked for.

    Attributes:
        study: Name of the study.
        results: In the order of training, those that were skipped last.
        rotation: Why these and not others; None if no choice was made.
    """

    study: str
    results: tuple[Trained, ...]
    rotation: Rotation | None = None

    @property
    def exit_code(self) -> int:
        """5 if something failed, or nothing at all was trained; else 0."""
        ran = [each for each in self.results if each.state != "skipped"]
        return ExitCode.UNITS_FAILED if not ran or any(each.failed for each in ran) else ExitCode.DONE

    def to_json(self) -> dict[str, object]:
        """The results as a document."""
        return {
            "schema": SCHEMA,
            "study": self.study,
            "results": [each.to_json() for each in self.results],
            "rotation": self.rotation.to_json() if self.rotation else None,
            "exit_code": self.exit_code,
        }


Listener = Callable[[Trained], None]


def train(
    roster: Roster,
    registry: Registry,
    variants: Sequence[str],
    *,
    runs: Path | None = None,
    workers: int | None = None,
    by: str | None = None,
    listener: Listener | None = None,
) -> Training:
    """Train variants by name, one after the other.

    Args:
        roster: Of the study.
        registry: Where they become challengers.
        variants: Ids; ``base`` is the study itself.
        runs: Folder of run directories; the study's own by default.
        workers: Processes of one training; one a processor by default.
        by: Who, for the history.
        listener: Called with each result.

    Raises:
        StudyError: If there is no such variant.
        InputError: If one is paused or retired.
    """
    entries = [roster.entry(variant) for variant in variants]
    for entry in entries:
        if entry.why_not is not None:
            raise InputError(
                f"the variant {entry.id!r} is {entry.why_not}",
                where=f"{roster.file.document.path}: variants",
                hint="set `status: active` to train it",
            )
    return Training(roster.name, tuple(_Shop(roster, registry, runs, workers, by).train(entries, listener)))


def train_all_active(
    roster: Roster,
    registry: Registry,
    *,
    runs: Path | None = None,
    workers: int | None = None,
    by: str | None = None,
    listener: Listener | None = None,
) -> Training:
    """Train the base and every active variant; the arguments are those of ``train``.

    Raises:
        InputError: If no variant is active.
    """
    active = roster.active
    results = list(_Shop(roster, registry, runs, workers, by).train(active, listener))
    for entry in roster.entries:
        if entry.why_not is not None:
            results.append(Trained(entry.id, "skipped", entry.why_not))
            if listener is not None:
                listener(results[-1])
    return Training(roster.name, tuple(results))


def rotate(
    roster: Roster,
    registry: Registry,
    budget: int,
    *,
    runs: Path | None = None,
    workers: int | None = None,
    by: str | None = None,
    listener: Listener | None = None,
) -> Training:
    """Train those whose turn it is, at most ``budget``; the other arguments are those of ``train``.

    Raises:
        InputError: If no variant is active, or the budget is none.
    """
    shop = _Shop(roster, registry, runs, workers, by)
    chosen = pick(roster.active, read_attempts(shop.study), budget)
    shop.attempts.begin_round(list(chosen.chosen), chosen.waiting)
    results = tuple(shop.train([roster.entry(name) for name in chosen.chosen], listener))
    return Training(roster.name, results, chosen)


class _Shop:
    """Where training happens: the folder that it may write, and the registry that it may not."""

    def __init__(
        self, roster: Roster, registry: Registry, runs: Path | None, workers: int | None, by: str | None
    ) -> None:
        self._roster, self._registry, self._workers, self._by = roster, registry, workers, by
        self._runs = Path(runs or roster.file.spec.runs).resolve()
        self.study = self._runs / roster.name
        self.attempts = Attempts(self.study)
        if registry.serving.root.is_relative_to(self.study):
            raise InputError(
                "the registry lies where training writes", where=str(registry.serving.root), hint="move it elsewhere"
            )

    def train(self, entries: Sequence[Entry], listener: Listener | None) -> Iterator[Trained]:
        for entry in entries:
            with self._recorded(entry) as end:
                result = self._one(entry)
                end(result)
            if listener is not None:
                listener(result)
            yield result

    @contextmanager
    def _recorded(self, entry: Entry) -> Iterator[Callable[[Trained], None]]:
        number = self.attempts.begin(entry.id, entry.resolved.sha256 if entry.resolved else None)

        def end(result: Trained) -> None:
            assert result.state != "skipped"  # whoever was skipped never began
            facts = {key: value for key, value in result.to_json().items() if key != "state"}
            self.attempts.end(number, result.state, facts)

        try:
            yield end
        except KeyboardInterrupt:
            self.attempts.end(number, "interrupted", {"reason": "a person stopped it"})
            raise
        except MachineError as error:  # no result of the variant: the next round tries it again
            with suppress(HeldoutError):
                self.attempts.end(number, "interrupted", {"reason": error.what})
            raise

    def _one(self, entry: Entry) -> Trained:
        if entry.resolved is None:
            return Trained(entry.id, "failed", str(entry.problem))
        self.study.mkdir(parents=True, exist_ok=True)
        task = {
            "study": str(self._roster.file.document.path.resolve()),
            "variant": entry.id,
            "variant_sha256": entry.resolved.sha256,
            "runs": str(self._runs),
            "workers": self._workers,
        }
        limits = Limits(entry.budget.seconds, entry.budget.memory_mb)
        ended = run_limited("heldout.zoo.trainer", task, limits=limits, writable=[self.study, *_caches()])
        if ended.refused:
            raise MachineError(ended.reason, where=entry.id, hint="mend it, then run the same command again")
        if ended.state != "done":
            return Trained(entry.id, ended.state, ended.reason, seconds=ended.seconds, peak_mb=ended.peak_mb)
        return self._registered(entry, ended)

    def _registered(self, entry: Entry, ended: Ended) -> Trained:
        """Registration is part of success: a model that nobody can find again was not trained."""
        run = Path(ended.answer["run"])
        spent: dict[str, Any] = {"seconds": ended.seconds, "peak_mb": ended.peak_mb}
        try:
            self._refuse_twin(entry, run)
            trained_here = Asked(trust_code=True)  # its code was run a moment ago
            version = add(self._registry, run, challenger=True, asked=trained_here, by=self._by, reason="trained")
        except MachineError:
            raise
        except HeldoutError as error:
            return Trained(entry.id, "failed", f"it ran and could not be registered: {error}", str(run), **spent)
        held = ended.answer["verdict"] != "PROMOTE"
        return Trained(
            entry.id,
            "held" if held else "trained",
            "; ".join(ended.answer["reasons"]) if held else "",
            str(run),
            version.id,
            ended.answer["unchanged"],
            tuple(ended.answer["could_not"]),
            **spent,
        )

    def _refuse_twin(self, entry: Entry, run: Path) -> None:
        """An override that the training never read leaves the predictions of another variant, to the last bit."""
        from heldout.run.result import Run

        judged = Run(run).document["judged"]
        for version in self._registry.versions():
            if _is_twin(version.content["judged"], judged):
                raise UnitError(
                    f"it predicts what {version.content['variant']!r} predicts, to the last bit: the training read "
                    "nothing of what differs",
                    where=f"{entry.id}: {', '.join(entry.set)}",
                    hint=f"remove the overrides, or retire the variant; the other one is {version.id}",
                )


def _is_twin(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    same = ("corpus_sha256", "split_sha256", "predictions_sha256")
    return bool(one["variant_sha256"] != other["variant_sha256"]) and all(one.get(key) == other[key] for key in same)


def _caches() -> list[Path]:
    """Where libraries keep what they compiled or decoded; nothing there is evidence."""
    named = [os.environ.get(name) for name in ("HELDOUT_CACHE", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR")]
    found = [Path(name) for name in named if name and name != "off"]
    with suppress(RuntimeError):  # an account without a home
        found.append(Path.home() / ".cache")
    return found
