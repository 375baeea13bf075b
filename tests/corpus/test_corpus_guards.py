"""The guards: each way in which a held-out group is not held out, on a corpus that has just that fault."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout.corpus import Corpus, CorpusManifest, Known, group_records
from heldout.corpus.guards import Finding, check_corpus

ROWS = 12


def corpus(task: str = "regression", **changes: Any) -> Corpus:
    """Three groups of four rows; what is given replaces a column, an id list or the target."""
    rng = np.random.default_rng(5)
    numbers = rng.normal(size=(ROWS, 3))
    columns: dict[str, Any] = {"a": numbers[:, 0], "b": numbers[:, 1], "kind": ["u", "v"] * (ROWS // 2)}
    columns |= changes.pop("columns", {})
    labels = np.array(["yes", "no", "no"] * (ROWS // 3))
    target = changes.pop("target", numbers[:, 2] if task == "regression" else labels)
    groups = pl.Series("group", changes.pop("groups", ["north"] * 4 + ["south"] * 4 + ["west"] * 4))
    ids = pl.Series("sample_id", changes.pop("ids", [f"row{number}" for number in range(ROWS)]))
    assert not changes
    features = pl.DataFrame(columns)
    records = group_records(groups, features, target, "rows.csv")
    manifest = CorpusManifest(
        "table",
        "rows.csv",
        "0" * 64,
        ROWS,
        task,
        "y",
        tuple(features.columns),
        records,  # type: ignore[arg-type]
    )
    return Corpus(ids, groups, None, features, Known(target), manifest)


def only(findings: list[Finding]) -> Finding:
    assert 1 == len(findings)
    return findings[0]


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_sound_corpus_has_no_findings(task: str) -> None:
    """Every run would be HOLD, and people would learn to look away."""
    assert [] == check_corpus(corpus(task))


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0, 3, 1]])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_one_content_under_two_groups_blocks(order: list[int], task: str) -> None:
    """A copy in training would show the answers of the held-out group, whatever its name and order of rows."""
    sound = corpus(task)
    rows = [*range(8), *order]
    copied = {name: sound.features[name].gather(rows) for name in sound.features.columns}
    finding = only(check_corpus(corpus(task, columns=copied, target=sound.targets("verify", np.array(rows)))))
    assert ("HO-G002", True, "north, west") == (finding.code, finding.blocking, finding.where)


def test_two_groups_that_differ_in_one_value_are_two_groups() -> None:
    """Every pair of groups that look alike would be refused."""
    sound = corpus()
    rows = [*range(8), 0, 1, 2, 3]
    copied = {name: sound.features[name].gather(rows) for name in sound.features.columns}
    target = sound.targets("verify", np.array(rows)).copy()
    target[11] = np.nextafter(target[11], np.inf)
    assert [] == check_corpus(corpus(columns=copied, target=target))


def test_a_sample_id_that_repeats_blocks() -> None:
    """One sample would count twice, perhaps on both sides."""
    finding = only(check_corpus(corpus(ids=["same"] * 2 + [f"row{number}" for number in range(ROWS - 2)])))
    assert ("HO-G004", True, "same") == (finding.code, finding.blocking, finding.where)


@pytest.mark.parametrize("scale", [1.0, -3.0, 1e-6, 1e6])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_target_among_the_features_blocks(scale: float, dtype: type) -> None:
    """A model would read the answer from its input; also after a change of unit or of width."""
    target = corpus().targets("verify")
    finding = only(check_corpus(corpus(columns={"leak": (scale * target + 2 * scale).astype(dtype)})))
    assert ("HO-G005", True, "column leak") == (finding.code, finding.blocking, finding.where)


def test_a_very_good_feature_is_reported_and_does_not_block() -> None:
    """An honest predictor that correlates at .999 would be thrown out; or nobody would look at it twice."""
    target = corpus().targets("verify")
    noise = np.random.default_rng(1).normal(size=ROWS) * 0.01
    feature = target + noise
    assert np.corrcoef(feature, target)[0, 1] > 0.999
    finding = only(check_corpus(corpus(columns={"good": feature})))
    assert ("HO-G005", False, "column good") == (finding.code, finding.blocking, finding.where)


def test_a_constant_feature_is_reported_and_does_not_block() -> None:
    """Nobody would learn that a column says nothing; or a run be refused for it."""
    finding = only(check_corpus(corpus(columns={"flat": [1.0] * ROWS, "word": ["same"] * ROWS})))
    assert ("HO-G006", False) == (finding.code, finding.blocking)
    assert "flat, word never change" in finding.what


def test_a_constant_target_is_no_leak_of_a_constant_feature() -> None:
    """A correlation that is undefined would count as perfect."""
    findings = check_corpus(corpus(columns={"flat": [1.0] * ROWS}, target=np.full(ROWS, 4.0)))
    assert ["HO-G006"] == [finding.code for finding in findings]


def test_every_finding_says_what_where_and_how_to_mend_it() -> None:
    """A HOLD would come without a reason that people can act on."""
    target = corpus().targets("verify")
    ids = ["same"] * ROWS
    found = check_corpus(corpus(columns={"leak": target, "flat": [0] * ROWS}, ids=ids))
    assert ["HO-G004", "HO-G005", "HO-G006"] == [finding.code for finding in found]
    for finding in found:
        document = finding.to_json()
        assert {"code", "blocking", "what", "where", "hint"} == set(document)
        assert all(document.values()) or not finding.blocking


def test_two_spellings_of_one_group_are_reported_and_do_not_block() -> None:
    """Half of a subject's rows would train while the other half is held out, over a blank at the end of a name."""
    finding = only(check_corpus(corpus(groups=["north"] * 4 + ["North "] * 4 + ["west"] * 4)))
    assert ("HO-G001", False) == (finding.code, finding.blocking)
    assert "'North ', 'north'" in finding.what


def test_two_names_that_nobody_can_tell_apart_block() -> None:
    """A file system writes an accent in two characters, a person in one: the subject would train and be held out."""
    finding = only(check_corpus(corpus(groups=["Ren\u00e9"] * 4 + ["Rene\u0301"] * 4 + ["west"] * 4)))
    assert ("HO-G001", True) == (finding.code, finding.blocking)


@pytest.mark.parametrize(("rows", "reported"), [(9, False), (10, True)])
def test_a_group_that_is_nearly_everything_is_reported(rows: int, reported: bool) -> None:
    """A mean over rows would be the score of one group, and its fold train on nearly nothing."""
    names = ["north"] * rows + (["south", "west"] + ["west"] * (10 - rows))
    found = check_corpus(corpus(groups=names))
    assert [("HO-G009", False, "north")] * reported == [(each.code, each.blocking, each.where) for each in found]


NUMBERS = range(ROWS)
KINDS: dict[str, pl.Series] = {
    "dates": pl.Series([dt.date(2020, 1, 1) + dt.timedelta(days=number % 5) for number in NUMBERS]),
    "moments": pl.Series([dt.datetime(2020, 1, 1, number % 5, tzinfo=dt.UTC) for number in NUMBERS]),
    "times": pl.Series([dt.time(number % 5) for number in NUMBERS]),
    "durations": pl.Series([dt.timedelta(days=number % 5) for number in NUMBERS]),
    "booleans": pl.Series([number % 2 == 0 for number in NUMBERS]),
    "nothing": pl.Series([None] * ROWS),
    "gaps": pl.Series([None if number % 3 else f"s{number % 4}" for number in NUMBERS]),
    "nan": pl.Series([float("nan") if number % 3 else number % 4 for number in NUMBERS], dtype=pl.Float64),
    "infinite": pl.Series([float("inf") if number % 3 else 1.0 for number in NUMBERS]),
    "lists": pl.Series([[number % 5] for number in NUMBERS]),
    "structs": pl.Series([{"a": number % 5} for number in NUMBERS]),
    "bytes": pl.Series([b"x%d" % (number % 5) for number in NUMBERS]),
    "categories": pl.Series([f"c{number % 5}" for number in NUMBERS], dtype=pl.Categorical),
    "decimals": pl.Series([number % 5 for number in NUMBERS]).cast(pl.Decimal(10, 2)),
    "largest": pl.Series([2**64 - 1 - number % 5 for number in NUMBERS], dtype=pl.UInt64),
    "huge": pl.Series([1e300 * (-1) ** number * (number + 1) for number in NUMBERS]),
    "tiny": pl.Series([5e-324 * number for number in NUMBERS]),
}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_columns_of_any_kind_are_looked_at_or_left(kind: str, task: str) -> None:
    """A column that nobody uses would stop the run with a traceback."""
    column = KINDS[kind].alias("odd")
    assert not [each for each in check_corpus(replace(corpus(task), aside=column.to_frame())) if each.blocking]
    if not (column.null_count() or column.dtype.is_nested() or kind in ("nan", "infinite")):
        assert not [each for each in check_corpus(corpus(task, columns={"odd": column})) if each.blocking]
