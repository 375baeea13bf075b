"""From a training to a verdict: gate, evaluation, the same answers after a reload, answers held to the schema."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from qwen_kit import make_data
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.checkpoint.gate import check_checkpoint
from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.run import run
from heldout.domains.embodied.index.sealed import read_openings
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.qwen.decode import Decoding, Grammar
from heldout.domains.embodied.qwen.options import TrainOptions
from heldout.domains.embodied.qwen.predictor import Omni, load_trained
from heldout.domains.embodied.qwen.prompt import target_text
from heldout.domains.embodied.qwen.tokens import END, load_tokenizer
from heldout.domains.embodied.qwen.trainer import train
from heldout.domains.embodied.qwen.validity import validity
from heldout.domains.embodied.score.answers import strict_problem
from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json_lines

CONTRACT = "qwen3_omni_lora"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first stage on train windows, and an adapter on top of it."""
    root = make_data(tmp_path_factory.mktemp("trained"))
    common: dict[str, Any] = {"batch_size": 8, "gradient_accumulation_steps": 1, "max_val_samples": 4}
    first = TrainOptions(root / "data", "first", root / "first", model_id=root / "tiny", tuning_mode="full", **common)
    train(TrainOptions(**first.__dict__ | {"epochs": 25, "learning_rate": 3e-3, "lr_schedule": "cosine"}))
    second = TrainOptions(root / "data", "lora", root / "lora", model_id=root / "first/model", epochs=2, **common)
    train(second)
    return root


def grammar(root: Path) -> Grammar:
    labels = {"action": ("move", "put", "reach"), "subtask": ("serve",)}
    return Grammar(load_tokenizer(root / "tiny"), labels, ["cup", "shelf"], [["cup"], []], [[0, 9], [10, 19]])


def test_the_grammar_allows_every_train_answer_and_nothing_malformed(made: Path) -> None:
    """Constrained decoding would forbid the truth, or allow what the score counts as invalid."""
    rules = grammar(made)
    source = IndexSource(made / "index")
    for record in source.records(source.samples("train")):
        text = target_text(record["supervision"])
        ids = rules.tokenizer(text + END, add_special_tokens=False)["input_ids"]
        assert rules.accepts(ids)
        assert rules.is_strict(text)
    good = json.loads(text)
    for wrong in (
        {**good, "action": "dance"},
        {**good, "contact": "maybe"},
        {**good, "evidence_window": {"start_frame": 0}},
        {key: value for key, value in good.items() if key != "objects"},
        {**good, "more": 1},
    ):
        bad = json.dumps(wrong, sort_keys=True, separators=(",", ":"))
        assert not rules.accepts(rules.tokenizer(bad + END, add_special_tokens=False)["input_ids"])
    assert not rules.accepts(ids[:-2])
    twice = json.dumps({**good, "objects": ["cup", "cup"]}, sort_keys=True, separators=(",", ":"))
    ids = rules.tokenizer(twice + END, add_special_tokens=False)["input_ids"]
    assert rules.accepts(ids)  # no JSON Schema says so, therefore:
    assert not rules.is_strict(twice)
    assert rules.matcher(narrow=True).try_consume_tokens(ids) < len(ids)


@pytest.mark.slow
def test_an_untrained_model_gives_valid_answers_and_its_free_ones_are_kept(made: Path, tmp_path: Path) -> None:
    """A schema would hide that nothing was learnt, or a weak model would be scored on its grammar."""
    model = tmp_path / "tiny"
    shutil.copytree(made / "tiny", model)
    shutil.copy(made / "data/export.json", model)
    omni = Omni(str(made / "index"), str(model), {"max_new_tokens": 100})
    samples = IndexSource(made / "index").samples("test", 2)
    for row in omni.predict(samples):
        assert None is strict_problem(row["raw_prediction"], omni.viewer.labels)
        assert None is not strict_problem(row["free_prediction"], omni.viewer.labels)
    free = Omni(str(made / "index"), str(model), {"mode": "free", "max_new_tokens": 20}).predict(samples)
    assert [row["free_prediction"] for row in free] == [row["raw_prediction"] for row in free]
    with pytest.raises(InputError, match="no such decoding"):
        Decoding.parse({"temperature": 1.0})


@pytest.mark.slow
def test_an_adapter_answers_the_same_after_a_reload_and_whatever_stands_beside(trained: Path) -> None:
    """A gate would judge one model and a user would run another; a resumed evaluation would give other bytes."""
    import torch
    from safetensors.torch import load_file

    probe = load_file(trained / "lora/adapter_lora/probe.safetensors")
    inputs = {name: tensor for name, tensor in probe.items() if name != "logits"}
    model, _ = load_trained(trained / "lora/adapter_lora")
    with torch.no_grad():
        again = model(**inputs).logits[:, -probe["logits"].shape[1] :]
    assert torch.equal(probe["logits"], again.float())
    index, adapter = str(trained / "index"), str(trained / "lora/adapter_lora")
    samples = IndexSource(trained / "index").samples("val", 3)
    together = Omni(index, adapter).predict(samples)
    other = Omni(index, adapter)
    assert together == [other.predict([sample])[0] for sample in reversed(samples)][::-1]


@pytest.mark.slow
def test_a_training_passes_its_gate_and_its_evaluation_is_scored(trained: Path, tmp_path: Path) -> None:
    """Trainer, gate, engine and score would each be right, and not fit together."""
    contract = load_registry(tmp_path)[CONTRACT]
    adapter = trained / "lora/adapter_lora"
    gate = check_checkpoint(Checkpoint(adapter, contract, trained / "lora/results", trained / "first/model"))
    assert [] == gate["findings"]
    assert {"PASS"} == {state for name, state in gate["checks"].items() if name != "reload"}
    out = tmp_path / "eval"
    document = run(Plan(trained / "index", CONTRACT, adapter), contract, out)
    metrics, evidence = document["metrics"], document["metrics"]["evidence"]
    assert 1.0 == metrics["json_validity_strict"]
    assert evidence["accuracy"]["value"] > evidence["accuracy"]["baselines"]["majority"]["value"]
    assert 1 == len(read_openings(trained / "index"))
    shares = validity(out)
    assert len(read_json_lines(out / "predictions.jsonl")) == shares["samples"]
    assert 1.0 == shares["constrained"]["json_validity_strict"]
    assert 0.0 <= shares["free"]["json_validity_strict"] <= 1.0
    words = ["eval", "score", str(out / "predictions.jsonl"), "--backbone", CONTRACT, "--json"]
    result = CliRunner().invoke(build(["eval"]), [*words, "--train-labels", str(trained / "data")])
    assert json.loads(result.stdout)["metrics"]["accuracy"] == metrics["accuracy"], result.output
    assert set(contract.artifacts["required_eval_files"]) <= {path.name for path in out.iterdir()}


@pytest.mark.slow
def test_an_adapter_on_another_base_is_refused(trained: Path, tmp_path: Path) -> None:
    """It would answer, with numbers that mean nothing."""
    shutil.copytree(trained / "first", tmp_path / "first")
    shutil.copytree(trained / "lora", tmp_path / "lora")
    shutil.copy(trained / "tiny/model.safetensors", tmp_path / "first/model/model.safetensors")
    with pytest.raises(TamperedError, match="not the one that the adapter was trained on"):
        load_trained(tmp_path / "lora/adapter_lora")


@pytest.mark.slow
def test_the_first_stage_is_written_down(trained: Path) -> None:
    """A base that was trained on these windows would pass as one that never saw them."""
    metadata = json.loads((trained / "lora/adapter_lora/training_metadata.json").read_text())
    (stage,) = metadata["base_stages"]
    assert ("full", "first", "train") == (stage["tuning_mode"], stage["run_id"], stage["trained_on"])
    assert metadata["dataset_sha256"] == stage["dataset_sha256"]
    assert read_json_lines(trained / "first/results/progress.jsonl")
