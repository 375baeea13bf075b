"""Append-only records, each naming the one before it by digest: none can be edited, removed or slipped in unseen.

A record that is cut off at the end leaves a chain that still holds: whoever relies on it must name its head.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from heldout.errors import TamperedError
from heldout.evidence.files import JsonLines, read_json_lines, sha256_bytes
from heldout.evidence.strict import canonical

START = "0" * 64


class Link(NamedTuple):
    """A record and its digest, which the next record names."""

    record: dict[str, Any]
    sha256: str


def read_links(path: Path) -> list[Link]:
    """Every record as it lies there, in order, the chain unchecked; none if there is no file.

    Raises:
        InputError: At a line that is no record.
    """
    return [Link(record, sha256_bytes(canonical(record))) for record in read_json_lines(path)]


def read_chain(path: Path) -> list[Link]:
    """Every record, in order.

    Raises:
        TamperedError: At the first record that does not name the one before it.
        InputError: At a line that is no record.
    """
    links = read_links(path)
    for number, (link, before) in enumerate(zip(links, [None, *links], strict=False), start=1):
        if link.record.get("prev") != head([before] if before else []):
            raise TamperedError(
                "the record before this one was changed, removed or put in later",
                where=f"{path.name}:{number}",
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
