"""A ladder: encodes of a clip with the six features of every frame. Its scores are not known, or are not looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import polars as pl

from heldout.domains.video.corpus.rows import FEATURES
from heldout.errors import CorpusError, InputError
from heldout.evidence import loads, read_plain

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_KINDS: dict[str, object] = {
    "src": _Text,
    "encoder": _Text,
    "cq": _Count,
    "frame_index": _Count,
    "enc_bytes": Annotated[int, msgspec.Meta(gt=0, le=2**53)],
    **dict.fromkeys(FEATURES, float),
}
CELL = ("src", "encoder", "preset", "cq")


def read_ladder(path: Path) -> pl.DataFrame:
    """Read per-frame rows as the corpus has them; ``vmaf`` may be missing, ``enc_bytes`` may not.

    Returns:
        Columns src, encoder, preset, cq, frame_index, enc_bytes and the six features.

    Raises:
        CorpusError: With file, line and key of the first row that is not what it should be.
    """
    try:
        lines = read_plain(path).splitlines()
    except OSError as error:
        raise CorpusError(
            f"the rows cannot be read: {error.strerror}", where=str(path), hint="name a per-frame .jsonl file"
        ) from None
    rows = [_row(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not rows:
        raise CorpusError("there are no rows", where=str(path), hint="make them: heldout video encode")
    frame = pl.DataFrame(rows).sort(*CELL, "frame_index")
    _check(frame, path)
    return frame


def _row(line: bytes, where: str) -> dict[str, object]:
    found = loads(line, where=where)
    if not isinstance(found, dict):
        raise CorpusError("the row is not an object", where=where, hint="one JSON object a line")
    row: dict[str, object] = {"preset": str(found.get("preset") or "")}
    for key, kind in _KINDS.items():
        try:
            row[key] = msgspec.convert(found[key], kind)
        except KeyError:
            raise CorpusError(f"the key {key!r} is missing", where=where, hint="see the corpus format") from None
        except msgspec.ValidationError as error:
            raise CorpusError(f"{key}: {error}", where=f"{where}, key {key}", hint="see the corpus format") from None
    return row


def _check(frame: pl.DataFrame, path: Path) -> None:
    if frame.select(*CELL, "frame_index").is_duplicated().any():
        raise CorpusError("a frame stands twice", where=str(path), hint="name a file that `heldout video encode` wrote")
    sizes = frame.group_by(CELL).agg(pl.col("enc_bytes").n_unique())
    if (sizes["enc_bytes"] > 1).any():
        raise InputError("the rows of one encode name several sizes", where=f"{path}: enc_bytes", hint="encode again")
