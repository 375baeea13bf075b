"""Golden archives: packing them so that equal files give equal bytes, opening them, and comparing what is in them."""

from __future__ import annotations

import functools
import io
import json
import lzma
import math
import re
import sqlite3
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from archive_kit import OURS

from heldout.evidence import dumps

GOLDEN = Path(__file__).parent
FAMILIES = ("tables", "registry", "kit", "market", "video", "embodied")
CARD = "golden.json"  # in each archive: which commit made it, and what its files answered then
SCHEMAS = GOLDEN / "schemas.json"


def archive_of(family: str) -> Path:
    return GOLDEN / f"{family}.tar.xz"


def pack(home: Path, path: Path) -> None:
    """A folder without its locks: files in the order of their names, without times and owners."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in sorted((each for each in home.rglob("*") if each.is_file()), key=Path.as_posix):
            if file.suffix == ".lock" or file.name == ".lock":  # made again by whoever needs one
                continue
            info = tarfile.TarInfo(file.relative_to(home).as_posix())
            info.size, info.mode = file.stat().st_size, 0o644
            archive.addfile(info, io.BytesIO(file.read_bytes()))
    path.write_bytes(lzma.compress(stream.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def unpack(family: str, into: Path) -> Path:
    """The folder of a family, as it was left."""
    with tarfile.open(archive_of(family)) as archive:
        archive.extractall(into, **OURS)
    return into


def card(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / CARD).read_text())
    return found


# What a command's JSON says that no change of words may move.
_TOLD = re.compile(
    "answer|broken|can_pass|can_promote|champion|clean|code|evidence|event|holds|id|kind|level|name|outcome|slot|stage"
    "|state|switch_to|verdict|version"
)
# Links that compare with the sources as they are now, and links and guards that came later.
_OF_TODAY = ("code", "sources", "folds", "HO-G016")


def gist(text: str) -> Any:
    """What a document on standard output decides; None of what is no JSON."""
    try:
        return _gist(json.loads(text))
    except ValueError:
        return None


def _gist(value: Any) -> Any:
    if isinstance(value, list):
        return [found for each in value if (found := _gist(each)) not in (None, {}, [])]
    if not isinstance(value, dict) or value.get("id") in _OF_TODAY or value.get("code") in _OF_TODAY:
        return None
    kept = {key: each for key, each in value.items() if _TOLD.fullmatch(key) and isinstance(each, str | bool | None)}
    deeper = {key: found for key, each in value.items() if (found := _gist(each)) not in (None, {}, [])}
    return kept | deeper


# What is of the hour, the machine or the sources as they are, in documents and in prose.
_MASKS = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[0-9.]*(?:Z|\+00:00)"
    r"|(?<=\d{4}-\d\d-\d\d )\d\d:\d\d(?:\sUTC)?"
    r"|-\d{8}(?:\.\d+)?-[0-9a-f]{8}\b"  # the end of a run's name
    r"|\b[0-9a-f]{64}\b"
    r'|(?<="key":")[0-9a-f]{16}'  # of a row, by the code that predicted it
    r'|(?<="revision": )"[^"]*"'
    r'|(?<="seconds":)[\d.]+|(?<="wall_time_s": )[\d.]+|(?<="bytes": )\d+'
    r"|\bheldout\.domains(?:\.\w+)+:\w+"  # where a class lies
)
_MACHINE = re.compile(  # lines of documents and of reports
    rb'^(?: +"|- )(?:code revision|cpus|heldout|imageio-ffmpeg|lightgbm|machine|numba|numpy|onnx|onnxruntime|polars'
    rb'|[Pp]ython|scikit-learn|scipy|system|torch)"?: .*\n',
    re.MULTILINE,
)
_LONG = re.compile(r"-?\d+\.\d{8,}(?:e[-+]?\d+)?")
_TEXT = frozenset((".csv", ".json", ".jsonl", ".md", ".yaml"))


def difference(expected: bytes, actual: bytes) -> str | None:
    """The first line in which two texts differ; None if they are the same bytes, but for clocks, machine and digests.

    The digits of long fractions agree to a billionth: another processor may round the last one otherwise.
    """
    one, two = (_MACHINE.sub(b"", text).decode().splitlines(keepends=True) for text in (expected, actual))
    for number, lines in enumerate(zip(one, two, strict=False), start=1):
        was, now = (_MASKS.sub("<masked>", line) for line in lines)
        if _LONG.sub("#", was) != _LONG.sub("#", now) or not _close(was, now):
            return f"line {number}: was {was[:300]!r}, is {now[:300]!r}"
    return None if len(one) == len(two) else f"{len(one)} lines were, {len(two)} are"


def _close(one: str, two: str) -> bool:
    pairs = zip(_LONG.findall(one), _LONG.findall(two), strict=True)
    return all(math.isclose(float(was), float(now), rel_tol=1e-9, abs_tol=1e-12) for was, now in pairs)


def _told(path: Path) -> bytes:
    """A file's bytes; of progress each event once: how often it is told depends on the machine's hour."""
    data = path.read_bytes()
    if path.name == "split.json" and b'"heldout.split/1"' in data:  # names what trains, where newer ones name the rest
        document = json.loads(data)
        return dumps(document | {"folds": [each | {"train": []} for each in document["folds"]]})
    if path.name != "progress.jsonl":
        return data
    return b"\n".join(dict.fromkeys(json.dumps(json.loads(line).get("event")).encode() for line in data.splitlines()))


def as_before(data: bytes) -> bytes:
    """What a document of a newer schema would have been before: what it has more is taken out, and less put in."""
    data = re.sub(rb'"axis":"[0-9a-f]{64}",', b"", data)  # along which a look was taken
    if b'"heldout.metrics/2"' in data:  # lists its metrics
        document = {key: value for key, value in json.loads(data).items() if key != "metrics"}
        return dumps(document | {"schema": "heldout.metrics/1"})
    if b'"heldout.split/2"' in data:
        document = json.loads(data)
        folds = [{"id": fold["id"], "test": fold["test"], "train": []} for fold in document["folds"]]
        return dumps({"schema": "heldout.split/1", "kind": document["kind"], "folds": folds})
    if b'"outcome":"OPENED"' in data:  # a look has two records, and its predictions a digest
        looks = [json.loads(line) for line in data.splitlines() if b'"outcome":"OPENED"' not in line]
        plain = ({key: value for key, value in look.items() if key != "evidence_sha256"} for look in looks)
        return b"".join(json.dumps(look, sort_keys=True, separators=(",", ":")).encode() + b"\n" for look in plain)
    return data.replace(b'"heldout.unit/2"', b'"heldout.unit/1"')  # whose key is another digest


def differences(was: Path, now: Path) -> dict[str, str]:
    """By name, in what two folders differ: texts that are not the same, files that are missing or new."""
    old, new = _texts(was), _texts(now)
    found = dict.fromkeys(old.keys() - new.keys(), "is missing")
    found |= dict.fromkeys(new.keys() - old.keys(), "was not written before")
    for name in old.keys() & new.keys():
        pairs = zip(old[name], new[name], strict=True)
        told = next(filter(None, (difference(_told(one), as_before(_told(two))) for one, two in pairs)), None)
        if told is not None:
            found[name] = told
    return dict(sorted(found.items()))


def _texts(home: Path) -> dict[str, list[Path]]:
    """Files of text by their names, without dates and digests; those of one such name in the order of their sizes."""
    found: dict[str, list[Path]] = {}
    for path in sorted(each for each in home.rglob("*") if each.suffix in _TEXT and each.name != CARD):
        found.setdefault(_MASKS.sub("-<masked>", path.relative_to(home).as_posix()), []).append(path)
    return {name: sorted(paths, key=lambda path: (path.stat().st_size, path.name)) for name, paths in found.items()}


# --- shapes: what documents there are, and their keys in order ----------------------------------------------------

_NAMES = (
    (r"-\d{8}(?:\.\d+)?-[0-9a-f]{8}\b", "-<run>"),
    (r"\b[0-9a-f]{64}\b", "<sha256>"),
    (r"\bfits/seed\d+/[^/]+/", "fits/<unit>/"),
    (r"\bstore/s\d+/ep\d+/", "store/<episode>/"),
)


@functools.cache
def _plain(name: str) -> str:
    for pattern, word in _NAMES:
        name = re.sub(pattern, word, name)
    return name


def shapes(home: Path) -> dict[str, list[Any]]:
    """Of every document below a folder and in its archives: the shapes that documents of this name have."""
    found: dict[str, list[Any]] = {}
    for name, data in _documents(home):
        for shape in _READERS[Path(name).suffix](data):
            known = found.setdefault(_plain(name), [])
            if shape not in known:
                known.append(shape)
    return {name: sorted(known, key=json.dumps) for name, known in sorted(found.items())}


def _documents(home: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(each for each in home.rglob("*") if each.is_file() and each.name != CARD):
        name = path.relative_to(home).as_posix()
        if path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                for member in archive:
                    stream = archive.extractfile(member)
                    if stream is not None and Path(member.name).suffix in _READERS:
                        yield f"{name}!{member.name}", stream.read()
        elif path.suffix in _READERS:
            yield name, path.read_bytes()


def _of_json(data: bytes) -> list[Any]:
    return [_shape(json.loads(data))]


def _of_lines(data: bytes) -> list[Any]:
    return [_shape(json.loads(line)) for line in data.splitlines()]


def _of_table(data: bytes) -> list[Any]:
    return [{"columns": data.decode().splitlines()[0]}]


def _of_database(data: bytes) -> list[Any]:
    database = sqlite3.connect(":memory:")
    database.deserialize(data[:18] + b"\1\1" + data[20:])  # as without the log that lies beside it
    query = "select name, sql from sqlite_master where sql is not null order by name"
    return [{"tables": [" ".join(sql.split()) for _, sql in database.execute(query)]}]


_READERS: dict[str, Callable[[bytes], list[Any]]] = {
    ".json": _of_json,
    ".jsonl": _of_lines,
    ".csv": _of_table,
    ".sqlite": _of_database,
}


def _shape(document: Any) -> dict[str, Any]:
    """``schema`` and the keys in order, two levels deep; ``[]`` stands for the members of a list."""
    inner = document.get("schema") if isinstance(document, dict) else None
    keys: list[str] = []
    for key in _keys(document):
        if key not in keys:
            keys.append(key)
    return {"schema": inner if isinstance(inner, str) else None, "keys": keys}


def _keys(value: Any, depth: int = 2, prefix: str = "") -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _keys(each, depth, f"{prefix}[]")
    elif isinstance(value, dict) and depth:
        for key, each in value.items():
            yield (name := f"{prefix}.{_plain(key)}".lstrip("."))
            yield from _keys(each, depth - 1, name)


def grouped(found: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """Shapes as they are committed: each once, with the files that have it."""
    groups: dict[str, dict[str, Any]] = {}
    for name, known in found.items():
        for shape in known:
            groups.setdefault(json.dumps(shape), shape | {"files": []})["files"].append(name)
    return list(groups.values())


def ungrouped(groups: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What ``grouped`` was given."""
    found: dict[str, list[Any]] = {}
    for group in groups:
        shape = {key: value for key, value in group.items() if key != "files"}
        for name in group["files"]:
            found.setdefault(name, []).append(shape)
    return {name: sorted(known, key=json.dumps) for name, known in sorted(found.items())}
