"""Groups are known again by their targets, and only by them; and no fault makes a look or a registration disappear."""

from __future__ import annotations

import os
import signal
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heldout.documents.names import LEDGER_FILE, POLICY_FILE
from heldout.errors import TamperedError
from heldout.ledger import policy, targets
from heldout.ledger.declaration import compared
from heldout.ledger.history import Groups
from heldout.ledger.policy import Declared, read_policies, register
from heldout.ledger.seen import match
from heldout.ledger.trials import Ledger, Look, read_ledger

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BOUND = {"id": "good", "metric": "plcc", "scope": "ensemble", "over": "pooled", "at_least": 0.5}
GATE: dict[str, Any] = {
    "rules": [BOUND], "min_groups": 3, "min_seeds": 1, "requires": [], "slices": [], "correct_for_attempts": "none",
}  # fmt: skip
RULES: dict[str, Any] = {"gate": GATE, "bootstrap": {"draws": 100}, "split": {"kind": "x"}, "yardsticks": {}}


def document(names: list[str], values: Any, features: Any = None) -> dict[str, Any]:
    frame = None if features is None else pl.DataFrame(features)
    target = np.asarray(values)
    return targets.targets_document(pl.Series(names), target, set(names), features=frame, whole=True)


def scores(seed: int, groups: int = 5, rows: int = 20) -> tuple[list[str], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    return [f"g{number % groups}" for number in range(groups * rows)], rng.normal(size=groups * rows)


@FEW
@given(st.integers(0, 10_000))
def test_the_order_of_rows_and_the_sign_of_zero_are_no_part_of_a_group(seed: int) -> None:
    """A file that was sorted, or written by another program, would be new."""
    names, values = scores(seed)
    values[0] = 0.0
    order = np.random.default_rng(seed + 1).permutation(len(values))
    other = values.copy()
    other[0] = -0.0
    assert document(names, values) == document([names[place] for place in order], other[order])


def test_text_is_compared_as_it_is_read() -> None:
    """A label in another normal form would make another group."""
    one, two = (document(list("aabb"), [text, "b", text, "b"]) for text in ("caf\u00e9", "cafe\u0301"))
    assert one == two


@FEW
@given(st.integers(0, 10_000), st.integers(0, 9), st.booleans())
def test_what_is_left_of_a_group_is_known_again(seed: int, dropped: int, renamed: bool) -> None:
    """Rows would be dropped until nothing is recognised."""
    names, values = scores(seed)
    keep = np.arange(len(names)) >= 5 * dropped
    left = [("new " if renamed else "") + name for name, kept in zip(names, keep, strict=True) if kept]
    found = match(document(left, values[keep]), document(names, values))
    assert set(left) == set(found.seen)
    assert found.recut == (dropped >= 8)  # two fifths of twenty rows are left out: cut otherwise


@FEW
@given(st.integers(0, 10_000))
def test_other_data_was_not_seen(seed: int) -> None:
    """Every study would need an amendment."""
    names, values = scores(seed)
    _, others = scores(seed + 20_000)
    found = match(document(names, others), document(names, values))
    assert ({}, tuple(sorted(set(names)))) == (dict(found.seen), found.reappeared)


@FEW
@given(st.integers(0, 10_000), st.integers(3, 9))
def test_rows_that_were_grouped_otherwise_are_known_again(seed: int, groups: int) -> None:
    """Another column to group by would be a fresh start."""
    names, values = scores(seed, groups=4, rows=60)
    found = match(document([f"h{n % groups}" for n in range(len(values))], values), document(names, values))
    assert groups == len(found.seen)
    assert found.recut == (groups != 4)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_groups_of_very_few_rows_are_known_together(rows: int) -> None:
    """A patient is often one row."""
    names, values = scores(3, groups=40, rows=rows)
    found = match(document(["new " + name for name in names], values), document(names, values))
    assert 40 == len(found.seen)


def _labels(kind: str, rng: np.random.Generator, groups: int, rows: int) -> Any:
    """Sick or well: each row by itself, one label a subject, or as many of each in every subject."""
    if kind == "subjects":
        return np.tile(np.where(rng.random(groups) < 0.4, "sick", "well"), rows)
    if kind == "balanced":
        return np.repeat(np.resize(["sick", "well"], rows), groups)
    return np.where(rng.random(groups * rows) < 0.4, "sick", "well")


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize(
    ("kind", "groups", "rows"),
    [("rows", 20, 1), ("rows", 150, 2), pytest.param("rows", 2000, 1, marks=pytest.mark.slow), ("rows", 5, 30),
     ("rows", 10, 30), ("subjects", 20, 8), ("subjects", 100, 8), ("balanced", 6, 50)],
)  # fmt: skip
def test_other_patients_with_the_same_labels_were_not_seen(kind: str, groups: int, rows: int, renamed: bool) -> None:
    """A second hospital's patients would be called the first one's: both have sick and well, aged 20 to 80."""
    names = [f"p{number % groups}" for number in range(groups * rows)]
    new = [("new " if renamed or kind == "balanced" else "") + name for name in names]
    wrong = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        one, two = (
            {"age": rng.integers(20, 80, groups * rows), "pulse": rng.integers(50, 100, groups * rows)}
            for _ in range(2)
        )
        labels, others = (_labels(kind, rng, groups, rows) for _ in range(2))
        wrong += bool(match(document(new, others, two), document(names, labels, one)).seen)
    assert wrong == 0


def test_another_target_of_the_same_rows_was_not_seen() -> None:
    """Who asks one table for two diseases would be told that the second had been looked at."""
    rng = np.random.default_rng(7)
    names = [f"p{number % 8}" for number in range(320)]
    columns = {"age": rng.normal(size=320), "pulse": rng.normal(size=320)}
    one, two = (np.where(rng.random(320) < 0.3, "yes", "no") for _ in range(2))
    assert not match(document(names, two, columns), document(names, one, columns)).seen


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize(("groups", "rows"), [(5, 30), (40, 12)])
def test_labels_without_the_features_they_had_are_known_again(groups: int, rows: int, renamed: bool) -> None:
    """New columns and new names would be a fresh start for every classification."""
    rng = np.random.default_rng(6)
    names = [f"p{number % groups}" for number in range(groups * rows)]
    share = np.tile(rng.uniform(0.2, 0.8, groups), rows)
    labels = np.where(rng.random(groups * rows) < share, "sick", "well")
    columns, more = ({"age": rng.normal(size=groups * rows)} for _ in range(2))
    new = [("new " if renamed else "") + name for name in names]
    assert groups == len(match(document(new, labels, more), document(names, labels, columns)).seen)


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("other", ["1.0", "number"])
def test_labels_that_are_numbers_are_known_again_however_they_are_spelt(other: str, renamed: bool) -> None:
    """A CSV of whole numbers as Parquet of floats, or ratings read as numbers, would be a fresh start."""
    rng = np.random.default_rng(10)
    names = [f"p{number % 24}" for number in range(240)]
    columns = {"age": rng.normal(size=240)}
    rated = rng.integers(1, 6, size=240)
    spelt = rated.astype(float) if other == "number" else rated.astype(float).astype(str)
    new = [("new " if renamed else "") + name for name in names]
    one, two = document(names, rated.astype(str), columns), document(new, spelt, columns)
    assert len(match(two, one).seen) == len(match(one, two).seen) == 24


def test_balanced_labels_are_known_again_by_their_names() -> None:
    """Fifty trials left and fifty right in every subject: new columns would be a fresh start for a whole design."""
    rng = np.random.default_rng(8)
    names = [f"p{number % 6}" for number in range(300)]
    labels = _labels("balanced", rng, 6, 50)
    one, two = ({"power": rng.normal(size=300)} for _ in range(2))
    assert 6 == len(match(document(names, labels, two), document(names, labels, one)).seen)


def test_one_group_with_everything_else_new_is_known() -> None:
    """A single group that was seen could be carried into any corpus."""
    names, values = scores(4)
    more, others = scores(5, groups=30)
    mixed = [*("x" + name for name in more), *(name for name in names if name == "g1")]
    joined = np.concatenate([others, values[[name == "g1" for name in names]]])
    assert {"g1": "g1"} == dict(match(document(mixed, joined), document(names, values)).seen)


@pytest.mark.slow
def test_ten_thousand_groups_keep_a_document_of_some_megabytes(tmp_path: Path) -> None:
    """A look would weigh more than the corpus."""
    names, values = scores(6, groups=10_000, rows=12)
    found = document(names, values)
    sha256 = targets.store(tmp_path, found)
    assert sha256 == targets.store(tmp_path, found)
    assert 1 == len(list((tmp_path / targets.FOLDER).iterdir()))
    assert targets.place(tmp_path, sha256).stat().st_size < 6_000_000
    keep = np.arange(len(names)) >= 10_000
    assert 10_000 == len(match(document(["n" + name for name in names[10_000:]], values[keep]), found).seen)


@FEW
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_only_a_tighter_bound_is_no_looser(old: float, new: float) -> None:
    """Tightening would be refused, or loosening be let through."""

    def rules(key: str, bound: float) -> dict[str, Any]:
        rule = {name: value for name, value in BOUND.items() if name != "at_least"} | {key: bound}
        return RULES | {"gate": GATE | {"rules": [rule]}}

    assert (new >= old) == compared(rules("at_least", new), rules("at_least", old))[0]
    assert (new <= old) == compared(rules("at_most", new), rules("at_most", old))[0]
    assert not compared(rules("at_most", new), rules("at_least", old))[0]


@pytest.mark.parametrize(
    "change",
    [
        {"split": {"kind": "y"}},
        {"bootstrap": {"draws": 200}},
        {"gate": GATE | {"min_groups": 2}},
        {"gate": GATE | {"rules": []}},
        {"gate": GATE | {"rules": [BOUND | {"metric": "srocc", "at_least": 0.9}]}},
        {"gate": GATE | {"something": "that this code does not know"}},
    ],
)
def test_what_cannot_be_ordered_is_not_stricter(change: dict[str, Any]) -> None:
    """A change in kind would pass as one in degree."""
    assert compared(RULES, RULES) == (True, None)
    assert not compared(RULES | change, RULES)[0]


LOOKED = document(*scores(7))  # before a fork: polars does not survive one


def declared(bound: float = 0.5) -> Declared:
    rules = RULES | {"gate": GATE | {"rules": [BOUND | {"at_least": bound}]}}
    return Declared(rules, Groups(LOOKED, "corpus", "split"))


def look(study: Path) -> Look:
    groups = targets.store(study, declared().groups.document)
    return Look(
        "r1", "base", "v", "corpus", "split", "g", (0,), None, "HOLD", None, "m", groups_sha256=groups,
        rules_sha256=targets.store(study, declared().rules),
    )  # fmt: skip


def _register(study: str, bound: float) -> None:
    with Ledger(Path(study)) as held:
        register(held, Path(study), declared(bound))


def test_of_two_processes_at_once_one_registers_first(tmp_path: Path) -> None:
    """Both would be told that nobody had looked."""
    context = get_context("fork")
    study = tmp_path / "runs" / "study"
    study.mkdir(parents=True)
    workers = [context.Process(target=_register, args=(str(study), bound)) for bound in (0.5, 0.4, 0.3, 0.2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    whys = [record["why"] for record in read_policies(study)]
    assert ["first"] == [why for why in whys if why != "stricter"][:1] == whys[:1]
    assert 1 == whys.count("first")


def _killed(study: str, where: str) -> None:
    def kill(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    if where == "registration":
        policy.append_link = kill
        _register(study, 0.5)
    else:
        import heldout.ledger.trials as module

        module.append_link = kill  # type: ignore[assignment]
        with Ledger(Path(study)) as held:
            held.record(look(Path(study)))


@pytest.mark.parametrize("where", ["registration", "look"])
def test_a_kill_between_a_document_and_its_record_leaves_both_ledgers_whole(tmp_path: Path, where: str) -> None:
    """A power cut would read as fraud, or a half-written look bind nobody."""
    study = tmp_path / "runs" / "study"
    study.mkdir(parents=True)
    worker = get_context("fork").Process(target=_killed, args=(str(study), where))
    worker.start()
    worker.join()
    assert -signal.SIGKILL == worker.exitcode
    assert (study / targets.FOLDER).is_dir()
    assert [] == read_policies(study) == read_ledger(study)
    _register(str(study), 0.5)
    with Ledger(study) as held:
        held.record(look(study))
    assert (1, 1) == (len(read_policies(study)), len(read_ledger(study)))


@pytest.mark.parametrize("name", [POLICY_FILE, LEDGER_FILE])
def test_a_torn_last_line_is_cut_off_and_nothing_else(tmp_path: Path, name: str) -> None:
    """A kill in mid-append would stop the study, or lose the record before it."""
    study = tmp_path / "runs" / "study"
    study.mkdir(parents=True)
    _register(str(study), 0.5)
    with Ledger(study) as held:
        held.record(look(study))
    with (study / name).open("ab") as stream:
        stream.write(b'{"schema": "heldout.')
    _register(str(study), 0.6)
    assert ["first", "stricter"] == [record["why"] for record in read_policies(study)]
    _register(str(study), 0.4)
    assert 2 == len(read_policies(study))


def test_a_list_of_groups_that_was_written_half_is_no_list(tmp_path: Path) -> None:
    """A damaged document would read as groups that nobody saw."""
    study = tmp_path / "runs" / "study"
    study.mkdir(parents=True)
    _register(str(study), 0.5)
    path = targets.place(study, str(read_policies(study)[0]["groups_sha256"]))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TamperedError, match="not the one that was written"):
        _register(str(study), 0.4)
