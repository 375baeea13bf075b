"""Backbone contracts: the published shape and rules, and a scaffold that leaves nothing of its template behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from heldout.cli.embodied.contracts import app
from heldout.domains.embodied.contract.contracts import ARTIFACT_KEYS, REQUIRED, load_registry, validate
from heldout.errors import InputError

PUBLISHED = ("default_model_id", "local_model_env", *REQUIRED)
NEW = ["new", "--id", "mine", "--display-name", "Mine", "--model-family", "Own", "--dataset-contract", "mine_v1"]
NEW += ["--training-objective", "learning", "--checkpoint-gate", "mine_gate"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The contracts in the published shape, with scripts as entry points and no key of ours."""
    folder = tmp_path / "configs/backbones"
    folder.mkdir(parents=True)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/run.py").write_text("")
    for one in load_registry(Path("/nonexistent")).values():
        config = {key: one.config[key] for key in PUBLISHED if key in one.config}
        config["status"] = "planned_adapter" if one.id == "policy_vla_branch" else "implemented"
        config["entrypoints"] = dict.fromkeys(config["entrypoints"], "scripts/run.py")
        (folder / f"{one.id}.json").write_text(json.dumps(config))
    return tmp_path


def change(workspace: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = workspace / "configs/backbones/qwen3_omni_lora.json"
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config))


def test_the_contracts_in_the_published_shape_load_unchanged(workspace: Path) -> None:
    """Users of the published registry would have to rewrite their files."""
    done = run("list", "--workspace", str(workspace), "--json", "--validate")
    assert 0 == done.exit_code, done.output
    document = json.loads(done.stdout)
    assert [] == document["validation_issues"]
    assert 6 == len(document["backbones"])
    keys = (
        "id display_name status model_family dataset_contract training_objective implemented_entrypoints "
        "missing_entrypoints primary_metrics checkpoint_gate required_eval_file_count extension_requirement_count"
    )
    assert set(keys.split()) == set(document["backbones"][0])
    path = workspace / "configs/backbones/cosmos_world_model.json"
    assert json.loads(path.read_text()) == json.loads(
        run("show", "cosmos_world_model", "--workspace", str(workspace)).stdout
    )
    one = run("list", "--backbone", "cosmos_world_model", "--workspace", str(workspace))
    assert json.loads(path.read_text()) == json.loads(one.stdout)
    text = run("list", "--workspace", str(workspace)).stdout
    assert "policy_vla_branch: planned_adapter - observation_to_action_or_motion_policy" in text


def test_the_built_in_contracts_keep_every_rule(tmp_path: Path) -> None:
    """The contracts that come with the product would be the first to break it."""
    registry = load_registry(tmp_path)
    assert 6 == len(registry)
    assert [] == [issue for one in registry.values() for issue in validate(one, tmp_path)]
    assert all(
        {"train": 96, "val": 16, "test": 16} == one.config["split_policy"]["default_counts"]
        for one in registry.values()
    )


def edit_artifacts(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda config: config["artifact_contract"].update(changes)


def own_schema(name: str, schema: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda config: config.update(file_schemas={name: schema})


@pytest.mark.parametrize(
    ("edit", "issue"),
    [
        (lambda c: c["entrypoints"].update(train="scripts/gone.py"), "entrypoint train"),
        (lambda c: c["entrypoints"].update(train="heldout.domains.embodied.index.build:gone"), "entrypoint train"),
        (lambda c: c.update(status="done"), "status 'done'"),
        (lambda c: c["split_policy"]["default_counts"].pop("val"), "default_counts.val"),
        (lambda c: c["split_policy"]["default_counts"].update(test=0), "default_counts.test"),
        (lambda c: c["split_policy"].update(leakage_guard=" "), "leakage_guard is empty"),
        (lambda c: c.update(primary_metrics=[]), "held_out_episode_count"),
        (lambda c: c["primary_metrics"].remove("held_out_episode_count"), "held_out_episode_count"),
        (edit_artifacts(required_eval_files=["metrics.json", "predictions.jsonl"]), "RUN_REPORT.md"),
        (edit_artifacts(required_eval_files=["metrics.json", "RUN_REPORT.md"]), "no *.jsonl"),
        (edit_artifacts(required_training_files=["progress.jsonl"]), "training_metadata.json"),
        (edit_artifacts(public_package_allowed=[]), "public_package_allowed is empty"),
        (edit_artifacts(public_package_forbidden=["mp4, hdf5, rrd, weights"]), "checkpoints, archives"),
        (edit_artifacts(public_package_forbidden=[]), "mp4, hdf5, rrd"),
        (lambda c: c.update(leakage_rules=["be good"]), "leakage rule 'be good' is unknown"),
        (lambda c: c.update(leakage_rule=[]), "did you mean 'leakage_rules'"),
        (lambda c: c["artifact_contract"]["required_eval_files"].append("mine.csv"), "file_schemas lacks mine.csv"),
        (lambda c: c["artifact_contract"]["required_training_files"].append("mine.json"), "file_schemas lacks mine.js"),
        (own_schema("metrics.json", {"type": "numbr"}), "metrics.json is no JSON Schema"),
        (own_schema("metrics.json", {"$ref": "heldout:nothing"}), "does not come with heldout"),
        (own_schema("metrics.json", {"$ref": "file:///etc/hostname"}), "does not come with heldout"),
        (own_schema("metrics.json", {"$ref": "http://127.0.0.1/schema"}), "does not come with heldout"),
        (own_schema("metrics.json", {"pattern": "("}), "is no JSON Schema"),
        (own_schema("metric.json", {}), "requires no such file; did you mean metrics.json?"),
    ],
)
def test_weakness_17_every_broken_rule_is_an_issue(workspace: Path, edit: Any, issue: str) -> None:
    """A contract would promise what nobody checks."""
    change(workspace, edit)
    done = run("validate", "qwen3_omni_lora", "--workspace", str(workspace), "--json")
    assert 1 == done.exit_code
    issues = json.loads(done.stdout)["validation_issues"]
    assert 1 == len(issues)
    assert issue in issues[0]


@pytest.mark.parametrize("key", [*REQUIRED, *(f"artifact_contract.{key}" for key in ARTIFACT_KEYS)])
def test_a_contract_without_a_required_key_does_not_load(workspace: Path, key: str) -> None:
    """Half a contract would be taken for one that asks less."""

    def drop(config: dict[str, Any]) -> None:
        first, _, second = key.partition(".")
        (config[first].pop(second)) if second else config.pop(first)

    change(workspace, drop)
    with pytest.raises(InputError, match=f"lacks {key}"):
        load_registry(workspace)


def test_two_files_of_one_id_and_unknown_ids_are_refused(workspace: Path) -> None:
    """Which of two contracts holds would depend on the order of files."""
    error = run("show", "nobody", "--workspace", str(workspace)).exception
    assert isinstance(error, InputError)
    assert "available: cosmos3_super_forward_dynamics, " in str(error.hint)
    folder = workspace / "configs/backbones"
    (folder / "copy.json").write_text((folder / "policy_vla_branch.json").read_text())
    with pytest.raises(InputError, match="two contracts have the id"):
        load_registry(workspace)
    with pytest.raises(InputError, match="no contracts"):
        load_registry(workspace, workspace / "scripts")


@pytest.mark.parametrize("template", ["qwen3_omni_lora", "cosmos_world_model", "policy_vla_branch"])
def test_weakness_17_a_scaffold_leaves_nothing_of_its_template(tmp_path: Path, template: str) -> None:
    """A new family would have to deliver the files of another one."""
    done = run(*NEW, "--template", template, "--workspace", str(tmp_path), "--metric", "mine_error")
    assert 0 == done.exit_code, done.output
    answer = json.loads(done.stdout)
    assert "written" == answer["status"]
    text = (tmp_path / "configs/backbones/mine.json").read_text()
    old = load_registry(Path("/nonexistent"))[template]
    general = {"metrics.json", "RUN_REPORT.md", "training_metadata.json", "progress.jsonl", "predictions.jsonl"}
    files = {*old.artifacts["required_eval_files"], *old.artifacts["required_training_files"]} - general
    assert files - {"checkpoint_manifest.json"}
    assert not [name for name in files - {"checkpoint_manifest.json"} if name in text]
    assert old.config["dataset_contract"] not in text
    config = json.loads(text)
    assert ["mine_error", "held_out_episode_count"] == config["primary_metrics"]
    assert "MINE_MODEL_DIR" == config["local_model_env"]
    assert config["default_model_id"] is None
    assert 0 == run("validate", "mine", "--workspace", str(tmp_path)).exit_code


def test_weakness_17_a_dry_run_validates_and_writes_nothing(tmp_path: Path) -> None:
    """The contract would be found wrong on the day it is needed."""
    done = run(*NEW, "--dry-run", "--workspace", str(tmp_path))
    assert "dry_run" == json.loads(done.stdout)["status"]
    assert [] == list(tmp_path.iterdir())
    wrong = run(*NEW, "--dry-run", "--status", "done", "--workspace", str(tmp_path)).exception
    assert isinstance(wrong, InputError)
    assert "would break a rule" in wrong.what


def test_an_id_is_taken_once(tmp_path: Path) -> None:
    """A typing error would replace a contract."""
    assert 0 == run(*NEW, "--workspace", str(tmp_path)).exit_code
    again = run(*NEW, "--workspace", str(tmp_path)).exception
    assert isinstance(again, InputError)
    assert 0 == run(*NEW, "--overwrite", "--workspace", str(tmp_path)).exit_code
    bad = run(*NEW[:2], "No-Id", *NEW[3:], "--workspace", str(tmp_path)).exception
    assert isinstance(bad, InputError)
    unknown = run(*NEW, "--template", "nobody", "--overwrite", "--workspace", str(tmp_path)).exception
    assert isinstance(unknown, InputError)
