"""Decoding the per-frame JSONL: strict in every byte, and still more than a million rows a second on two cores.

A fast decoder of JSON lets the last of two equal keys win, and a lenient one lets more pass. Here each block of a large
file goes first to a compiled scanner for the layout of the row before it, which takes it only if every line is
surely sound (``row_blocks``). Next comes a typed decoder made for the keys of a row: a block of ``n`` rows of ``k``
different keys, all present, that holds exactly ``n * k`` times the bytes ``":`` can hold no key twice. A block for
which that count, or anything else, does not hold is decoded line by line, and a doubtful line by the strict parser,
which names what is wrong.
"""

from __future__ import annotations

import hashlib
import operator
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn

import msgspec
import numpy as np
import polars as pl

from heldout.domains.video.corpus.blocks import BlockLayout
from heldout.domains.video.corpus.cache import cached_rows, keep_rows
from heldout.errors import CorpusError, InputError
from heldout.evidence import loads, open_plain

FEATURES = ("adm2", "vif_scale0", "vif_scale1", "vif_scale2", "vif_scale3", "motion2")

_BLOCK = 4 << 20
_SCANNERS = 2  # beside them the main thread reads and hashes; all three mostly without the interpreter's lock
_LARGE = 64 << 20  # for a smaller file the scanner would be loaded longer than it works
_BOM = b"\xef\xbb\xbf"
_MAX_LAYOUTS = 32
_SPACED_COLON = re.compile(rb"[\x00- ]:")

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_REQUIRED: dict[str, Any] = {
    "src": _Text,
    "encoder": _Text,
    "cq": _Count,
    "frame_index": _Count,
    "vmaf": Annotated[float, msgspec.Meta(ge=0, le=100)],
    **dict.fromkeys(FEATURES, float),
}
_OPTIONAL: dict[str, Any] = {
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
_KEPT: dict[str, Any] = {
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
_NEWLINE, _RETURN, _BLANK, _QUOTE, _COLON, _OPEN, _CLOSE = b'\n\r ":{}'


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
        decoder = _Decoder(path, scanning=large and find_spec("numba") is not None)
        frames = list(_frames(decoder, _blocks(path, sha256)))
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


def _frames(decoder: _Decoder, blocks: Iterator[bytes]) -> Iterator[pl.DataFrame]:
    """One frame a block, in order; a few blocks ahead are with the scanner."""
    waiting: deque[tuple[bytes, Future[pl.DataFrame | None]]] = deque()
    with ThreadPoolExecutor(_SCANNERS) as pool:
        for block in blocks:
            decoder.learn(block)
            waiting.append((block, pool.submit(decoder.scan, block)))
            if len(waiting) > 2 * _SCANNERS:
                yield decoder.finish(*_result(waiting))
        while waiting:
            yield decoder.finish(*_result(waiting))


def _result(waiting: deque[tuple[bytes, Future[pl.DataFrame | None]]]) -> tuple[bytes, pl.DataFrame | None]:
    block, scanned = waiting.popleft()
    return block, scanned.result()


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


def _nulls(name: str, lines: int) -> pl.Series:
    return pl.Series(name, [None], dtype=_KEPT[name]).new_from_index(0, lines)


class _Layout:
    """A decoder for rows that have exactly these keys."""

    def __init__(self, keys: list[str], scanner: BlockLayout | None = None) -> None:
        self.size = len(keys)
        self.scanner = scanner
        fields: list[Any] = [(key, _KNOWN[key]) for key in keys if key in _KNOWN]
        others = [key for key in keys if key not in _KNOWN]
        fields += [(f"other{index}", Any) for index in range(len(others))]
        fields += [(key, kind, None) for key, kind in _OPTIONAL.items() if key not in keys]
        rename = {f"other{index}": key for index, key in enumerate(others)}
        row = msgspec.defstruct("Row", fields, rename=rename or None, kw_only=True, gc=False)
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)

    def line(self, line: bytes) -> Any | None:
        """The row, or None if the line may have another layout or a fault."""
        if line.count(b'":') != self.size or _SPACED_COLON.search(line):
            return None
        try:
            return self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def block(self, block: bytes) -> list[Any] | None:
        """One row a line, or None if a line of the block may have another layout or a fault."""
        if not _countable(block, self.size):
            return None
        try:
            rows = self._decoder.decode_lines(block)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return rows if len(rows) == block.count(b"\n") else None


def _countable(block: bytes, size: int) -> bool:
    """Whether each line is one object by its ends, and the block holds ``size`` times ``":`` a line.

    A colon at a distance from its key would escape the count, so there must be none.
    """
    data = np.frombuffer(block, dtype=np.uint8)
    ends = np.flatnonzero(data == _NEWLINE)
    before = data[ends - 1]
    before = np.where(before == _RETURN, data[ends - 2], before)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if not ((before == _CLOSE).all() and (data[starts] == _OPEN).all()):
        return False
    ahead = data[np.flatnonzero(data == _COLON) - 1]
    return bool(np.count_nonzero(ahead == _QUOTE) == size * len(ends) and not (ahead <= _BLANK).any())


class _Decoder:
    """Decodes blocks in the order of the file and keeps count of lines."""

    def __init__(self, path: Path, *, scanning: bool) -> None:
        self._path = path
        self._scanning = scanning
        self._lines = 0
        self.bytes = 0
        self._layouts: list[_Layout] = []  # the last used one first
        self._any = msgspec.json.Decoder(
            msgspec.defstruct(
                "AnyRow", [*_REQUIRED.items(), *((key, kind, None) for key, kind in _OPTIONAL.items())], kw_only=True
            )
        )

    def learn(self, block: bytes) -> None:
        """Learn the layout of the file's first line."""
        if not self._layouts and not self._lines:
            self._line(block[: block.index(b"\n")], 1)

    def scan(self, block: bytes) -> pl.DataFrame | None:
        """The block's rows if all of them surely are sound rows of the layout used last; any thread may ask."""
        scanner = self._layouts[0].scanner if self._layouts else None
        columns = scanner.read(block) if scanner else None
        if columns is None:
            return None
        lines = len(next(iter(columns.values())))
        return pl.DataFrame([columns.get(name, _nulls(name, lines)) for name in _KEPT])

    def finish(self, block: bytes, scanned: pl.DataFrame | None) -> pl.DataFrame:
        """The block's rows; blocks come in the order of the file.

        Raises:
            CorpusError: With file, line and key of the first row that is not what it should be.
        """
        frame = _columns(self._decode(block)) if scanned is None else scanned
        self._lines += frame.height
        self.bytes += len(block)
        return frame

    def _decode(self, block: bytes) -> list[Any]:
        rows = self._layouts[0].block(block) if self._layouts else None
        if rows is None:
            lines = block[:-1].split(b"\n")
            rows = [self._line(line, self._lines + index) for index, line in enumerate(lines, start=1)]
        return rows

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
            layout = _Layout(list(value), BlockLayout.of(line, value, _KNOWN) if self._scanning else None)
            if layout.line(line) is not None:
                self._layouts.insert(0, layout)
        return row


def _refuse(error: msgspec.DecodeError, row: dict[str, Any], where: str) -> NoReturn:
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
