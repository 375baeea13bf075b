"""From an input file to the rows that one version is fed: by its own reader, under its own locked options.

A reader with a method ``inputs`` answers every row that can be predicted, its keys and its features. Any other input is
a table that has the version's features as columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import polars as pl

from heldout import plugins
from heldout.corpus import Reader
from heldout.corpus.files import read_table
from heldout.corpus.manifest import MISSING
from heldout.corpus.table import TableReader
from heldout.errors import InputError
from heldout.shadow.batch import Batch
from heldout.shadow.times import parse_utc, utc

ID = "sample_id"
AS_OF = "as_of_utc"  # moment of a row, in its predictions


@runtime_checkable
class LiveReader(Protocol):
    """A reader whose inputs are built from something else than rows of features."""

    def inputs(self) -> pl.DataFrame:
        """Rows that can be predicted: columns that are no features are keys, and a date among them the time."""


@dataclass(frozen=True)
class Inputs:
    """Rows to predict, in order.

    Attributes:
        keys: ``sample_id`` (str, unique), then what else names a row.
        features: One row a sample, the columns of the corpus that it was trained on, in their order.
        time: Float64, or Datetime; None where rows have no time.
        named: Whether the ids are the corpus's own, so that a row of the training can be told.
        groups: Of each row; None where the batch does not say.
    """

    keys: pl.DataFrame
    features: pl.DataFrame
    time: pl.Series | None
    named: bool
    groups: pl.Series | None = None


def read_inputs(path: Path, batch: Batch, corpus: Mapping[str, Any], manifest: Mapping[str, Any]) -> Inputs:
    """The rows of a batch as one version sees them.

    Args:
        path: The input file.
        batch: Which of its times.
        corpus: The version's locked ``corpus:`` block.
        manifest: The version's ``corpus.json``.

    Raises:
        InputError: If a feature is missing or not a number where one is needed, an id repeats, or nothing is left.
    """
    cls = plugins.load("readers", corpus["reader"])
    options = {key: value for key, value in corpus.items() if key != "reader"}
    reader = cls(cls.Options.model_validate(options | {"path": path}))
    features = list(manifest["features"])
    if isinstance(reader, LiveReader):
        frame = reader.inputs()
        names = [name for name in frame.columns if name not in features]
        moments = next((name for name in names if frame[name].dtype.is_temporal()), None)
        ids = pl.select(pl.concat_str([_text(frame[name]) for name in names], separator="/")).to_series()
    else:
        moments, number = options.get("time"), options.get("id")
        frame = _table(path, reader, manifest, [number] if number else [])
        names = [name for name in (number, moments) if name and name in frame.columns]
        # A row without an id is that row of this batch, and of no other.
        plain = pl.Series([f"{batch.name}/{row}" for row in range(frame.height)])
        ids = _text(frame[number]) if number and number in frame.columns else plain
    found = Inputs(
        pl.DataFrame({ID: ids}).hstack([_text(frame[name]).alias(name) for name in names if name != ID]),
        frame.select(features),
        _time(frame[moments], path) if moments and moments in frame.columns else None,
        bool(names) and (isinstance(reader, LiveReader) or options.get("id") is not None),
        _text(frame[group]) if (group := options.get("group")) in frame.columns else None,
    )
    return _chosen(found, batch, path)


def _table(path: Path, reader: Reader, manifest: Mapping[str, Any], texts: list[str]) -> pl.DataFrame:
    frame = reader.frame() if isinstance(reader, TableReader) else read_table(path, texts)
    features, gaps = manifest["features"], MISSING in manifest.get("facts", {})
    for name in features:
        if name not in frame.columns:
            raise InputError(
                f"the batch has no column {name!r}", where=str(path), hint=f"the features: {', '.join(features)}"
            )
        bad = frame[name].is_null() & (not gaps)  # a version that was trained with gaps knows what to do with one
        if frame[name].dtype.is_float():
            bad = bad | ~frame[name].is_finite().fill_null(value=gaps)
        if bad.any():
            raise InputError(
                f"{int(bad.sum())} values are missing or not finite",
                where=f"{path}: row {int(bad.arg_max() or 0) + 1}, column {name}",
                hint="fill them as the training table was filled, or leave the row out",
            )
    return frame


def _chosen(found: Inputs, batch: Batch, path: Path) -> Inputs:
    if batch.since is not None or batch.until is not None:
        if found.time is None:
            raise InputError("rows of this batch have no time", where=str(path), hint="leave out --since and --until")
        mask = pl.Series([True]).new_from_index(0, len(found.time))
        for text, later in ((batch.since, True), (batch.until, False)):
            if text is not None:
                bound = _moment(text, found.time)
                mask = mask & ((found.time >= bound) if later else (found.time <= bound))
        groups = None if found.groups is None else found.groups.filter(mask)
        found = Inputs(
            found.keys.filter(mask), found.features.filter(mask), found.time.filter(mask), found.named, groups
        )
    if not found.features.height:
        raise InputError("no row of the batch can be predicted", where=str(path), hint="check --since and --until")
    if found.keys[ID].is_duplicated().any():
        row = int(found.keys[ID].is_duplicated().arg_max() or 0)
        raise InputError(f"{found.keys[ID][row]!r} is there twice", where=str(path), hint="one row a sample")
    return found


def _time(column: pl.Series, path: Path) -> pl.Series:
    return column.cast(pl.Float64) if column.dtype.is_numeric() else utc(column, str(path))


def _moment(text: str, time: pl.Series) -> Any:
    try:
        if time.dtype.is_numeric():
            return float(text)
        return parse_utc(text).replace(tzinfo=None)
    except ValueError:
        raise InputError(
            f"{text!r} is no time like those of the batch", where="--since", hint="as in the file"
        ) from None


def _text(column: pl.Series) -> pl.Series:
    return column.cast(pl.String)
