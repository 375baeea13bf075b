"""Any table with a group column and a target column."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from heldout.corpus.bad_lines import other_separator
from heldout.corpus.files import KINDS, Dialect, check_encoding, read_table, write_like
from heldout.corpus.kinds import Column, Kind, number_columns, text_kinds, with_kinds
from heldout.corpus.looks import look_at
from heldout.corpus.manifest import CONTENT, MISSING, CorpusManifest, TargetKind, group_records
from heldout.corpus.model import Corpus
from heldout.corpus.parts import content_sha256, is_there, name_written, parts_of
from heldout.corpus.perturb import changed_frame, changed_weight, thinned
from heldout.corpus.reader import Reader, ReaderOptions
from heldout.corpus.spans import TimeSpan, group_spans
from heldout.corpus.truth import Known
from heldout.corpus.weights import weights_of
from heldout.corpus.words import idle_words, without_words
from heldout.errors import CorpusError, near_miss

_NO_VALUES = (pl.Binary, pl.Object, pl.Unknown)
_GAPS = ("", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "-", "--", "?", ".", "inf", "-inf", "infinity")


_PLAIN: Mapping[str, object] = {
    "weight": None, "said": [], "columns": {}, "missing": [], "separator": None, "decimal": ".", "encoding": "utf-8",
    "zeros": "keep",
}  # fmt: skip


class TableOptions(ReaderOptions):
    """The `corpus:` block of a table."""

    path: Path = Field(
        description=f"a {KINDS} file, relative to the study; or a folder of such files, or a pattern as data/*.csv"
    )
    group: str = Field(description="column that must never straddle training and test: a subject, a site, a batch")
    target: str | list[str] = Field(description="column to predict; a list of columns of numbers: all of them at once")
    weight: str | None = Field(
        None, description="column of weights, 0 or more: how much a row counts in fits and metrics; null: all alike"
    )
    id: str | None = Field(None, description="column of unique sample ids; null: the row's number")
    time: str | None = Field(
        None, description="column of times, numbers or ISO 8601 dates: no feature; see `split.embargo`"
    )
    matures: str | None = Field(
        None, description="column of times at which the label was known; needs `time`; a split in time purges by it"
    )
    features: list[str] | None = Field(
        None, description="null: every column not named here; []: none, for predictions from elsewhere need none"
    )
    said: list[str] = Field(
        default_factory=list, description="columns of predictions: no features, and no guard looks at them"
    )
    ignore: list[str] = Field(default_factory=list, description="columns that are no features")
    task: Literal["regression", "classification"] | None = Field(
        None, description="null: classification for text, boolean or integers of at most 20 values; else regression"
    )

    columns: dict[str, Kind | Column] = Field(
        default_factory=dict,
        description="what columns are, where it shall not be guessed: number, category, date, datetime, time, "
        "duration, or such as {kind: date, format: '%d.%m.%Y'}",
    )
    missing: list[str] = Field(
        default_factory=list,
        description="words that stand for a missing feature, time or weight, such as NA, besides an empty field; "
        "among numbers -9 is -9.0",
    )
    separator: str | None = Field(
        None, min_length=1, max_length=1, description="between the fields of a CSV; null: a tab in a .tsv, else a comma"
    )
    decimal: Literal[".", ","] = Field(".", description="what stands before the fraction of a number in a CSV")
    encoding: str = Field("utf-8", description="of a CSV, such as latin-1")
    zeros: Literal["keep", "drop"] = Field(
        "keep", description="before a number that names a group in a CSV; keep: 007 and 7 are two groups; drop: one"
    )

    def identity(self) -> dict[str, object]:
        """The options that change what is learnt; what nobody says is left out, as before it could be said."""
        return {key: value for key, value in super().identity().items() if key not in _PLAIN or value != _PLAIN[key]}

    def dialect(self) -> Dialect:
        """How the table is written."""
        return Dialect(
            separator=self.separator,
            decimal_comma=self.decimal == ",",
            encoding=self.encoding,
            missing=tuple(self.missing),
            kept=tuple(name for name in (self.group, *self.targets, self.id) if name),
            texts=(self.id,) if self.id else (),
            named=(self.group,) if self.zeros == "keep" else (),
            kinds=text_kinds(self.columns),
        )

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict, in order."""
        return targets_of(self.target)

    @field_validator("target")
    @classmethod
    def _one_is_one(cls, named: str | list[str]) -> str | list[str]:
        """A list of one is that one."""
        if not named:
            raise ValueError("there is no target: name a column, or several in a list")
        return named[0] if isinstance(named, list) and len(named) == 1 else named

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, name: str) -> str:
        check_encoding(name)
        return name

    @model_validator(mode="after")
    def _maturity_needs_time(self) -> TableOptions:
        if self.matures is not None and self.time is None:
            raise ValueError("`matures` needs `time`: how far a label looks ahead is the distance between the two")
        return self


class TableReader(Reader):
    """Reads a table with polars; a missing group or target, and what is not finite, is refused with its row."""

    name: ClassVar[str] = "table"
    Options = TableOptions
    options: TableOptions

    def read(self) -> Corpus:
        """Read the table.

        Raises:
            CorpusError: For a missing column, a gap in any column but a feature, a number that is not finite, a gap
                that is spelt among numbers (such as ``NA``), a blank group, a repeated sample id, or a weight that
                counts nothing.
        """
        frame = self.frame()
        self._check_columns(frame)
        chosen = self._feature_names(frame)
        features = frame.select(chosen) if chosen else frame.drop(frame.columns)  # of no columns, and as many rows
        for column in self._roles():
            self._check_values(frame, column)
        for column in features.columns:
            self._check_feature(frame[column])
        self._check_blank(frame[self.options.group])
        groups = frame[self.options.group].cast(pl.String)
        task, target = self.targets_in(frame)
        time = self._time(frame[self.options.time]) if self.options.time else None
        options = self.options
        path, named = options.path, options.weight
        weight = weights_of(frame[named], str(path)) if named else None
        content = features if features.width else self._said(frame, groups, features)
        return Corpus(
            ids=self._ids(frame),
            groups=groups,
            cells=None,
            features=features,
            truth=Known(target),
            manifest=CorpusManifest(
                reader=self.name,
                path=path.name,
                sha256=content_sha256(path),
                rows=frame.height,
                task=task,
                target=", ".join(options.targets),
                features=tuple(features.columns),
                groups=group_records(groups, content, target, path.name, self._spans(frame, groups, time), weight),
                facts=({CONTENT: content.columns} if content is not features else {}) | _missing(features),
                weight=named,
                outputs=options.targets if target.ndim > 1 else (),
            ),
            time=time,
            aside=frame.drop(*self._roles(), *features.columns, *options.said),
            weight=weight,
            idle=self._idle(frame),
        )

    def kept(self) -> tuple[Path, ...]:
        """The file, or each file of a folder or pattern."""
        path = self.options.path
        return tuple(parts_of(path) or [path]) if is_there(path) else (path,)

    def write_changed(self, path: Path, groups: Collection[str], most: int | None) -> TableOptions:
        """Write the table again, in the same format; a column of numbers is one whatever is left of it."""
        options, frame = self.options, self.frame()
        path = path.with_name(name_written(options.path))
        features, (task, _) = self._feature_names(frame), self.targets_in(frame)
        frame = frame[thinned(frame[options.group], most)]
        mask = frame[options.group].cast(pl.String).is_in(list(groups))
        changed = changed_frame(frame, [*features, *options.targets], mask)
        if options.weight:
            changed = changed.with_columns(changed_weight(frame[options.weight], mask))
        write_like(changed, path, options.dialect())
        gaps = {name for name in features if frame[name].has_nulls()}
        kinds: dict[str, Kind] = {
            name: "number" if frame[name].dtype.is_numeric() else "category"
            for name in features
            if name in options.columns or (name in gaps and _plain_kind(frame.schema[name]))
        }
        return options.model_copy(
            update={"path": path, "features": features, "ignore": [], "task": task, "columns": kinds}
        )

    def _said(self, frame: pl.DataFrame, groups: pl.Series, features: pl.DataFrame) -> pl.DataFrame:
        """Predictions that tell groups apart where there are no features; none where chance would find copies."""
        said = frame.select(self.options.said)
        exact = any(dtype.is_float() for dtype in said.dtypes)
        several = not groups.is_unique().any()
        return said if exact and several else features

    def frame(self) -> pl.DataFrame:
        """The whole table, its declared columns of their kinds, and one kind of gap for all: null."""
        options = self.options
        frame = read_table(options.path, dialect=options.dialect())
        frame = with_kinds(frame, options.columns, str(options.path))
        for comma, names in number_columns(options.columns).items():
            kept = {*frame.columns} - names | {*options.dialect().kept}
            frame = without_words(frame, options.missing, kept, comma=comma)
        roles = {*self._roles()}
        floats = [name for name, dtype in frame.schema.items() if dtype.is_float() and name not in roles]
        return frame.with_columns(pl.col(floats).fill_nan(None))

    def _idle(self, frame: pl.DataFrame) -> tuple[str, ...]:
        """Words of `missing` that stand nowhere: a typing error, or what another table has."""
        words, how = self.options.missing, self.options.dialect()
        if not words:
            return ()
        written = read_table(self.options.path, dialect=replace(how, missing=()))
        return idle_words(written, frame, words, how.kept, comma=how.decimal_comma)

    def _roles(self) -> list[str]:
        """Columns that are something else than a feature."""
        options = self.options
        named = (options.id, options.group, *options.targets, options.weight, options.time, options.matures)
        return [name for name in named if name]

    def _feature_names(self, frame: pl.DataFrame) -> list[str]:
        roles = self._roles()
        taken = {*roles, *self.options.ignore, *self.options.said}
        named = self.options.features
        names = [name for name in frame.columns if name not in taken] if named is None else named
        overlap = [name for name in names if name in taken or names.count(name) > 1]
        overlap += [name for name in roles if roles.count(name) > 1]
        overlap += [name for name in (*self.options.ignore, *self.options.said) if name == self.options.weight]
        overlap += [name for name in self.options.said if name in (*roles, *self.options.ignore)]
        if overlap:
            raise CorpusError(
                f"column {overlap[0]!r} is two things at once",
                where=f"{self.options.path}: column {overlap[0]}",
                hint="every role, each feature and what is ignored are columns of their own",
            )
        if not names and named is None:
            raise CorpusError("no feature column is left", where=str(self.options.path), hint="list `features:`")
        return names

    def _check_columns(self, frame: pl.DataFrame) -> None:
        options = self.options
        for name in (*self._roles(), *(options.features or []), *options.ignore, *options.said, *options.columns):
            if name not in frame.columns:
                raise CorpusError(
                    f"the table has no column {name!r}", where=str(options.path), hint=_other_columns(name, frame)
                )

    def _check_values(self, frame: pl.DataFrame, name: str) -> None:
        """A column of groups, targets, times or ids has a value in every row."""
        column = frame[name]
        self._check_one_value(column)
        bad = column.is_null()
        if column.dtype.is_float():
            bad = bad | ~column.is_finite().fill_null(value=False)
        if column.dtype == pl.String:
            bad = bad | _spelt_gaps(column)
        if bad.any():
            row = int(bad.arg_max() or 0)
            blank = frame.width > 1 and all(value is None for value in frame.row(row))
            raise CorpusError(
                f"{int(bad.sum())} missing or non-finite values, the first is {column[row]}"
                + (", in a row without any value" if blank else ""),
                where=f"{self.options.path}: row {row + 1}, column {column.name}",
                hint="remove the blank lines"
                if blank
                else "say what stands there, or remove those rows from the table; nothing is dropped silently",
            )

    def _check_feature(self, column: pl.Series) -> None:
        """A feature may be missing; it is then filled in each fold, or not at all."""
        self._check_one_value(column)
        if column.dtype.is_float() and column.is_infinite().any():
            bad = column.is_infinite().fill_null(value=False)
            what = f"{int(bad.sum())} values are not finite, the first is {column[int(bad.arg_max() or 0)]}"
            hint = "write a number that can be computed with, or leave the field empty: it is then missing"
        elif column.dtype == pl.String and (bad := _spelt_gaps(column)).any():
            word = column[int(bad.arg_max() or 0)]
            what = f"{int(bad.sum())} values are spelt gaps among numbers, the first is {word!r}"
            hint = (
                f"write `missing: [{word}]` in `corpus:`, and they are missing values; or "
                f"`columns: {{{column.name}: category}}`, if they are a level"
            )
        else:
            return
        row = int(bad.arg_max() or 0)
        raise CorpusError(what, where=f"{self.options.path}: row {row + 1}, column {column.name}", hint=hint)

    def _check_one_value(self, column: pl.Series) -> None:
        if column.dtype.is_nested() or column.dtype in _NO_VALUES:
            raise CorpusError(
                f"the column {column.name!r} holds {column.dtype}, not one value a row",
                where=f"{self.options.path}: column {column.name}",
                hint="write each part into a column of its own, or name the column in `ignore`",
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
            return row_ids(frame.height)
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

    def targets_in(self, frame: pl.DataFrame) -> tuple[TargetKind, NDArray[Any]]:
        """What the targets are, and their values; of several a column each.

        Raises:
            CorpusError: If one of several is no number.
        """
        columns = [frame[name] for name in self.options.targets]
        found = [self.target_of(column) for column in columns]
        if len(found) == 1:
            return found[0]
        label = next((column for column, (task, _) in zip(columns, found, strict=True) if task != "regression"), None)
        if label is not None:
            raise CorpusError(
                f"the target {label.name!r} holds labels, and several targets at once are numbers",
                where=f"{self.options.path}: column {label.name}",
                hint="write `task: regression` if they are numbers; for labels write a study for each target",
            )
        return "regression", np.column_stack([values for _, values in found])

    def target_of(self, column: pl.Series) -> tuple[TargetKind, NDArray[Any]]:
        """What a column of targets is, and its values: float64, or str for classes."""
        numeric = column.dtype.is_numeric()
        labels = not numeric or (column.dtype.is_integer() and column.n_unique() <= 20)
        task: TargetKind = self.options.task or ("classification" if labels else "regression")
        if task == "classification":
            return task, column.cast(pl.String).to_numpy().astype(str)
        if not numeric:
            raise CorpusError(
                f"the target {column.name!r} is {column.dtype}, not a number",
                where=f"{self.options.path}: column {column.name}",
                hint=_as_numbers(column) or "set `task: classification`, or name a numeric column",
            )
        return task, column.cast(pl.Float64).to_numpy().astype(np.float64)


def targets_of(named: str | Sequence[str]) -> tuple[str, ...]:
    """The columns to predict, of one name or several."""
    return (named,) if isinstance(named, str) else tuple(named)


def row_ids(count: int) -> pl.Series:
    """The sample ids of a table that has none: its rows' numbers."""
    width = len(str(count))
    return pl.Series("sample_id", [f"row{number:0{width}d}" for number in range(1, count + 1)], dtype=pl.String)


def _as_numbers(column: pl.Series) -> str | None:
    """How a target whose numbers are written with commas is read as numbers."""
    look = look_at(column)
    return look.mend if look is not None and "comma" in look.what else None


def _other_columns(name: str, frame: pl.DataFrame) -> str:
    """What there is instead; a table of one column with other separators in its name was not separated at all."""
    separator = other_separator(frame.columns)
    if separator is not None:
        return f"its header is separated by {separator!r}: write `separator: {json.dumps(separator)}` in `corpus:`"
    return near_miss(name, frame.columns, "its columns")


def _spelt_gaps(column: pl.Series) -> pl.Series:
    """Rows that spell a missing value in a column whose other values are all numbers.

    One ``NA`` makes a reader take a column of numbers for text, and each number for a category.
    """
    gap = column.str.strip_chars().str.to_lowercase().is_in(_GAPS).fill_null(value=False)
    numbers = column.filter(~gap).drop_nulls().str.strip_chars().cast(pl.Float64, strict=False)
    return gap if len(numbers) and not numbers.is_null().any() else gap & False


def _missing(features: pl.DataFrame) -> dict[str, dict[str, int]]:
    """How many values are missing of each feature that has gaps, as a fact of the manifest."""
    found = {name: features[name].null_count() for name in features.columns if features[name].has_nulls()}
    return {MISSING: found} if found else {}


def _plain_kind(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.String
