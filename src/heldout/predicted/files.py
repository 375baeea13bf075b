"""Files of predictions: which of them holds the truth, and where a model's predictions stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from heldout.corpus.files import read_table
from heldout.errors import InputError, near_miss

_PLAIN = ("prediction", "y_pred", "pred")  # the one column of a file that is named after its model


@dataclass(frozen=True)
class Table:
    """A file, read.

    Attributes:
        path: Where it lies.
        frame: All of it.
    """

    path: Path
    frame: pl.DataFrame


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
    return [Table(path, read_table(path, texts=[id_column] if id_column else [])) for path in paths]


def truth_of(tables: Sequence[Table], group: str, targets: Sequence[str]) -> Table:
    """The file that says groups and targets: the first with all of these columns.

    Raises:
        InputError: If there is none.
    """
    for table in tables:
        if {group, *targets} <= set(table.frame.columns):
            return table
    first = tables[0]
    lacking = next(name for name in (group, *targets) if name not in first.frame.columns)
    raise InputError(
        f"no file has the columns {', '.join(map(repr, (group, *targets[:-1])))} and {targets[-1]!r}",
        where=f"{first.path}: column {lacking}",
        hint=near_miss(lacking, first.frame.columns, "its columns"),
    )


def said_by(name: str, tables: Sequence[Table], option: str, outputs: Sequence[str] = ()) -> Said:
    """Where the predictions of a model of this name stand.

    Of several targets it is a column ``NAME_TARGET`` for each. Of one it is a column; columns ``NAME_seed0``,
    ``NAME_seed1``, ...; columns ``NAME_p_CLASS``; or the column `prediction`, `y_pred` or `pred` of the file
    ``NAME.*``.

    Args:
        name: As the user says it.
        tables: The files.
        option: Which option said it, for a complaint.
        outputs: Names of several targets.

    Raises:
        InputError: If there is none, or several files have one.
    """
    answers = (_of_outputs(name, table, outputs) if outputs else _said(name, table) for table in tables)
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
        hint = wanted + near_miss(name, known, "columns")
        raise InputError(f"no file has predictions of {name!r}", where=option, hint=hint)
    return found[0]


def _said(name: str, table: Table) -> Said | None:
    columns = table.frame.columns
    classes = tuple(each for each in columns if each.startswith(f"{name}_p_"))
    if len(classes) > 1:
        return Said(name, table, (name,), (*classes, *([name] if name in columns else [])))
    if name in columns:
        return Said(name, table, (name,), (name,))
    seeds = [each for each in columns if re.fullmatch(re.escape(name) + r"_seed\d+(_p_.+)?", each)]
    if seeds:
        return _of_seeds(name, table, seeds)
    if table.path.stem == name:
        own = tuple(each for each in columns if each.startswith("p_"))
        for plain in _PLAIN:
            if plain in columns or (plain == _PLAIN[0] and len(own) > 1):
                taken = (*own, plain) if plain == _PLAIN[0] else (plain,)
                return Said(name, table, (plain,), tuple(each for each in taken if each in columns))
    return None


def _of_outputs(name: str, table: Table, outputs: Sequence[str]) -> Said | None:
    """A column for each of several targets, of the model or of each of its seeds."""
    columns = table.frame.columns
    seeds = {match[1] for each in columns if (match := re.match(f"({re.escape(name)}_seed\\d+)_", each))}
    plain = [each for each in _PLAIN if table.path.stem == name]
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
