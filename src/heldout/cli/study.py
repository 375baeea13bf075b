"""``heldout study``: the schema of a study file, and a study with every default filled in."""

from __future__ import annotations

from pathlib import Path

import typer

from heldout.cli.printing import print_json

app = typer.Typer(help="The study file: its schema, and what it resolves to.", no_args_is_help=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of study.yaml, for editors."""
    from heldout.study.schema import study_schema

    print_json(study_schema())


@app.command()
def show(
    study: Path = typer.Argument(help="The study file."),
    variant: str = typer.Option("base", help="Id of a declared variant."),
    sets: list[str] = typer.Option([], "--set", help="Override, such as fit.epochs=5."),
) -> None:
    """Print the resolved configuration of a variant and its digest."""
    from heldout.api import Study

    resolved = Study.load(study, sets).resolve(variant)
    print_json({"sha256": resolved.sha256, "config": dict(resolved.config)})
