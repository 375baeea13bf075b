"""Answers about windows walk the one road: rules, looks, champion and verification of every study, same numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attack_kit import Desk
from evaluation_kit import make_index

from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.answers import (
    ANSWERED,
    KNOWN_ACCURACY,
    LISTED_MACRO_F1,
    NO_ANSWER,
    WINDOW_ANSWERS,
    WindowAnswersBackbone,
)
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.run import run
from heldout.domains.embodied.verify.compare import compare
from heldout.evidence import read_json
from heldout.task import Metric
from heldout.testing import MetricConformance, TaskConformance


class TestTheTask(TaskConformance):
    task, classes = WINDOW_ANSWERS, ("move", "reach", "unknown")


@pytest.mark.parametrize("metric", [ANSWERED, KNOWN_ACCURACY, LISTED_MACRO_F1], ids=lambda each: each.name)
class TestTheMetrics(MetricConformance):
    @pytest.fixture(autouse=True)
    def _metric(self, metric: Metric) -> None:
        self.metric = metric  # type: ignore[misc]


Rows = list[dict[str, Any]]
HELD_OUT = {"says": "the windows of train alone were measured"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index, and what two predictors answered about its test windows."""
    home = tmp_path_factory.mktemp("answers")
    index = make_index(home, episodes=32)
    for name in ("nearest", "majority"):
        run(Plan(index, name), load_registry(index)["qwen3_omni_lora"], home / name)
    return home


@pytest.fixture
def desk(home: Path, tmp_path: Path) -> Desk:
    return Desk(tmp_path, study(home, "nearest", "action"))


def study(home: Path, model: str, label: str) -> dict[str, Any]:
    return {
        "study": f"{model}-{label}".replace("_", "-"),
        "task": "window_answers",
        "corpus": {"reader": "window_index", "path": str(home / "index/window_index.jsonl"), "label": label},
        "split": {"kind": "declared", "column": "split"},
        "backbone": "window_answers",
        "fit": {"model": str(home / model / "predictions.jsonl"), "columns": [label], "held_out": HELD_OUT},
        "seeds": [0],
        "baselines": [],
        "gate": {"rules": [{"id": "good", "metric": "kappa", "over": "pooled", "at_least": 0.3}]},
    }


def judged(desk: Desk, told: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verdict and metrics of a study."""
    desk.study = told
    desk.write()
    done = desk.run()
    assert done.code in (0, 1), done.out + done.err
    folder = max((desk.runs / told["study"]).glob("base-*"), key=lambda path: path.stat().st_mtime_ns)
    verdict = next(read_json(folder / name) for name in ("PROMOTE.json", "HOLD.json") if (folder / name).exists())
    return verdict, read_json(folder / "metrics.json")


def edited(home: Path, tmp_path: Path, change: Callable[[Rows], None]) -> Path:
    rows = [json.loads(line) for line in (home / "nearest/predictions.jsonl").read_text().splitlines()]
    change(rows)
    path = tmp_path / "edited.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_the_road_gives_the_published_numbers_of_an_evaluation(home: Path, desk: Desk) -> None:
    """Two judges would give two numbers for the same answers, and a user could choose."""
    told = read_json(home / "nearest/metrics.json")
    _, metrics = judged(desk, study(home, "nearest", "action"))
    pooled = metrics["ensemble"]["pooled"]
    assert pooled["accuracy"] == pytest.approx(told["accuracy"], abs=1e-12)
    assert pooled["listed_macro_f1"] == pytest.approx(told["macro_f1"], abs=1e-12)
    fields = told["fields"]["action"]
    assert pooled["balanced_accuracy"] == pytest.approx(fields["balanced_accuracy"]["value"], abs=1e-12)
    assert 1.0 == pooled["answered"]
    assert told["num_samples"] == metrics["rows"]
    _, other = judged(desk, study(home, "nearest", "next_action"))
    assert other["ensemble"]["pooled"]["known_accuracy"] == pytest.approx(told["next_action_accuracy"], abs=1e-12)


@pytest.mark.slow
def test_who_was_seen_by_an_evaluation_was_seen(home: Path, desk: Desk) -> None:
    """Whoever was held by one command would ask the other with looser rules, and nobody would know it."""
    told = study(home, "nearest", "action")
    verdict, _ = judged(desk, told)
    assert ("HOLD", "predicted") == (verdict["verdict"], verdict["evidence"])
    (reason,) = verdict["reasons"]
    assert "changed after the first look at these groups (registered for the study index on" in reason
    assert verdict["trial"]["attempt"] > 1, "each predictor that was evaluated is a try"
    why = "the evaluation said what is well-formed, this says who serves"
    assert 0 == desk.heldout("gate", "amend", desk.folder / "study.yaml", "--reason", why).code
    verdict, _ = judged(desk, told)
    assert ("PROMOTE", [why]) == (verdict["verdict"], verdict["policy"]["amendments"]), verdict["reasons"]
    assert 0 == desk.heldout("verify", desk.newest, "--corpus", home / "index/window_index.jsonl").code


@pytest.mark.slow
def test_a_champion_is_beaten_by_the_gain_that_a_comparison_gives(home: Path, desk: Desk) -> None:
    """Who deserves the place would depend on which command was asked."""
    judged(desk, study(home, "majority", "action"))
    champion = next((desk.runs / "majority-action").glob("base-*"))
    told = study(home, "nearest", "action") | {"champion": str(champion)}
    rule = {"metric": "accuracy", "against": "champion", "over": "pooled"}
    told["gate"] = {
        "rules": [
            {"id": "better", **rule, "above": 0},
            {"id": "no-worse", **rule, "metric": "kappa", "relative": True, "at_least": -0.02},
        ]
    }
    told["bootstrap"] = {"level": 0.95, "draws": 2000, "seed": 0}
    verdict, metrics = judged(desk, told)
    assert {"PASS"} == {rule["outcome"] for rule in verdict["rules"] if rule["id"] in ("better", "no-worse")}
    expected = compare(home / "nearest", home / "majority")["metrics"]["accuracy"]
    found = metrics["comparisons"]["champion"]["accuracy"]["pooled"]
    for key in ("gain", "low", "high"):
        assert found[key] == pytest.approx(expected[key], abs=1e-12), key


@pytest.mark.slow
def test_what_is_no_answer_counts_as_wrong(home: Path, desk: Desk) -> None:
    """A model that says nothing where it is unsure would be judged by what it is sure of."""

    def silence(rows: Rows) -> None:
        for row in rows[::2]:
            row |= {"raw_prediction": "I am not sure.", "pred_json": {}, "predicted_label": "", "correct": 0}

    told = study(home, "nearest", "action")
    told["fit"]["model"] = str(edited(home, desk.folder, silence))
    _, metrics = judged(desk, told)
    rows = [json.loads(line) for line in Path(told["fit"]["model"]).read_text().splitlines()]
    right = sum(row["predicted_label"] == row["true_label"] for row in rows)
    pooled = metrics["ensemble"]["pooled"]
    assert pooled["accuracy"] == pytest.approx(right / len(rows), abs=1e-12)
    assert pooled["answered"] == pytest.approx(sum(bool(row["predicted_label"]) for row in rows) / len(rows))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.pop(), "samples have no prediction"),
        (lambda rows: rows.append(rows[0] | {"id": "nobody"}), "samples that the corpus has not"),
        (lambda rows: rows.append(dict(rows[0])), "stands twice"),
        (lambda rows: rows[3].pop("raw_prediction"), "lacks raw_prediction"),
        (
            lambda rows: rows[3].update(true_label=rows[3]["predicted_label"][::-1]),
            "the target of 1 samples is another",
        ),
    ],
)
def test_other_rows_than_the_test_windows_are_refused_before_a_look(
    home: Path, desk: Desk, change: Callable[[Rows], None], says: str
) -> None:
    """The hardest windows would be left out, and the rest be promoted."""
    desk.study["fit"]["model"] = str(edited(home, desk.folder, change))
    desk.write()
    done = desk.run()
    assert (2, True) == (done.code, says in done.err), done.err
    assert not list(desk.runs.rglob("trials.jsonl")) + list(desk.runs.rglob("policies.jsonl"))


def test_an_answer_is_read_as_the_evaluation_reads_it(tmp_path: Path) -> None:
    """A field that is no text would be a label that some window truly has."""
    row = {"id": "w0", "episode_id": "e0", "split": "test", "center_window": {"start_frame": 0, "end_frame": 9}}
    row |= {"true_label": "reach", "true_json": {}}
    texts = ['{"contact": "yes"}', '```json\n{"contact": "no"}\n```', '{"contact": 3}', "{}", "yes", '{"contact": ""}']
    path = tmp_path / "predictions.jsonl"
    lines = (json.dumps(row | {"id": f"w{n}", "raw_prediction": text}) for n, text in enumerate(texts))
    path.write_text("\n".join(lines) + "\n")
    backbone = WindowAnswersBackbone(WindowAnswersBackbone.Params(model=path, columns=["contact"]))
    assert ["yes", "no", *[NO_ANSWER] * 4] == backbone.load(path)["contact"].to_list()
