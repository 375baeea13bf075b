"""Champion first, then everybody else: nothing that a challenger does can reach what was served.

The champion's predictions are on disk, whole, before the first challenger starts. A challenger is a process of its own
with a time and a memory budget, fenced into a folder of its own; what it leaves there is looked at and stored from
here. After each of them the champion's bytes are compared with those in memory, and put back if they differ.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self

from heldout.errors import ExitCode, HeldoutError, InputError, PrerequisiteError, UnitError
from heldout.evidence import read_json_lines, read_plain
from heldout.registry import Registry, Version
from heldout.shadow.arms import Arm, arm_id, live_arms, within
from heldout.shadow.batch import Batch
from heldout.shadow.outcomes import pending_arms
from heldout.shadow.predictor import OUTPUT
from heldout.shadow.store import ShadowStore, Stored
from heldout.shadow.times import parse_utc
from heldout.zoo.process import Ended, Limits, run_limited

SCHEMA = "heldout.shadow/1"
DEFAULT_LIMITS = Limits(seconds=600)
State = Literal["predicted", "already", "failed", "timed_out", "out_of_memory", "skipped"]


@dataclass(frozen=True)
class Result:
    """What one version did with one batch.

    Attributes:
        batch: Name of the batch.
        role: champion or challenger.
        arm: Of the version.
        version: Its id.
        state: predicted, already (they were there), failed, timed_out, out_of_memory or skipped (no place).
        reason: Why there are no predictions; empty if there are.
        rows: Predicted rows.
        in_sample: Rows among them that its training had seen; they are never scored.
        seconds: Wall-clock time of its process.
        peak_mb: Largest memory of its process that was seen.
    """

    batch: str
    role: Literal["champion", "challenger"]
    arm: str
    version: str
    state: State
    reason: str = ""
    rows: int | None = None
    in_sample: int | None = None
    seconds: float | None = None
    peak_mb: int | None = None

    def to_json(self) -> dict[str, object]:
        """The result as a document."""
        return asdict(self)


@dataclass(frozen=True)
class ShadowRun:
    """What everybody did.

    Attributes:
        slot: Whose shadow.
        results: The champion's first.
    """

    slot: str
    results: tuple[Result, ...]

    @property
    def exit_code(self) -> int:
        """5 if a challenger failed; else 0. Without a champion's output there is no run at all."""
        failed = any(each.state in ("failed", "timed_out", "out_of_memory") for each in self.results)
        return ExitCode.UNITS_FAILED if failed else ExitCode.DONE

    def to_json(self) -> dict[str, object]:
        """The results as a document."""
        results = [each.to_json() for each in self.results]
        return {"schema": SCHEMA, "slot": self.slot, "results": results, "exit_code": self.exit_code}


Listener = Callable[[Result], None]


def run_shadow(
    registry: Registry,
    store: ShadowStore,
    source: Path,
    *,
    since: str | None = None,
    until: str | None = None,
    name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    arms: int | None = None,
    listener: Listener | None = None,
) -> ShadowRun:
    """Let the champion of a slot predict a batch, then every live challenger. Done work is not done again.

    Args:
        registry: Where the versions are.
        store: The shadow of the slot.
        source: Input file: rows of features, or what the study's reader makes features of.
        since: First time to predict.
        until: Last time to predict.
        name: Of the batch; the file's stem and the times by default.
        limits: Of each challenger.
        arms: Places for challengers; everybody has one by default.
        listener: Called with each result.

    Raises:
        PrerequisiteError: If the slot has no champion.
        RefusedError: If another batch has that name.
        TamperedError: If a file of the champion is not the one that was registered.
        UnitError: If the champion cannot predict.
    """
    champion = _champion(registry, store.slot)
    batch = Batch.of(source, since=since, until=until, name=name)
    stored = store.take(batch, source, champion.id, registry.now())
    post = _Post(registry, store, limits, listener)
    with store.only_one(batch, "champion"):
        served = post.champion(stored)
    with store.only_one(batch, "challengers"):
        others = post.challengers(stored, live_arms(registry, registry.version(stored.served)), arms)
    return ShadowRun(store.slot, (served, *others))


def backfill(
    registry: Registry,
    store: ShadowStore,
    *,
    since: str | None = None,
    names: Sequence[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    listener: Listener | None = None,
) -> ShadowRun:
    """Let whoever came late predict stored batches from their stored inputs.

    Args:
        registry: Where the versions are.
        store: The shadow of the slot.
        since: Only batches that came at this time (UTC, ISO 8601) or later.
        names: Only these batches.
        limits: Of each challenger.
        listener: Called with each result.

    Raises:
        InputError: If there is no such batch.
        TamperedError: If a stored input is not what came in.
    """
    champion = _champion(registry, store.slot)
    chosen = [store.stored(name) for name in names] if names else store.batches()
    if since is not None:
        try:
            moment = parse_utc(since)
        except ValueError:
            raise InputError(f"{since!r} is no time", where="--since", hint="write 2026-01-31T09:00Z") from None
        chosen = [stored for stored in chosen if parse_utc(stored.at_utc) >= moment]
    if not chosen:
        raise InputError("there is no batch to fill", where=str(store.root), hint="`heldout shadow run` stores some")
    post, results = _Post(registry, store, limits, listener), []
    arms = [*live_arms(registry, champion), Arm(arm_id(champion), (champion,))]
    for stored in chosen:
        store.check_input(stored.batch)
        with store.only_one(stored.batch, "challengers"):
            results += post.challengers(stored, [arm for arm in arms if arm.version.id != stored.served], None)
    return ShadowRun(store.slot, tuple(results))


def _champion(registry: Registry, slot: str) -> Version:
    champion = registry.champion(slot)
    if champion is None:
        raise PrerequisiteError(
            f"the slot {slot!r} has no champion, so there is nothing to run beside",
            where=f"slot {slot}",
            hint="`heldout registry promote` makes one",
        )
    return champion


class _Post:
    """Everything that predicting one batch after the other needs."""

    def __init__(self, registry: Registry, store: ShadowStore, limits: Limits, listener: Listener | None) -> None:
        self._registry, self._store, self._limits, self._listener = registry, store, limits, listener

    def champion(self, stored: Stored) -> Result:
        """The version that served when the batch came, without a budget: there is nobody whom it could delay."""
        version = self._registry.version(stored.served)
        result = self._told(self._one(stored, version, "champion", Limits(), gentle=False))
        if result.state not in ("predicted", "already"):
            raise UnitError(
                f"the champion cannot predict: {result.reason}", where=version.id, hint="no challenger was started"
            )
        return result

    def challengers(self, stored: Stored, arms: list[Arm], most: int | None) -> list[Result]:
        """Everybody else, one after the other; the champion's bytes are watched over."""
        placed, waiting = arms, list[Arm]()
        if most is not None and most < len(arms):
            placed, waiting = within(arms, most, pending_arms(self._store), _tries(self._store))
        results = []
        with _Guarded(self._store, stored) as guard:
            for arm in placed:
                result = self._one(stored, arm.version, "challenger", self._limits, gentle=True)
                changed = guard.put_back()
                if changed:
                    result = Result(
                        stored.batch.name, "challenger", arm.id, arm.version.id, "failed", f"it changed {changed}"
                    )
                results.append(self._told(result))
        for arm in waiting:
            reason = f"all {most} places are taken by arms whose outcomes have not matured, or that waited longer"
            results.append(
                self._told(Result(stored.batch.name, "challenger", arm.id, arm.version.id, "skipped", reason))
            )
        return results

    def _one(
        self, stored: Stored, version: Version, role: Literal["champion", "challenger"], limits: Limits, *, gentle: bool
    ) -> Result:
        batch, arm = stored.batch, arm_id(version)
        if self._store.has(batch, version.id):
            card = self._store.card(batch, version.id)
            return Result(batch.name, role, arm, version.id, "already", rows=card["rows"], in_sample=card["in_sample"])
        desks = self._store.root / "work"
        desks.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=desks, ignore_cleanup_errors=True) as name:
            work = Path(name)
            task = {
                "content": dict(version.content),
                "run": str(self._registry.serving.folder_at(version.place)),
                "batch": batch.to_json(),
                "input": str(self._store.input(batch)),
                "work": str(work),
            }
            ended = run_limited(
                "heldout.shadow.predictor", task, limits=limits, writable=[work], work=work, gentle=gentle
            )
            return self._stored(stored, version, role, ended, work)

    def _stored(
        self, stored: Stored, version: Version, role: Literal["champion", "challenger"], ended: Ended, work: Path
    ) -> Result:
        batch, arm = stored.batch, arm_id(version)
        spent = (ended.seconds, ended.peak_mb)
        if ended.state != "done":
            return Result(batch.name, role, arm, version.id, ended.state, ended.reason, None, None, *spent)
        try:
            data = _checked(work / OUTPUT, int(ended.answer["rows"]))
        except HeldoutError as error:
            return Result(batch.name, role, arm, version.id, "failed", str(error), None, None, *spent)
        registered = str(self._registry.history(version=version.id)[0].body["at_utc"])
        facts = {key: value for key, value in ended.answer.items() if key != "fence"}
        facts |= {"arm": arm, "variant": version.content["variant"], "version_sha256": version.sha256}
        facts |= {"code_sha256": version.content["judged"]["code_sha256"], "registered_at_utc": registered}
        self._store.put(batch, version.id, data, facts | {"late": parse_utc(registered) > parse_utc(stored.at_utc)})
        rows, seen = int(ended.answer["rows"]), int(ended.answer["in_sample"])
        return Result(batch.name, role, arm, version.id, "predicted", "", rows, seen, *spent)

    def _told(self, result: Result) -> Result:
        if result.state != "already":
            self._store.note(**result.to_json())
        if self._listener is not None:
            self._listener(result)
        return result


class _Guarded:
    """The champion's predictions and card of a batch, in memory as they were served."""

    def __init__(self, store: ShadowStore, stored: Stored) -> None:
        folder = store.folder(stored.batch.name)
        names = ("batch.json", f"{stored.served}.json", f"{stored.served}.jsonl")
        self._files = {folder / name: b"" for name in names}

    def __enter__(self) -> Self:
        self._files = {path: read_plain(path) for path in self._files if path.exists()}
        return self

    def __exit__(self, *exc: object) -> None:
        self.put_back()

    def put_back(self) -> str | None:
        """Restore what differs; the name of the first such file."""
        from heldout.evidence import write_bytes

        changed = None
        for path, data in self._files.items():
            if not path.is_file() or read_plain(path) != data:
                write_bytes(path, data)
                changed = changed or path.name
        return changed


def _checked(path: Path, rows: int) -> bytes:
    """The predictions that a process left, if they are what a store can hold.

    Raises:
        InputError: If they are not.
    """
    records = read_json_lines(path)
    ids = {record.get("sample_id") for record in records}
    said = all(any(name.partition("_")[0] == "prediction" for name in record) for record in records)
    if len(records) != rows or len(ids) != rows or not said:
        raise InputError("the predictions are not whole", where=path.name, hint="mend the backbone, then run again")
    return read_plain(path)


def _tries(store: ShadowStore) -> dict[str, str]:
    """When each arm was last tried."""
    return {event["arm"]: str(event["ts"]) for event in store.events() if event["state"] != "skipped"}
