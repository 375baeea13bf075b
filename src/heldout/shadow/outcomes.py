"""Outcomes join predictions when they mature, and not before.

``outcomes.jsonl`` holds every outcome that was known by the time it was joined; it never changes afterwards.
``matured.jsonl`` is predictions and outcomes together, one row a version and sample, written anew each time: a function
of the two. Rows that a version's training had seen are not in it, nor rows whose outcome was known before they were
predicted: that is, before the moment of the row, or where rows have no dates, before their batch came.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from heldout.errors import InputError, RefusedError
from heldout.evidence import atomic_path, plain_source
from heldout.shadow.inputs import AS_OF
from heldout.shadow.store import ShadowStore
from heldout.shadow.times import utc

SCHEMA = "heldout.shadow-joined/1"
_COLUMNS = ("sample_id", "available_at")
_OUTCOME = "outcome"  # or outcome_TARGET for each of several targets
_MADE = "made"
_BEFORE = "_before"
_SHOWN = ("version", "arm", "variant", "batch", "late", "sample_id")


@dataclass(frozen=True)
class Joined:
    """What a join found.

    Attributes:
        outcomes: Outcomes that are known now, old ones included.
        added: Of these, the new ones.
        not_yet: Outcomes in the file that are not available yet.
        matured: Rows in ``matured.jsonl``: a version's prediction and its outcome.
        in_sample: Rows left out because the training had seen them.
        known: Rows left out because their outcome was known before they were predicted.
        waiting: Predictions without an outcome.
    """

    outcomes: int
    added: int
    not_yet: int
    matured: int
    in_sample: int
    known: int
    waiting: int

    def to_json(self) -> dict[str, object]:
        """The counts as a document."""
        return {"schema": SCHEMA, **asdict(self)}


def join_outcomes(store: ShadowStore, path: Path, *, now: dt.datetime) -> Joined:
    """Take over the outcomes of a file that are available, and write what has matured.

    Args:
        store: The shadow of a slot.
        path: A table with columns sample_id, outcome (of several targets outcome_TARGET for each) and available_at
            (ISO 8601, UTC where no zone is named).
        now: Outcomes that become available later are not looked at.

    Raises:
        InputError: If the file is no such table, or an outcome that is on record has another value in it.
        RefusedError: If a new outcome was known before anybody predicted it.
        StaleError: If another process joins outcomes for longer than a minute.
    """
    with store.lock("outcomes"):
        return _join(store, path, now)


def _join(store: ShadowStore, path: Path, now: dt.datetime) -> Joined:
    given = _read(path)
    ready = given.filter(pl.col("available_at") <= now.astimezone(dt.UTC).replace(tzinfo=None))
    before = read_outcomes(store)
    _refuse_changed(before, ready, path)
    both = pl.concat([before, ready], how="vertical_relaxed") if before.height else ready
    whole = both.unique("sample_id", keep="first", maintain_order=True).sort("sample_id")
    predictions = _with_moments(store.predictions())
    _refuse_known(predictions, _added(before, whole), path)
    matured, seen, known, waiting = _matured(predictions, whole)
    _write(store.root / "outcomes.jsonl", whole)
    _write(store.root / "matured.jsonl", matured)
    added = whole.height - before.height
    found = Joined(whole.height, added, given.height - ready.height, matured.height, seen, known, waiting)
    store.note(joined=found.to_json(), state="joined", arm="")
    return found


def read_outcomes(store: ShadowStore) -> pl.DataFrame:
    """Outcomes on record: sample_id, outcome or outcome_TARGET for each of several targets, available_at."""
    path = store.root / "outcomes.jsonl"
    if not path.exists() or not path.stat().st_size:
        return pl.DataFrame()
    return _typed(pl.read_ndjson(plain_source(path), infer_schema_length=None), path)


def read_matured(store: ShadowStore) -> pl.DataFrame:
    """What has matured, for whoever scores it.

    Returns:
        Columns version, arm, variant, batch, late, sample_id, prediction, outcome, available_at, and the keys of the
        inputs (such as date and asset); of several targets prediction_TARGET and outcome_TARGET for each. Sorted by
        version, then sample_id. Empty if nothing has.
    """
    path = store.root / "matured.jsonl"
    if not path.exists() or not path.stat().st_size:
        return pl.DataFrame()
    return pl.read_ndjson(plain_source(path), infer_schema_length=None)


def pending_arms(store: ShadowStore) -> dict[str, str]:
    """Arms with predictions whose outcome is not known: when the first batch of those came."""
    known = read_outcomes(store)
    ids = set(known["sample_id"].to_list()) if known.height else set()
    found: dict[str, str] = {}
    for stored, card in store.cards():
        if card["arm"] in found:
            continue
        path = store.folder(stored.batch.name) / f"{card['version']}.jsonl"
        frame = pl.read_ndjson(plain_source(path), infer_schema_length=None)
        if not frame.filter(~pl.col("in_sample"))["sample_id"].is_in(list(ids)).all():
            found[card["arm"]] = stored.at_utc
    return found


def _matured(predictions: pl.DataFrame, outcomes: pl.DataFrame) -> tuple[pl.DataFrame, int, int, int]:
    if not predictions.height:
        return pl.DataFrame(), 0, 0, 0
    seen = int(predictions["in_sample"].sum())
    honest = predictions.filter(~pl.col("in_sample")).drop("in_sample")
    both = honest.join(outcomes, on="sample_id", how="inner", validate="m:1")
    joined = both.filter(_latest() >= pl.col(_MADE)).drop(_MADE, "at_utc", AS_OF, strict=False)
    shown = [name for name in _SHOWN if name in joined.columns]
    shown += [name for name in joined.columns if name == "prediction" or name.startswith("prediction_")]
    rest = [name for name in joined.columns if name not in shown]
    table = joined.select(*shown, *rest).sort("version", "sample_id")
    return table, seen, both.height - joined.height, honest.height - both.height


def _with_moments(predictions: pl.DataFrame) -> pl.DataFrame:
    """Predictions with the moment that each is made for: that of its row, else that at which its batch came."""
    if not predictions.height:
        return predictions
    came = utc(predictions["at_utc"], "batch.json")
    own = utc(predictions[AS_OF], AS_OF) if AS_OF in predictions.columns else pl.Series([None], dtype=came.dtype)
    return predictions.with_columns(pl.select(pl.coalesce(own, came)).to_series().alias(_MADE))


def _latest() -> pl.Expr:
    """The last moment that an outcome's time can mean: a day without an hour may be its evening."""
    known = pl.col("available_at")
    midnight = known == known.dt.truncate("1d")
    return pl.when(midnight).then(known + pl.duration(hours=23, minutes=59, seconds=59)).otherwise(known)


def _refuse_known(predictions: pl.DataFrame, added: pl.DataFrame, path: Path) -> None:
    """HO-E423: what was known before it was predicted is no prediction; a time is wrong, or the batch came too late."""
    if not predictions.height or not added.height:
        return
    first = predictions.group_by("sample_id").agg(pl.col(_MADE).min())
    early = added.join(first, on="sample_id").filter(_latest() < pl.col(_MADE)).sort("sample_id")
    if early.height:
        name, known, made = early.select("sample_id", "available_at", _MADE).row(0)
        raise RefusedError(
            f"{early.height} outcomes were known before they were predicted: at {known}, predicted for {made} (UTC)",
            where=f"{path}: sample {name}",
            hint="correct available_at, or leave out what was known when its batch came",
            code="HO-E423",
        )


def _read(path: Path) -> pl.DataFrame:
    from heldout.corpus.files import read_table

    frame = read_table(path, texts=["sample_id"])
    sample, moment = _COLUMNS
    wanted = [sample, *(_outcomes_in(frame) or [_OUTCOME]), moment]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        hint = f"columns: {sample}, {_OUTCOME}, {moment}; of several targets {_OUTCOME}_TARGET for each"
        raise InputError(f"the outcomes have no column {missing[0]!r}", where=str(path), hint=hint)
    frame = _typed(frame.select(wanted), path)
    for name in frame.columns:
        bad = frame[name].is_null()
        if frame[name].dtype.is_float():
            bad = bad | ~frame[name].is_finite().fill_null(value=False)
        if bad.any():
            row = int(bad.arg_max() or 0) + 1
            raise InputError(
                f"{int(bad.sum())} values are missing or not finite",
                where=f"{path}: row {row}, column {name}",
                hint="leave out an outcome that is not known",
            )
    if frame["sample_id"].is_duplicated().any():
        raise InputError("a sample has two outcomes", where=str(path), hint="one row a sample")
    return frame


def _typed(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    moment = utc(frame["available_at"], str(path)).alias("available_at")
    return frame.with_columns(pl.col("sample_id").cast(pl.String), moment)


def _outcomes_in(frame: pl.DataFrame) -> list[str]:
    """The columns of outcomes: one, or one for each of several targets."""
    several = sorted(name for name in frame.columns if name.startswith(f"{_OUTCOME}_"))
    return [_OUTCOME] if _OUTCOME in frame.columns else several


def _refuse_changed(before: pl.DataFrame, ready: pl.DataFrame, path: Path) -> None:
    if not before.height:
        return
    names = _outcomes_in(ready)
    if names != _outcomes_in(before):
        raise InputError(
            f"outcomes are on record as {', '.join(_outcomes_in(before))}, and these are {', '.join(names)}",
            where=str(path),
            hint="keep outcomes of other targets in a store of their own",
        )
    both = ready.join(before, on="sample_id", suffix=_BEFORE)
    for name in names:
        numbers, given = (frame[name].dtype.is_numeric() for frame in (before, ready))
        if numbers != given:
            raise InputError(
                f"outcomes are on record as {'numbers' if numbers else 'labels'}, and these are none",
                where=f"{path}: column {name}",
                hint="keep outcomes of another kind in a store of their own",
            )
        changed = both.filter(pl.col(name) != pl.col(f"{name}{_BEFORE}"))
        if changed.height:
            raise InputError(
                f"{changed.height} outcomes are on record with another value",
                where=f"{path}: sample {changed['sample_id'][0]}",
                hint="an outcome does not change; keep a revised series in a store of its own",
            )


def _added(before: pl.DataFrame, whole: pl.DataFrame) -> pl.DataFrame:
    return whole.join(before, on="sample_id", how="anti") if before.height else whole


def _write(path: Path, frame: pl.DataFrame) -> None:
    with atomic_path(path) as partial:
        if frame.height:
            frame.with_columns(pl.col("available_at").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")).write_ndjson(partial)
        else:
            partial.write_bytes(b"")
