"""A reader: tab-separated values whose header says the unit, ``length [mm]``; all is converted to SI units."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
from pydantic import Field

from heldout.corpus import Corpus, CorpusManifest, Known, Reader, ReaderOptions, group_records
from heldout.errors import CorpusError, near_miss
from heldout.evidence import sha256_file

SCALE = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "kg": 1.0, "g": 1e-3, "s": 1.0, "ms": 1e-3, "N": 1.0, "kN": 1e3, "N/m": 1.0}
_HEADER = re.compile(r"(?P<name>[^\[\]]+?)\s*(\[(?P<unit>[^\[\]]+)\])?")


class UnitOptions(ReaderOptions):
    """The `corpus:` block; `path` is inherited."""

    group: str = Field(description="column that must never straddle training and test")
    target: str = Field(description="column to predict, without its unit")


class UnitReader(Reader):
    """Strict: a row is refused with its place, never dropped or filled."""

    name: ClassVar[str] = "unit_tsv"
    Options = UnitOptions
    options: UnitOptions

    def read(self) -> Corpus:
        """Read the whole file."""
        path, options = self.options.path, self.options
        units, frame = read_units(path)
        for name in (options.group, options.target):
            if name not in frame.columns:
                raise CorpusError(f"there is no column {name!r}", where=str(path), hint=near_miss(name, frame.columns))
        numbers = {name: _numbers(frame[name], unit, path) for name, unit in units.items() if unit is not None}
        _refuse_gaps(frame[options.group], path)
        if options.target not in numbers:
            raise CorpusError("the target has no unit", where=f"{path}: row 1, column {options.target}", hint="add one")
        features = pl.DataFrame({name: column for name, column in numbers.items() if name != options.target})
        groups, target = frame[options.group], numbers[options.target].to_numpy().astype(np.float64)
        return Corpus(
            ids=pl.Series("sample_id", [f"{path.stem}:{row}" for row in range(2, frame.height + 2)]),
            groups=groups,
            cells=None,
            features=features,
            truth=Known(target),
            manifest=CorpusManifest(
                reader=self.name,
                path=path.name,
                sha256=sha256_file(path),
                rows=frame.height,
                task="regression",
                target=options.target,
                features=tuple(features.columns),
                groups=group_records(groups, features, target, path.name),
                facts={"units": {name: unit for name, unit in units.items() if unit is not None}},
            ),
        )


def read_units(path: Path) -> tuple[dict[str, str | None], pl.DataFrame]:
    """Unit of each column, None where the header says none, and the file as text.

    Raises:
        CorpusError: If it is no such file.
    """
    try:
        frame = pl.read_csv(path, separator="\t", infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CorpusError(f"the file cannot be read: {error}", where=str(path), hint="check the path") from None
    parts = [_HEADER.fullmatch(header) for header in frame.columns]
    units = {part["name"]: part["unit"] for part in parts if part is not None}
    if len(units) < len(parts) or not frame.height:
        raise CorpusError(
            "the header is no `name [unit]` a column", where=f"{path}: row 1", hint="write each name once"
        )
    return units, frame.rename(dict(zip(frame.columns, units, strict=True)))


def _numbers(column: pl.Series, unit: str, path: Path) -> pl.Series:
    if unit not in SCALE:
        where = f"{path}: row 1, column {column.name}"
        raise CorpusError(f"the unit {unit!r} is unknown", where=where, hint=near_miss(unit, SCALE))
    values = column.cast(pl.Float64, strict=False)
    _refuse_gaps(values.set(~values.is_finite(), None), path)
    return values * SCALE[unit]


def _refuse_gaps(column: pl.Series, path: Path) -> None:
    gaps = column.is_null()
    if gaps.any():
        row = int(gaps.arg_max() or 0) + 2
        where = f"{path}: row {row}, column {column.name}"
        raise CorpusError(
            f"{int(gaps.sum())} values are missing or no numbers", where=where, hint="fill or remove them"
        )
