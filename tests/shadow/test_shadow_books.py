"""What a shadow keeps: batches under one name each, places by arm, outcomes that never change."""

from __future__ import annotations

import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.errors import InputError, RefusedError, TamperedError
from heldout.registry import Version
from heldout.shadow.arms import Arm, within
from heldout.shadow.batch import Batch
from heldout.shadow.inputs import read_inputs
from heldout.shadow.outcomes import join_outcomes, read_matured, read_outcomes
from heldout.shadow.predictor import _in_sample, _learnt
from heldout.shadow.store import ShadowStore
from heldout.split import Fold, Split

NOW, CAME = dt.datetime(2026, 6, 1, tzinfo=dt.UTC), dt.datetime(2025, 12, 1, tzinfo=dt.UTC)
MANIFEST: dict[str, Any] = {"features": ["x"], "groups": []}
TABLE = {"reader": "table", "group": "g", "target": "y", "id": "row", "time": "day"}


def arm(name: str, *started: str) -> Arm:
    versions = tuple(
        Version(f"{name}-{when}", "", "challenger", "", (), {"started_at_utc": when}) for when in started or ("2026",)
    )
    return Arm(name, versions)


def ids(arms: list[Arm]) -> list[str]:
    return [each.id for each in arms]


def predicted(
    store: ShadowStore,
    name: str,
    *rows: tuple[str, float, bool],
    version: str = "v",
    at: int = 0,
    day: str | None = None,
) -> None:
    """A batch of which a version has predicted these rows: id, prediction, learnt from; of a day, if rows have days."""
    source = store.root.parent / f"{name}.csv"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(name)
    batch = Batch.of(source)
    store.take(batch, source, "champion", CAME + dt.timedelta(days=at))
    frame = pl.DataFrame(rows, schema=["sample_id", "prediction", "in_sample"], orient="row")
    if day is not None:
        frame = frame.with_columns(as_of_utc=pl.lit(day))
    facts = {"arm": f"arm-{version}", "variant": version, "late": False, "rows": len(rows), "in_sample": 0}
    store.put(batch, version, frame.write_ndjson().encode(), facts)


def outcomes(folder: Path, *rows: tuple[str, float, str]) -> Path:
    path = folder / "outcomes.csv"
    pl.DataFrame(rows, schema=["sample_id", "outcome", "available_at"], orient="row").write_csv(path)
    return path


def test_problem_11_an_arm_keeps_its_place_until_its_outcomes_are_known() -> None:
    """Each new version would push an older arm out before anything that it said could be judged."""
    arms = [arm("new", "2026-05"), arm("old", "2026-01", "2026-06"), arm("mid", "2026-03")]
    assert (["old", "mid", "new"], []) == tuple(map(ids, within(arms, 3, {}, {})))
    placed, waiting = within(arms, 2, {"new": "2026-05-02", "mid": "2026-04-01"}, {})
    assert (["mid", "new"], ["old"]) == (ids(placed), ids(waiting))
    assert "old-2026-06" == arms[1].version.id, "the newest version of an arm predicts for it"


def test_problem_11_an_arm_that_cannot_predict_holds_no_place() -> None:
    """Five dead arms held all five places."""
    arms = [arm("dead", "2026-01"), arm("fresh", "2026-05")]
    assert ["dead"] == ids(within(arms, 1, {}, {})[0])
    assert ["fresh"] == ids(within(arms, 1, {}, {"dead": "2026-05-03"})[0])


@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 8))
def test_problem_11_places_are_never_more_than_there_are(most: int, count: int, pending: int) -> None:
    """A challenger would be lost from the books, or predict without a place."""
    arms = [arm(f"a{number}", f"2026-{number:02d}") for number in range(count)]
    waiting_for = {f"a{number}": f"2026-{number:02d}" for number in range(min(pending, count))}
    placed, left = within(arms, most, waiting_for, {})
    assert min(most, count) == len(placed)
    assert set(ids(arms)) == {*ids(placed), *ids(left)}
    assert len(set(ids(placed)) & set(waiting_for)) == min(most, len(waiting_for))


def test_a_batch_is_what_it_was(tmp_path: Path) -> None:
    """Another day's inputs would be predicted under this one's name, or edited ones under its digest."""
    store, source = ShadowStore(tmp_path / "shadow", "demo"), tmp_path / "monday.csv"
    source.write_text("x\n1\n")
    taken = store.take(Batch.of(source), source, "champion", NOW)
    assert taken == store.take(Batch.of(source), source, "another", NOW + dt.timedelta(days=1))
    assert "champion" == taken.served
    source.write_text("x\n2\n")
    with pytest.raises(RefusedError, match="is another one"):
        store.take(Batch.of(source), source, "champion", NOW)
    assert "monday_2026-01-01" == Batch.of(source, since="2026-01-01").name
    path = store.input(taken.batch)
    path.chmod(0o644)
    path.write_text("x\n3\n")
    with pytest.raises(TamperedError, match="not the one that came in"):
        store.check_input(taken.batch)
    with pytest.raises(InputError, match="cannot name a batch"):
        Batch.of(source, name="../elsewhere")
    with pytest.raises(InputError, match="no such batch"):
        Batch.of(tmp_path / "nothing.csv")


def test_problem_22_what_happened_cannot_be_edited(tmp_path: Path) -> None:
    """A challenger's failures could be taken out of the record."""
    store = ShadowStore(tmp_path, "demo")
    for number in range(3):
        store.note(arm=f"a{number}", state="failed")
    path = store.root / "events.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(TamperedError):
        store.events()


def test_only_outcomes_that_are_known_are_joined(tmp_path: Path) -> None:
    """A model would be judged by what nobody could have known at that time."""
    store = ShadowStore(tmp_path / "shadow", "demo")
    predicted(store, "monday", ("a", 1.0, False), ("b", 2.0, False), ("c", 3.0, True))
    predicted(store, "tuesday", ("a", 9.0, False), ("d", 4.0, False), at=1)
    path = outcomes(
        tmp_path, ("a", 0.5, "2026-05-31T23:59:59Z"), ("b", 0.6, "2026-06-01T00:00:01Z"), ("c", 0.7, "2026-01-01")
    )
    found = join_outcomes(store, path, now=NOW)
    assert (2, 2, 1, 1, 1, 2) == (
        found.outcomes, found.added, found.not_yet, found.matured, found.in_sample, found.waiting,
    )  # fmt: skip
    assert [("a", 1.0, 0.5, "monday")] == read_matured(store).select(
        "sample_id", "prediction", "outcome", "batch"
    ).rows(), "the first prediction of a sample counts"
    before = (store.root / "matured.jsonl").read_bytes()
    assert 0 == join_outcomes(store, path, now=NOW).added
    assert before == (store.root / "matured.jsonl").read_bytes()
    assert 1 == join_outcomes(store, path, now=NOW + dt.timedelta(days=1)).added


@pytest.mark.parametrize(
    ("day", "known", "sound"),
    [
        ("2026-03-02", "2026-03-01", False),
        ("2026-03-02", "2026-03-02", True),
        ("2026-03-02T16:00:00", "2026-03-02", True),
        ("2026-03-02T16:00:00", "2026-03-02T15:59:59Z", False),
        ("2026-03-02T16:00:00", "2026-03-02T15:59:59-01:00", True),
        ("2020-03-02", "2020-03-03", True),  # a batch may be of long ago
        (None, "2025-11-30", False),
        (None, "2025-12-01", True),  # the day on which the batch came
    ],
)
def test_an_outcome_that_was_known_before_it_was_predicted_is_refused(
    tmp_path: Path, day: str | None, known: str, sound: bool
) -> None:
    """A copy of what everybody knew would be scored as a prediction, and beat every model."""
    store = ShadowStore(tmp_path / "shadow", "demo")
    predicted(store, "monday", ("a", 1.0, False), day=day)
    path = outcomes(tmp_path, ("a", 0.5, known))
    if sound:
        assert (1, 0) == (join_outcomes(store, path, now=NOW).matured, read_matured(store)["late"].sum())
        return
    with pytest.raises(RefusedError, match="known before they were predicted") as caught:
        join_outcomes(store, path, now=NOW)
    assert "HO-E423" == caught.value.code
    assert 0 == read_outcomes(store).height


def test_a_sample_that_is_predicted_again_after_its_outcome_is_not_scored(tmp_path: Path) -> None:
    """A new version, given the same samples once their answers are known, would have seen them."""
    store = ShadowStore(tmp_path / "shadow", "demo")
    predicted(store, "monday", ("a", 1.0, False))
    path = outcomes(tmp_path, ("a", 0.5, "2026-01-01"), ("b", 0.6, "2026-01-01"))
    assert 2 == join_outcomes(store, path, now=NOW).added, "an outcome that nobody predicted does no harm"
    predicted(store, "again", ("a", 0.5, False), ("b", 0.6, False), version="new", at=100)
    found = join_outcomes(store, path, now=NOW)
    assert (1, 2, 0) == (found.matured, found.known, found.waiting)
    assert ["v"] == read_matured(store)["version"].to_list()


def test_joins_at_the_same_time_lose_no_outcome(tmp_path: Path) -> None:
    """What one had written would be written over by the other, and an outcome be on record no more."""
    store = ShadowStore(tmp_path / "shadow", "demo")
    predicted(store, "monday", *((f"r{number}", 1.0, False) for number in range(12)))
    paths = [tmp_path / str(number) for number in range(12)]
    for number, folder in enumerate(paths):
        folder.mkdir()
        outcomes(folder, (f"r{number}", 0.5, "2026-01-01"))
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda folder: join_outcomes(store, folder / "outcomes.csv", now=NOW), paths))
    assert {f"r{number}" for number in range(12)} == set(read_outcomes(store)["sample_id"])
    assert 12 == read_matured(store).height


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("sample_id,outcome,available_at\na,up,2026-01-01\n", "on record as numbers"),
        ("sample_id,outcome,available_at\na,0.9,2026-01-01\n", "on record with another value"),
        ("sample_id,outcome\na,0.5\n", "no column 'available_at'"),
        ("sample_id,outcome,available_at\na,0.5,2026-01-01\na,0.5,2026-01-01\n", "two outcomes"),
        ("sample_id,outcome,available_at\na,,2026-01-01\nb,1.0,2026-01-01\n", "missing or not finite"),
        ("sample_id,outcome,available_at\na,NaN,2026-01-01\nb,1.0,2026-01-01\n", "missing or not finite"),
        ("sample_id,outcome,available_at\na,0.5,soon\n", "must be ISO 8601"),
    ],
)
def test_an_outcome_is_one_finite_value_that_stays(tmp_path: Path, text: str, what: str) -> None:
    """The record of an arm would change after it was judged, or hold numbers that are none."""
    store = ShadowStore(tmp_path / "shadow", "demo")
    predicted(store, "monday", ("a", 1.0, False))
    join_outcomes(store, outcomes(tmp_path, ("a", 0.5, "2026-01-01")), now=NOW)
    kept = read_outcomes(store)
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=what):
        join_outcomes(store, path, now=NOW)
    assert kept.equals(read_outcomes(store))


@pytest.mark.parametrize(
    ("text", "options", "what"),
    [
        ("row,day\na,2026-01-01\n", {}, "no column 'x'"),
        ("row,day,x\na,2026-01-01,\nb,2026-01-01,1.0\n", {}, "missing or not finite"),
        ("row,day,x\na,2026-01-01,1\na,2026-01-02,1\n", {}, "'a' is there twice"),
        ("row,day,x\na,2026-01-01,1\n", {"since": "2026-02-01"}, "no row of the batch"),
        ("row,day,x\na,2026-01-01,1\n", {"since": "soon"}, "is no time"),
        ("row,day,x\na,soon,1\n", {"since": "2026-01-01"}, "times must be"),
        ("row,x\na,1\n", {"since": "2026-01-01"}, "have no time"),
    ],
)
def test_problem_07_inputs_that_do_not_fit_are_refused_with_their_place(
    tmp_path: Path, text: str, options: dict[str, str], what: str
) -> None:
    """Thirteen names would meet twelve columns, and a row be predicted from what is not there."""
    path = tmp_path / "batch.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=what):
        read_inputs(path, Batch.of(path, **cast("Any", options)), TABLE, MANIFEST)


def test_times_of_a_batch_are_chosen_from_both_ends(tmp_path: Path) -> None:
    """A range would leave out its own borders, or the day after them slip in."""
    path = tmp_path / "batch.csv"
    path.write_text("row,day,x\n" + "".join(f"r{day},2026-01-0{day},{day}\n" for day in range(1, 6)))
    found = read_inputs(path, Batch.of(path, since="2026-01-02", until="2026-01-04"), TABLE, MANIFEST)
    assert [2, 3, 4] == found.features["x"].to_list()
    assert ["r2", "r3", "r4"] == found.keys["sample_id"].to_list()


def test_groups_that_only_trained_are_known_by_name(tmp_path: Path) -> None:
    """Of a fixed split no ids of training rows are kept: a model would be praised for what it had learnt by heart."""
    records = [{"sample_id": "r9", "group": "east", "prediction": 0.0}]
    (tmp_path / "predictions.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    (tmp_path / "batch.csv").write_text("row,g,x\nr1,north,1\nr9,east,2\nlive,west,3\n")
    split = Split("fixed", (Fold("test", ("east",)),), ("east", "north", "south"))
    table = {key: value for key, value in TABLE.items() if key != "time"}
    inputs = read_inputs(tmp_path / "batch.csv", Batch.of(tmp_path / "batch.csv"), table, MANIFEST)
    seen, through = _in_sample(inputs, tmp_path, MANIFEST, _learnt(split, split.folds))
    assert ([True, False, False], None) == (seen.to_list(), through)
