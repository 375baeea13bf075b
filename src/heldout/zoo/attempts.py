"""Every attempt to train, failures included: ``runs/<study>/attempts.jsonl``, append-only and hash-chained.

An attempt is written when it begins and when it ends, so that one which took its supervisor with it is on record too:
who only counts what was registered would try the same crash for ever.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from heldout.evidence import append_link, read_chain

SCHEMA = "heldout.attempt/1"
ATTEMPTS_FILE = "attempts.jsonl"
Outcome = Literal["trained", "held", "failed", "timed_out", "out_of_memory", "interrupted"]
_FRAME = frozenset({"schema", "ts", "prev", "kind", "number", "attempt", "outcome", "variant"})
FAILURES = frozenset({"failed", "timed_out", "out_of_memory"})


@dataclass(frozen=True)
class Attempt:
    """One attempt to train a variant.

    Attributes:
        variant: Id of the variant.
        variant_sha256: Identity at that time; None where it could not be resolved.
        number: 1, 2, 3, ... in the order in which attempts began.
        round: Of the rotation that it belongs to, or that came before it.
        began: When, UTC, ISO 8601.
        outcome: How it ended; ``failed`` as long as nobody wrote an end.
        facts: What the end says besides: run, version, reason, seconds, memory.
    """

    variant: str
    variant_sha256: str | None
    number: int
    round: int
    began: str
    outcome: Outcome
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether it counts against the variant; an interruption by a person does not."""
        return self.outcome in FAILURES

    def to_json(self) -> dict[str, object]:
        """The attempt as a document."""
        return asdict(self) | {"facts": dict(self.facts)}


class Attempts:
    """The record of one study's attempts. Any number of processes may write to it."""

    def __init__(self, study: Path) -> None:
        """Name the study's folder of runs."""
        self._path = study / ATTEMPTS_FILE
        self._study = study

    def begin(self, variant: str, variant_sha256: str | None) -> int:
        """Write that an attempt begins, and give its number."""
        return self._append({"kind": "began", "variant": variant, "variant_sha256": variant_sha256})

    def end(self, number: int, outcome: Outcome, facts: Mapping[str, Any]) -> None:
        """Write how an attempt ended."""
        self._append({"kind": "ended", "attempt": number, "outcome": outcome, **facts})

    def begin_round(self, chosen: list[str], waiting: Mapping[str, str]) -> int:
        """Write what a rotation chose and why the others wait."""
        return self._append({"kind": "round", "chosen": chosen, "waiting": dict(waiting)})

    def _append(self, fields: Mapping[str, Any]) -> int:
        self._study.mkdir(parents=True, exist_ok=True)
        with FileLock(self._path.with_name(f".{ATTEMPTS_FILE}.lock")):
            number = len(read_chain(self._path)) + 1
            stamp = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
            append_link(self._path, SCHEMA, {"ts": stamp, "number": number, **fields})
        return number


@dataclass(frozen=True)
class History:
    """What the record adds up to."""

    attempts: tuple[Attempt, ...]
    rounds: int

    def of(self, variant: str) -> tuple[Attempt, ...]:
        """Attempts of one variant, oldest first."""
        return tuple(attempt for attempt in self.attempts if attempt.variant == variant)


def read_attempts(study: Path) -> History:
    """Every attempt, oldest first.

    Args:
        study: Folder of the study's runs.

    Raises:
        TamperedError: At the first record that does not name the one before it.
    """
    began: dict[int, dict[str, Any]] = {}
    ended: dict[int, dict[str, Any]] = {}
    rounds: dict[int, int] = {}
    count = 0
    for record, _ in read_chain(study / ATTEMPTS_FILE):
        if record["kind"] == "round":
            count += 1
        elif record["kind"] == "began":
            began[record["number"]] = record
            rounds[record["number"]] = count
        else:
            ended[record["attempt"]] = record
    found = []
    for number, (place, record) in enumerate(began.items(), start=1):
        end = ended.get(place, {"outcome": "failed", "reason": "nobody wrote its end: its supervisor died with it"})
        facts = {key: value for key, value in end.items() if key not in _FRAME}
        identity, moment = record["variant_sha256"], record["ts"]
        found.append(Attempt(record["variant"], identity, number, rounds[place], moment, end["outcome"], facts))
    return History(tuple(found), count)
