"""Files of predictions: which of them holds the truth, and where a model's predictions stand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import polars as pl

from heldout.corpus.files import read_table
from heldout.corpus.parts import is_pattern, name_of_one, parts_of
from heldout.errors import InputError, near_miss
from heldout.predicted.arrays import read_array
from heldout.predicted.columns import columns_of, kept
from heldout.predicted.harness import is_harness, read_harness
from heldout.predicted.inspect_log import is_inspect, read_inspect
from heldout.predicted.logs import Answer, table_of

# The one column of a file of one model; the last two are MLflow's.
_PLAIN = ("prediction", "y_pred", "pred", "predictions", "outputs")


@dataclass(frozen=True, eq=False)
class Table:
    """A file, read.

    Attributes:
        path: Where it lies.
        frame: All of it.
        made: Whether it is no table as it lies there: what was read is then written as one, for whoever verifies.
        ids: Whether its rows are found by ids, and not by their place.
        task: Of a log, what was evaluated; None of any other file.
    """

    path: Path
    frame: pl.DataFrame
    made: bool = False
    ids: bool = True
    task: str | None = None

    @property
    def name(self) -> str:
        """Of the task or the file, as studies and tables may be called."""
        return slug(self.task or Path(name_of_one(self.path)).stem)

    def place(self, ledger: Path) -> Path:
        """Where the table lies; one that was made is written into the ledger, named by its content."""
        return kept(self.frame, ledger, self.name) if self.made else self.path


class Model(NamedTuple):
    """What somebody calls a model.

    Attributes:
        name: Its name.
        file: The one file of its predictions; None: its columns stand in any of the files.
        column: Of the file, or its array; None: found by the model's name, or the usual one.
    """

    name: str
    file: Path | None = None
    column: str | None = None


@dataclass(frozen=True)
class Said:
    """Where a model's predictions stand.

    Attributes:
        name: Of the model, as the user says it.
        table: The file.
        columns: One, or one a seed; a name before ``_p_CLASS`` where there are probabilities.
        taken: Every column of the file that belongs to it.
    """

    name: str
    table: Table
    columns: tuple[str, ...]
    taken: tuple[str, ...]


def read_tables(paths: Sequence[Path], id_column: str | None) -> list[Table]:
    """Every file, once.

    Raises:
        InputError: If a file is named twice, or cannot be read.
    """
    places = [path.resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise InputError("a file is named twice", where=str(path), hint="name it once")
    return [read_file(path, id_column) for path in paths]


def read_file(path: Path, id_column: str | None, score: str | None = None) -> Table:
    """A table, a log of an evaluation, or a folder of logs.

    Args:
        path: Where it lies.
        id_column: Column of ids, in which ``007`` is no 7.
        score: Of a log: which of its scores says what is right; None: its only one.

    Raises:
        InputError: If it cannot be read.
    """
    logs = [(each, read) for each in parts_of(path) or [path] if (read := log_reader(each)) is not None]
    if not logs:
        return Table(path, read_table(path, texts=[id_column] if id_column else []), made=is_pattern(path))
    found = [read(each, score) for each, read in logs]
    tasks = {task for task, _ in found}
    several = len(tasks) > 1  # whose questions may have the same numbers
    answers = [
        answer._replace(sample=f"{task}/{answer.sample}") if several else answer
        for task, some in found
        for answer in some
    ]
    name = tasks.pop() if len(tasks) == 1 else path.stem
    return Table(path, table_of(answers, str(path)), made=True, task=name)


def log_reader(path: Path) -> Callable[[Path, str | None], tuple[str, list[Answer]]] | None:
    """What reads a log of an evaluation; None where the file is none."""
    if is_inspect(path):
        return read_inspect
    return read_harness if is_harness(path) else None


def model_of(option: str, columns: Iterable[str]) -> Model:
    """A model by what an option says: a column, ``NAME=FILE`` or ``NAME=FILE#COLUMN``.

    Args:
        option: As it was said.
        columns: Of all tables; a name of a column is one, whatever it is written with.
    """
    name, _, file = option.partition("=")
    if option in columns or not (name and file):
        return Model(option)
    path, _, column = file.rpartition("#")
    return Model(name, Path(file)) if not path or Path(file).exists() else Model(name, Path(path), column)


def table_of_array(
    model: Model, truth: Table, id_column: str | None, classes: Sequence[str], outputs: Sequence[str]
) -> Table:
    """The array of a model as a table of its own: rows are those of the truth, in its order.

    Raises:
        InputError: If it has another number of rows, or other classes.
    """
    assert model.file is not None
    array = read_array(model.file, model.column or model.name, asked=bool(model.column))
    where, rows = str(model.file), truth.frame.height
    if array.ndim == 0 or len(array) != rows:
        what = f"the array has {len(array) if array.ndim else 0:,} rows, and the truth has {rows:,}"
        hint = f"save one prediction for each row of {truth.path.name}, in its order"
        raise InputError(what, where=where, hint=hint)
    columns = columns_of(model.name, array, classes, where, outputs)
    if id_column is not None:
        check_column(id_column, truth)
        columns = {id_column: truth.frame[id_column], **columns}
    return Table(model.file, pl.DataFrame(columns), made=True, ids=False)


def check_column(name: str, table: Table) -> None:
    """Refuse a column that a table has not.

    Raises:
        InputError: If it has none of this name.
    """
    if name not in table.frame.columns:
        where, hint = f"{table.path}: column {name}", near_miss(name, table.frame.columns, "its columns")
        raise InputError(f"the file has no column {name!r}", where=where, hint=hint)


def slug(text: str) -> str:
    """A name that studies and contenders may have."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return plain[:64] or "judged"


def truth_of(tables: Sequence[Table], group: str, targets: Sequence[str]) -> Table:
    """The file that says groups and targets: the first with all of these columns.

    Raises:
        InputError: If there is none.
    """
    for table in tables:
        if {group, *targets} <= set(table.frame.columns):
            return table
    if not tables:
        what = "no file says groups and targets: arrays are predictions alone"
        raise InputError(what, where="FILES", hint="name the table whose rows were predicted, in their order")
    first = tables[0]
    lacking = next(name for name in (group, *targets) if name not in first.frame.columns)
    raise InputError(
        f"no file has the columns {', '.join(map(repr, (group, *targets[:-1])))} and {targets[-1]!r}",
        where=f"{first.path}: column {lacking}",
        hint=near_miss(lacking, first.frame.columns, "its columns"),
    )


def said_by(model: Model, tables: Sequence[Table], option: str, outputs: Sequence[str] = ()) -> Said:
    """Where the predictions of a model stand.

    Of several targets it is a column ``NAME_TARGET`` for each. Of one it is a column; columns ``NAME_seed0``,
    ``NAME_seed1``, ...; columns ``NAME_p_CLASS``; or the column `prediction`, `y_pred` or `pred` of the model's file,
    which is ``NAME.*`` where nobody names one.

    Args:
        model: As the user says it.
        tables: The files; where the model names its file, that one.
        option: Which option said it, for a complaint.
        outputs: Names of several targets.

    Raises:
        InputError: If there is none, or several files have one.
    """
    name = model.name
    answers = (_of_outputs(model, table, outputs) if outputs else _said(model, table) for table in tables)
    found = [said for said in answers if said is not None]
    if len(found) > 1:
        raise InputError(
            f"{len(found)} files have predictions of {name!r}",
            where=f"{option}: {', '.join(str(each.table.path) for each in found)}",
            hint="rename the column in one of them",
        )
    if not found:
        known = [*dict.fromkeys(column for table in tables for column in table.frame.columns)]
        wanted = f"write columns {', '.join(f'{name}_{each}' for each in outputs)}; " if outputs else ""
        near = near_miss(model.column or name, known, "columns")
        hint = f"{wanted}{near}; name one: {option} {name}=FILE#COLUMN"
        raise InputError(f"no file has predictions of {name!r}", where=option, hint=hint)
    return found[0]


def _said(model: Model, table: Table) -> Said | None:
    if model.column is not None:
        found = _said(Model(model.column), table)
        return None if found is None else replace(found, name=model.name)
    name, columns = model.name, table.frame.columns
    classes = tuple(each for each in columns if each.startswith(f"{name}_p_"))
    if len(classes) > 1:
        return Said(name, table, (name,), (*classes, *([name] if name in columns else [])))
    if name in columns:
        return Said(name, table, (name,), (name,))
    seeds = [each for each in columns if re.fullmatch(re.escape(name) + r"_seed\d+(_p_.+)?", each)]
    if seeds:
        return _of_seeds(name, table, seeds)
    if model.file is not None or table.path.stem == name:
        own = tuple(each for each in columns if each.startswith("p_"))
        for plain in _PLAIN:
            if plain in columns or (plain == _PLAIN[0] and len(own) > 1):
                taken = (*own, plain) if plain == _PLAIN[0] else (plain,)
                return Said(name, table, (plain,), tuple(each for each in taken if each in columns))
    return None


def _of_outputs(model: Model, table: Table, outputs: Sequence[str]) -> Said | None:
    """A column for each of several targets, of the model or of each of its seeds."""
    if model.column is not None:
        found = _of_outputs(Model(model.column), table, outputs)
        return None if found is None else replace(found, name=model.name)
    name, columns = model.name, table.frame.columns
    seeds = {match[1] for each in columns if (match := re.match(f"({re.escape(name)}_seed\\d+)_", each))}
    plain = [each for each in _PLAIN if model.file is not None or table.path.stem == name]
    for stems in (
        [name],
        sorted(seeds, key=lambda stem: int(stem.rpartition("_seed")[2])),
        *([each] for each in plain),
    ):
        taken = tuple(f"{stem}_{output}" for stem in stems for output in outputs)
        if stems and {*taken} <= {*columns}:
            return Said(name, table, tuple(stems), taken)
    return None


def _of_seeds(name: str, table: Table, columns: list[str]) -> Said:
    """Columns of several seeds, by number; probabilities of a seed are of it.

    Raises:
        InputError: If two of them are one seed.
    """
    numbers: dict[int, str] = {}
    for column in columns:
        stem = column.partition("_p_")[0] if "_p_" in column.removeprefix(name) else column
        number = int(stem.rpartition("_seed")[2])
        if numbers.setdefault(number, stem) != stem:
            what = f"{numbers[number]!r} and {stem!r} are one seed"
            raise InputError(what, where=f"{table.path}: column {column}", hint="number seeds without leading zeros")
    return Said(name, table, tuple(numbers[number] for number in sorted(numbers)), tuple(columns))
