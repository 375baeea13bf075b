"""Reading someone else's ``loso_seed{N}.json`` as it is: nothing is trusted, and what is not usable is named.

A bare ``NaN``, a ``null`` or a missing key is not a crash but a *problem* with file and key: the number is None from
there on, and every rule that needs it is UNKNOWN.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError, InputError
from heldout.evidence import loads, read_json, read_plain, sha256_bytes
from heldout.gate.verdict_files import VERDICTS

SCORES = ("plcc", "srocc", "rmse")
SUMMARIES = ("mean_plcc", "std_plcc", "min_plcc", "max_plcc", "mean_srocc", "mean_rmse")
RECIPE = ("epochs", "batch_size", "lr", "weight_decay", "num_codecs", "encoder_vocab_version")
_WHOLE = {"seed", "n_folds", "n_train", "n_val", "epochs", "batch_size", "num_codecs", "encoder_vocab_version"}
_NAME = re.compile(r"loso_seed(0|[1-9][0-9]{0,9})\.json")


def holds_reports(path: Path) -> bool:
    """Whether a folder, or a verdict file, is of the published system: seed files, or a verdict over seed files."""
    folder = path.parent if path.name in VERDICTS else path
    if not folder.is_dir() or (folder / "run.json").exists():
        return False
    return any(_NAME.fullmatch(each.name) for each in folder.iterdir()) or any(
        _of_reports(folder / name) for name in VERDICTS
    )


def _of_reports(path: Path) -> bool:
    try:
        document = read_json(path) if path.is_file() else None
    except HeldoutError:
        return False
    return isinstance(document, dict) and document.keys() >= {"verdict", "gate", "loso_dir", "seeds"}


@dataclass(frozen=True)
class FoldReport:
    """One held-out source as a seed's file reports it; None where a value is not usable."""

    held_out: str | None
    n_train: int | None
    n_val: int | None
    scores: Mapping[str, float | None]


@dataclass(frozen=True)
class SeedFile:
    """One ``loso_seed{N}.json``.

    Attributes:
        name: Name of the file.
        seed: The seed that the name says.
        sha256: Digest of the file's bytes.
        document: The JSON object; may hold NaN.
        folds: Its folds.
        numbers: Its top-level numbers, None where not usable.
        problems: What is not usable, each with file and key.
    """

    name: str
    seed: int
    sha256: str
    document: Mapping[str, Any]
    folds: tuple[FoldReport, ...]
    numbers: Mapping[str, float | None]
    problems: tuple[str, ...]

    @property
    def mean_plcc(self) -> float | None:
        """The seed's mean PLCC; None if it or any of its folds is undefined."""
        whole = self.folds and all(fold.scores["plcc"] is not None for fold in self.folds)
        return self.numbers["mean_plcc"] if whole else None

    @property
    def by_source(self) -> dict[str, FoldReport]:
        """Folds by the name of the source that they hold out."""
        return {fold.held_out: fold for fold in self.folds if fold.held_out is not None}

    def provenance(self, *path: str) -> Any:
        """A value inside ``run_provenance``; None where there is none."""
        value: Any = self.document.get("run_provenance")
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


def list_seed_files(folder: Path) -> tuple[dict[int, Path], list[str]]:
    """Seed files by seed, and the names that look like one but are none (copies, old versions).

    Raises:
        InputError: If the folder is not there.
    """
    if not folder.is_dir():
        raise InputError(
            "there is no such folder", where=str(folder), hint="name the folder that holds loso_seed0.json and so on"
        )
    found, strange = {}, []
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
        elif path.name.lower().startswith("loso_seed"):
            strange.append(path.name)
    return dict(sorted(found.items())), strange


def read_seed_file(path: Path, seed: int) -> SeedFile:
    """Read one file.

    Raises:
        InputError: If it cannot be read, is not JSON, or is not an object.
    """
    try:
        data = read_plain(path)
    except OSError as error:
        raise InputError(
            f"cannot read the file: {error.strerror or error}", where=str(path), hint="check the file"
        ) from None
    document = loads(data, where=str(path), allow_nan=True)
    if not isinstance(document, dict):
        raise InputError("the file is not a JSON object", where=str(path), hint="train that seed again")
    problems = [f"{path.name}: {place} is {value}" for place, value in _non_finite(document, "")]
    numbers = {
        key: _number(document, key, f"{path.name}: {key}", problems) for key in ("seed", "n_folds", *SUMMARIES, *RECIPE)
    }
    if not isinstance(document.get("corpus"), str):
        problems.append(f"{path.name}: corpus is {_words(document, 'corpus')}")
    folds = tuple(_folds(document, path.name, problems))
    return SeedFile(path.name, seed, sha256_bytes(data), document, folds, numbers, tuple(problems))


def _folds(document: Mapping[str, Any], name: str, problems: list[str]) -> Iterator[FoldReport]:
    folds = document.get("folds")
    if not isinstance(folds, list):
        problems.append(f"{name}: folds is {_words(document, 'folds')}")
        return
    for index, fold in enumerate(folds):
        place = f"{name}: folds[{index}]"
        if not isinstance(fold, dict):
            problems.append(f"{place} is not an object")
            fold = {}
        held_out = fold.get("held_out")
        if not isinstance(held_out, str) or not held_out:
            problems.append(f"{place}.held_out is {_words(fold, 'held_out')}")
            held_out = None
        counts = {key: _number(fold, key, f"{place}.{key}", problems) for key in ("n_train", "n_val")}
        scores = {key: _number(fold, key, f"{place}.{key}", problems) for key in SCORES}
        yield FoldReport(held_out, _whole(counts["n_train"]), _whole(counts["n_val"]), scores)


def _number(holder: Mapping[str, Any], key: str, place: str, problems: list[str]) -> float | None:
    """A usable number, or None and a problem. NaN is already among the problems."""
    value = holder.get(key)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    wanted = (int,) if key in _WHOLE else (int, float)
    if isinstance(value, bool) or not isinstance(value, wanted):
        problems.append(f"{place} is {_words(holder, key)}")
        return None
    try:
        return float(value)
    except OverflowError:
        problems.append(f"{place} is too large for a number")
        return None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _words(holder: Mapping[str, Any], key: str) -> str:
    """What stands there, for a message."""
    if key not in holder:
        return "missing"
    value = holder[key]
    if value is None:
        return "null"
    return f"of the wrong type ({type(value).__name__})"


def _non_finite(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every place that holds NaN or an infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        yield place, {True: "NaN", False: "infinite"}[math.isnan(value)]
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _non_finite(item, f"{place}.{key}" if place else key)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            yield from _non_finite(item, f"{place}[{index}]")
