"""The twenty weaknesses of the published system, and the tests that show that each is gone.

The table is an index: it names a test, and the test must be there. What no other file shows is tested here.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from published_kit import noisy, predictions_of, write_dataset, write_lines

from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.reported import score_file

TESTS = Path(__file__).parents[2]
HERE = "domains/embodied"
WEAKNESSES = {
    1: ("the headline is the majority class", "test_eval_score.py::test_weakness_1_a_model_that_always_answers"),
    2: ("the next action is in the input", "test_window_index.py::test_weakness_2_context_ends_where_the_window_ends"),
    3: ("evidence is copied from the prompt", "test_eval_score.py::test_weakness_3_a_stated_window_is_marked"),
    4: ("F1 of labels that nobody could have seen", "test_eval_score.py::test_weakness_4_macro_f1_over_what_occurs"),
    5: ("options hold test labels", "test_window_index.py::test_weakness_5_options_are_labels_of_train_alone"),
    6: ("the prompt is supervised", "qwen/test_qwen_tokens.py::test_a_mask_that_is_off_by_the_media_tokens"),
    7: ("targets are missing, towers are adapted", "test_checkpoint_gates.py::test_weaknesses_7_and_15"),
    8: ("all sound is silence", "test_manifest_guard.py::test_weakness_8_a_lost_sound_track_fails_the_guard"),
    9: ("answers stand among the features", "test_window_index.py::test_weakness_9_privileged_streams_are_no_inputs"),
    10: ("a world model at chance", "test_future_and_policy_metrics.py::test_weakness_10_chance_and_copying"),
    11: ("no policy, and a class that all have", "test_weaknesses.py::test_weakness_11"),
    12: ("no intervals", "test_weaknesses.py::test_weakness_12"),
    13: ("resume by id alone", "predict/test_session.py::test_weakness_13"),
    14: ("shards of anything are merged", "predict/test_session.py::test_weakness_14"),
    15: ("gates that look at names", "test_checkpoint_gates.py::test_weakness_15"),
    16: ("expected counts are edited", "test_manifest_guard.py::test_weakness_16_equal_episode_names"),
    17: ("rules in prose", "test_backbone_contracts.py::test_weakness_17_every_broken_rule_is_an_issue"),
    18: ("a package with somebody's home in it", "package/test_public_attacks.py::test_what_is_forbidden_is_refused"),
    19: ("one reason for five causes", "test_manifest_guard.py::test_weakness_19_what_cannot_be_used_is_replaced"),
    20: ("everything is made from one model's file", "test_window_index.py::test_weakness_20_views_come_from"),
}


@pytest.mark.parametrize("number", range(1, 21))
def test_each_weakness_has_a_test(number: int) -> None:
    """A weakness would come back, and nothing would fail."""
    path, _, name = WEAKNESSES[number][1].partition("::")
    file = TESTS / path if "/" in path and not path.startswith("qwen") else TESTS / HERE / path
    tests = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert any(one.startswith(name) for one in tests), f"{file}: no {name}"


def scored(folder: Path, rows: list[dict[str, Any]], backbone: str = "qwen3_omni_lora") -> dict[str, Any]:
    path = write_lines(folder / "rows.jsonl", rows)
    return score_file(load_registry(folder)[backbone], path, folder / "dataset.jsonl")


def test_weakness_11_a_class_that_every_window_has_is_no_skill(tmp_path: Path) -> None:
    """A contact task in which every window is "yes" was published with a score of 1.0."""
    dataset = write_dataset(tmp_path / "dataset.jsonl")
    for row in dataset:
        row["answer_json"]["contact"] = "yes"
    write_lines(tmp_path / "dataset.jsonl", dataset)
    document = scored(tmp_path, predictions_of(dataset, lambda row: json.dumps(row["answer_json"])))
    contact = document["metrics"]["evidence"]["contact_accuracy"]
    assert (1.0, 1.0) == (contact["value"], contact["baselines"]["majority"]["value"])
    assert contact["beats_trivial"] is False
    assert any("contact_accuracy" in reason for reason in document["verdict"]["reasons"])


def test_weakness_12_more_windows_of_the_same_episodes_narrow_no_interval(tmp_path: Path) -> None:
    """Overlapping windows of five episodes would be counted as a thousand independent ones."""
    dataset = write_dataset(tmp_path / "dataset.jsonl")
    rows = predictions_of(dataset, noisy(2))
    copies = [row | {"id": f"{row['id']}#{copy}"} for row in rows for copy in range(10)]
    once, often = (scored(tmp_path, some)["metrics"]["evidence"] for some in (rows, copies))
    assert set(once) == set(often)
    for name in ("accuracy", "contact_accuracy", "object_micro_f1"):
        interval = once[name]["interval"]
        assert interval["low"] < once[name]["value"] < interval["high"]
        assert interval == pytest.approx(often[name]["interval"]), name
