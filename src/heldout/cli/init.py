"""``heldout init``: a commented study from a table's header."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from heldout.aside import words_aside
from heldout.cli.printing import print_json

if TYPE_CHECKING:
    from heldout.run.begin.choices import Task


def init(
    table: Path = typer.Argument(help="A .parquet, .csv, .tsv, .jsonl, .json or .arrow table."),
    group: str = typer.Option(..., help="Column that must never straddle training and test."),
    target: list[str] = typer.Option(..., help="Column to predict; said several times: all of them at once."),
    weight: str | None = typer.Option(None, help="Column of weights: how much a row counts in fits and metrics."),
    out: Path = typer.Option(Path("study.yaml"), help="Where to write the study."),
    estimator: str | None = typer.Option(None, help="Import path of a scikit-learn estimator."),
    task: str | None = typer.Option(
        None, help="regression or classification; by the estimator or the target if unsaid."
    ),
    ignore: list[str] = typer.Option([], help="Column that is no feature; may be said several times."),
    id: str | None = typer.Option(None, "--id", help="Column of unique sample ids."),  # noqa: A002 - the option's name
    time: str | None = typer.Option(
        None, help="Column of times: no feature; groups in time are predicted from before."
    ),
    factory: str | None = typer.Option(None, help="A class or function beside the study, such as model.py:make."),
    train: str | None = typer.Option(None, help="Command that fits, such as 'python train.py {train} {model}'."),
    predict: str | None = typer.Option(None, help="Command that answers: {model} {features} {predictions}."),
    force: bool = typer.Option(False, "--force", help="Replace an existing study."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Write a study for a table: split by group, a scikit-learn estimator, a first gate."""
    from heldout.errors import InputError
    from heldout.run.begin.choices import Asked
    from heldout.run.begin.starter import write_starter

    if task not in (None, "regression", "classification"):
        raise InputError(f"there is no task {task!r}", where="--task", hint="regression or classification")
    own = {key: value for key, value in (("factory", factory), ("train", train), ("predict", predict)) if value}
    asked = Asked(group, target, weight, estimator, cast("Task | None", task), tuple(ignore), id, time, own)
    with words_aside():
        found = write_starter(table, out, asked, force=force)
    if as_json:
        print_json({"schema": "heldout.init/1", "study": str(out), "chosen": list(found.said)})
        return
    for sentence in found.said:
        typer.echo(f"  {sentence}")
    typer.echo(f"wrote {out}: read it, then\n  heldout run {out}")
