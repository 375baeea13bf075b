"""Decoding the per-frame JSONL: strict in every byte.

A fast decoder of JSON lets one of two equal keys win, and a lenient one lets more pass. Here each block goes first to
polars with the keys of the row before it, if its bytes show that polars cannot err (``blocks``). Next comes a typed
decoder made for the keys of a row: a block of ``n`` rows of ``k`` different keys, all present, that holds exactly
``n * k`` times the bytes ``":`` can hold no key twice. A block for which that count, or anything else, does not hold is
decoded line by line, and a doubtful line by the strict parser, which names what is wrong.
"""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn

import msgspec
import polars as pl

from heldout.domains.video.corpus.blocks import BlockLayout, has_keys
from heldout.domains.video.corpus.cache import cached_rows, keep_rows
from heldout.errors import CorpusError, InputError
from heldout.evidence import loads, open_plain

FEATURES = ("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3", "motion2")

_BLOCK = 4 << 20
_LARGE = 64 << 20  # a smaller file is decoded about as soon as found in the cache
_BOM = b"\xef\xbb\xbf"
_MAX_LAYOUTS = 32
_SPACED_COLON = re.compile(rb"[\x00- ]:")

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_REQUIRED: dict[str, object] = {
    "src": _Text,
    "encoder": _Text,
    "cq": _Count,
    "frame_index": _Count,
    "vmaf": Annotated[float, msgspec.Meta(ge=0, le=100)],
    **dict.fromkeys(FEATURES, float),
}
_OPTIONAL: dict[str, object] = {
    "enc_bytes": _Count | None,
    "enc_time_ms": float | None,
    "preset": str | None,
    "fps": Annotated[float, msgspec.Meta(gt=0)] | None,
    "width": _Count | None,
    "height": _Count | None,
    "source_sha256": Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None,
    "ref_phash": Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{16})?$")] | None,
}
_KNOWN = _REQUIRED | _OPTIONAL
_KEPT: dict[str, type[pl.DataType]] = {
    "src": pl.String,
    "encoder": pl.String,
    "preset": pl.String,
    "cq": pl.Int64,
    "frame_index": pl.Int64,
    "vmaf": pl.Float64,
    **dict.fromkeys(FEATURES, pl.Float64),
    "enc_bytes": pl.Int64,
    "fps": pl.Float64,
    "width": pl.Int64,
    "height": pl.Int64,
    "source_sha256": pl.String,
    "ref_phash": pl.String,
}


class RowFile(NamedTuple):
    """A decoded file.

    Attributes:
        frame: Row ``i`` is line ``i + 1``; the keys that are used, with null where a row has none of the optional ones.
        sha256: Digest of the very bytes that were decoded.
    """

    frame: pl.DataFrame
    sha256: str


def read_rows(path: Path) -> RowFile:
    """Decode a file of one JSON object a line.

    Raises:
        CorpusError: With file, line and key of the first row that is not what it should be.
    """
    sha256 = hashlib.sha256()
    try:
        large = path.stat().st_size >= _LARGE
        if large and (cached := cached_rows(path, _KEPT)):
            return RowFile(*cached)
        decoder = _Decoder(path)
        frames = [decoder.read(block) for block in _blocks(path, sha256)]
    except OSError as error:
        raise CorpusError(
            f"the corpus cannot be read: {error.strerror}", where=str(path), hint="check `corpus.path` in the study"
        ) from None
    if not frames:
        raise CorpusError("the corpus has no rows", where=str(path), hint="check how it was written")
    rows = RowFile(pl.concat(frames, rechunk=True), sha256.hexdigest())
    if large:
        keep_rows(decoder.bytes, rows.sha256, rows.frame)
    return rows


def _blocks(path: Path, sha256: Any) -> Iterator[bytes]:
    """Whole lines, some megabytes at a time."""
    rest = b""
    with open_plain(path) as stream:
        if stream.read(len(_BOM)) == _BOM:
            raise CorpusError(
                "the file starts with a byte-order mark", where=f"{path}:1:1", hint="save it as UTF-8 without BOM"
            )
        stream.seek(0)
        while data := stream.read(_BLOCK):
            sha256.update(data)
            cut = data.rfind(b"\n") + 1
            if cut == 0:
                rest += data
                continue
            yield rest + data[:cut]
            rest = data[cut:]
    if rest:
        raise CorpusError(
            "the last line is torn: it does not end with a newline",
            where=f"{path}: last line, {rest[:40]!r}",
            hint="the writer was interrupted; write the corpus again, or remove that line if the row is not needed",
        )


def _columns(rows: list[Any]) -> pl.DataFrame:
    columns = zip(*map(operator.attrgetter(*_KEPT), rows), strict=True)
    return pl.DataFrame(
        [pl.Series(name, values, dtype=dtype) for (name, dtype), values in zip(_KEPT.items(), columns, strict=True)]
    )


class _Layout:
    """A decoder for rows that have exactly these keys."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        keys = list(row)
        self.size = len(keys)
        self._whole = BlockLayout.of(row, _KNOWN)
        fields: list[Any] = [(key, _KNOWN[key]) for key in keys if key in _KNOWN]
        others = [key for key in keys if key not in _KNOWN]
        fields += [(f"other{index}", Any) for index in range(len(others))]
        fields += [(key, kind, None) for key, kind in _OPTIONAL.items() if key not in keys]
        rename = {f"other{index}": key for index, key in enumerate(others)}
        struct = msgspec.defstruct("Row", fields, rename=rename or None, kw_only=True, gc=False)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(struct)

    def line(self, line: bytes) -> Any | None:
        """The row, or None if the line may have another layout or a fault."""
        if line.count(b'":') != self.size or _SPACED_COLON.search(line):
            return None
        try:
            return self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def block(self, block: bytes) -> pl.DataFrame | None:
        """One row a line, or None if a line of the block may have another layout or a fault."""
        found = self._whole.read(block) if self._whole else None
        if found is not None:
            absent = (pl.lit(None, kind).alias(name) for name, kind in _KEPT.items() if name not in found.columns)
            return found.with_columns(*absent).select(*_KEPT)
        if not has_keys(block, self.size):
            return None
        try:
            rows = self._decoder.decode_lines(block)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return _columns(rows) if len(rows) == block.count(b"\n") else None


class _Decoder:
    """Decodes blocks in the order of the file and keeps count of lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = 0
        self.bytes = 0
        self._layouts: list[_Layout] = []  # the last used one first
        self._any = msgspec.json.Decoder(
            msgspec.defstruct(
                "AnyRow", [*_REQUIRED.items(), *((key, kind, None) for key, kind in _OPTIONAL.items())], kw_only=True
            )
        )

    def read(self, block: bytes) -> pl.DataFrame:
        """The block's rows; blocks come in the order of the file.

        Raises:
            CorpusError: With file, line and key of the first row that is not what it should be.
        """
        if not self._lines:  # learn the layout of the file's first line
            self._line(block[: block.index(b"\n")], 1)
        frame = self._layouts[0].block(block) if self._layouts else None
        if frame is None:
            lines = block[:-1].split(b"\n")
            frame = _columns([self._line(line, self._lines + index) for index, line in enumerate(lines, start=1)])
        self._lines += frame.height
        self.bytes += len(block)
        return frame

    def _line(self, line: bytes, number: int) -> Any:
        for index, layout in enumerate(self._layouts):
            row = layout.line(line)
            if row is not None:
                if index:
                    self._layouts.insert(0, self._layouts.pop(index))
                return row
        return self._doubtful(line, number)

    def _doubtful(self, line: bytes, number: int) -> Any:
        """Decode by the strict parser, and learn the layout of the line if it is sound."""
        where = f"{self._path}:{number}"
        if b"\0" in line or not line.strip():
            what = "there are NUL bytes in the line" if b"\0" in line else "the line is empty"
            raise CorpusError(what, where=where, hint="the file is damaged; write the corpus again")
        try:
            value = loads(line, where=where)
        except InputError as error:
            place = (error.where or where).replace(f"{where}:1:", f"{where}:")
            raise CorpusError(f"the row is {error.what}", where=place, hint="mend or remove that row") from None
        if not isinstance(value, dict):
            raise CorpusError("the row is not an object", where=where, hint="write one JSON object a line")
        try:
            row = self._any.decode(line)
        except msgspec.DecodeError as error:
            _refuse(error, value, where)
        if len(self._layouts) < _MAX_LAYOUTS:
            layout = _Layout(value)
            if layout.line(line) is not None:
                self._layouts.insert(0, layout)
        return row


def _refuse(error: msgspec.DecodeError, row: Mapping[str, object], where: str) -> NoReturn:
    missing = [key for key in _REQUIRED if key not in row]
    if missing:
        raise CorpusError(
            f"the key {missing[0]!r} is missing",
            where=f"{where}, key {missing[0]}",
            hint=f"each row needs {', '.join(_REQUIRED)}",
        ) from None
    found = re.search(r"`\$\.(.+)`$", str(error))
    key = found[1] if found else "unknown"
    expected = str(error).partition(" - at ")[0].replace("`", "")
    raise CorpusError(
        f"{key} is {row.get(key)!r}: {expected[:1].lower()}{expected[1:]}",
        where=f"{where}, key {key}",
        hint="mend that value; nothing is converted or dropped silently",
    ) from None
