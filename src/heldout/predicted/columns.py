"""Arrays as columns of one table, and that table as a file for whoever verifies."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.errors import InputError
from heldout.evidence import sha256_bytes, write_bytes
from heldout.study.spec import SLUG

_TWO = 2


def check_name(name: str) -> None:
    """Refuse what a study cannot be called.

    Raises:
        InputError: If it is no such name.
    """
    if not re.fullmatch(SLUG, name):
        raise InputError(f"{name!r} is no name of a study", where="name", hint="use small letters, digits, - and _")


def column(values: Any, name: str) -> pl.Series:
    """One value a row, of numpy, pandas, polars, Arrow or a list; what is masked is missing.

    Raises:
        InputError: If it is something else.
    """
    try:
        if isinstance(values, pl.Series):
            found = values.rename("")
        elif isinstance(values, np.ma.MaskedArray):
            found = pl.Series(values.tolist())
        elif hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__"):
            try:
                found = pl.Series(values)
            except ImportError:  # pandas offers Arrow, and needs another package for it
                found = _of_array(np.asarray(values))
        else:
            found = _of_array(np.asarray(values))
        if found.dtype == pl.Object or found.dtype.is_nested():
            raise TypeError(f"{found.dtype}, not one value a row")
        return found
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{name!r} is no column: {said}", where=name, hint="give one value a sample") from None


def targets(y: Any, one: str) -> dict[str, pl.Series]:
    """The targets by name: one under the given name, or several as ``y`` names its columns, else ``y0``, ``y1``, ...

    Raises:
        InputError: If two have one name, or one is no column.
    """
    if isinstance(y, pl.LazyFrame):
        y = y.collect()
    named = hasattr(y, "columns")
    if named and hasattr(y, "__arrow_c_stream__") and not hasattr(y, "iloc"):
        y = pl.DataFrame(y)
    array = None if named or isinstance(y, pl.Series) else _two_dimensions(y)
    if array is None and not named:
        return {one: column(y, "y")}
    names = [str(each) for each in y.columns] if array is None else [f"y{number}" for number in range(array.shape[1])]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or not names:
        what = "y has no columns" if twice is None else f"y has two columns {twice!r}"
        raise InputError(what, where="y", hint="give each target a column with a name of its own")
    columns = [y[each] for each in y.columns] if array is None else list(array.T)
    found = {name: column(values, f"y: {name}") for name, values in zip(names, columns, strict=True)}
    return found if len(found) > 1 else {one: next(iter(found.values()))}


def columns_of(
    model: str, values: Any, labels: Sequence[str], where: str, outputs: Sequence[str] = ()
) -> dict[str, pl.Series]:
    """The columns of a model's predictions, by name.

    Args:
        model: Its name.
        values: Numbers or labels ``[rows]``, the probability of the second of two classes ``[rows]``, probabilities
            ``[rows, classes]``, numbers ``[rows, outputs]``, or a mapping of seed to such an array.
        labels: Of the columns of probabilities; none of numbers.
        where: Who said it, for a complaint.
        outputs: Names of several targets.

    Raises:
        InputError: If they are something else.
    """
    if isinstance(values, Mapping):
        if not all(isinstance(seed, int) and seed >= 0 for seed in values) or not values:
            raise InputError("seeds are no numbers from 0 on", where=where, hint="write {0: p0, 1: p1}")
        return {
            key: one
            for seed in sorted(values)
            for key, one in columns_of(f"{model}_seed{seed}", values[seed], labels, where, outputs).items()
        }
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of several lengths
        raise InputError(f"{model!r} is no column: {error}", where=where, hint="give one value a sample") from None
    if outputs:
        return _of_outputs(model, values, array, outputs, where)
    if array.ndim <= 1 or array.shape[1:] == (1,):
        found = column(values if array.ndim <= 1 else array, model)
        if len(labels) == 2 and found.dtype.is_float():
            return {f"{model}_p_{labels[0]}": 1.0 - found, f"{model}_p_{labels[1]}": found}
        return {model: found}
    names = [str(each) for each in values.columns] if hasattr(values, "columns") else list(labels)
    plain = [str(number) for number in range(len(labels))], [f"column_{number}" for number in range(len(labels))]
    if array.ndim != 2 or array.shape[1] != len(labels):
        raise InputError(
            f"predictions of {model!r} have the shape {list(array.shape)}, and there are {len(labels)} classes",
            where=where,
            hint="give one column a class, in the order of `classes`",
        )
    if sorted(names) != sorted(labels) and names not in plain:
        hint = "name the columns as the classes, or give an array"
        raise InputError(f"the columns {names} are not the classes {list(labels)}", where=where, hint=hint)
    ordered = names if sorted(names) == sorted(labels) else list(labels)
    return {f"{model}_p_{label}": column(array[:, code], model) for code, label in enumerate(ordered)}


def _of_outputs(
    model: str, values: Any, array: NDArray[Any], outputs: Sequence[str], where: str
) -> dict[str, pl.Series]:
    """A column for each of several targets.

    Raises:
        InputError: If there are more or fewer, or they are named otherwise.
    """
    names = [str(each) for each in values.columns] if hasattr(values, "columns") else list(outputs)
    if array.ndim != 2 or array.shape[1] != len(outputs) or sorted(names) != sorted(outputs):
        raise InputError(
            f"predictions of {model!r} have the shape {list(array.shape)}, and the targets are {', '.join(outputs)}",
            where=where,
            hint="give one column a target, in the order of `y`, or named as there",
        )
    return {f"{model}_{name}": column(array[:, names.index(name)], model) for name in outputs}


def _two_dimensions(y: Any) -> NDArray[Any] | None:
    """Several columns of an array or a list of rows; None of anything else."""
    try:
        array = np.asanyarray(y)
    except ValueError:  # rows of several lengths
        return None
    return array if array.ndim == _TWO and array.shape[1] > 1 else None


def _of_array(array: NDArray[Any]) -> pl.Series:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise TypeError(f"{array.ndim} dimensions")
    if array.dtype != object:
        return pl.Series(array)
    return pl.Series([None if _is_gap(each) else each for each in array.tolist()])


def _is_gap(value: object) -> bool:
    """Whether an object of a pandas column stands for nothing."""
    return type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and np.isnan(value))


def make_ledger(folder: Path) -> None:
    """Make the folder of runs.

    Raises:
        InputError: If something else lies there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        what = "the ledger is a file, and should be a folder of runs"
        raise InputError(what, where=str(folder), hint="name a folder") from None


def kept(table: pl.DataFrame, folder: Path, name: str) -> Path:
    """The table as a file that is named by its content: no later call writes over what was judged."""
    make_ledger(folder)
    buffer = io.BytesIO()
    try:
        table.write_parquet(buffer)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        said = str(error).splitlines()[0]
        raise InputError(
            f"the columns are no table: {said}", where="predictions", hint="give numbers or text"
        ) from None
    path = folder / f"{name}-{sha256_bytes(buffer.getvalue())[:12]}.parquet"
    write_bytes(path, buffer.getvalue())
    return path
