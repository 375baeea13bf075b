"""``heldout shadow``: challengers predict beside the champion, and nothing that they do can reach it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heldout.cli.printing import print_json, resumable
from heldout.cli.registry_options import Json, Place, Serving

if TYPE_CHECKING:
    from heldout.shadow import ShadowRun
    from heldout.shadow.batch import Card
    from heldout.shadow.runner import Result
    from heldout.zoo.process import Limits

app = typer.Typer(help="Challengers beside the champion, on the same inputs.", no_args_is_help=True)

Slot = Annotated[str | None, typer.Option("--slot", help="The slot; needed where there are several.")]
Store = Annotated[Path, typer.Option("--store", envvar="HELDOUT_SHADOW", help="Folder of batches and predictions.")]
Seconds = Annotated[float, typer.Option(help="Time that each challenger may take.")]
Memory = Annotated[int | None, typer.Option("--memory-mb", min=64, help="Memory that each challenger may take.")]
_HERE, _STORE, _SECONDS = "registry", Path("shadow"), 600.0


@app.command()
def run(
    batch: Annotated[Path, typer.Option("--batch", help="Inputs: rows of features, or what the reader reads.")],
    slot: Slot = None,
    since: Annotated[str | None, typer.Option(help="First time to predict.")] = None,
    until: Annotated[str | None, typer.Option(help="Last time to predict.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the batch; the file's and the times by default.")] = None,
    arms: Annotated[int | None, typer.Option(min=1, help="Places for challengers; one for each by default.")] = None,
    seconds: Seconds = _SECONDS,
    memory_mb: Memory = None,
    store: Store = _STORE,
    place: Place = _HERE,
    serving: Serving = None,
    as_json: Json = False,
) -> int:
    """Let the champion predict, then every live challenger in its own fence; exit 5 if a challenger failed."""
    from heldout.registry import Registry
    from heldout.shadow import ShadowStore, run_shadow, served_slot

    listener = None if as_json else _line
    with resumable(), Registry(place, serving=serving) as registry:
        where = ShadowStore(store, slot or served_slot(registry))
        options = {"since": since, "until": until, "name": name}
        limits = _limits(seconds, memory_mb)
        found = run_shadow(registry, where, batch, **options, limits=limits, arms=arms, listener=listener)
    return _told(found, as_json=as_json)


@app.command()
def backfill(
    slot: Slot = None,
    batch: Annotated[list[str] | None, typer.Option("--batch", help="Name of a batch; all by default.")] = None,
    since: Annotated[str | None, typer.Option(help="Only batches that came then (UTC) or later.")] = None,
    seconds: Seconds = _SECONDS,
    memory_mb: Memory = None,
    store: Store = _STORE,
    place: Place = _HERE,
    serving: Serving = None,
    as_json: Json = False,
) -> int:
    """Let challengers that came late predict stored batches; what they had learnt from is not scored."""
    from heldout.registry import Registry
    from heldout.shadow import ShadowStore, served_slot
    from heldout.shadow import backfill as fill

    listener = None if as_json else _line
    with resumable(), Registry(place, serving=serving) as registry:
        where, limits = ShadowStore(store, slot or served_slot(registry)), _limits(seconds, memory_mb)
        found = fill(registry, where, since=since, names=batch, limits=limits, listener=listener)
    return _told(found, as_json=as_json)


@app.command()
def join(
    outcomes: Annotated[Path, typer.Option("--outcomes", help="Columns sample_id, outcome, available_at.")],
    slot: Slot = None,
    as_of: Annotated[str | None, typer.Option(help="As if it were then (ISO 8601, UTC); now by default.")] = None,
    store: Store = _STORE,
    as_json: Json = False,
) -> None:
    """Join the outcomes that are known by now to what was predicted."""
    from heldout.errors import InputError
    from heldout.shadow import ShadowStore, join_outcomes, stored_slot
    from heldout.shadow.times import parse_utc

    try:
        now = parse_utc(as_of) if as_of else dt.datetime.now(dt.UTC)
    except ValueError:
        raise InputError(f"{as_of!r} is no time", where="--as-of", hint="write 2026-01-31") from None
    found = join_outcomes(ShadowStore(store, slot or stored_slot(store)), outcomes, now=now)
    if as_json:
        print_json(found.to_json())
        return
    typer.echo(f"{found.added} outcomes added, {found.not_yet} not available yet")
    typer.echo(f"{found.matured} predictions matured, {found.waiting} wait, {found.in_sample} were learnt from")
    if found.known:
        typer.echo(f"{found.known} predictions were made after their outcome was known: they are not scored")


@app.command("list")
def list_(slot: Slot = None, store: Store = _STORE, as_json: Json = False) -> None:
    """Every batch, and who predicted it."""
    from heldout.shadow import ShadowStore, stored_slot

    where = ShadowStore(store, slot or stored_slot(store))
    cards: dict[str, list[Card]] = {}
    for stored, card in where.cards():
        cards.setdefault(stored.batch.name, []).append(card)
    if as_json:
        batches = [
            stored.batch.to_json()
            | {"at_utc": stored.at_utc, "served": stored.served, "predictions": cards.get(stored.batch.name, [])}
            for stored in where.batches()
        ]
        print_json({"schema": "heldout.shadow-batches/1", "slot": where.slot, "batches": batches})
        return
    for stored in where.batches():
        typer.echo(f"{stored.batch.name:<24}  {stored.at_utc}  served by {stored.served}")
        for card in cards.get(stored.batch.name, []):
            late = "  late" if card["late"] else ""
            typer.echo(f"  {card['version']:<40}  {card['rows']} rows, {card['in_sample']} learnt from{late}")


def _limits(seconds: float, memory_mb: int | None) -> Limits:
    from heldout.zoo.process import Limits

    return Limits(seconds, memory_mb)


def _line(result: Result) -> None:
    told = result.reason or f"{result.rows} rows"
    typer.echo(f"{result.role:<10}  {result.version:<40}  {result.state:<13}  {told}")


def _told(found: ShadowRun, *, as_json: bool) -> int:
    if as_json:
        print_json(found.to_json())
    return found.exit_code
