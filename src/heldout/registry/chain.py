"""The history as a chain: every event holds the sha256 of the event before it.

Whoever edits, removes, adds or moves an event breaks the chain at that place. Whoever rewrites everything behind it
too cannot be caught by the chain alone: keep a head's sha256 elsewhere (an export in git, a ``champion.json``) and
give it to ``verify``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from heldout.errors import InputError, TamperedError
from heldout.evidence import canonical, loads, sha256_bytes

SCHEMA = "heldout.event/1"
GENESIS = "0" * 64
_HINT = "restore the registry from a backup or an export; do not promote from this one"


class Row(NamedTuple):
    """An event as it is stored."""

    seq: int
    body: str
    sha256: str


@dataclass(frozen=True)
class Event:
    """One link of the history.

    Attributes:
        seq: 1, 2, 3, ... without gaps.
        sha256: Of the body's bytes.
        body: Kind, time, version, slot, reason and so on; holds ``seq`` and ``previous_sha256``.
    """

    seq: int
    sha256: str
    body: Mapping[str, Any]

    def to_json(self) -> dict[str, object]:
        """The event as a document."""
        return dict(self.body) | {"sha256": self.sha256}

    def row(self) -> Row:
        """The event as it is stored."""
        return Row(self.seq, canonical(dict(self.body)).decode(), self.sha256)


def link(seq: int, previous_sha256: str, fields: Mapping[str, Any]) -> Event:
    """The event that follows the one with ``previous_sha256``."""
    body = {"schema": SCHEMA, **fields, "seq": seq, "previous_sha256": previous_sha256}
    data = canonical(body)
    return Event(seq, sha256_bytes(data), loads(data, where=f"event {seq}"))


def check_chain(rows: Iterable[Row], *, start: int = 0, previous: str = GENESIS) -> list[Event]:
    """Recompute every link.

    Args:
        rows: Stored events, by number.
        start: Number of the event before the first row.
        previous: Its sha256.

    Raises:
        TamperedError: Naming the first event that is not what its neighbours say.
    """
    found: list[Event] = []
    for expected, row in enumerate(rows, start=start + 1):
        if row.seq != expected:
            raise broken(expected, "it is missing")
        if sha256_bytes(row.body.encode()) != row.sha256:
            raise broken(expected, "it was edited: its sha256 is another")
        body = _body(row)
        if body.get("previous_sha256") != previous:
            raise broken(expected, "it does not follow the event before it")
        if body.get("seq") != expected or body.get("schema") != SCHEMA:
            raise broken(expected, "it says that it is another event")
        found.append(Event(row.seq, row.sha256, body))
        previous = row.sha256
    return found


def broken(seq: int, why: str) -> TamperedError:
    """The history does not hold at an event."""
    return TamperedError(f"the history is broken at event {seq}: {why}", where=f"event {seq}", hint=_HINT)


def _body(row: Row) -> dict[str, object]:
    try:
        body = loads(row.body, where=f"event {row.seq}")
    except InputError:
        raise broken(row.seq, "it is not JSON") from None
    if not isinstance(body, dict):
        raise broken(row.seq, "it is no object")
    return body
