"""``heldout gate``: judge a folder of seed files that someone else reported."""

from __future__ import annotations

from pathlib import Path

import typer

from heldout.cli.printing import print_json, print_verdict
from heldout.errors import InputError


def gate(
    folder: Path = typer.Argument(help="A run directory, or with --reported a folder of loso_seed{N}.json."),
    reported: bool = typer.Option(False, "--reported", help="Judge the reports as they are, cross-checked."),
    seeds: str = typer.Option("0,1,2,3,4", help="Seeds that must be there (with --reported)."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> int:
    """Show the verdict of a run, or judge reported seed files. PROMOTE exits 0, HOLD exits 1."""
    if reported:
        from heldout.domains.video.reported import judge_reported, write_reported

        document = judge_reported(folder, seeds=_seeds(seeds))
        write_reported(folder, document)
    else:
        from heldout.run import Run

        document = dict(Run(folder).document)
    print_json(document) if as_json else print_verdict(document)
    return 0 if document["verdict"] == "PROMOTE" else 1


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{text!r} is no list of seeds", where="--seeds", hint="write --seeds 0,1,2,3,4") from None
