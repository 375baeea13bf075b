"""Append-only records, each naming the one before it by digest: none can be edited, removed or slipped in unseen.

A record that is cut off at the end leaves a chain that still holds: whoever relies on it must name its head.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from heldout.errors import InputError, TamperedError
from heldout.evidence.files import JsonLines, read_json_lines, sha256_bytes
from heldout.evidence.opening import read_plain
from heldout.evidence.strict import canonical, loads

START = "0" * 64


class Link(NamedTuple):
    """A record and its digest, which the next record names."""

    record: dict[str, Any]
    sha256: str


def read_links(path: Path) -> list[Link]:
    """Every record as it lies there, in order, the chain unchecked; none if there is no file.

    Raises:
        InputError: At a line that is no record, with what still holds and how to restore it.
    """
    try:
        return [_link(record) for record in read_json_lines(path)]
    except InputError as error:
        raise _garbled(path, error) from None


def read_chain(path: Path) -> list[Link]:
    """Every record, in order.

    Raises:
        TamperedError: At the first record that does not name the one before it.
        InputError: At a line that is no record.
    """
    links = read_links(path)
    whole = _holding(links)
    if whole < len(links):
        raise TamperedError(
            "the record before this one was changed, removed or put in later",
            where=f"{path}:{whole + 1}",
            hint="ask for the file as it was written",
        )
    return links


def append_link(path: Path, schema: str, record: Mapping[str, Any]) -> Link:
    """Append a record behind the last one, with its schema and the time; the caller holds the file's lock."""
    with JsonLines(path, durable=True) as stream:  # opening cuts off a torn last line
        stamp = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        whole = {"schema": schema, "ts": stamp, "prev": head(read_links(path)), **record}
        stream.append(whole)
    return Link(whole, sha256_bytes(canonical(whole)))


def head(links: list[Link]) -> str:
    """Digest of the last record; of an empty chain, its start."""
    return links[-1].sha256 if links else START


def _link(record: dict[str, Any]) -> Link:
    return Link(record, sha256_bytes(canonical(record)))


def _holding(links: list[Link]) -> int:
    """How many records from the first on name each the one before it."""
    for number, link in enumerate(links):
        if link.record.get("prev") != head(links[max(0, number - 1) : number]):
            return number
    return len(links)


def _record(line: bytes) -> dict[str, object] | None:
    try:
        found = loads(line, where="")
    except InputError:
        return None
    return found if isinstance(found, dict) else None


def _garbled(path: Path, error: InputError) -> InputError:
    """What is known of a file with a line that is no record: nothing of it is dropped, and nothing guessed."""
    lines = read_plain(path).split(b"\n")
    records = [_record(line) for line in lines]
    place = records.index(None)
    holding = _holding([_link(record) for record in records[:place] if record is not None])
    after = records[place + 1] if place + 1 < len(records) else None
    named = f" (the line after it says that its sha256 is {after['prev']})" if after and after.get("prev") else ""
    before = f"lines 1 to {holding} still hold" if holding else "no line before it holds"
    return InputError(
        f"line {place + 1} is no whole record ({error.what}): the chain of records is broken there; {before}",
        where=f"{path}:{place + 1}",
        hint=f"put that line back from a copy of the file, such as a backup or a bundle{named}; without one, keep the "
        "file as evidence and begin in a new folder. Do not delete the line: every record after it would count "
        "as tampered with",
    )
