"""What somebody has in memory as columns of one table, and that table as a file for whoever verifies."""

from __future__ import annotations

import io
import re
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


def kept(table: pl.DataFrame, folder: Path, name: str) -> Path:
    """The table as a file that is named by its content: no later call writes over what was judged."""
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
