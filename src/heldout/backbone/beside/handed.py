"""The tables that a command is handed, and the one that it hands back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from heldout.backbone.beside.running import CommandError
from heldout.backbone.given import GivenBackbone, GivenParams
from heldout.backbone.protocol import ClassScores, FloatArray
from heldout.corpus import TargetKind, TrainView
from heldout.errors import HeldoutError

_ROW = "row"
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


def with_target(view: TrainView, features: pl.DataFrame) -> pl.DataFrame:
    """Rows to learn from: features and target, as the corpus calls them; labels that are numbers stay numbers."""
    target = pl.Series(view.target_name, view.target)
    if target.dtype == pl.String and all(_WHOLE.fullmatch(each) for each in target.unique().to_list()):
        target = target.cast(pl.Int64)
    return features.with_columns(target)


def write(frame: pl.DataFrame, path: Path) -> str:
    """Write a table in the form that its name says; the path as text."""
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)
    return str(path)


def read_answers(path: Path, rows: int, task: TargetKind, classes: Sequence[str] | None) -> FloatArray | ClassScores:
    """What a command answered: numbers in ``prediction``, labels there, or probabilities in ``p_CLASS``.

    Args:
        path: The table, in the format of the predictions that are judged (docs/judge.md).
        rows: That were asked.
        task: Kind of target.
        classes: Labels, where ``prediction`` is the probability of the second.

    Raises:
        CommandError: If it is not there, has other rows, or holds something else.
    """
    if path.is_symlink() or not path.is_file():
        hint = "write a table at the place that {predictions} stands for"
        raise _refused("the command `predict` ended well and wrote no predictions", hint)
    reader = GivenBackbone(GivenParams(model=path, classes=None if classes is None else [*classes]), path)
    try:
        frame = reader.load(path)
        if frame.height != rows:
            what = f"the command `predict` wrote {frame.height} predictions for {rows} rows"
            raise _refused(what, "write one for each row of {features}, in its order")
        return reader.answers(_in_order(frame), 0, task)
    except CommandError:
        raise
    except HeldoutError as error:
        raise _refused(f"what the command `predict` wrote cannot be judged: {error.what}", error.hint or "") from None


def _refused(what: str, hint: str) -> CommandError:
    return CommandError(what, where="fit.predict", hint=hint)


def _in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows as they were asked: in order, or by their number where a column `row` says it."""
    if _ROW not in frame.columns:
        return frame
    numbers = frame[_ROW].cast(pl.Int64, strict=False)
    if sorted(numbers.fill_null(-1).to_list()) != list(range(frame.height)):
        what = f"the column `{_ROW}` of the predictions does not number the rows 0 to {frame.height - 1}, each once"
        raise _refused(what, "number the rows of {features} from 0, or leave the column out")
    return frame.with_columns(numbers).sort(_ROW)
