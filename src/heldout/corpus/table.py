"""Any Parquet, CSV or JSONL table with a group column and a target column."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from heldout.corpus.bad_lines import find_bad_csv_line, find_bad_json_line
from heldout.corpus.model import Corpus, CorpusManifest, Reader, ReaderOptions, Task, group_records
from heldout.corpus.perturb import changed_frame, thinned
from heldout.corpus.room import check_room
from heldout.corpus.spans import TimeSpan, group_spans
from heldout.errors import CorpusError, near_miss
from heldout.evidence import plain_path, sha256_file
from heldout.evidence.machine import machine_error

_LONGEST = 300  # characters of what a library says of a file
_JSONL = (".jsonl", ".ndjson")
_GAPS = ("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "-", "--", "?", ".", "inf", "-inf", "infinity")


class TableOptions(ReaderOptions):
    """The `corpus:` block of a table."""

    path: Path = Field(description="a .parquet, .csv or .jsonl file, relative to the study")
    group: str = Field(description="column that must never straddle training and test: a subject, a site, a batch")
    target: str = Field(description="column to predict")
    id: str | None = Field(None, description="column of unique sample ids; null: the row's number")
    time: str | None = Field(
        None, description="column of times, numbers or ISO 8601 dates: no feature; see `split.embargo`"
    )
    matures: str | None = Field(
        None, description="column of times at which the label was known; needs `time`; a split in time purges by it"
    )
    features: list[str] | None = Field(None, min_length=1, description="null: every column not named here")
    ignore: list[str] = Field(default_factory=list, description="columns that are no features")
    task: Literal["regression", "classification"] | None = Field(
        None, description="null: classification for text, boolean or integers of at most 20 values; else regression"
    )

    @model_validator(mode="after")
    def _maturity_needs_time(self) -> TableOptions:
        if self.matures is not None and self.time is None:
            raise ValueError("`matures` needs `time`: how far a label looks ahead is the distance between the two")
        return self


class TableReader(Reader):
    """Reads a table with polars; missing and non-finite values are refused with their row and column."""

    name: ClassVar[str] = "table"
    Options = TableOptions
    options: TableOptions

    def read(self) -> Corpus:
        """Read the table.

        Raises:
            CorpusError: For a missing column, a null, a number that is not finite (also one that is spelt, such as
                ``NA`` among numbers), a blank group, or a repeated sample id.
        """
        frame = self._frame()
        self._check_columns(frame)
        features = frame.select(self._feature_names(frame))
        for column in (*self._roles(), *features.columns):
            self._check_values(frame[column])
        self._check_blank(frame[self.options.group])
        groups = frame[self.options.group].cast(pl.String)
        task, target = self._target(frame[self.options.target])
        time = self._time(frame[self.options.time]) if self.options.time else None
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
                groups=group_records(
                    groups, features, target, self.options.path.name, self._spans(frame, groups, time)
                ),
            ),
            time=time,
            aside=frame.drop(*self._roles(), *features.columns),
        )

    def write_changed(self, path: Path, groups: Collection[str], most: int | None) -> TableOptions:
        """Write the table again, in the same format."""
        options, frame = self.options, self._frame()
        features, (task, _) = self._feature_names(frame), self._target(frame[options.target])
        frame = frame[thinned(frame[options.group], most)]
        mask = frame[options.group].cast(pl.String).is_in(list(groups))
        _write(changed_frame(frame, [*features, options.target], mask), path)
        return options.model_copy(update={"path": path, "features": features, "ignore": [], "task": task})

    def _frame(self) -> pl.DataFrame:
        return read_table(self.options.path, texts=[self.options.id] if self.options.id else [])

    def _roles(self) -> list[str]:
        """Columns that are something else than a feature."""
        options = self.options
        return [name for name in (options.id, options.group, options.target, options.time, options.matures) if name]

    def _feature_names(self, frame: pl.DataFrame) -> list[str]:
        roles = self._roles()
        taken = {*roles, *self.options.ignore}
        names = self.options.features or [name for name in frame.columns if name not in taken]
        overlap = [name for name in names if name in taken or names.count(name) > 1]
        overlap += [name for name in roles if roles.count(name) > 1]
        if overlap:
            raise CorpusError(
                f"column {overlap[0]!r} is two things at once",
                where=f"{self.options.path}: column {overlap[0]}",
                hint="group, target, id, time, matures, each feature and what is ignored are columns of their own",
            )
        if not names:
            raise CorpusError("no feature column is left", where=str(self.options.path), hint="list `features:`")
        return names

    def _check_columns(self, frame: pl.DataFrame) -> None:
        for name in (*self._roles(), *(self.options.features or []), *self.options.ignore):
            if name not in frame.columns:
                raise CorpusError(
                    f"the table has no column {name!r}", where=str(self.options.path), hint=_other_columns(name, frame)
                )

    def _check_values(self, column: pl.Series) -> None:
        if column.dtype.is_nested():
            raise CorpusError(
                f"the column {column.name!r} holds {column.dtype}, not one value a row",
                where=f"{self.options.path}: column {column.name}",
                hint="write each part into a column of its own, or name the column in `ignore`",
            )
        bad = column.is_null()
        if column.dtype.is_float():
            bad = bad | ~column.is_finite().fill_null(value=False)
        if column.dtype == pl.String:
            bad = bad | _spelt_gaps(column)
        if bad.any():
            row = int(bad.arg_max() or 0)
            raise CorpusError(
                f"{int(bad.sum())} missing or non-finite values, the first is {column[row]}",
                where=f"{self.options.path}: row {row + 1}, column {column.name}",
                hint="fill or remove those rows in the table; nothing is dropped silently",
            )

    def _check_blank(self, groups: pl.Series) -> None:
        blank = groups.cast(pl.String).str.strip_chars() == ""
        if blank.any():
            raise CorpusError(
                f"{int(blank.sum())} rows have no group",
                where=f"{self.options.path}: row {int(blank.arg_max() or 0) + 1}, column {groups.name}",
                hint="a row of an unknown group may stand on both sides of the split; name its group or remove it",
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

    def _spans(self, frame: pl.DataFrame, groups: pl.Series, time: pl.Series | None) -> dict[str, TimeSpan] | None:
        name = self.options.matures
        if time is None:
            return None
        matures = self._time(frame[name]) if name else None
        if matures is not None and matures.dtype != time.dtype:
            raise CorpusError(
                f"{name!r} and {self.options.time!r} are not times of one kind",
                where=f"{self.options.path}: column {name}",
                hint="write both as numbers, or both as dates",
            )
        return group_spans(groups, time, matures)

    def _time(self, column: pl.Series) -> pl.Series:
        """Numbers as Float64, dates as Datetime in UTC."""
        if column.dtype.is_numeric():
            return column.cast(pl.Float64)
        try:
            dates = column.str.to_datetime(time_unit="us") if column.dtype == pl.String else column
            zoned = isinstance(dates.dtype, pl.Datetime) and dates.dtype.time_zone is not None
            return (dates.dt.convert_time_zone("UTC") if zoned else dates).cast(pl.Datetime("us"))
        except pl.exceptions.PolarsError:
            raise CorpusError(
                f"the times of {column.name!r} cannot be read, such as {column[0]!r}",
                where=f"{self.options.path}: column {column.name}",
                hint="write numbers, or ISO 8601 dates of one form, such as 2026-01-31 or 2026-01-31T08:30:00",
            ) from None

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


def _other_columns(name: str, frame: pl.DataFrame) -> str:
    """What there is instead; a table of one column with other separators in its name was not separated at all."""
    only = frame.columns[0]
    separator = next((mark for mark in (";", "\t", "|") if mark in only), None)
    if frame.width == 1 and separator is not None:
        return f"its header is separated by {separator!r}: write the table with commas"
    return near_miss(name, frame.columns, "its columns")


def _spelt_gaps(column: pl.Series) -> pl.Series:
    """Rows that spell a missing value in a column whose other values are all numbers.

    One ``NA`` makes a reader take a column of numbers for text, and each number for a category.
    """
    gap = column.str.strip_chars().str.to_lowercase().is_in(_GAPS).fill_null(value=False)
    numbers = column.filter(~gap).drop_nulls().str.strip_chars().cast(pl.Float64, strict=False)
    return gap if len(numbers) and not numbers.is_null().any() else gap & False


def read_table(path: Path, texts: Sequence[str] = ()) -> pl.DataFrame:
    """Read a Parquet, CSV or JSONL file.

    Args:
        path: The file.
        texts: Columns of ids: in a CSV ``007`` is no 7 there.

    Raises:
        CorpusError: If it is missing, of another kind, empty or malformed.
    """
    if not path.is_file():
        what = "the table is a folder" if path.is_dir() else "the table does not exist"
        if path.exists() and not path.is_dir():
            plain_path(path)  # says what stands there
        hint = "check the path; in a study, `corpus.path` is relative to the study's own folder"
        raise CorpusError(what, where=str(path), hint=hint)
    try:
        frame = _read(path, texts)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        if path.suffix.lower() in _JSONL:
            find_bad_json_line(path)
        elif path.suffix.lower() == ".csv":
            find_bad_csv_line(path)
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise machine_error(error) or CorpusError(
            f"the table cannot be read: {said[:_LONGEST]}", where=str(path), hint="repair the file"
        ) from None
    if frame.height == 0:
        raise CorpusError("the table has no rows", where=str(path), hint="check how it was written")
    return frame


def _write(frame: pl.DataFrame, path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        frame.write_parquet(path)
    elif suffix == ".csv":
        frame.write_csv(path)
    else:
        frame.write_ndjson(path)


def _read(path: Path, texts: Sequence[str]) -> pl.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        check_room(path)
        return pl.read_parquet(plain_path(path))
    if suffix == ".csv":
        header = _check_header(path)
        names = {name: pl.String for name in texts if name in header}
        return pl.read_csv(plain_path(path), infer_schema_length=None, schema_overrides=names)
    if suffix in _JSONL:
        return pl.read_ndjson(plain_path(path), infer_schema_length=None)
    raise CorpusError(
        f"a table of the kind {suffix or 'without suffix'} is not supported",
        where=str(path),
        hint="use .parquet, .csv or .jsonl",
    )


def _check_header(path: Path) -> tuple[str | None, ...]:
    """Names of the columns. Of two of one name polars renames the second, which would make it a feature of its own."""
    header = pl.read_csv(plain_path(path), has_header=False, n_rows=1, infer_schema=False).row(0)
    for name in header:
        if name is not None and header.count(name) > 1:
            raise CorpusError(
                f"two columns are named {name!r}",
                where=f"{path}: row 0, column {header.index(name) + 1}",
                hint="rename or remove one of them",
            )
    return header
