"""``heldout units``: which unit each column of a file has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def units(
    path: Annotated[Path, typer.Argument(help="A file that the reader unit_tsv reads.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show columns and units. What it needs is imported here: `heldout --help` imports none of it."""
    from heldout_example.units import read_units

    found, _ = read_units(path)
    if as_json:
        typer.echo(json.dumps(found, sort_keys=True))
        return
    for name, unit in found.items():
        typer.echo(f"{name:<24} {unit or 'no number'}")
