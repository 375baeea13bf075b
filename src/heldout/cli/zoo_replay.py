"""``heldout zoo replay``: history re-lived, to see what each rule would have served."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from heldout.cli.printing import print_json, resumable
from heldout.cli.registry_options import Json


def replay(
    study: Annotated[Path, typer.Option("--study", help="A study over a price panel.")] = Path("study.yaml"),
    first: Annotated[int, typer.Option(help="First year.")] = 1997,
    last: Annotated[int, typer.Option(help="Last year.")] = 2021,
    months: Annotated[int, typer.Option(help="Length of a vintage: 1, 3, 6 or 12.")] = 12,
    noise: Annotated[int, typer.Option(min=2, help="Arms of random numbers.")] = 2,
    effect: Annotated[float, typer.Option(help="Smallest lead in rank IC that is worth a switch.")] = 0.02,
    out: Annotated[Path, typer.Option("--out", help="Folder of fitted vintages, replay.json and replay.html.")] = Path(
        "replay"
    ),
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a processor by default.")] = None,
    as_json: Json = False,
) -> None:
    """Re-live history vintage by vintage with what was known then: fresh best, never switch, supported lead."""
    with resumable():
        from heldout.domains.market.replay.replay import Plan, replay
        from heldout.report.leaderboard_replay import print_replay, write_replay

        plan = Plan(first, last, months, noise, effect=effect)
        listener = None if as_json else _progress
        document = replay(study, plan, out / "vintages", workers=workers, listener=listener)
    page = write_replay(out, document)
    if as_json:
        print_json(document)
    else:
        print_replay(document)
        typer.echo(f"page     {page}")


def _progress(name: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done:>5} of {total}  {name:<40}", end=end, file=sys.stderr, flush=True)
