"""Any Parquet, CSV or JSONL table with a group column and a target column."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from heldout.corpus.model import Corpus, CorpusManifest, Reader, ReaderOptions, Task, group_records
from heldout.errors import CorpusError
from heldout.evidence import sha256_file

_JSONL = (".jsonl", ".ndjson")


class TableOptions(ReaderOptions):
    """The `corpus:` block of a table."""

    path: Path = Field(description="a .parquet, .csv or .jsonl file, relative to the study")
    group: str = Field(description="column that must never straddle training and test: a subject, a site, a batch")
    target: str = Field(description="column to predict")
    id: str | None = Field(None, description="column of unique sample ids; null: the row's number")
    features: list[str] | None = Field(None, min_length=1, description="null: every column not named here")
    ignore: list[str] = Field(default_factory=list, description="columns that are no features")
    task: Literal["regression", "classification"] | None = Field(
        None, description="null: classification for text, boolean or integers of at most 20 values; else regression"
    )


class TableReader(Reader):
    """Reads a table with polars; missing and non-finite values are refused with their row and column."""

    name: ClassVar[str] = "table"
    Options = TableOptions
    options: TableOptions

    def read(self) -> Corpus:
        """Read the table.

        Raises:
            CorpusError: For a missing column, a null, a number that is not finite, or a repeated sample id.
        """
        frame = read_table(self.options.path)
        self._check_columns(frame)
        features = frame.select(self._feature_names(frame))
        for column in (self.options.group, self.options.target, *features.columns):
            self._check_values(frame[column])
        groups = frame[self.options.group].cast(pl.String)
        task, target = self._target(frame[self.options.target])
        return Corpus(
            ids=self._ids(frame),
            groups=groups,
            cells=None,
            features=features,
            target=target,
            manifest=CorpusManifest(
                reader=self.name,
                path=self.options.path.name,
                sha256=sha256_file(self.options.path),
                rows=frame.height,
                task=task,
                target=self.options.target,
                features=tuple(features.columns),
                groups=group_records(groups, features, target, self.options.path.name),
            ),
        )

    def _feature_names(self, frame: pl.DataFrame) -> list[str]:
        taken = {self.options.group, self.options.target, self.options.id, *self.options.ignore}
        names = self.options.features or [name for name in frame.columns if name not in taken]
        overlap = [name for name in names if name in taken]
        if overlap:
            raise CorpusError(
                f"column {overlap[0]!r} is a feature and something else besides",
                where=f"{self.options.path}: column {overlap[0]}",
                hint="a feature may not be the group, the target, the id or ignored",
            )
        if not names:
            raise CorpusError("no feature column is left", where=str(self.options.path), hint="list `features:`")
        return names

    def _check_columns(self, frame: pl.DataFrame) -> None:
        wanted = [self.options.group, self.options.target, *(self.options.features or []), *self.options.ignore]
        wanted += [self.options.id] if self.options.id else []
        for name in wanted:
            if name not in frame.columns:
                raise CorpusError(
                    f"the table has no column {name!r}",
                    where=str(self.options.path),
                    hint=f"its columns: {', '.join(frame.columns)}",
                )

    def _check_values(self, column: pl.Series) -> None:
        bad = column.is_null()
        if column.dtype.is_float():
            bad = bad | ~column.is_finite().fill_null(value=False)
        if bad.any():
            row = int(bad.arg_max() or 0)
            raise CorpusError(
                f"{int(bad.sum())} missing or non-finite values, the first is {column[row]}",
                where=f"{self.options.path}: row {row + 1}, column {column.name}",
                hint="fill or remove those rows in the table; nothing is dropped silently",
            )

    def _ids(self, frame: pl.DataFrame) -> pl.Series:
        if self.options.id is None:
            width = len(str(frame.height))
            return pl.Series("sample_id", [f"row{number:0{width}d}" for number in range(1, frame.height + 1)])
        ids = frame[self.options.id].cast(pl.String).alias("sample_id")
        repeated = ids.filter(ids.is_duplicated())
        if len(repeated):
            raise CorpusError(
                f"sample id {repeated[0]!r} appears {int((ids == repeated[0]).sum())} times",
                where=f"{self.options.path}: column {self.options.id}",
                hint="a sample counts once; remove the copies",
                code="HO-G004",
            )
        return ids

    def _target(self, column: pl.Series) -> tuple[Task, NDArray[Any]]:
        numeric = column.dtype.is_numeric()
        labels = not numeric or (column.dtype.is_integer() and column.n_unique() <= 20)
        task: Task = self.options.task or ("classification" if labels else "regression")
        if task == "classification":
            return task, column.cast(pl.String).to_numpy().astype(str)
        if not numeric:
            raise CorpusError(
                f"the target {column.name!r} is {column.dtype}, not a number",
                where=f"{self.options.path}: column {column.name}",
                hint="set `task: classification`, or name a numeric column",
            )
        return task, column.cast(pl.Float64).to_numpy().astype(np.float64)


def read_table(path: Path) -> pl.DataFrame:
    """Read a Parquet, CSV or JSONL file.

    Raises:
        CorpusError: If it is missing, of another kind, empty or malformed.
    """
    if not path.is_file():
        raise CorpusError("the table does not exist", where=str(path), hint="check `corpus.path` in the study")
    try:
        frame = _read(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise CorpusError(
            f"the table cannot be read: {str(error).splitlines()[0]}", where=str(path), hint="repair the file"
        ) from None
    if frame.height == 0:
        raise CorpusError("the table has no rows", where=str(path), hint="check how it was written")
    return frame


def _read(path: Path) -> pl.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return pl.read_parquet(path)
    if suffix == ".csv":
        return pl.read_csv(path, infer_schema_length=None)
    if suffix in _JSONL:
        return pl.read_ndjson(path, infer_schema_length=None)
    raise CorpusError(
        f"a table of the kind {suffix or 'without suffix'} is not supported",
        where=str(path),
        hint="use .parquet, .csv or .jsonl",
    )
