"""Where each window stands in ``window_index.jsonl``: what an evaluation needs to begin, without reading the records.

Records hold every label option, so an index of 100,000 windows is hundreds of megabytes. Its heads are a hundredth.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import msgspec

from heldout.domains.embodied.index.shape import Record
from heldout.errors import InputError, TamperedError
from heldout.evidence import read_plain, sha256_bytes, write_bytes

SCHEMA = "heldout.window-heads/1"
HEADS_FILE = "window_heads.json"


class Head(NamedTuple):
    """One window.

    Attributes:
        id: Of the window.
        episode_id: Its episode.
        split: Its split.
        offset: Where its line begins, bytes.
        length: Of its line, with the newline.
    """

    id: str
    episode_id: str
    split: str
    offset: int
    length: int


class Heads(msgspec.Struct):
    """The windows of an index, in its order, column by column."""

    schema: str = SCHEMA
    ids: list[str] = []
    episode_ids: list[str] = []
    splits: list[str] = []
    lengths: list[int] = []

    def add(self, record: Record, length: int) -> None:
        """Note a record that was written."""
        self.ids.append(record["id"])
        self.episode_ids.append(record["episode_id"])
        self.splits.append(record["split"])
        self.lengths.append(length)

    def write(self, folder: Path) -> dict[str, str]:
        """Write ``window_heads.json``; what the index's manifest says of it."""
        data = msgspec.json.encode(self) + b"\n"
        write_bytes(folder / HEADS_FILE, data)
        return {"path": HEADS_FILE, "sha256": sha256_bytes(data)}

    def __iter__(self) -> Iterator[Head]:
        """Every window."""
        offsets = accumulate(self.lengths, initial=0)
        columns = zip(self.ids, self.episode_ids, self.splits, offsets, self.lengths, strict=False)
        return map(Head._make, columns)


def read_heads(folder: Path, sha256: str) -> Heads:
    """The heads that a manifest names.

    Raises:
        TamperedError: If the file is another one, or is not there.
        InputError: If it holds something else.
    """
    path = folder / HEADS_FILE
    data = read_plain(path) if path.is_file() else b""
    if sha256_bytes(data) != sha256:
        raise TamperedError(
            "the heads are not those that the manifest names", where=str(path), hint="build the index again"
        )
    try:
        heads = msgspec.json.decode(data, type=Heads)
    except msgspec.MsgspecError as error:
        raise InputError(f"no heads: {error}", where=str(path), hint="build the index again") from None
    if heads.schema != SCHEMA or len({len(c) for c in (heads.ids, heads.episode_ids, heads.splits, heads.lengths)}) > 1:
        raise InputError("no heads: columns of different lengths", where=str(path), hint="build the index again")
    return heads
