"""A study's own metrics: by name or declared as functions, registered with the rules, recomputed by `verify`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attack_kit import heldout

from heldout.evidence import read_json, read_json_lines

OTHER = {"y": "label", "label": "y"}
OWN = """
import os

import numpy as np


def closeness(truth, said):
    return float(np.mean(np.abs(truth - said) < 1.0))


def sorter(truth, said):
    truth.sort()
    said.sort()
    return float(np.abs(truth - said).mean())


def broken(truth, said):
    raise KeyError("the third row")


def picky(truth, said):
    raise ValueError("only on Sundays")


def large(truth, said):
    if len(truth) < 100:
        raise ValueError("too few rows")
    return 1.0


def leaver(truth, said):
    raise SystemExit(0)


def wanderer(truth, said):
    os.chdir("/")
    print("hello")
    return float(np.abs(truth - said).mean())


def dice(truth, said):
    return float(np.random.default_rng().random())


def correlation(truth, said):
    return float(np.corrcoef(truth, said)[0, 1])


def always_right(truth, said):
    return 1.0 + 1e-16


def too_large(truth, said):
    return 7.0
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A table of six sites with a number and a class to predict, and a module of the user's own."""
    rng = np.random.default_rng(8)
    rows = [
        f"{site},{x},{2 * x + noise / 2 + 9},{'yes' if x + noise > 1 else 'no'}"
        for site in "abcdef"
        for x, noise in rng.normal(size=(40, 2)).tolist()
    ]
    (tmp_path / "table.csv").write_text("\n".join(["site,x,y,label", *rows]) + "\n")
    (tmp_path / "own_metrics.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("own_metrics", None)


def study(rules: list[dict[str, Any]], metrics: list[Any] | None = None, target: str = "y") -> None:
    estimator = "sklearn.linear_model.Ridge" if target == "y" else "sklearn.linear_model.LogisticRegression"
    document: dict[str, Any] = {
        "study": "own",
        "corpus": {
            "path": "table.csv",
            "group": "site",
            "target": target,
            "ignore": ["label" if target == "y" else "y"],
        },
        "backbone": "sklearn",
        "fit": {"estimator": estimator},
        "seeds": [0],
        "bootstrap": {"draws": 100},
        "gate": {"rules": rules},
    }
    Path("study.yaml").write_text(json.dumps(document | ({"metrics": metrics} if metrics else {}), indent=1))


def run() -> tuple[int, Path]:
    done = heldout("run", "study.yaml", "--workers", "1", cwd=Path.cwd())
    folders = sorted(Path("runs/own").glob("*/metrics.json"), key=lambda path: path.stat().st_mtime_ns)
    return done.code, folders[-1].parent if folders else Path()


SAYS_YES = {"strategy": "constant", "constant": "yes"}
SAYS_MUCH = {"strategy": "quantile", "quantile": 0.9}
R2 = {"id": "r2", "metric": "r2", "over": "pooled", "at_least": 0.5}


@pytest.mark.slow
def test_a_rule_asks_for_any_metric_by_name(desk: Path) -> None:
    """R², which everybody reports, could not be judged."""
    study(
        [R2, {"id": "size", "metric": "abs_bias", "at_most": 3}, {"id": "q", "metric": "pinball@0.9", "at_most": 1.2}]
    )
    code, folder = run()
    assert 0 == code
    document = read_json(folder / "metrics.json")
    assert ["plcc", "srocc", "rmse", "mae", "bias", "abs_bias", "r2", "pinball@0.9"] == [
        each["name"] for each in document["metrics"]
    ]
    rows = list(read_json_lines(folder / "predictions.jsonl"))
    truth, said = (np.array([row[key] for row in rows]) for key in ("target", "prediction"))
    expected = 1 - ((truth - said) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert expected == pytest.approx(document["ensemble"]["pooled"]["r2"])
    assert {"low", "high"} <= set(document["ensemble"]["intervals"]["r2"])
    page = (folder / "report.html").read_text()
    assert all(label in page for label in ("R²", "absolute bias", "pinball loss at 0.9"))
    assert 0 == heldout("verify", folder, cwd=desk).code


@pytest.mark.slow
def test_a_class_is_judged_by_what_matters_of_it(desk: Path) -> None:
    """A model that never finds the rare class could be promoted for its accuracy."""
    rules = [
        {"id": "auc", "metric": "roc_auc", "over": "pooled", "at_least": 0.7},
        {"id": "found", "metric": "recall@yes", "over": "pooled", "at_least": 0.3},
        {"id": "brier", "metric": "brier", "at_most": 0.2},
    ]
    study(rules, ["mcc", "ece", "average_precision@yes"], target="label")
    code, folder = run()
    assert 0 == code
    pooled = read_json(folder / "metrics.json")["ensemble"]["pooled"]
    assert {"roc_auc", "recall@yes", "brier", "mcc", "expected_calibration_error", "average_precision@yes"} <= set(
        pooled
    )
    assert 0 == heldout("verify", folder, cwd=desk).code
    study([rules[0] | {"metric": "recall@maybe"}], target="label")
    refused = heldout("run", "study.yaml", cwd=desk)
    assert (2, True) == (refused.code, "the corpus has no class 'maybe'" in refused.err)
    assert "study.yaml:" in refused.err


@pytest.mark.slow
def test_what_a_study_without_metrics_declares_is_what_it_was(desk: Path) -> None:
    """Every registration and every attempt of before would be another one after an update."""
    study([R2 | {"metric": "rmse", "at_least": None, "at_most": 2}])
    _, folder = run()
    assert "metrics" not in (folder / "study.lock.yaml").read_text()
    (rules,) = (read_json(path) for path in Path("runs/own/looks").glob("*.json") if "yardsticks" in path.read_text())
    assert ["bootstrap", "gate", "schema", "split", "yardsticks"] == sorted(rules)


FBETA = {"name": "f2", "function": "sklearn.metrics.fbeta_score", "better": "higher", "range": [0, 1]}
FBETA |= {"params": {"beta": 2, "pos_label": "yes"}}


@pytest.mark.slow
def test_a_function_of_scikit_learn_is_a_metric(desk: Path) -> None:
    """Whoever is judged by another number than the built-in ones could not use the product."""
    study([{"id": "f2", "metric": "f2", "over": "pooled", "at_least": 0.3}], [FBETA], target="label")
    code, folder = run()
    assert 0 == code
    rows = list(read_json_lines(folder / "predictions.jsonl"))
    from sklearn.metrics import fbeta_score

    expected = fbeta_score(
        [row["target"] for row in rows], [row["prediction"] for row in rows], beta=2, pos_label="yes"
    )
    assert expected == pytest.approx(read_json(folder / "metrics.json")["ensemble"]["pooled"]["f2"])
    checked = heldout("verify", folder, cwd=desk)
    assert (0, True) == (checked.code, "VERIFIED" in checked.out)


OWN_RULE = {"id": "close", "metric": "closeness", "over": "pooled", "at_least": 0.5}
CLOSENESS = {"name": "closeness", "function": "own_metrics:closeness", "better": "higher", "range": [0, 1]}


@pytest.mark.slow
def test_another_definition_after_a_look_is_another_rule(desk: Path) -> None:
    """A metric could be bent until it says yes, under the name that was registered."""
    study([OWN_RULE | {"at_least": 0.99}], [CLOSENESS])
    code, folder = run()
    assert 1 == code
    untrusted = heldout("verify", folder, cwd=desk)
    assert (2, True) == (untrusted.code, "--trust-code" in untrusted.err)
    assert "VERIFIED" not in untrusted.out
    assert 0 == heldout("verify", folder, "--trust-code", cwd=desk).code
    Path("own_metrics.py").write_text(OWN.replace("< 1.0", "< 99.0"))
    stale = heldout("verify", folder, "--trust-code", cwd=desk)
    assert (2, True) == (stale.code, "was edited since it was imported" in stale.err)
    sys.modules.pop("own_metrics")
    changed = heldout("verify", folder, "--trust-code", cwd=desk)
    assert (2, True) == (changed.code, "is not the one that the run had" in changed.err)
    code, folder = run()
    verdict = read_json(folder / "HOLD.json")
    assert (1, True) == (code, any("changed after the first look" in reason for reason in verdict["reasons"]))


@pytest.mark.slow
def test_other_arguments_after_a_look_are_another_rule(desk: Path) -> None:
    """A parameter could be turned until the metric says yes."""
    rule = {"id": "f2", "metric": "f2", "over": "pooled", "at_least": 0.99}
    study([rule], [FBETA], target="label")
    assert 1 == run()[0]
    study([rule | {"at_least": 0.995}], [FBETA | {"params": {"beta": 0.01, "pos_label": "yes"}}], target="label")
    code, folder = run()
    reasons = read_json(folder / "HOLD.json")["reasons"]
    assert (1, True) == (code, any("changed after the first look" in reason for reason in reasons))


@pytest.mark.slow
def test_a_function_that_sorts_in_place_changes_no_other_number(desk: Path) -> None:
    """A careless function would give every metric after it perfect predictions."""
    study([R2])
    first = read_json(run()[1] / "metrics.json")["ensemble"]["pooled"]
    study([R2], [{"name": "sorter", "function": "own_metrics:sorter", "better": "lower"}])
    second = read_json(run()[1] / "metrics.json")["ensemble"]["pooled"]
    assert "sorter" in second
    assert {name: value for name, value in second.items() if name != "sorter"} == first


@pytest.mark.parametrize(
    ("metric", "what"),
    [
        ("r22", "unknown metric 'r22'"),
        ("roc_auc", "unknown metric 'roc_auc' for a regression study"),
        ("pinball@2", "a quantile between 0 and 1"),
    ],
)
def test_an_unknown_metric_is_refused_with_its_line(metric: str, what: str, desk: Path) -> None:
    """A slip of the pen would be found after the training, or judged as something else."""
    study([R2 | {"metric": metric}])
    refused = heldout("run", "study.yaml", cwd=desk)
    assert 2 == refused.code
    assert what in refused.err
    assert "study.yaml:" in refused.err


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("r22", "there is no metric 'r22'"),
        (
            {"name": "own", "function": "own_metrics:gone", "better": "higher"},
            "no function 'own_metrics:gone'",
        ),
        (
            {"name": "own", "function": "nowhere_at_all:f", "better": "higher"},
            "cannot import 'nowhere_at_all:f': ModuleNotFoundError",
        ),
        ({"name": "rmse", "function": "own_metrics:closeness", "better": "higher"}, "two metrics are named 'rmse'"),
        ({"name": "own", "function": "own_metrics:closeness"}, "better"),
        (
            {"name": "own", "function": "own_metrics:closeness", "better": "higher", "params": {"beta": 2}},
            "unexpected keyword argument 'beta'",
        ),
        ({"name": "own", "function": "own_metrics:np", "better": "higher"}, "is no function"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_before_compute(entry: Any, what: str, desk: Path) -> None:
    """An evening of training would end in a traceback."""
    study([R2], [entry])
    refused = heldout("run", "study.yaml", cwd=desk)
    assert 2 == refused.code
    assert what in refused.err
    assert not list(Path("runs").rglob("unit.json"))


@pytest.mark.first_is_fast
@pytest.mark.parametrize(("name", "what"), [("broken", "KeyError"), ("too_large", "outside of its range")])
def test_a_function_that_fails_costs_no_fit_and_no_look(desk: Path, name: str, what: str) -> None:
    """A slip in a metric would spend the one look that there is."""
    study([R2], [{"name": name, "function": f"own_metrics:{name}", "better": "higher", "range": [0, 1]}])
    failed = heldout("run", "study.yaml", cwd=desk)
    assert (2, True) == (failed.code, what in failed.err), failed.err
    assert list(Path("runs").rglob("unit.json"))
    ledger = Path("runs/own/trials.jsonl")
    assert not ledger.exists() or not ledger.read_text().strip()
    study([R2])
    assert 0 == run()[0]


@pytest.mark.slow
def test_a_function_that_refuses_some_rows_leaves_the_rule_open(desk: Path) -> None:
    """A metric that has no value in a fold would count as passed, or end the run."""
    rule = {"id": "large", "metric": "large", "at_least": 0.5}
    study([rule], [{"name": "large", "function": "own_metrics:large", "better": "higher"}])
    code, folder = run()
    verdict = read_json(folder / "HOLD.json")
    assert (1, "UNKNOWN") == (code, next(each["outcome"] for each in verdict["rules"] if each["id"] == "large"))
    reasons = {each["why"] for each in read_json(folder / "metrics.json")["undefined"]}
    assert any("too few rows" in reason for reason in reasons)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "what"),
    [("picky", "refuses all rows together"), ("leaver", "failed: SystemExit"), ("dice", "of the same rows")],
)
def test_a_function_that_says_nothing_steady_costs_no_look(name: str, what: str, desk: Path) -> None:
    """A draw of the lot would be repeated until it says yes; a slip would spend the one look that there is."""
    study([R2], [{"name": name, "function": f"own_metrics:{name}", "better": "higher"}])
    refused = heldout("run", "study.yaml", "--workers", "1", cwd=desk)
    assert (2, True) == (refused.code, what in refused.err), refused.err
    ledger = Path("runs/own/trials.jsonl")
    assert not ledger.exists() or not ledger.read_text().strip()


@pytest.mark.slow
def test_a_function_that_wanders_and_talks_harms_nothing(desk: Path) -> None:
    """Its words would stand in a JSON document, and relative paths lead elsewhere."""
    study([R2], [{"name": "wanderer", "function": "own_metrics:wanderer", "better": "lower"}])
    code, folder = run()
    assert (0, desk) == (code, Path.cwd())
    told = heldout("verify", folder, "--trust-code", "--json", cwd=desk)
    assert "VERIFIED" == json.loads(told.out)["result"]


@pytest.mark.parametrize("name", ["rows", "n_train", "cells", "undefined_cells"])
def test_a_name_that_stands_beside_metrics_is_refused(name: str, desk: Path) -> None:
    """A constant named `rows` was judged, and contenders that know nothing seemed to fail it."""
    study([R2], [{"name": name, "function": "own_metrics:closeness", "better": "higher"}])
    refused = heldout("run", "study.yaml", cwd=desk)
    assert (2, True) == (refused.code, "stands beside metrics" in refused.err)
    assert "study.yaml:" in refused.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "target", "estimator", "who"),
    [
        ({"metric": "recall@yes", "at_least": 0.9}, "label", ("DummyClassifier", SAYS_YES), "always yes"),
        ({"metric": "pinball@0.9", "at_most": 0.9}, "y", ("DummyRegressor", SAYS_MUCH), "quantile 0.9"),
    ],
)
def test_one_answer_for_everybody_is_no_model(
    rule: dict[str, Any], target: str, estimator: tuple[str, dict[str, Any]], who: str, desk: Path
) -> None:
    """Whoever always says yes finds every case."""
    study([{"id": "found", "over": "pooled"} | rule], target=target)
    document = json.loads(Path("study.yaml").read_text())
    document["fit"] = {"estimator": f"sklearn.dummy.{estimator[0]}", "params": estimator[1]}
    Path("study.yaml").write_text(json.dumps(document))
    code, folder = run()
    verdict = read_json(folder / "HOLD.json")
    outcomes = {each["id"]: each for each in verdict["rules"]}
    assert (1, "PASS", "FAIL") == (code, outcomes["found"]["outcome"], outcomes["non-trivial"]["outcome"])
    assert who in outcomes["non-trivial"]["sentence"]
    assert 0 == heldout("verify", folder, cwd=desk).code
    assert 0 == heldout("verify", folder, "--corpus", "table.csv", cwd=desk).code


@pytest.mark.slow
def test_a_metric_without_a_value_for_a_constant_stops_nobody_who_knows_nothing(desk: Path) -> None:
    """A correlation that one writes oneself is undefined of a constant, and any bound on it would seem a gate."""
    own = {"name": "correlation", "function": "own_metrics:correlation", "better": "higher", "range": [-1, 1]}
    rule = {"id": "c", "metric": "correlation", "at_least": -0.99}
    study([rule], [own])
    code, folder = run()
    reasons = " ".join(read_json(folder / "HOLD.json")["reasons"])
    assert (1, True) == (code, "would be promoted by the same rules" in reasons)
    assert "guess" in reasons


@pytest.mark.slow
def test_a_value_that_rounding_moves_past_its_range_is_the_limit(desk: Path) -> None:
    """An honest mean of ones would end the run after all fits."""
    own = {"name": "right", "function": "own_metrics:always_right", "better": "higher", "range": [0, 1]}
    study([R2], [own])
    code, folder = run()
    assert (0, 1.0) == (code, read_json(folder / "metrics.json")["ensemble"]["pooled"]["right"])


PLUGIN = """
from heldout.task import Metric

def sort(rows):
    rows.truth.sort()
    rows.said.sort()
    return 0.5

SORTS = Metric("sorts", "sorts", "higher", (0.0, 1.0), "value", sort)
NOTHING = Metric("nothing", "nothing", "higher", (0.0, 1.0), "value", lambda rows: None)
SIDEWAYS = Metric("sideways", "sideways", "sideways", (0.0, 1.0), "value", sort)
"""


@pytest.fixture
def plugged(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution that offers metrics, as installed."""
    (desk / "plugged_metrics.py").write_text(PLUGIN)
    info = desk / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    names = "".join(f"{name} = plugged_metrics:{name.upper()}\n" for name in ("sorts", "nothing", "sideways"))
    (info / "entry_points.txt").write_text(f"[heldout.metrics]\n{names}")
    yield desk
    sys.modules.pop("plugged_metrics", None)


@pytest.mark.slow
def test_a_plug_in_is_a_metric_and_changes_no_other(plugged: Path) -> None:
    """A plug-in that sorts in place would give every metric after it perfect predictions."""
    study([R2])
    first = read_json(run()[1] / "metrics.json")["ensemble"]["pooled"]
    study([R2], ["sorts"])
    code, folder = run()
    second = read_json(folder / "metrics.json")["ensemble"]["pooled"]
    assert (0, first | {"sorts": 0.5}) == (code, second)
    assert "plugged 1.0" in (folder / "study.lock.yaml").read_text()
    info = plugged / "plugged-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 2.0\n")
    other = heldout("verify", folder, "--trust-code", cwd=plugged)
    assert (0, True) == (other.code, "is of plugged 2.0 here, not plugged 1.0" in other.out)
    (info / "entry_points.txt").unlink()
    gone = heldout("verify", folder, cwd=plugged)
    assert (0, True) == (gone.code, "no plug-in offers the metric 'sorts' here" in gone.out)


@pytest.mark.parametrize(
    ("name", "what"), [("nothing", "failed: TypeError"), ("sideways", "no direction, need or range")]
)
def test_a_plug_in_that_is_no_metric_is_refused(name: str, what: str, plugged: Path) -> None:
    """Somebody else's slip would be an internal error of ours."""
    study([R2], [name])
    refused = heldout("run", "study.yaml", "--workers", "1", cwd=plugged)
    assert (2, True) == (refused.code, what in refused.err), refused.err


def test_a_text_that_no_lock_can_hold_is_refused(desk: Path) -> None:
    """An honest run would be TAMPERED as soon as it is verified."""
    study([R2], [FBETA | {"params": {"beta": 2, "pos_label": "\u0085x"}}], target="y")
    refused = heldout("run", "study.yaml", cwd=desk)
    assert 2 == refused.code


@pytest.mark.slow
def test_a_run_of_ones_own_metric_is_registered(desk: Path) -> None:
    """Whoever is judged by a function of his own could not let the model serve."""
    study([OWN_RULE | {"at_least": 0.5}], [CLOSENESS])
    code, folder = run()
    assert 0 == code
    added = heldout("registry", "add", folder, "--by", "ann", cwd=desk)
    assert 0 == added.code, added.err


@pytest.mark.first_is_fast
@pytest.mark.parametrize("function", ["subprocess:call", "shutil:rmtree", "heldout.cli.main:app", "nodeenv:callit"])
def test_a_lock_of_somebody_else_calls_nothing(function: str, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever verifies or registers a run would run a command that its sender chose."""
    study([R2])
    _, folder = run()
    called: list[Any] = []
    from heldout.task import functions

    monkeypatch.setattr(functions, "import_module", lambda name: called.append(name))
    lock = (folder / "study.lock.yaml").read_text()
    entry = f"metrics:\n- better: higher\n  code: null\n  function: {function}\n  name: zz\n  needs: label\n"
    (folder / "study.lock.yaml").write_text(lock.replace("schema: heldout.lock/1", f"{entry}schema: heldout.lock/1"))
    assert "zz" in (folder / "study.lock.yaml").read_text()
    for words in (("verify", folder), ("registry", "add", folder, "--by", "ann")):
        assert heldout(*words, cwd=desk).code in (2, 3)
    assert [] == called
