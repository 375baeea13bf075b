"""``heldout judge``: a verdict over predictions that exist."""

from __future__ import annotations

from pathlib import Path

import typer

from heldout.cli.printing import RunPrinter, print_json, resumable


def judge(
    files: list[Path] = typer.Argument(
        None, show_default=False, help="Files of truth and predictions: tables, or logs of evaluations."
    ),
    group: str = typer.Option(..., help="Column that must never straddle training and test."),
    target: list[str] = typer.Option(
        [], help="Column of the truth, said once for each target; logs of evaluations have their own."
    ),
    prediction: str = typer.Option(
        ..., help="The model that is judged: a column, NAME of NAME_p_CLASS or NAME_TARGET, or NAME=FILE."
    ),
    against: str | None = typer.Option(None, help="The model that it shall replace, named in the same way."),
    metric: list[str] = typer.Option([], help="A metric; the first one decides where there are no rules."),
    rules: Path | None = typer.Option(None, help="A study file whose `gate.rules` judge."),
    id_column: str | None = typer.Option(None, "--id", help="Column of sample ids; needed for several files."),
    weight: str | None = typer.Option(None, help="Column of weights: how much a row counts."),
    task: str | None = typer.Option(None, help="regression or classification; by the target's values by default."),
    held_out: str | None = typer.Option(None, help="How it is known that the model never saw these groups."),
    trained_on: Path | None = typer.Option(None, help="Or: the corpus.json of what it was trained on."),
    ledger: Path | None = typer.Option(None, help="Folder of runs and looks; heldout-runs beside the first file."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> int:
    """Judge predictions from elsewhere on groups that their model never saw: PROMOTE (exit 0) or HOLD (exit 1)."""
    with resumable():
        from heldout.predicted.judge import judge_files
        from heldout.predicted.study import Question

        question = Question(
            files or [],
            group,
            target,
            prediction,
            against,
            metric,
            rules,
            id_column,
            weight,
            task,
            held_out,
            trained_on,
        )
        found = judge_files(question, ledger)
    if as_json:
        print_json({**found.document, "run": str(found.folder), "report": str(found.report)})
    else:
        with RunPrinter(quiet=True) as printer:
            printer.verdict(found.document, found.folder)
        print(f"ledger   {found.folder.parent}: every look at these groups is counted there")
    return 0 if found.verdict == "PROMOTE" else 1
