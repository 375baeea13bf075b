"""A JSON Schema for every required file: what keeps it, what does not, and that every real file is held to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoint_kit import make_adapter
from evaluation_kit import make_index
from published_kit import noisy, predictions_of, write_dataset, write_lines
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.checkpoint.gate import check_checkpoint
from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.contract.contracts import BackboneContract, load_registry
from heldout.domains.embodied.contract.file_schemas import breaches, breaches_of_file, required_files, schema_of
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.reported import score_file
from heldout.domains.embodied.evaluate.run import run
from heldout.domains.embodied.watch.validation import validate_evaluation, validate_training

QWEN = "qwen3_omni_lora"


def contract(name: str = QWEN) -> BackboneContract:
    return load_registry(Path("/nonexistent"))[name]


def shown(name: str, data: bytes, of: str = QWEN) -> list[str]:
    return [str(one) for one in breaches(contract(of).config, name, data)]


def files_rule(document: dict[str, Any]) -> dict[str, Any]:
    return next(rule for rule in document["verdict"]["rules"] if rule["id"] == "required_files")


def test_weakness_17_every_required_file_of_every_contract_has_a_schema() -> None:
    """A contract would name files, and nobody could say what stands in them."""
    for one in load_registry(Path("/nonexistent")).values():
        assert set(required_files(one.config)) == set(one.config["file_schemas"])
        assert set(one.config["primary_metrics"]) == set(one.config["file_schemas"]["metrics.json"]["required"])


def test_a_published_contract_without_schemas_has_those_of_its_file_names() -> None:
    """The files of published contracts would be checked by nobody until someone rewrote the contracts."""
    config = {key: value for key, value in contract().config.items() if key != "file_schemas"}
    assert {"$ref": "heldout:predictions.csv"} == schema_of(config, "predictions.csv")
    assert breaches(config, "predictions.csv", b"a,b\n1,2\n")
    assert (None, []) == (schema_of(config, "mine.csv"), breaches(config, "mine.csv", b"\x00"))


@pytest.mark.parametrize(
    ("of", "name", "data", "place"),
    [
        (QWEN, "metrics.json", b'{"held_out_episode_count": -1}', "metrics.json /held_out_episode_count: -1 is less"),
        (QWEN, "metrics.json", b"{}", 'metrics.json /: "action_macro_f1" is a required property'),
        (QWEN, "metrics.json", b'{"action_macro_f1": 1.5}', "metrics.json /action_macro_f1: 1.5 is greater"),
        (QWEN, "metrics.json", b'{"a": NaN}', "metrics.json /: not strict JSON: NaN is not a JSON number"),
        (QWEN, "RUN_REPORT.md", b"", "RUN_REPORT.md /: "),
        (QWEN, "RUN_REPORT.md", b"\xff", "RUN_REPORT.md /: no UTF-8"),
        (QWEN, "predictions.csv", b"id,target\n1,2\n", "predictions.csv:1 /columns: "),
        (QWEN, "confusion_matrix.csv", b"true\\pred,a\na,1\nb,x\n", 'confusion_matrix.csv:3 /a: "x" does not match'),
        (QWEN, "confusion_matrix.csv", b"true\\pred,a\na\n", "confusion_matrix.csv:2 /: 1 cells in a table of 2"),
        (QWEN, "confusion_matrix.csv", b"", "confusion_matrix.csv:1 /columns: "),
        (
            QWEN,
            "progress.jsonl",
            b'{"event": "a"}\n{"event": 3}\n',
            'progress.jsonl:2 /event: 3 is not of type "string"',
        ),
        (QWEN, "progress.jsonl", b'{"event": "a"}\n{"ev', "progress.jsonl:2 /: no JSON"),
        (QWEN, "progress.jsonl", b"", "progress.jsonl /: the file has no lines"),
        (QWEN, "adapter_model.safetensors", b"PK\x03\x04", "adapter_model.safetensors /: no safetensors"),
        (
            QWEN,
            "adapter_model.safetensors",
            (60).to_bytes(8, "little")
            + b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}'[:60].ljust(60),
            "adapter_model.safetensors /",
        ),
        (
            "cosmos_world_model",
            "temporal_consistency.csv",
            b"episode_id,mrr\ne,1\n",
            "temporal_consistency.csv:1 /columns",
        ),
        ("cosmos_world_model", "future_predictions.jsonl", b'{"id": "a", "rank": 0}\n', "future_predictions.jsonl:1 /"),
        (
            "policy_vla_branch",
            "action_space.json",
            b'{"rate_hz": 0, "dims": []}',
            "action_space.json /dims: [] has less",
        ),
        ("policy_vla_branch", "retargeting_audit.json", b"[]", 'retargeting_audit.json /: [] is not of type "object"'),
        ("cosmos3_super_reasoner", "server_info.json", b'{"model_id": ""}', "server_info.json /model_id: "),
    ],
)
def test_what_does_not_keep_its_schema_is_named_with_its_place(of: str, name: str, data: bytes, place: str) -> None:
    """A file of the right name with anything in it would meet the contract."""
    assert any(one.startswith(place) for one in shown(name, data, of)), shown(name, data, of)


def test_of_weights_only_the_head_is_read(tmp_path: Path) -> None:
    """Every watch would read gigabytes to learn the shapes of tensors."""
    make_adapter(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    assert [] == breaches_of_file(contract().config, path.name, path)
    path.write_bytes(path.read_bytes()[: 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    assert [] == breaches_of_file(contract().config, path.name, path)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (
            lambda row: row.update(raw_prediction=None),
            'predictions.jsonl:3 /raw_prediction: null is not of type "string"',
        ),
        (lambda row: row["true_json"].update(contact="perhaps"), "predictions.jsonl:3 /true_json/contact: "),
        (lambda row: row["center_window"].update(start_frame=-5), "predictions.jsonl:3 /center_window/start_frame: "),
        (lambda row: row.update(id=""), "predictions.jsonl:3 /id: "),
    ],
)
def test_scored_predictions_that_keep_no_schema_are_held(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], place: str
) -> None:
    """Rows that no other tool can read would be promoted."""
    rows = predictions_of(write_dataset(tmp_path / "dataset.jsonl"), noisy(1))
    path = write_lines(tmp_path / "good.jsonl", rows)
    assert "PASS" == files_rule(score_file(contract(), path, tmp_path / "dataset.jsonl"))["outcome"]
    change(rows[2])
    path = write_lines(tmp_path / "bad.jsonl", rows)
    document = score_file(contract(), path, tmp_path / "dataset.jsonl", tmp_path / "out")
    rule = files_rule(document)
    assert ("FAIL", "HOLD") == (rule["outcome"], document["verdict"]["verdict"])
    assert place in rule["sentence"]
    assert place.split(":")[0] in (tmp_path / "out/RUN_REPORT.md").read_text()


def test_a_required_file_that_nobody_made_holds_and_is_taken_from_beside_the_predictions(tmp_path: Path) -> None:
    """An evaluation of a served model would be promoted, and nobody would know which server answered."""
    rows = predictions_of(write_dataset(tmp_path / "dataset.jsonl"), noisy(1))
    path = write_lines(tmp_path / "predictions.jsonl", rows)
    reasoner = contract("cosmos3_super_reasoner")
    document = score_file(reasoner, path, tmp_path / "dataset.jsonl", tmp_path / "out")
    assert "server_info.json is missing" == files_rule(document)["sentence"]
    info = {"model_id": "m", "server": "vllm", "version": "1", "revision": "abc"}
    (tmp_path / "server_info.json").write_text(json.dumps(info))
    document = score_file(reasoner, path, tmp_path / "dataset.jsonl", tmp_path / "out")
    assert ("PASS", []) == (files_rule(document)["outcome"], document["missing_files"])
    assert info == json.loads((tmp_path / "out/server_info.json").read_text())


def test_what_eval_run_writes_keeps_the_contract_and_watch_sees_what_does_not(tmp_path: Path) -> None:
    """A file that was cut off or edited after the evaluation would pass its validation."""
    index = make_index(tmp_path / "data")
    out = tmp_path / "eval"
    document = run(Plan(index, "nearest"), contract(), out)
    assert "PASS" == files_rule(document)["outcome"]
    assert "pass" == validate_evaluation(out, contract())["status"]
    lines = (out / "predictions.csv").read_text().splitlines(keepends=True)
    (out / "predictions.csv").write_text("".join([lines[0].replace("correct", "right"), *lines[1:]]))
    (issue,) = validate_evaluation(out, contract())["issues"]
    assert issue["message"].startswith("predictions.csv:1 /columns/8: ")


def test_checkpoints_and_trainings_are_held_to_their_schemas(tmp_path: Path) -> None:
    """A training would be complete by the names of its files."""
    make_adapter(tmp_path / "a")
    (tmp_path / "a/progress.jsonl").write_text('{"event": "complete"}\n')
    checkpoint = Checkpoint(tmp_path / "a", contract())
    assert "PASS" == check_checkpoint(checkpoint)["checks"]["schemas"]
    assert "pass" == validate_training(checkpoint)["status"]
    metadata = json.loads((tmp_path / "a/training_metadata.json").read_text())
    (tmp_path / "a/training_metadata.json").write_text(json.dumps(metadata | {"num_processes": 0}))
    document = check_checkpoint(checkpoint)
    assert "HO-G129" in {finding["code"] for finding in document["findings"]}
    place = "training_metadata.json /num_processes: 0 is less than the minimum of 1"
    assert place in next(one["what"] for one in document["findings"] if one["code"] == "HO-G129")
    assert [place] == [issue["message"] for issue in validate_training(checkpoint)["issues"]]


def test_the_command_validates_the_schemas_of_a_workspace(tmp_path: Path) -> None:
    """A contract with a schema that is none would be found out in the night of the evaluation."""
    folder = tmp_path / "configs/backbones"
    folder.mkdir(parents=True)
    shutil.copy(contract().path, folder)
    config = json.loads((folder / f"{QWEN}.json").read_text())
    config["file_schemas"]["predictions.csv"] = {"type": "tabel"}
    (folder / f"{QWEN}.json").write_text(json.dumps(config))
    words = ["backbone", "validate", QWEN, "--workspace", str(tmp_path)]
    done = CliRunner().invoke(build(words), words)
    assert 1 == done.exit_code
    assert "file_schemas.predictions.csv is no JSON Schema" in done.stdout
