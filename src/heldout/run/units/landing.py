"""Where a unit's files land in the run, and whether they are there.

Only whoever holds the lock of the run lands units; ``unit.json`` goes last, names the others by digest and makes them
count. A unit without a ``unit.json`` that fits its key, its packages and its files does not exist: it is fitted again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from heldout.backbone import FloatArray
from heldout.backbone.environment import difference
from heldout.backbone.probabilities import why_not_probabilities
from heldout.documents.names import UNIT_FILE, UNIT_PREDICTIONS
from heldout.documents.run import UnitDocument
from heldout.errors import CorpusError, HeldoutError
from heldout.evidence import atomic_path, plain_path, read_json, settle, sha256_file, unsettled
from heldout.run.units.compute import Files
from heldout.run.units.unit import SCHEMA, Unit

_MOST_SECONDS = 1.0
_DIMENSIONS = 2  # rows, and targets where there are several


class Landing:
    """Puts units into a run, and flushes together those that took little: flushing one takes a disk longer than that.

    A kill of this process loses nothing that landed. A power cut may cost units that took a second in all; their
    digests say that something is missing, and they are fitted again. At the end everything is on disk.
    """

    def __init__(self) -> None:
        """Begin with nothing to flush."""
        self._waiting: list[Path] = []
        self._took = 0.0

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Flush what waits."""
        self.flush()

    def land(self, unit: Unit, files: Files) -> None:
        """Write what was computed of a unit into its folder of the run; ``unit.json`` last."""
        (unit.folder / UNIT_FILE).unlink(missing_ok=True)
        for name in sorted(files, key=lambda name: (name == UNIT_FILE, name)):
            _write(files[name], unit.folder / name)
            self._waiting.append(unit.folder / name)
        self._took += read_json(unit.folder / UNIT_FILE)["wall_time_s"]
        if self._took >= _MOST_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Make durable what landed."""
        settle(self._waiting)
        self._waiting, self._took = [], 0.0


def land_unit(unit: Unit, files: Files) -> None:
    """Put one unit into a run."""
    with Landing() as landing:
        landing.land(unit, files)


def _write(content: bytes | Path, path: Path) -> None:
    with unsettled(), atomic_path(path) as partial:
        if isinstance(content, bytes):
            partial.write_bytes(content)
        else:
            shutil.move(content, partial)


def why_not_finished(unit: Unit) -> str | None:
    """None if the unit is there, whole, of this key and of these packages; else the reason to fit it (again)."""
    path = unit.folder / UNIT_FILE
    if not path.exists():
        return "not fitted yet"
    try:
        document = read_json(path)
        if document["key"] != unit.key:
            return "fitted for another corpus, configuration or code"
        if document["packages"] != dict(unit.packages):
            return f"fitted with {difference(document['packages'], unit.packages)}"
        strange = _strange(document, unit)
        if strange is not None:
            return strange
        for name, sha256 in document["files"].items():
            # A unit may come from elsewhere, and its links lead anywhere.
            if not (unit.folder / name).resolve().is_relative_to(unit.folder.resolve()):
                return "unit.json names a file that is not its own"
            if not (unit.folder / name).is_file() or sha256_file(unit.folder / name) != sha256:
                return f"{name} is not the file that unit.json names"
        return _misshapen(document, unit)
    except (HeldoutError, KeyError, TypeError, AttributeError, ValueError, OSError):
        return "unit.json is damaged"


def _strange(document: Mapping[str, Any], unit: Unit) -> str | None:
    """Why a document of the right key is not that of this unit; None if it is."""
    UnitDocument.model_validate(dict(document) | {"code": None})  # what fits is in the key
    stated = (document["schema"], document["contender"], document["seed"], document["fold"])
    if stated != (SCHEMA, unit.contender, unit.seed, unit.fold.id):
        return "unit.json is that of another unit"
    return None if UNIT_PREDICTIONS in document["files"] else "unit.json names no predictions"


def _misshapen(document: Mapping[str, Any], unit: Unit) -> str | None:
    """Why the predictions are none of so many rows and classes, by the head of their file.

    How many targets there are is known by the corpus; the digest of their file stands in ``unit.json``.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(plain_path(unit.folder / UNIT_PREDICTIONS), "numpy") as stored:
            found = stored.get_slice("prediction")
            shape, kind = found.get_shape(), found.get_dtype()
    except SafetensorError as error:
        return f"{UNIT_PREDICTIONS} cannot be read: {error}"
    classes = document["classes"]
    rows = document["n_test"]
    fits = list(shape) == [rows, len(classes)] if classes else shape[:1] == [rows] and len(shape) <= _DIMENSIONS
    return None if fits and kind == "F64" else f"{UNIT_PREDICTIONS} holds something else than its predictions"


def read_unit(unit: Unit) -> tuple[dict[str, Any], FloatArray]:
    """The document and the predictions of a finished unit."""
    from safetensors.numpy import load_file

    document: dict[str, Any] = read_json(unit.folder / UNIT_FILE)
    values = load_file(plain_path(unit.folder / UNIT_PREDICTIONS))["prediction"].astype(np.float64)
    wrong = why_not_probabilities(values, document["classes"]) if document["classes"] else None
    if wrong is not None:
        hint = "remove that folder and run the study again"
        raise CorpusError(f"these are no probabilities: {wrong}", where=str(unit.folder / UNIT_PREDICTIONS), hint=hint)
    return document, values
