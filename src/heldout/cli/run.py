"""``heldout run``: the whole road, for one variant."""

from __future__ import annotations

from pathlib import Path

import typer

from heldout.cli.printing import RunPrinter, print_json, resumable


def run(
    study: Path = typer.Argument(help="The study file."),
    variant: str = typer.Option("base", help="Id of a declared variant; `base` is the study itself."),
    sets: list[str] = typer.Option([], "--set", help="Override, such as fit.epochs=5. Makes a smoke run."),
    runs: Path | None = typer.Option(None, help="Folder of run directories; the study's own by default."),
    workers: int | None = typer.Option(None, min=1, help="Processes; one a processor by default."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Read, split, guard and plan; fit nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Print the verdict only."),
) -> int:
    """Train, score on held-out groups, and decide PROMOTE (exit 0) or HOLD (exit 1). Goes on where it was stopped."""
    with resumable():
        from heldout.api import Study
        from heldout.run import Run
        from heldout.run.execute import execute

        prepared = Study.load(study, sets).prepare(variant, runs=runs)
        if dry_run:
            from heldout.run.planning import run_plan

            print_json(run_plan(prepared))
            return 0
        with RunPrinter(quiet=quiet or as_json) as printer:
            execute(prepared, workers=workers, listener=printer.event)
    found = Run(prepared.folder.path)
    if as_json:
        print_json({**found.document, "run": str(found.folder), "report": str(found.report)})
    else:
        printer.verdict(found.document, found.folder)
    return 0 if found.verdict == "PROMOTE" else 1
