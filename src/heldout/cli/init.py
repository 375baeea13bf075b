"""``heldout init``: a commented study from a table's header."""

from __future__ import annotations

from pathlib import Path

import typer

from heldout.cli.printing import print_json


def init(
    table: Path = typer.Argument(help="A .parquet, .csv or .jsonl table."),
    group: str = typer.Option(..., help="Column that must never straddle training and test."),
    target: str = typer.Option(..., help="Column to predict."),
    out: Path = typer.Option(Path("study.yaml"), help="Where to write the study."),
    estimator: str | None = typer.Option(None, help="Import path of a scikit-learn estimator."),
    force: bool = typer.Option(False, "--force", help="Replace an existing study."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Write a study for a table: split by group, a scikit-learn estimator, a first gate."""
    from heldout.run.starter import write_starter

    write_starter(table, out, group=group, target=target, estimator=estimator, force=force)
    if as_json:
        print_json({"schema": "heldout.init/1", "study": str(out)})
        return
    typer.echo(f"wrote {out}: read it, then\n  heldout run {out}")
