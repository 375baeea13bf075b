"""The files of a table as one: each has the columns of the first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import polars as pl

from heldout.errors import CorpusError


def joined(parts: Mapping[Path, pl.DataFrame], names: Collection[str]) -> pl.DataFrame:
    """All rows, file after file.

    Args:
        parts: The table in each file.
        names: Columns of names: they are text where one file has numbers there, and another has not.

    Raises:
        CorpusError: If a file has other columns than the first, or a column of it is of another kind.
    """
    first, whole = next(iter(parts.items()))
    found = []
    for path, frame in parts.items():
        lacking = [name for name in whole.columns if name not in frame.columns]
        more = [name for name in frame.columns if name not in whole.columns]
        if lacking or more:
            what = f"has no column {lacking[0]!r}" if lacking else f"has a column {more[0]!r} of its own"
            raise CorpusError(
                f"{path.name} {what}, unlike {first.name}",
                where=str(path),
                hint="write all files with the same columns",
            )
        empty = [name for name in whole.columns if frame[name].null_count() == frame.height]
        found.append(frame.select(whole.columns).with_columns(pl.col(empty).cast(pl.Null)))
    for name in whole.columns:
        kinds = {path: frame.schema[name] for path, frame in zip(parts, found, strict=True)}
        if name in names and len({each for each in kinds.values() if each != pl.Null}) > 1:
            found = [frame.with_columns(pl.col(name).cast(pl.String)) for frame in found]
            continue
        usual = next((kind for kind in kinds.values() if kind != pl.Null), pl.Null())
        for path, kind in kinds.items():
            if kind not in (usual, pl.Null) and not (kind.is_numeric() and usual.is_numeric()):
                raise CorpusError(
                    f"the column {name!r} holds {kind}, and {usual} in {first.name}",
                    where=f"{path}: column {name}",
                    hint=f"write it alike in all files, or declare it: `columns: {{{name}: category}}` in `corpus:`",
                )
    return pl.concat(found, how="vertical_relaxed")
