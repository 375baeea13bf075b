"""Logs of Inspect, ``.eval`` and ``.json``: which sample was answered how, and what a scorer says of it.

An ``.eval`` file is a ZIP of JSON; its members are read in memory, as far as there is room for them, and never laid
down. They may be packed by Zstandard, which Python's own reader of ZIPs has learnt in 3.14 only.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from heldout.corpus.packed import unpack
from heldout.corpus.room import room_to_unpack
from heldout.errors import HeldoutError, InputError, MachineError
from heldout.evidence import loads, open_plain, read_plain
from heldout.predicted.logs import Answer, flat, score_of

_ZSTD = 93  # the method, in the table of contents of a ZIP
_LOCAL = 30  # bytes of a member's own header before its name
_TOLD = 200  # characters of what a library says of a file
_T = TypeVar("_T")


class _Score(msgspec.Struct):
    value: Any
    answer: Any = None


class _Sample(msgspec.Struct):
    id: int | str
    epoch: int
    target: str | list[str]
    scores: dict[str, _Score] | None = None
    metadata: dict[str, Any] | None = None
    error: Any = None


class _Eval(msgspec.Struct):
    task: str


class _Results(msgspec.Struct):
    completed_samples: int | None = None


class _Header(msgspec.Struct):
    status: str
    eval: _Eval
    invalidated: bool = False
    results: _Results | None = None


class _Log(_Header):
    samples: list[_Sample] | None = None


def is_inspect(path: Path) -> bool:
    """Whether a file is a log of Inspect: by its suffix, and of a ``.json`` by its first keys."""
    if path.suffix.lower() == ".eval":
        return True
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with open_plain(path) as stream:
        head = b"".join(stream.read(4096).split())
    return head.startswith(b'{"version":') and b'"status":' in head and b'"eval":{' in head


def read_inspect(path: Path, score: str | None) -> tuple[str, list[Answer]]:
    """The task of a log, and its answers; of several epochs each is a row of its own.

    Args:
        path: The log.
        score: Name of the scorer that says what is right; None: the only one.

    Raises:
        InputError: If it is no finished log, or a sample has no such score.
        MachineError: If it is larger, unpacked, than there is room for.
    """
    try:
        log = _read(path)
    except FileNotFoundError:
        raise InputError("the log does not exist", where=str(path), hint="check the path") from None
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, NotImplementedError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0][:_TOLD]
        hint = "name a log that Inspect wrote: an .eval or .json file"
        raise InputError(f"this is no log of Inspect: {said}", where=str(path), hint=hint) from None
    if log.status != "success" or log.invalidated:
        what = "was declared invalid" if log.invalidated else f"did not finish: its status is {log.status!r}"
        raise InputError(
            f"the evaluation {what}", where=str(path), hint="finish it (inspect eval-retry), or run it again"
        )
    samples = log.samples or []
    wanted = log.results.completed_samples if log.results else None
    if samples and wanted is not None and wanted != len(samples):
        raise InputError(
            f"the log has {len(samples)} samples, and its own results are of {wanted}",
            where=str(path),
            hint="bring the log as Inspect wrote it, with every sample",
        )
    for each in samples:
        if each.error is not None or not each.scores:
            what = "ended with an error" if each.error is not None else "has no score"
            where = f"{path}: sample {each.id}, epoch {each.epoch}"
            raise InputError(
                f"a sample {what}", where=where, hint="finish the evaluation (inspect eval-retry, inspect score)"
            )
    scorer = score_of({name for each in samples for name in each.scores or {}}, score, str(path)) if samples else ""
    several = any(each.epoch > 1 for each in samples)
    return log.eval.task, [_answer(each, scorer, log.eval.task, path, several=several) for each in samples]


def _answer(sample: _Sample, score: str, task: str, path: Path, *, several: bool) -> Answer:
    found = (sample.scores or {}).get(score)
    if found is None:
        where = f"{path}: sample {sample.id}, epoch {sample.epoch}"
        raise InputError(f"a sample has no score {score!r}", where=where, hint="score the log again (inspect score)")
    target = sample.target if isinstance(sample.target, str) else ", ".join(sample.target)
    said = found.answer if isinstance(found.answer, str) else None
    fields = {"task": task, "epoch": sample.epoch, **flat(sample.metadata or {}, "metadata")}
    repeat = sample.epoch if several else None
    return Answer(str(sample.id), repeat, target, said, found.value, fields)


def _read(path: Path) -> _Log:
    if path.suffix.lower() == ".json":
        return _decoded(read_plain(path), _Log, str(path))
    with open_plain(path) as stream, zipfile.ZipFile(stream) as archive:
        room = room_to_unpack()
        if sum(each.file_size for each in archive.infolist()) > room:
            what = f"out of memory: unpacked, the log has more than {room // 1_000_000:,} MB"
            raise MachineError(what, where=str(path), hint="give the process more memory")
        names = set(archive.namelist())
        if len(names) < len(archive.infolist()):
            raise InputError("a file stands twice in the log", where=str(path), hint="name the log as Inspect wrote it")
        header = _decoded(_member(stream, archive, "header.json", path), _Header, f"{path}: header.json")
        samples = [
            _decoded(_member(stream, archive, name, path), _Sample, f"{path}: {name}")
            for name in sorted(_samples(names))
        ]
    return _Log(header.status, header.eval, header.invalidated, header.results, samples)


def _samples(names: set[str]) -> Iterator[str]:
    return (name for name in names if name.startswith("samples/") and name.endswith(".json"))


def _member(stream: IO[bytes], archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """What a file of the archive holds: as many bytes as its table of contents says."""
    if name not in archive.NameToInfo:
        raise InputError(f"the log has no {name}", where=str(path), hint="let the evaluation finish")
    info = archive.getinfo(name)
    if info.compress_type != _ZSTD:
        return archive.read(info)
    stream.seek(info.header_offset)
    local = stream.read(_LOCAL)
    stream.seek(int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little"), io.SEEK_CUR)
    return unpack(io.BytesIO(stream.read(info.compress_size)), ".zst", f"{path}: {name}", info.file_size)


def _decoded(data: bytes, kind: type[_T], where: str) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise InputError(
            f"this is no log of Inspect: {error}", where=where, hint="name a log that Inspect wrote"
        ) from None
    except msgspec.DecodeError:  # such as of NaN, which Python writes
        try:
            return msgspec.convert(loads(data, where=where, allow_nan=True), kind)
        except (msgspec.ValidationError, HeldoutError) as error:
            hint = "name a log that Inspect wrote"
            raise InputError(
                f"this is no log of Inspect: {str(error).splitlines()[0]}", where=where, hint=hint
            ) from None
