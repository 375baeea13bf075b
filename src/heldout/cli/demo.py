"""``heldout demo``: a domain shown from end to end, on data that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

import typer

from heldout.cli.printing import print_json, resumable
from heldout.cli.registry_options import Json
from heldout.errors import InputError

app = typer.Typer(help="A domain shown from end to end, on data that is there.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep the name of a command even where there is one only."""


@app.command()
def market(
    out: Annotated[Path, typer.Option("--out", help="A folder of its own.")] = Path("demo-market"),
    panel: Annotated[str, typer.Option("--panel", help="skfolio (20 US stocks) or generated.")] = "skfolio",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes of one training.")] = None,
    as_json: Json = False,
) -> None:
    """Train five variants as challengers, shadow them for two years, decide, promote, roll back. Minutes."""
    with resumable():
        from heldout.domains.market.demo.demo import demo_market
        from heldout.domains.market.demo.panel import Kind
        from heldout.report.leaderboard import print_leaderboard

        if panel not in get_args(Kind):
            raise InputError(f"there is no panel {panel!r}", where="--panel", hint="write skfolio or generated")
        say = _silent if as_json else typer.echo
        document = demo_market(out, cast("Kind", panel), workers=workers, say=say)
    if as_json:
        print_json(document)
    else:
        typer.echo("")
        print_leaderboard(document["board"])
        typer.echo(f"page     {document['page']}")


@app.command()
def embodied(
    out: Annotated[Path, typer.Option("--out", help="A folder of its own.")] = Path("demo-embodied"),
    study: Annotated[Path | None, typer.Option("--study", help="A changed copy of the shipped study.")] = None,
    small: Annotated[bool, typer.Option("--small", help="The numbers of its block `small`: minutes.")] = False,
    tasks: Annotated[int | None, typer.Option(min=1, help="The first N tasks.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Episodes of each task.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Most steps of the first stage, LoRA and the policy.")
    ] = None,
    variant: Annotated[list[str] | None, typer.Option("--variant", help="Only this one; repeat.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a processor, up to four.")] = None,
    as_json: Json = False,
) -> int:
    """Three backbones on simulated episodes, from physics to packages. All PROMOTE exits 0, else 1. Resumes."""
    with resumable():
        from heldout.domains.embodied.demo.demo import demo_embodied
        from heldout.domains.embodied.demo.rows import lines
        from heldout.domains.embodied.demo.study import load_demo_study, shortcuts

        chosen = load_demo_study(study, small=small, sets=shortcuts(tasks, seeds, steps))
        say = _silent if as_json else typer.echo
        document = demo_embodied(out, chosen, variants=variant or [], workers=workers, say=say)
    if as_json:
        print_json(document)
    else:
        typer.echo("")
        for line in lines(document):
            typer.echo(line)
    return 0 if document["promote"] else 1


def _silent(line: str) -> None:
    pass
