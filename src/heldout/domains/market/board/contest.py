"""Who is compared: finished runs, the challengers of a slot, or what a slot's shadow predicted before it was known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from heldout.domains.market.board.arms import Arm, split_ids, tried_in
from heldout.domains.market.board.board import Terms, board_of_runs, market_board, run_options
from heldout.domains.market.board.scoring import prediction_matrix, rank_ic
from heldout.domains.market.panel.panel import Panel, read_panel
from heldout.errors import InputError
from heldout.evidence import read_json, sha256_file
from heldout.leaderboard import DatedScores, Leaderboard, Regret, regret
from heldout.leaderboard.dated import Dates
from heldout.registry import Registry, Version
from heldout.run.required import file_sha256
from heldout.shadow import ShadowStore, live_arms
from heldout.shadow.arms import arm_id


def contest(
    runs: Sequence[Path] = (),
    panel: Path | None = None,
    *,
    slot: str | None = None,
    shadow: Path | None = None,
    registry: str | Path = "registry",
    serving: Path | None = None,
    champion: str | None = None,
    terms: Terms | None = None,
    volume: str | None = None,
) -> Leaderboard:
    """The leaderboard of whatever is named.

    Args:
        runs: Finished runs; or none, and a slot.
        panel: The panel's file, with outcomes; for a shadow by default the newest input that it stored.
        slot: Its champion against every arm with a live challenger.
        shadow: Folder of shadow records: what was predicted before the outcome was known, instead of runs.
        registry: Where the slot is.
        serving: Folder of its pointers.
        champion: The arm that serves; that of the slot, or ``base``.
        terms: What was declared.
        volume: Column of volumes.

    Raises:
        InputError: If it does not say who is compared, or on which panel.
    """
    terms = terms or Terms()
    if bool(runs) == (slot is not None):
        what = "runs and --slot exclude each other" if runs else "nothing to compare"
        raise InputError(what, where="leaderboard", hint="give run folders or --slot SLOT")
    if slot is None:
        return board_of_runs(runs, _need(panel), champion=champion, terms=terms, volume=volume)
    with Registry(registry, serving=serving) as opened:
        if shadow is not None:
            return _of_shadow(opened, ShadowStore(shadow, slot), panel, champion, terms, volume)
        versions = _live(opened, slot)
        places = {opened.serving.folder_at(version.place): version for version in versions}
    return board_of_runs(
        list(places),
        _need(panel),
        champion=champion or str(versions[0].content["variant"]),
        terms=terms,
        volume=volume,
        versions={place: version.id for place, version in places.items()},
    )


def _need(panel: Path | None) -> Path:
    if panel is None:
        raise InputError("outcomes are not known", where="--panel", hint="name the panel that the runs were made from")
    return panel


def _live(registry: Registry, slot: str) -> list[Version]:
    """The champion, then the version that predicts for each live arm."""
    champion = registry.champion(slot)
    if champion is None:
        raise InputError("the slot has no champion", where=f"slot {slot}", hint="promote a version first")
    own = arm_id(champion)
    return [champion, *(arm.version for arm in live_arms(registry, champion) if arm.id != own)]


def _of_shadow(
    registry: Registry, store: ShadowStore, panel: Path | None, champion: str | None, terms: Terms, volume: str | None
) -> Leaderboard:
    serving = registry.champion(store.slot)
    predicted = store.predictions()
    if serving is None or not predicted.height:
        raise InputError("nothing has run in this shadow", where=str(store.root), hint="heldout shadow run")
    by_id = {version.id: version for version in registry.versions()}
    arms, tried = _arms(registry, predicted, by_id)
    file = panel or store.input(store.batches()[-1].batch)
    read = read_panel(run_options(serving.content["config"]["corpus"], file, volume))
    own = next(name for name, arm in arms.items() if name == arm_id(serving))
    wanted = champion or arms[own].id
    notes = _notes(predicted, sha256_file(file))
    switching = _switching(store, read, arms, by_id, arms[own].forward_days)
    return market_board(
        read, list(arms.values()), champion=wanted, terms=terms, tried=tried, switching=switching, notes=notes
    )


def _arms(registry: Registry, predicted: pl.DataFrame, by_id: Mapping[str, Version]) -> tuple[dict[str, Arm], Any]:
    """Every arm with live predictions, by the shadow's id of it: those of rows that trained it are left out.

    Where two versions of an arm predicted one sample, the newest stands for it.
    """
    live = predicted.filter(~pl.col("in_sample"))
    tried = tried_in(registry.serving.folder_at(version.place) for version in by_id.values())
    found = {}
    names = [str(by_id[versions[-1]].content["variant"]) for versions in _versions(live).values()]
    for arm, versions in _versions(live).items():
        newest = by_id[versions[-1]]
        name = str(newest.content["variant"])
        rows = live.filter(pl.col("arm") == arm).sort("version").unique("sample_id", keep="last", maintain_order=True)
        found[arm] = Arm(
            name if names.count(name) == 1 else arm,
            newest.id,
            int(newest.content["config"]["corpus"]["forward_days"]),
            split_ids(rows.select("sample_id", "prediction")),
            tried.looks.get(str(newest.content["judged"]["variant_sha256"]), 1),
            file_sha256(read_json(registry.serving.folder_at(newest.place) / "corpus.json")),
        )
    return found, tried


def _versions(predicted: pl.DataFrame) -> dict[str, list[str]]:
    table = predicted.group_by("arm").agg(pl.col("version").unique().sort()).sort("arm")
    return dict(table.iter_rows())


def _notes(predicted: pl.DataFrame, panel_sha256: str) -> list[str]:
    late = int(predicted["late"].sum())
    seen = int(predicted["in_sample"].sum())
    notes = [f"Outcomes are those of the panel {panel_sha256[:12]}."]
    if late:
        notes.append(f"{late:,} of {predicted.height:,} predictions were made later, from stored inputs.")
    if seen:
        notes.append(f"{seen:,} predictions of rows that had trained their version are left out.")
    return notes


def _switching(
    store: ShadowStore, panel: Panel, arms: Mapping[str, Arm], by_id: Mapping[str, Version], horizon: int
) -> tuple[Regret, Dates] | None:
    """What serving has cost, a batch a period, over the batches of which every arm has matured scores."""
    scores = {arm: rank_ic(panel, prediction_matrix(panel, each.outputs), horizon).scores for arm, each in arms.items()}
    dates = _dates_of(store)
    rows, served, through = [], [], []
    for stored in store.batches():
        own = arm_id(by_id[stored.served])
        means = [_mean_on(each, dates[stored.batch.name]) for each in scores.values()]
        if own in arms and all(mean is not None for mean in means):
            rows.append(means)
            served.append(arms[own].id)
            through.append(max(dates[stored.batch.name]))
    if not rows:
        return None
    return regret(np.array(rows, dtype=np.float64), [arm.id for arm in arms.values()], served), np.array(
        through, dtype="datetime64[D]"
    )


def _dates_of(store: ShadowStore) -> dict[str, list[np.datetime64]]:
    """Dates that were predicted in each batch."""
    predicted = store.predictions()
    days = predicted.select("batch", date=pl.col("sample_id").str.split("/").list.first())
    table = days.group_by("batch").agg(pl.col("date").unique().sort())
    return {batch: [np.datetime64(date, "D") for date in dates] for batch, dates in table.iter_rows()}


def _mean_on(scores: DatedScores, dates: Sequence[np.datetime64]) -> float | None:
    chosen = np.isin(scores.dates, np.array(dates, dtype="datetime64[D]"))
    return float(scores.values[chosen].mean()) if chosen.any() else None
