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


R2 = {"id": "r2", "metric": "r2", "over": "pooled", "at_least": 0.5}


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


def test_what_a_study_without_metrics_declares_is_what_it_was(desk: Path) -> None:
    """Every registration and every attempt of before would be another one after an update."""
    study([R2 | {"metric": "rmse", "at_least": None, "at_most": 2}])
    _, folder = run()
    assert "metrics" not in (folder / "study.lock.yaml").read_text()
    (rules,) = (read_json(path) for path in Path("runs/own/looks").glob("*.json") if "yardsticks" in path.read_text())
    assert ["bootstrap", "gate", "schema", "split", "yardsticks"] == sorted(rules)


FBETA = {"name": "f2", "function": "sklearn.metrics.fbeta_score", "better": "higher", "range": [0, 1]}
FBETA |= {"params": {"beta": 2, "pos_label": "yes"}}


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


def test_another_definition_after_a_look_is_another_rule(desk: Path) -> None:
    """A metric could be bent until it says yes, under the name that was registered."""
    study([OWN_RULE | {"at_least": 0.99}], [CLOSENESS])
    code, folder = run()
    assert 1 == code
    untrusted = heldout("verify", folder, cwd=desk)
    assert "NOT CHECKED" in untrusted.out
    assert "--trust-code" in untrusted.out
    assert 0 == heldout("verify", folder, "--trust-code", cwd=desk).code
    Path("own_metrics.py").write_text(OWN.replace("< 1.0", "< 99.0"))
    changed = heldout("verify", folder, "--trust-code", cwd=desk)
    assert "is not the one that the run had" in changed.out
    code, folder = run()
    verdict = read_json(folder / "HOLD.json")
    assert (1, True) == (code, any("changed after the first look" in reason for reason in verdict["reasons"]))


def test_other_arguments_after_a_look_are_another_rule(desk: Path) -> None:
    """A parameter could be turned until the metric says yes."""
    rule = {"id": "f2", "metric": "f2", "over": "pooled", "at_least": 0.99}
    study([rule], [FBETA], target="label")
    assert 1 == run()[0]
    study([rule | {"at_least": 0.995}], [FBETA | {"params": {"beta": 0.01, "pos_label": "yes"}}], target="label")
    code, folder = run()
    reasons = read_json(folder / "HOLD.json")["reasons"]
    assert (1, True) == (code, any("changed after the first look" in reason for reason in reasons))


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


def test_a_function_that_fails_costs_no_fit_and_no_look(desk: Path) -> None:
    """A slip in a metric would spend the one look that there is."""
    for name, what in (("broken", "KeyError"), ("too_large", "outside of its declared range")):
        study([R2], [{"name": name, "function": f"own_metrics:{name}", "better": "higher", "range": [0, 1]}])
        failed = heldout("run", "study.yaml", cwd=desk)
        assert (2, True) == (failed.code, what in failed.err), failed.err
        assert list(Path("runs").rglob("unit.json"))
        ledger = Path("runs/own/trials.jsonl")
        assert not ledger.exists() or not ledger.read_text().strip()
    study([R2])
    assert 0 == run()[0]


def test_a_function_that_refuses_rows_leaves_the_rule_open(desk: Path) -> None:
    """A metric that has no value would count as passed, or end the run."""
    rule = {"id": "picky", "metric": "picky", "over": "pooled", "at_least": 0.5}
    study([rule], [{"name": "picky", "function": "own_metrics:picky", "better": "higher"}])
    code, folder = run()
    verdict = read_json(folder / "HOLD.json")
    assert (1, "UNKNOWN") == (code, next(each["outcome"] for each in verdict["rules"] if each["id"] == "picky"))
    reasons = {each["why"] for each in read_json(folder / "metrics.json")["undefined"]}
    assert any("only on Sundays" in reason for reason in reasons)
