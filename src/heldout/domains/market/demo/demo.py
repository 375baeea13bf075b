"""``heldout demo market``: five variants trained as challengers, two years of shadow, a board, a promotion, a rollback.

Nothing here is staged. Whether a variant clears its gate, and whether a challenger is better, is what the panel says; a
promotion against that is an override with its reason on record, as it would be for anybody else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import polars as pl

from heldout.domains.market.board.board import Terms
from heldout.domains.market.board.contest import contest
from heldout.domains.market.demo.panel import Kind, demo_panel
from heldout.errors import InputError, RefusedError
from heldout.evidence import atomic_path, write_json, write_page, write_text
from heldout.leaderboard import Leaderboard
from heldout.registry import Event, Registry, Version, promote, rollback, verify
from heldout.registry.version import VersionDocument
from heldout.shadow import ShadowStore, run_shadow
from heldout.zoo import Roster, train_all_active

SCHEMA = "heldout.demo-market/1"
STUDY = Path(__file__).with_name("demo_study.yaml")
BATCHES, SESSIONS = 4, 504
Say = Callable[[str], None]


@dataclass(frozen=True)
class Places:
    """Where everything lies, under one folder."""

    root: Path

    @property
    def study(self) -> Path:
        """The study, beside its panel."""
        return self.root / "study.yaml"

    @property
    def history(self) -> Path:
        """The panel without its last two years: all that is trained on."""
        return self.root / "corpus" / "panel.parquet"

    @property
    def runs(self) -> Path:
        """Run directories."""
        return self.root / "runs"

    @property
    def registry(self) -> Path:
        """Versions and pointers."""
        return self.root / "registry"

    @property
    def shadow(self) -> Path:
        """Live inputs and what was predicted from them."""
        return self.root / "shadow"


class MarketDemo(TypedDict):
    """What the demonstration did."""

    schema: str
    panel: Kind
    trained: list[dict[str, object]]
    first: VersionDocument
    batches: list[str]
    board: Leaderboard
    moves: list[dict[str, object]]
    head: str
    page: str


def demo_market(out: Path, kind: Kind, *, workers: int | None = None, say: Say = print) -> MarketDemo:
    """Go the whole road, from prices to a rollback. Started again, it goes on where it was.

    Args:
        out: A folder of its own.
        kind: Which panel.
        workers: Processes of one training.
        say: Called with each line of what happens.

    Returns:
        The document ``heldout.demo-market/1``.

    Raises:
        PrerequisiteError: If the panel is not installed.
        InputError: If a variant could not be trained, or another panel lies in the folder.
    """
    places = Places(out)
    panel, batches = _prepared(places, kind, say)
    roster = Roster.load(places.study)
    with Registry(places.registry, create=True) as registry:
        say(f"1  train {len(roster.entries)} variants on what was known before {batches[0][0]}; each a challenger")
        training = train_all_active(
            roster, registry, runs=places.runs, workers=workers, by="demo", listener=lambda each: say(_trained(each))
        )
        versions = _registered(training.results, registry)
        say("2  a champion for the empty slot")
        first = _first_champion(registry, roster.name, versions, say)
        say(f"3  {BATCHES} half years in the shadow: everybody predicts, one of them serves")
        store = _shadowed(registry, places, roster.name, panel, batches, say)
        say("4  the board, on outcomes that nobody had seen")
        board = _board(places, panel, roster.name)
        page = _written(places, board)
        say("5  a promotion, and the way back")
        moved = _there_and_back(registry, roster.name, board, versions, first, say)
        checked = verify(registry)
        say(f"   history verified: {checked.events} events, head {checked.head[:12]}")
    return {
        "schema": SCHEMA,
        "panel": kind,
        "trained": [each.to_json() for each in training.results],
        "first": first.to_json(),
        "batches": [stored.batch.name for stored in store.batches()],
        "board": board,
        "moves": [event.to_json() for event in moved],
        "head": checked.head,
        "page": str(page),
    }


def _prepared(places: Places, kind: Kind, say: Say) -> tuple[pl.DataFrame, list[tuple[str, str]]]:
    """The whole panel, its past on disk, and first and last date of each live batch."""
    panel = demo_panel(kind)
    dates = panel["date"].unique().sort()
    live = dates[-SESSIONS:]
    edges = np.linspace(0, len(live), BATCHES + 1).astype(int)
    batches = [(str(live[int(low)]), str(live[int(high) - 1])) for low, high in pairwise(edges)]
    past = panel.filter(pl.col("date") < live[0])
    if places.history.exists() and not pl.read_parquet(places.history).equals(past):
        raise InputError("another panel lies there", where=str(places.history), hint="give an --out of its own")
    if not places.history.exists():
        _write_panel(places.history, past)
    write_text(places.study, STUDY.read_text(encoding="utf-8"))
    say(f"0  {kind} panel: {len(dates):,} dates to {dates[-1]}, {panel['asset'].n_unique()} names")
    return panel, batches


def _write_panel(path: Path, panel: pl.DataFrame) -> None:
    with atomic_path(path) as partial:
        panel.write_parquet(partial)


def _registered(results: Sequence[Any], registry: Registry) -> dict[str, Version]:
    lost = [each for each in results if each.version is None and each.state != "skipped"]
    if lost:
        raise InputError(f"{lost[0].variant} could not be trained: {lost[0].reason}", where="demo", hint="mend it")
    return {each.variant: registry.version(each.version) for each in results if each.version}


def _first_champion(registry: Registry, slot: str, versions: dict[str, Version], say: Say) -> Version:
    """Whoever cleared its gate, the base first; where nobody did, the base by an override that says so."""
    serving = registry.champion(slot)
    if serving is not None:
        first = str(registry.history(slot=slot)[0].body["version"])
        if serving.id != first:  # it was interrupted on the way back
            rollback(registry, slot, to=first, by="demo", reason="an interrupted demonstration begins anew")
        say(f"   {first} serves already")
        return registry.version(first)
    cleared = next((each for each in versions.values() if each.content["verdict"]["verdict"] == "PROMOTE"), None)
    if cleared is not None:
        event = promote(registry, cleared.id, slot=slot, expected=None, by="demo", reason="its gate was cleared")
    else:
        base = versions["base"]
        try:
            promote(registry, base.id, slot=slot, expected=None, by="demo")
        except RefusedError as error:
            say(f"   refused: {error.what}")
        reason = "no variant cleared its gate; the slot is empty, and a shadow needs somebody to run beside"
        event = promote(registry, base.id, slot=slot, expected=None, override=True, by="demo", reason=reason)
    say(f"   {_told(event)}")
    return registry.version(event.body["version"])


def _shadowed(
    registry: Registry,
    places: Places,
    slot: str,
    panel: pl.DataFrame,
    batches: Sequence[tuple[str, str]],
    say: Say,
) -> ShadowStore:
    """Every batch is the panel as it was on the batch's last date."""
    store = ShadowStore(places.shadow, slot)
    for since, until in batches:
        source = places.root / "live" / f"{until}.parquet"
        if not source.exists():
            _write_panel(source, panel.filter(pl.col("date") <= pl.lit(until).str.to_date()))
        found = run_shadow(registry, store, source, since=since, until=until, name=f"to-{until}")
        states = ", ".join(f"{each.arm.rpartition('-')[0]} {each.state}" for each in found.results)
        say(f"   {since} to {until}: {states}")
    return store


def _board(places: Places, panel: pl.DataFrame, slot: str) -> Leaderboard:
    """Of the shadow, with the outcomes of the whole panel."""
    whole = places.root / "live" / "outcomes.parquet"
    if not whole.exists():
        _write_panel(whole, panel)
    volume = "volume" if "volume" in panel.columns else None
    return contest(panel=whole, slot=slot, shadow=places.shadow, registry=places.registry, terms=Terms(), volume=volume)


def _written(places: Places, board: Leaderboard) -> Path:
    from heldout.report.leaderboard import HTML, JSON, leaderboard_html

    write_json(places.root / JSON, board)
    write_page(places.root / HTML, leaderboard_html(board))
    return places.root / HTML


def _horizon(version: Version) -> int:
    return int(version.content["config"]["corpus"]["forward_days"])


def _there_and_back(
    registry: Registry, slot: str, board: Leaderboard, versions: dict[str, Version], first: Version, say: Say
) -> list[Event]:
    """Promote whom the board names, if its gate was cleared; otherwise whoever leads, as a drill. Then roll back."""
    target = board["decision"]["switch_to"]
    rows = [row for row in board["rows"] if row["role"] == "challenger"]
    leader = versions[target or rows[0]["arm"]]
    for reason in board["decision"]["reasons"]:
        say(f"   {reason}")
    if target is not None:
        # Another horizon is another target, which the slot does not take without a word.
        other = _horizon(leader) != _horizon(first)
        reason, override = (
            f"the board: {board['decision']['reasons'][0]}",
            leader.content["verdict"]["verdict"] == "HOLD" or other,
        )
    else:
        reason, override = "a drill of the way back: the board says that the champion stays", True
    there = promote(registry, leader.id, slot=slot, expected=first.id, override=override, by="demo", reason=reason)
    say(f"   {_told(there)}")
    back = rollback(registry, slot, expected=leader.id, by="demo", reason="the demonstration ends where it began")
    say(f"   {_told(back)}")
    return [there, back]


def _told(event: Event) -> str:
    body = event.body
    overridden = f"; OVERRIDE of: {'; '.join(body['overridden'])}" if body.get("overridden") else ""
    return f"{body['kind']} {body['version']} ({body['reason']}){overridden}"


def _trained(result: Any) -> str:
    verdict = {"trained": "PROMOTE", "held": "HOLD"}.get(result.state, result.state)
    return f"   {result.variant:<20} {verdict:<8} {result.reason or result.version}"
