"""A task of somebody's own: what its author, or whoever names it, may try with it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from attack_kit import Desk, heldout, route, table_desk
from plugin_kit import importable, install

from heldout.evidence import read_json
from heldout.split import Fold
from heldout.task.task import Task, named_task
from heldout.task.trivial import trivial_contenders

POINTS = {
    "heldout.tasks": {
        name: f"own_tasks:{name.upper()}"
        for name in ("near", "nearer", "grades", "raising", "nan", "wide", "sorts", "named", "unknown", "mean", "vague")
    },
    "heldout.metrics": {"near_share": "own_tasks:NEAR_SHARE", "rank_loss": "own_tasks:RANK_LOSS"},
}
OWN = """
import numpy as np
from heldout.task import Metric, Task
from heldout.task.metric import SHARE


def share(rows):
    return rows.mean(np.abs(rows.said - rows.truth) < 1.5)


def levels(rows):
    return rows.mean(np.abs(rows.label - rows.truth)) / max(1, len(rows.classes) - 1)


NEAR_SHARE = Metric("near_share", "near", "higher", SHARE, "value", share)
RANK_LOSS = Metric("rank_loss", "rank loss", "lower", SHARE, "label", levels)


def most(truth, weight, classes):
    ends = np.searchsorted(truth, truth + 2.9, side="right")
    return float(truth[np.argmax(ends - np.arange(len(truth)))] + 1.45)


def middle(truth, weight, classes):
    return np.eye(len(classes))[int(np.median(truth))]


def sorts(truth, weight, classes):
    truth[:] = 0.0
    return 1.0


NEAR = Task("near", "regression", ("near_share", "mae"), {"the most crowded": most})
NEARER = Task("nearer", "regression", ("near_share", "mae"))
GRADES = Task("grades", "classification", ("rank_loss", "accuracy"), {"the middle class": middle},
              "a grade from A to D", lambda grades: np.isin(grades, list("ABCD")))
RAISING = Task("raising", "regression", ("mae",), {"one": lambda *_: 1 / 0})
NAN = Task("nan", "regression", ("mae",), {"one": lambda *_: float("nan")})
WIDE = Task("wide", "regression", ("mae",), {"one": lambda *_: [1.0, 2.0]})
SORTS = Task("sorts", "regression", ("mae",), {"one": sorts}, "anything", lambda t: np.bool_(True))
NAMED = Task("another", "regression", ("mae",))
UNKNOWN = Task("unknown", "regression", ("no_such_metric",))
MEAN = Task("mean", "regression", ("mae",), {"mean": lambda *_: 1e9})
VAGUE = Task("vague", "regression", ("mae",), takes=lambda t: t > 0)
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A table and a study of a task that an installed distribution brings."""
    install(tmp_path / "site-packages", "own-tasks", {"own_tasks.py": OWN}, POINTS)
    desk = table_desk(tmp_path)
    desk.write(task="near")
    desk.rules({"id": "near", "metric": "near_share", "over": "pooled", "at_least": 0.8})
    with importable(tmp_path / "site-packages", "own_tasks"):
        yield desk


def refused(desk: Desk, *words: str) -> None:
    done = desk.run()
    assert 2 == done.code, done.out + done.err
    assert all(word in done.err for word in (*words, "where:", "fix:")), done.err
    assert not list(desk.of_study.glob("*/metrics.json"))


@pytest.mark.slow
def test_a_task_decides_what_stands_in_the_tables(desk: Desk) -> None:
    """Every study of a field would have to list the field's metrics, and one would forget."""
    done = desk.run()
    assert 0 == done.code, done.out + done.err
    metrics = read_json(desk.newest / "metrics.json")
    assert ("near_share", ["near_share", "mae"]) == (metrics["primary"], [each["name"] for each in metrics["metrics"]])
    assert {"mean", "median", "the most crowded"} == set(metrics["trivial"]["contenders"])
    table = pl.read_ndjson(desk.newest / "predictions.jsonl")
    expected = (table["target"] - table["prediction"]).abs().lt(1.5).mean()
    assert expected == pytest.approx(metrics["ensemble"]["pooled"]["near_share"])
    for fold, answer in metrics["trivial"]["contenders"]["the most crowded"]["answers"].items():
        trains = np.sort(table.filter(pl.col("fold") != fold)["target"].to_numpy())
        held = [int((np.abs(trains - value) < 1.45 + 1e-9).sum()) for value in trains + 1.45]
        assert trains[int(np.argmax(held))] + 1.45 == pytest.approx(answer)
    assert 0 == desk.heldout("verify", desk.newest, "--corpus", "table.csv").code


@pytest.mark.slow
def test_classes_are_a_task_too(desk: Desk) -> None:
    """Grades have an order, which accuracy does not know."""
    table = pl.read_csv(desk.folder / "table.csv")
    grades = pl.Series([list("ABCD")[int(place)] for place in (table["y"].rank().to_numpy() - 1) * 4 // table.height])
    table.with_columns(y=grades).write_csv(desk.folder / "table.csv")
    corpus = {key: value for key, value in desk.study["corpus"].items() if key != "task"}
    desk.write(task="grades", corpus=corpus, fit={"estimator": "sklearn.linear_model.LogisticRegression"})
    desk.rules({"id": "order", "metric": "rank_loss", "over": "pooled", "at_most": 0.2})
    done = desk.run()
    assert 0 == done.code, done.out + done.err
    assert {"majority", "prior", "chance", "the middle class"} == set(
        read_json(desk.newest / "metrics.json")["trivial"]["contenders"]
    )
    assert 0 == desk.heldout("verify", desk.newest).code
    table.with_columns(y=pl.Series(["E", *grades[1:]])).write_csv(desk.folder / "table.csv")
    done = desk.run()
    assert 2 == done.code
    assert all(word in done.err for word in ("the target is E", "wants a grade from A to D", "sample", "column y"))


@pytest.mark.slow
@route("tasks", "motivated author", "names a task whose best constant passes the gate", "HOLD")
def test_a_gate_that_the_best_constant_passes_is_no_gate(desk: Desk) -> None:
    """Mean and median fail, the constant that most targets are near passes: a model that says it would serve."""
    desk.rules({"id": "near", "metric": "near_share", "over": "pooled", "at_least": 0.01})
    done = desk.run()
    assert 1 == done.code
    assert "would be promoted by the same rules" in desk.rule("non-trivial")["sentence"]
    assert 0 == desk.heldout("verify", desk.newest).code


@pytest.mark.slow
@pytest.mark.parametrize("other", ["nearer", None])
@route(
    "tasks", "motivated author", "looks, and names another task, or none, so that nobody judges that constant", "HOLD"
)
def test_another_task_after_a_look_needs_a_reason(desk: Desk, other: str | None) -> None:
    """The contender that passes would be taken out of the way."""
    assert 0 == desk.run().code
    desk.write(task=other)
    assert 1 == desk.run().code
    assert "heldout gate amend" in desk.rule("pre-registered")["sentence"]


@pytest.mark.slow
@route("tasks", "sender of a bundle", "changes what a task's contender answered, so that it passes no gate", "TAMPERED")
def test_what_a_contender_answered_is_asked_again(desk: Desk) -> None:
    """A gate would look as if the best constant failed it."""
    assert 0 == desk.run().code
    path = desk.newest / "metrics.json"
    document = json.loads(path.read_text())
    answers = document["trivial"]["contenders"]["the most crowded"]["answers"]
    answers[min(answers)] += 0.5
    path.write_text(json.dumps(document))
    told = desk.heldout("verify", desk.newest, "--json")
    assert 3 == told.code
    links = {link["id"]: link["state"] for link in json.loads(told.out)["links"]}
    assert "BROKEN" in links.values()


@pytest.mark.slow
@route("tasks", "operator", "verifies where the task is of another version, or not installed", "stopped")
def test_a_task_of_another_version_checks_nothing(desk: Desk) -> None:
    """Numbers by another definition would be called the run's."""
    assert 0 == desk.run().code
    (info,) = (desk.folder / "site-packages").glob("*.dist-info")
    meta = (info / "METADATA").read_text()
    (info / "METADATA").write_text(meta.replace("Version: 1.0", "Version: 1.1"))
    told = desk.heldout("gate", desk.newest)
    assert (2, True) == (told.code, "task 'near' is of own-tasks 1.1 here, not own-tasks 1.0" in told.err), told
    (info / "entry_points.txt").unlink()
    told = desk.heldout("registry", "add", desk.newest, "--by", "ann")
    assert (2, True) == (told.code, "no plug-in offers the task 'near' here" in told.err), told
    assert "VERIFIED" not in desk.heldout("verify", desk.newest).out


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("raising", ("'one' failed: ZeroDivisionError",)),
        ("nan", ("answers nan", "one finite number")),
        ("wide", ("[1.0, 2.0]", "one finite number")),
        ("sorts", ("`takes` answers bool []", "True or False")),
        ("named", ("its own name is 'another'",)),
        ("unknown", ("lists a metric 'no_such_metric' that there is not",)),
        ("mean", ("the name of a contender of every regression",)),
        ("vague", ("`takes` and `wants`",)),
        ("grades", ("is a classification", "the target of the corpus is one of regression")),
        ("nea", ("there is no task named 'nea'", "near")),
        ("classification", ("is a classification",)),
    ],
)
@route("tasks", "careless user", "names a task that does not hold together, or one of the other kind", "stopped")
def test_a_task_that_is_none_is_refused(desk: Desk, task: str, words: tuple[str, ...]) -> None:
    """Somebody else's slip would be an internal error, or a number."""
    desk.rules({"id": "mae", "metric": "mae", "over": "pooled", "at_most": 2})
    desk.write(task=task)
    refused(desk, *words)


def test_what_sorts_in_place_changes_nobody(desk: Desk) -> None:
    """A contender that overwrites its targets would change those of the next."""
    task = named_task("sorts")
    target = np.arange(12.0)
    own = trivial_contenders(target, np.repeat(["a", "b"], 6), [Fold("f", ("a",))], own=task.answers())
    assert list(range(12)) == target.tolist()
    assert 8.5 == own["mean"].answers["f"][0]
    assert 1.0 == own["one"].answers["f"][0]


def test_tasks_of_strangers_are_not_imported(tmp_path: Path) -> None:
    """Whoever verifies would run what lies beside the run, because its lock names it."""
    desk = table_desk(tmp_path)
    assert 0 == desk.run().code
    folder = desk.newest
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    lock = folder / "study.lock.yaml"
    entry = "task:\n  code: null\n  name: near\n  plugin: evil\n  version: null\n"
    lock.write_text(lock.read_text().replace("variant:", f"{entry}variant:"))
    told = heldout("verify", folder, cwd=tmp_path)
    assert told.code in (2, 3)
    assert "evil" not in sys.modules


@pytest.mark.slow
def test_built_in_tasks_may_be_named(tmp_path: Path) -> None:
    """A study that says what it is would be another study."""
    desk = table_desk(tmp_path)
    plain = desk.run()
    first = read_json(desk.newest / "metrics.json")
    desk.write(task="regression")
    again = desk.run()
    assert (0, 0) == (plain.code, again.code)
    assert first == read_json(desk.newest / "metrics.json")
    assert isinstance(named_task("regression"), Task)
