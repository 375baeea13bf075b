"""``heldout eval score``: the published numbers to the last digit, what costs nothing beside them, and a verdict."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from published_kit import ACTIONS, noisy, predictions_of, write_dataset, write_lines
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.reported import score_file
from heldout.domains.embodied.index.importing import import_dataset
from heldout.errors import InputError

FIELDS = ["action", "subtask", "objects", "contact", "transition", "next_action", "evidence_window"]


def reference(rows: list[dict[str, Any]], options: list[str], train_actions: set[str]) -> dict[str, float]:
    """The published formulas once more, in the plainest words."""
    parsed, labels = [], []
    for row in rows:
        text = row["raw_prediction"].replace("```json", "").replace("```", "").strip()
        found: Any = {}
        for part in (text, text[text.find("{") : text.rfind("}") + 1]):
            try:
                found = json.loads(part)
                break
            except ValueError:
                continue
        parsed.append(found)
        said = found.get("action", "") if found else row["raw_prediction"]
        match = [o for o in options if o == said] or [o for o in options if o.lower() == said.lower()]
        match = match or [o for o in options if o.lower() in said.lower()]
        labels.append(match[0] if match else said)
    true = [row["true_label"] for row in rows]
    right = [a == b for a, b in zip(true, labels, strict=True)]
    out = {"accuracy": sum(right) / len(rows)}
    f1 = []
    for name in {*options, *true, *labels}:
        hits = sum(a == b == name for a, b in zip(true, labels, strict=True))
        precision, recall = hits / max(1, labels.count(name)), hits / max(1, true.count(name))
        f1.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    out["macro_f1"] = out["action_macro_f1"] = sum(f1) / len(f1)
    for field in ("subtask", "transition", "next_action", "contact"):
        known = [(r["true_json"][field], p.get(field)) for r, p in zip(rows, parsed, strict=True)]
        known = [(a, b) for a, b in known if a != "unknown"]
        out[f"{field}_accuracy"] = sum(a == b for a, b in known) / len(known)
    sets = [(set(r["true_json"]["objects"]), set(p.get("objects", []))) for r, p in zip(rows, parsed, strict=True)]
    hits = sum(len(a & b) for a, b in sets)
    wrong = sum(len(b - a) for a, b in sets)
    missed = sum(len(a - b) for a, b in sets)
    out["object_micro_f1"] = 2 * hits / (2 * hits + wrong + missed)
    out["json_validity_rate"] = sum(all(key in p for key in FIELDS) for p in parsed) / len(rows)
    for name, wanted in (("seen_label_accuracy", True), ("unseen_label_accuracy", False)):
        some = [ok for ok, label in zip(right, true, strict=True) if (label in train_actions) == wanted]
        out[name] = sum(some) / len(some)
    return out


def score(tmp_path: Path, guess: Any, out: Path | None = None, seed: int = 1, episodes: int = 12) -> dict[str, Any]:
    rows = write_dataset(tmp_path / "dataset.jsonl", episodes, seed=seed)
    path = write_lines(tmp_path / "predictions.jsonl", predictions_of(rows, guess))
    contract = load_registry(tmp_path)["qwen3_omni_lora"]
    return score_file(contract, path, tmp_path / "dataset.jsonl", out)


@pytest.mark.parametrize("seed", range(6))
def test_published_metrics_are_the_published_formulas(tmp_path: Path, seed: int) -> None:
    """A figure could not be compared with one that was published."""
    rows = write_dataset(tmp_path / "dataset.jsonl", seed=seed)
    predictions = predictions_of(rows, noisy(seed))
    train = {row["answer_json"]["action"] for row in rows if row["split"] == "train"}
    expected = reference(predictions, sorted(ACTIONS[:3]), train)
    contract = load_registry(tmp_path)["qwen3_omni_lora"]
    path = write_lines(tmp_path / "predictions.jsonl", predictions)
    metrics = score_file(contract, path, tmp_path / "dataset.jsonl")["metrics"]
    for name, value in expected.items():
        assert value == pytest.approx(metrics[name], abs=1e-12, rel=0), name
    assert 5 == metrics["held_out_episode_count"] == metrics["num_eval_episodes"]
    assert Counter(r["true_label"] for r in predictions) == metrics["eval_label_counts"]


def majority_guess(dataset: list[dict[str, Any]]) -> str:
    train = [row["answer_json"] for row in dataset if row["split"] == "train"]
    said = {
        field: min(counts := Counter(a[field] for a in train if a[field] != "unknown"), key=lambda k: (-counts[k], k))
        for field in ("action", "subtask", "contact", "transition", "next_action")
    }
    return json.dumps(said | {"objects": ["cup"], "evidence_window": {"start_frame": 0, "end_frame": 19}})


def test_weakness_1_a_model_that_always_answers_the_majority_is_held(tmp_path: Path) -> None:
    """Nine transitions of ten are "no": saying so every time would look like a good model."""
    rows = write_dataset(tmp_path / "dataset.jsonl")
    text = majority_guess(rows)
    path = write_lines(tmp_path / "predictions.jsonl", predictions_of(rows, lambda row: text))
    words = ["eval", "score", "--backbone", "qwen3_omni_lora", str(path)]
    words += ["--train-labels", str(tmp_path / "dataset.jsonl")]
    shown = CliRunner().invoke(build(words), [*words, "--json"])
    document = json.loads(shown.stdout)
    metrics = document["metrics"]
    transition = metrics["evidence"]["transition_accuracy"]
    assert 0.8 < metrics["transition_accuracy"] == transition["baselines"]["majority"]["value"]
    assert 0.5 == metrics["fields"]["transition"]["balanced_accuracy"]["value"]
    assert {"no": 1.0, "yes": 0.0} == metrics["fields"]["transition"]["recall"]
    assert transition["beats_trivial"] is False
    assert "HOLD" == document["verdict"]["verdict"]
    reasons = " ".join(document["verdict"]["reasons"])
    assert "transition_accuracy" in reasons
    assert "does not beat majority" in reasons
    result = CliRunner().invoke(build(words), words, standalone_mode=False)
    assert (1, True) == (result.return_value, "HOLD" in result.stdout)


def test_a_model_that_knows_is_promoted(tmp_path: Path) -> None:
    """A gate that holds everything is no gate."""
    document = score(tmp_path, lambda row: json.dumps(row["answer_json"]), episodes=24)
    outcomes = {rule["id"]: rule["outcome"] for rule in document["verdict"]["rules"]}
    # the fourth action is none of the options, so that an honest answer that names it is not of the form
    assert {"json_validity", "held-out"} == {name for name, outcome in outcomes.items() if outcome != "PASS"}
    rows = write_dataset(tmp_path / "dataset.jsonl", 24)
    for row in rows:
        row["action_options"] = sorted(ACTIONS)
    write_lines(tmp_path / "dataset.jsonl", rows)
    path = write_lines(tmp_path / "p.jsonl", predictions_of(rows, lambda row: json.dumps(row["answer_json"])))
    contracts = load_registry(tmp_path)
    alone = score_file(contracts["qwen3_omni_lora"], path, tmp_path / "dataset.jsonl")["verdict"]
    assert ["give --index" in reason for reason in alone["reasons"]] == [True]
    import_dataset(tmp_path / "dataset.jsonl", tmp_path / "index", contracts)
    held = score_file(contracts["qwen3_omni_lora"], path, index=tmp_path / "index")["verdict"]
    assert ("PROMOTE", "predicted") == (held["verdict"], held["evidence"])


def test_weakness_2_repeating_the_action_is_no_prediction(tmp_path: Path) -> None:
    """Four of five next actions are the present one: a model that copies would be called a forecaster."""
    document = score(
        tmp_path, lambda row: json.dumps(row["answer_json"] | {"next_action": row["answer_json"]["action"]})
    )
    evidence = document["metrics"]["evidence"]
    assert (
        evidence["next_action_accuracy"]["value"]
        == evidence["next_action_accuracy"]["baselines"]["persistence"]["value"]
    )
    assert evidence["next_action_accuracy"]["beats_trivial"] is False
    changes = evidence["next_action_accuracy_at_changes"]
    assert (0.0, 0.0) == (changes["value"], changes["baselines"]["persistence"]["value"])
    assert 0 < changes["rows"] < document["metrics"]["fields"]["next_action"]["rows"]


def test_weakness_3_a_stated_window_is_marked_as_no_evidence(tmp_path: Path) -> None:
    """A number that is copied from the prompt would be shown as grounding."""
    window = score(tmp_path, lambda row: json.dumps(row["answer_json"]))["metrics"]["evidence_window"]
    assert (1.0, False, True) == (window["exact"], window["is_evidence"], window["stated_in_prompt"])
    assert "copied" in window["why"]


def test_weakness_4_macro_f1_over_what_occurs_stands_beside_the_published_one(tmp_path: Path) -> None:
    """A thousand labels that nobody could have seen would hide how good or bad a model is."""
    rows = write_dataset(tmp_path / "dataset.jsonl", 24)
    for row in rows:
        row["action_options"] = sorted([*ACTIONS, *(f"unused {n}" for n in range(96))])
    write_lines(tmp_path / "dataset.jsonl", rows)
    path = write_lines(tmp_path / "p.jsonl", predictions_of(rows, lambda row: json.dumps(row["answer_json"])))
    metrics = score_file(load_registry(tmp_path)["qwen3_omni_lora"], path, tmp_path / "dataset.jsonl")["metrics"]
    assert 1.0 == metrics["fields"]["action"]["macro_f1_supported"]["value"]
    assert 0.04 == pytest.approx(metrics["action_macro_f1"])


def test_strict_validity_looks_at_types_and_values(tmp_path: Path) -> None:
    """Seven keys with nonsense in them would count as valid."""
    document = score(
        tmp_path,
        lambda row: json.dumps(row["answer_json"] | {"contact": 1, "action": ACTIONS[0], "next_action": ACTIONS[0]}),
    )
    metrics = document["metrics"]
    assert (1.0, 0.0) == (metrics["json_validity_rate"], metrics["json_validity_strict"])
    assert ["contact is not yes, no or unknown"] == list(metrics["json_problems"])


def test_every_required_file_is_written_and_deterministic(tmp_path: Path) -> None:
    """A contract would be met by name only, or a second look would change the evidence."""
    first = score(tmp_path, noisy(3), tmp_path / "a")
    second = score(tmp_path, noisy(3), tmp_path / "b")
    contract = load_registry(tmp_path)["qwen3_omni_lora"]
    assert set(contract.artifacts["required_eval_files"]) <= set(first["files"])
    assert (first["files"], []) == (second["files"], first["missing_files"])
    header, *lines = (tmp_path / "a/confusion_matrix.csv").read_text().splitlines()
    assert header.startswith("true\\pred,")
    assert len(lines) == header.count(",")
    assert (
        "class_name,support,predicted,precision,recall,f1"
        == (tmp_path / "a/per_class_metrics.csv").read_text().splitlines()[0]
    )
    columns = "id,target,split,episode_id,center_window,true_label,raw_prediction,predicted_label,correct"
    assert f"{columns},true_label_seen_in_train" == (tmp_path / "a/predictions.csv").read_text().splitlines()[0]
    row = json.loads((tmp_path / "a/predictions.jsonl").read_text().splitlines()[0])
    published = (
        "id target split episode_id center_window true_label raw_prediction true_json pred_json predicted_label correct"
    )
    assert {*published.split(), "true_label_seen_in_train"} == set(row)
    again = score_file(contract, tmp_path / "a/predictions.jsonl", tmp_path / "a/train_labels.json", tmp_path / "c")
    assert first["metrics"]["evidence"] == again["metrics"]["evidence"]
    report = (tmp_path / "a/RUN_REPORT.md").read_text()
    assert "**HOLD**" in report
    assert "does not beat" in report
    assert (tmp_path / "a/HOLD.json").is_file()
    page = (tmp_path / "a/report.html").read_text()
    head = page.split("<main>")[1].split("</header>")[0]
    assert head.startswith('<header class="HOLD"><h1>HOLD</h1>'), "the verdict is not the first thing said"
    assert "In the way:" in head
    assert "does not beat" in head
    assert 'name="viewport"' in page
    assert '<tr class="FAIL"><td><span class="chip">FAIL</span></td>' in page


def test_a_row_that_says_more_than_it_holds_is_held(tmp_path: Path) -> None:
    """A file could call wrong answers right, and be believed."""
    score(tmp_path, noisy(3), tmp_path / "a")
    rows = [json.loads(line) for line in (tmp_path / "a/predictions.jsonl").read_text().splitlines()]
    wrong = next(row for row in rows if not row["correct"])
    wrong |= {"correct": 1, "predicted_label": wrong["true_label"]}
    path = write_lines(tmp_path / "flattered.jsonl", rows)
    contract = load_registry(tmp_path)["qwen3_omni_lora"]
    document = score_file(contract, path, tmp_path / "dataset.jsonl")
    assert 1 == document["metrics"]["rows_that_disagree_with_themselves"]
    honest = json.loads((tmp_path / "a/metrics.json").read_text())
    assert honest["accuracy"] == document["metrics"]["accuracy"]
    assert "FAIL" == next(rule["outcome"] for rule in document["verdict"]["rules"] if rule["id"] == "rows")


def test_bad_files_are_refused_with_their_line(tmp_path: Path) -> None:
    """A torn, doubled or foreign file would be scored as if it were whole."""
    rows = predictions_of(write_dataset(tmp_path / "dataset.jsonl"), noisy(1))
    contract = load_registry(tmp_path)["qwen3_omni_lora"]

    def refused(path: Path, words: str) -> None:
        with pytest.raises(InputError, match=words):
            score_file(contract, path, tmp_path / "dataset.jsonl")

    refused(write_lines(tmp_path / "d.jsonl", [*rows, rows[0]]), "stands twice")
    refused(write_lines(tmp_path / "m.jsonl", [{"id": "x"}]), "lacks episode_id")
    torn = tmp_path / "t.jsonl"
    torn.write_bytes(write_lines(torn, rows).read_bytes()[:-9])
    refused(torn, "torn")
    refused(write_lines(tmp_path / "e.jsonl", []), "no predictions")
    write_lines(tmp_path / "dataset.jsonl", [])
    refused(write_lines(tmp_path / "g.jsonl", rows), "no train window")
