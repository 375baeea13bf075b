"""``heldout leaderboard``: is a challenger better than the champion, on dates that neither had trained on?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heldout.cli.printing import print_json
from heldout.cli.registry_options import Json, Place, Serving

_HERE = "registry"


def leaderboard(
    runs: Annotated[list[Path] | None, typer.Argument(help="Finished runs over one price panel.")] = None,
    panel: Annotated[Path | None, typer.Option(help="The panel's file, with the outcomes.")] = None,
    slot: Annotated[str | None, typer.Option(help="Instead of runs: a slot's champion and its challengers.")] = None,
    shadow: Annotated[
        Path | None, typer.Option(help="Folder of shadow records: judge what they predicted live.")
    ] = None,
    champion: Annotated[str | None, typer.Option(help="The arm that serves; `base` by default.")] = None,
    effect: Annotated[float, typer.Option(help="Smallest lead in rank IC that is worth a switch.")] = 0.02,
    alpha: Annotated[float, typer.Option(help="Level, shared by all challengers ever tried.")] = 0.05,
    window: Annotated[int | None, typer.Option(min=1, help="Dates to look back over; all by default.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Names that the frozen policy holds.")] = 5,
    volume: Annotated[str | None, typer.Option(help="Column of volumes, for the impact of trading.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the page to this file.")] = None,
    place: Place = _HERE,
    serving: Serving = None,
    as_json: Json = False,
) -> int:
    """Rank arms by paired outcomes. Exit 0: a challenger is better; 1: the champion stays, and the board says why."""
    from heldout.domains.market.board.board import Terms
    from heldout.domains.market.board.contest import contest
    from heldout.evidence import write_page
    from heldout.evidence.overwriting import refuse_overwriting
    from heldout.report.leaderboard import leaderboard_html, print_leaderboard

    if html is not None:
        refuse_overwriting(html, "page", b"<!doctype html>", start=True)
    terms = Terms.declared(effect=effect, alpha=alpha, window=window, top=top)
    document = contest(
        runs or [],
        panel,
        slot=slot,
        shadow=shadow,
        champion=champion,
        terms=terms,
        volume=volume,
        registry=place,
        serving=serving,
    )
    if html is not None:
        write_page(html, leaderboard_html(document))
    if as_json:
        print_json(document)
    else:
        print_leaderboard(document)
        typer.echo(f"page     {html}" if html else "with --html FILE: plots, vetoes and every reason")
    return 0 if document["decision"]["switch_to"] is not None else 1
