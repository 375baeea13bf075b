"""``heldout eval run`` and ``merge`` on a real index: sealed answers, one look, resume, the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluation_kit import make_index
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.run import merge_shards, run
from heldout.domains.embodied.index.sealed import read_openings
from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import read_json
from heldout.ledger.trials import looks_of, read_ledger
from heldout.predict.shards import Shard

CONTRACT = "qwen3_omni_lora"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("data"))


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    """A copy, beside copies of nothing else: every test has its own openings and ledger."""
    import shutil

    shutil.copytree(built.parent, tmp_path / "data")
    return tmp_path / "data/index"


def evaluate(index: Path, out: Path, predictor: str = "nearest", **options: Any) -> dict[str, Any]:
    shard, workers = options.pop("shard", None), options.pop("workers", 1)
    plan = Plan(index, predictor, **options)
    return run(plan, load_registry(index)[CONTRACT], out, shard=shard, workers=workers)


def test_a_nearest_neighbour_beats_the_majority_and_the_majority_does_not(index: Path, tmp_path: Path) -> None:
    """The engine would not tell a model that sees from one that does not."""
    seen = evaluate(index, tmp_path / "seen")
    blind = evaluate(index, tmp_path / "blind", "majority")
    assert seen["metrics"]["evidence"]["accuracy"]["baselines"]["majority"]["value"] == blind["metrics"]["accuracy"]
    assert seen["metrics"]["accuracy"] > blind["metrics"]["accuracy"]
    assert [1.0, 1.0] == [each["metrics"]["json_validity_strict"] for each in (seen, blind)]
    assert "HOLD" == blind["verdict"]["verdict"]
    assert any("does not beat majority" in reason for reason in blind["verdict"]["reasons"])
    assert not seen["metrics"]["evidence_window"]["is_evidence"]


def test_the_answers_are_opened_once_and_only_when_all_is_predicted(index: Path, tmp_path: Path) -> None:
    """A predictor, or whoever watches it, could look at test answers meanwhile, and nobody would count it."""
    for offset in range(2):
        evaluate(index, tmp_path / f"s{offset}", shard=Shard(offset, 2))
        assert [] == read_openings(index)
    contract = load_registry(index)[CONTRACT]
    document = merge_shards([tmp_path / "s0", tmp_path / "s1"], contract, tmp_path / "whole")
    (opening,) = read_openings(index)
    assert "evaluation whole" in opening["purpose"]
    (entry,) = looks_of(read_ledger(index))
    assert ("whole", "nearest", document["verdict"]["verdict"]) == tuple(
        entry.record[key] for key in ("run", "variant", "outcome")
    )
    assert {"attempt": 1, "of": 1, "looks": 1, "ledger_head": entry.sha256} == document["verdict"]["trial"]
    blind = evaluate(index, tmp_path / "blind", "majority")
    assert (2, 2) == (blind["verdict"]["trial"]["attempt"], blind["verdict"]["trial"]["looks"])
    assert 2 == len(read_openings(index))


def test_validation_windows_are_no_look(index: Path, tmp_path: Path) -> None:
    """Choosing by validation would use up the test, or a verdict would come of it."""
    document = evaluate(index, tmp_path / "val", split="val")
    assert ([], []) == (read_openings(index), read_ledger(index))
    assert "the rows are of val" in document["verdict"]["reasons"]


def test_an_evaluation_that_was_killed_when_it_knew_is_a_look(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever pulls the plug when the numbers are on disk would have tried for nothing."""

    def killed(folder: Path, files: dict[str, bytes]) -> None:
        (folder / "metrics.json").write_bytes(files["metrics.json"])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("heldout.domains.embodied.evaluate.run.write_files", killed)
        with pytest.raises(KeyboardInterrupt):
            evaluate(index, tmp_path / "first", "majority")
    (look,) = looks_of(read_ledger(index))
    assert ("OPENED", "first") == (look.record["outcome"], look.record["run"])
    assert (2, 2) == tuple(
        evaluate(index, tmp_path / "second")["verdict"]["trial"][key] for key in ("attempt", "looks")
    )
    assert 1 == evaluate(index, tmp_path / "first", "majority")["verdict"]["trial"]["attempt"]
    assert 2 == len(looks_of(read_ledger(index)))


def test_what_is_finished_is_left_as_it_is(index: Path, tmp_path: Path) -> None:
    """Asking twice would count as two looks, or change the evidence."""
    first = evaluate(index, tmp_path / "run")
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()}
    again = evaluate(index, tmp_path / "run", workers=2)
    assert first | {"predicted": 0} == again
    assert before == {p.name: p.stat().st_mtime_ns for p in (tmp_path / "run").iterdir()}
    assert 1 == len(read_openings(index))
    (tmp_path / "run/metrics.json").write_text("{}")
    assert first["metrics"] == evaluate(index, tmp_path / "run")["metrics"]
    assert 1 == len(looks_of(read_ledger(index)))


@pytest.mark.parametrize("stride", [2, 3])
def test_shards_and_workers_give_the_bytes_of_one_run(index: Path, tmp_path: Path, stride: int) -> None:
    """The evidence would depend on the machines that made it."""
    whole = evaluate(index, tmp_path / "a/run")
    folders = [tmp_path / f"s{offset}" for offset in range(stride)]
    for offset, folder in enumerate(folders):
        evaluate(index, folder, shard=Shard(offset, stride), workers=1 + offset % 2)
    merged = merge_shards(folders, load_registry(index)[CONTRACT], tmp_path / "b/run")
    assert whole["files"] == merged["files"]
    for name in whole["files"]:
        assert (tmp_path / "a/run" / name).read_bytes() == (tmp_path / "b/run" / name).read_bytes()
    assert read_json(tmp_path / "a/run/evaluation.json") == read_json(tmp_path / "b/run/evaluation.json")


def test_another_predictor_in_the_same_folder_is_refused(index: Path, tmp_path: Path) -> None:
    """Half of the predictions would be another model's."""
    evaluate(index, tmp_path / "run", shard=Shard(0, 2))
    with pytest.raises(RefusedError, match="differ in adapter"):
        evaluate(index, tmp_path / "run", "majority", shard=Shard(0, 2))
    with pytest.raises(RefusedError, match="differ in split"):
        evaluate(index, tmp_path / "run", limit=3)


def test_a_smoke_evaluation_decides_nothing_and_says_so(index: Path, tmp_path: Path) -> None:
    """Eight windows would promote a model."""
    document = evaluate(index, tmp_path / "smoke", limit=8)
    assert ("HOLD", "only the first 8 windows") == (document["verdict"]["verdict"], document["verdict"]["smoke"])
    assert 8 == document["metrics"]["num_samples"]
    assert "only the first 8 windows" == read_ledger(index)[0].record["smoke"]


def test_what_is_wrong_is_refused(index: Path, tmp_path: Path) -> None:
    """A changed index, an unknown predictor or a model of another kind would be evaluated all the same."""
    with pytest.raises(InputError, match="no predictor 'nearst'"):
        evaluate(index, tmp_path / "a", "nearst")
    with pytest.raises(InputError, match="has no windows"):
        evaluate(index, tmp_path / "a", split="dev")
    with pytest.raises(InputError, match="no checkpoint is given"):
        run(Plan(index, "nearest"), load_registry(index)["cosmos_world_model"], tmp_path / "a")
    path = index / "window_index.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"split":"train"', b'"split":"test" ', 1))
    with pytest.raises(TamperedError, match="not the one that its manifest names"):
        evaluate(index, tmp_path / "a")


def test_the_commands_run_on_a_real_index(index: Path, tmp_path: Path) -> None:
    """The functions would work and the command line would not."""

    def command(*words: str) -> Any:
        return CliRunner().invoke(build(["eval"]), ["eval", *words], standalone_mode=False)

    common = [str(index), "--backbone", CONTRACT, "--predictor", "nearest"]
    for offset in ("0", "1"):
        done = command(
            "run", *common, "--sample-offset", offset, "--sample-stride", "2", "--out", str(tmp_path / offset)
        )
        assert (0, f"shard {offset} of 2") == (done.return_value, done.stdout[:12])
    merged = command("merge", str(tmp_path / "0"), str(tmp_path / "1"), "--out", str(tmp_path / "m"), "--json")
    document = json.loads(merged.stdout)
    assert (document["verdict"]["verdict"] == "PROMOTE") == (merged.return_value == 0)
    words = [str(tmp_path / "m/predictions.jsonl"), "--backbone", CONTRACT, "--train-labels", str(index), "--json"]
    scored = json.loads(command("score", *words).stdout)
    assert document["metrics"]["evidence"] == scored["metrics"]["evidence"]
