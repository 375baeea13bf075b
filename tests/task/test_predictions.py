"""Predictions on disk: what is read is what was written, bit by bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from heldout.errors import CorpusError
from heldout.task import Predictions, read_predictions

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)
ROWS = st.lists(st.tuples(st.text(max_size=5), FINITE, FINITE, FINITE), min_size=1, max_size=12)


def bits(values: NDArray[np.float64]) -> list[int]:
    return values.astype(np.float64).view(np.uint64).tolist()  # type: ignore[no-any-return]


def samples(groups: list[str], target: list[float] | list[str], cells: list[str] | None = None) -> pl.DataFrame:
    columns = {"sample_id": [f"row{number}" for number in range(len(groups))], "group": groups}
    columns |= {"cell": cells} if cells else {}
    return pl.DataFrame(columns | {"fold": groups, "target": target})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS)
def test_what_is_read_is_what_was_written(tmp_path: Path, rows: list[tuple[str, float, float, float]]) -> None:
    """Metrics that someone recomputes from the file would not be those of the run."""
    groups, target = [row[0] for row in rows], [row[1] for row in rows]
    members = {0: np.array([row[2] for row in rows]), 11: np.array([row[3] for row in rows])}
    with np.errstate(over="ignore", invalid="ignore"):
        Predictions(samples(groups, target), members).write(tmp_path)
    found = read_predictions(tmp_path / "predictions.jsonl", [0, 11])
    assert samples(groups, target).equals(found.samples)
    assert bits(np.array(target)) == bits(found.target)
    assert bits(members[0]) == bits(found.members[0])
    assert bits(members[11]) == bits(found.members[11])
    assert "regression" == found.task


def test_classes_come_back_with_their_names(tmp_path: Path) -> None:
    """The probability of one class would be read as another's."""
    classes = ("10", "a b", "ü")
    scores = np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]])
    members = {4: scores[:, ::-1].copy(), 2: scores}
    written = Predictions(samples(["x", "x", "y"], ["ü", "10", "a b"]), members, classes)
    written.write(tmp_path)
    found = read_predictions(tmp_path / "predictions.jsonl", [2, 4], classes)
    assert ("classification", ["ü", "10", "a b"]) == (found.task, found.target.tolist())
    assert bits(scores) == bits(found.members[2])
    assert bits(members[4]) == bits(found.members[4])
    row = json.loads((tmp_path / "predictions.jsonl").read_text().splitlines()[0])
    assert ("ü", "10") == (row["seed2"], row["seed4"])
    assert 0.2 == row["seed2_p_a b"]


def test_the_file_has_the_published_columns(tmp_path: Path) -> None:
    """Whoever plots the file would have to guess what stands in it."""
    members = {3: np.array([1.0, 5.0]), 1: np.array([3.0, 5.0])}
    Predictions(samples(["x", "y"], [2.0, 4.0], ["x/1", "y/1"]), members).write(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert ["sample_id", "group", "cell", "fold", "target", "prediction", "sigma", "seed1", "seed3"] == list(rows[0])
    assert (2.0, 2.0**0.5) == (rows[0]["prediction"], pytest.approx(rows[0]["sigma"]))
    assert (5.0, 0.0) == (rows[1]["prediction"], rows[1]["sigma"])
    table = pl.read_csv(tmp_path / "predictions.csv")
    assert pl.DataFrame(rows).equals(table)


def test_one_seed_has_no_sigma(tmp_path: Path) -> None:
    """A spread of zero would look like certainty."""
    predictions = Predictions(samples(["x"], [2.0]), {0: np.array([1.0])})
    assert predictions.sigma is None
    assert "sigma" not in predictions.to_frame().columns


def test_the_ensemble_does_not_depend_on_the_order_of_seeds() -> None:
    """The same fits, listed in another order, would give other last digits and another digest."""
    rng = np.random.default_rng(0)
    members = {seed: rng.normal(size=50) for seed in range(5)}
    backwards = dict(reversed(members.items()))
    table = samples(["x"] * 50, [0.0] * 50)
    one, two = Predictions(table, members), Predictions(table, backwards)
    assert bits(one.ensemble) == bits(two.ensemble)
    assert one.sigma is not None
    assert two.sigma is not None
    assert bits(one.sigma) == bits(two.sigma)


def test_defect_12_a_prediction_that_is_not_finite_stays_undefined(tmp_path: Path) -> None:
    """A null would come back as zero, or its row be dropped."""
    members = {0: np.array([1.0, np.nan, np.inf])}
    Predictions(samples(["x", "x", "y"], [1.0, 2.0, 3.0]), members).write(tmp_path)
    assert "NaN" not in (tmp_path / "predictions.jsonl").read_text()
    found = read_predictions(tmp_path / "predictions.jsonl", [0]).members[0]
    np.testing.assert_array_equal([1.0, np.nan, np.nan], found)


GOOD = {"sample_id": "a", "group": "x", "fold": "x", "target": 1.0, "prediction": 1.0, "seed0": 1.0}


@pytest.mark.parametrize(
    ("second", "what"),
    [
        ({"sample_id": "a"}, "a sample id repeats"),
        ({"target": None}, "'target' is null"),
        ({"group": None}, "'group' is null"),
        ({"fold": None}, "'fold' is null"),
        ({"sample_id": None}, "'sample_id' is null"),
    ],
)
def test_a_row_that_cannot_be_placed_is_refused(tmp_path: Path, second: dict[str, object], what: str) -> None:
    """A row would count twice, or for no group at all."""
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps(GOOD | {"sample_id": "b"} | second) + "\n")
    with pytest.raises(CorpusError, match=what):
        read_predictions(path, [0])


@pytest.mark.parametrize("name", ["seed0", "target", "fold", "group", "sample_id"])
def test_defect_11_a_missing_column_is_named(tmp_path: Path, name: str) -> None:
    """A file of another run's seeds would be judged as this one's."""
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps({key: value for key, value in GOOD.items() if key != name}) + "\n")
    with pytest.raises(CorpusError, match=f"column '{name}' is missing"):
        read_predictions(path, [0])
    path.write_text(json.dumps(GOOD) + "\n")
    with pytest.raises(CorpusError, match="column 'seed1' is missing"):
        read_predictions(path, [0, 1])
    with pytest.raises(CorpusError, match="column 'seed0_p_u' is missing"):
        read_predictions(path, [0], ["u"])


@pytest.mark.parametrize("name", ["seed0", "target"])
def test_a_column_of_text_is_no_prediction(tmp_path: Path, name: str) -> None:
    """A traceback of the reading library would stand where a sentence should."""
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(GOOD | {name: "high"}) + "\n")
    with pytest.raises(CorpusError, match=f"column '{name}' holds no numbers"):
        read_predictions(path, [0])


@pytest.mark.parametrize("text", [None, "", '{"sample_id": "a", "gro'])
def test_a_file_that_is_torn_or_missing_is_an_error_of_ours(tmp_path: Path, text: str | None) -> None:
    """A traceback of the reading library would stand where a sentence should."""
    path = tmp_path / "predictions.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CorpusError, match="cannot be read") as caught:
        read_predictions(path, [0])
    assert str(path) == caught.value.where
