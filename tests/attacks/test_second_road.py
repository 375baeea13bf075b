"""Ways to a false PROMOTE on the road of evaluations (``heldout eval run``, ``score``, ``merge``, ``compare``)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attack_kit import Answer, heldout, route
from brought_kit import BACKBONES, brought, write_rows
from evaluation_kit import make_index

from heldout.domains.embodied.contract.contracts import BUILT_IN
from heldout.evidence import read_json, sha256_file, write_json

LOOSE = ("action_macro_f1", "contact_accuracy", "json_validity_rate", "held_out_episode_count")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty episodes with their index, before anybody looked."""
    home = tmp_path_factory.mktemp("episodes")
    make_index(home, episodes=40)
    return home


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    """A copy with an index that nobody looked at."""
    shutil.copytree(built, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """The same after the first look at these windows, by the built-in contract: HOLD."""
    home = tmp_path_factory.mktemp("seen") / "home"
    shutil.copytree(built, home)
    assert 1 == evaluate(home, "runs/first").code
    assert "PASS" == outcome(home / "runs/first", "pre-registered")
    return home


@pytest.fixture
def looked(seen: Path, tmp_path: Path) -> Path:
    """A copy with an index that was looked at once."""
    shutil.copytree(seen, tmp_path / "home")
    return tmp_path / "home"


def contract(home: Path, primary: tuple[str, ...], base: str = "qwen3_omni_lora", name: str | None = None) -> None:
    """A contract of the workspace ``cfg``: the built-in one with other primary metrics, maybe under another id."""
    config = read_json(BUILT_IN / f"{base}.json") | {"primary_metrics": list(primary), "id": name or base}
    write_json(home / "cfg/configs/backbones" / f"{name or base}.json", config)


def evaluate(home: Path, out: str, *more: object, predictor: str = "nearest", backbone: str = "") -> Answer:
    named = ("--backbone", backbone or "qwen3_omni_lora", "--predictor", predictor)
    return heldout("eval", "run", "index", *named, "--out", out, *more, cwd=home)


def verdict(folder: Path) -> dict[str, Any]:
    name = "PROMOTE.json" if (folder / "PROMOTE.json").exists() else "HOLD.json"
    found: dict[str, Any] = read_json(folder / name)
    return found


def outcome(folder: Path, rule: str) -> str:
    return next(str(one["outcome"]) for one in verdict(folder)["rules"] if one["id"] == rule)


@pytest.mark.slow
@pytest.mark.parametrize("primary", [("held_out_episode_count",), ("json_validity_rate", "held_out_episode_count"), ()])
@route("rules", "motivated author", "a contract of an evaluation names no metric, only counts and form", "HOLD")
def test_a_contract_without_a_metric_promotes_nothing(primary: tuple[str, ...], home: Path) -> None:
    """The most common answer of train, whatever is seen, would be promoted."""
    contract(home, primary)
    answer = evaluate(home, "runs/blind", "--workspace", "cfg", predictor="majority")
    assert (1, "FAIL") == (answer.code, outcome(home / "runs/blind", "non-trivial")), answer
    assert 0 == heldout("verify", "runs/blind", cwd=home).code


@route("rules", "careless user", "an evaluation recommends a step that no command takes", "flagged")
def test_what_a_verdict_recommends_can_be_done(home: Path) -> None:
    """A user would be sent to `registry add`, which refuses every evaluation."""
    contract(home, LOOSE)
    answer = evaluate(home, "runs/a", "--workspace", "cfg")
    assert (0, "PASS") == (answer.code, outcome(home / "runs/a", "non-trivial")), answer
    assert "register" not in verdict(home / "runs/a")["recommendation"]
    assert "heldout eval compare" in answer.out


@pytest.mark.slow
@pytest.mark.parametrize("way", ["workspace", "renamed", "folder of contracts", "built-in", "elsewhere", "shards"])
@route("rules", "motivated author", "failing metrics are deleted from a copied contract after a HOLD", "HOLD")
@route("rules", "motivated author", "the copied contract has another id", "HOLD")
@route("rules", "motivated author", "the loosened evaluation lies in another folder, or is merged of shards", "HOLD")
def test_a_contract_that_was_loosened_after_a_look_is_held(way: str, looked: Path, tmp_path: Path) -> None:
    """Three names deleted from a copy of a contract turned a HOLD into a PROMOTE, and `verify` said VERIFIED."""
    home = looked
    contract(home, LOOSE, name="ours" if way == "renamed" else None)
    if way == "built-in":
        contract(home, LOOSE, base="smollm2_prefix_lora")
    out = tmp_path / "far/away" if way == "elsewhere" else home / "runs/loose"
    named = {"renamed": "ours", "built-in": "smollm2_prefix_lora"}.get(way, "qwen3_omni_lora")
    where = ("--config-dir", "cfg/configs/backbones") if way == "folder of contracts" else ("--workspace", "cfg")
    if way == "shards":
        for offset in (0, 1):
            shard = ("--sample-offset", offset, "--sample-stride", 2, *where)
            assert 0 == evaluate(home, f"runs/s{offset}", *shard, backbone=named).code
        answer = heldout("eval", "merge", "runs/s0", "runs/s1", "--out", out, *where, cwd=home)
    else:
        answer = evaluate(home, str(out), *where, backbone=named)
    assert (1, "FAIL") == (answer.code, outcome(out, "pre-registered")), answer
    assert "heldout eval amend" in answer.out
    assert verdict(out)["policy"]["registered"] is False
    assert 2 == verdict(out)["trial"]["looks"]
    assert 0 == heldout("verify", out, cwd=home).code


@pytest.mark.slow
@route("rules", "careless user", "rules of an evaluation are changed after a look, with a reason", "flagged")
def test_an_amendment_lets_changed_rules_decide_and_the_verdict_shows_the_reason(looked: Path) -> None:
    """An honest mistake in a contract could never be mended, or would be mended unseen."""
    home = looked
    contract(home, LOOSE)
    assert 1 == evaluate(home, "runs/loose", "--workspace", "cfg").code
    amend = ("eval", "amend", "index", "--backbone", "qwen3_omni_lora", "--workspace", "cfg", "--reason")
    assert 2 == heldout(*amend, "because", cwd=home).code
    reason = "subtasks are constant in these episodes"
    assert 0 == heldout(*amend, reason, cwd=home).code
    answer = evaluate(home, "runs/loose", "--workspace", "cfg")
    assert (0, "PASS") == (answer.code, outcome(home / "runs/loose", "pre-registered")), answer
    assert reason in answer.out
    assert [reason] == verdict(home / "runs/loose")["policy"]["amendments"]
    assert 0 == heldout("verify", "runs/loose", cwd=home).code
    assert 2 == heldout(*amend, reason, cwd=home).code


@route("rules", "careless user", "a contract asks for more after a look", "flagged")
def test_a_stricter_contract_needs_no_reason_and_is_counted(home: Path) -> None:
    """Whoever asks more of a model would be told to give a reason, and soon ask nothing more."""
    contract(home, LOOSE)
    assert 0 == evaluate(home, "runs/a", "--workspace", "cfg").code
    answer = evaluate(home, "runs/b")
    assert (1, "PASS") == (answer.code, outcome(home / "runs/b", "pre-registered")), answer
    assert "stricter once" in answer.out


@pytest.mark.slow
@route(
    "looks",
    "motivated author",
    "a few windows are looked at first as a smoke evaluation, then rules are chosen",
    "HOLD",
)
def test_a_smoke_evaluation_is_a_look(home: Path) -> None:
    """Rules could be fitted to what forty windows showed, and be called declared before the first look."""
    smoke = evaluate(home, "runs/smoke", "--sample-limit", 40)
    assert (1, "FAIL") == (smoke.code, outcome(home / "runs/smoke", "pre-registered"))
    contract(home, LOOSE)
    answer = evaluate(home, "runs/loose", "--workspace", "cfg")
    assert (1, "FAIL") == (answer.code, outcome(home / "runs/loose", "pre-registered")), answer
    assert 1 == evaluate(home, "runs/as-looked").code
    assert "PASS" == outcome(home / "runs/as-looked", "pre-registered")


@pytest.mark.parametrize("way", ["without its ledger", "renamed episodes", "copied", "elsewhere", "built again"])
@route("looks", "motivated author", "the index is copied, without its ledger too, and the copy evaluated", "HOLD")
@route("looks", "motivated author", "the index is built again from the same episodes in another folder", "HOLD")
@route("looks", "motivated author", "the episodes of an index are renamed", "HOLD")
def test_another_index_of_the_same_windows_is_no_fresh_start(way: str, looked: Path, tmp_path: Path) -> None:
    """A copy of the exam would be an exam that nobody had seen."""
    contract(looked, LOOSE)
    named = ("--backbone", "qwen3_omni_lora", "--predictor", "nearest", "--workspace", "cfg")
    answer = heldout("eval", "run", copied(way, looked, tmp_path), *named, "--out", "runs/loose", cwd=looked)
    assert (1, "FAIL") == (answer.code, outcome(looked / "runs/loose", "pre-registered")), answer


@pytest.mark.slow
@pytest.mark.parametrize("way", ["as it is", "renamed episodes"])
@route(
    "looks", "motivated author", "windows that an evaluation has scored are judged by a study with other rules", "HOLD"
)
def test_a_study_of_windows_that_were_evaluated_needs_a_reason(way: str, looked: Path, tmp_path: Path) -> None:
    """Whoever was held by an evaluation would write a study, and choose what it has passed already."""
    index = looked / "index" if way == "as it is" else copied(way, looked, tmp_path)
    study = {
        "study": "again",
        "corpus": {"reader": "window_index", "path": f"{index.name}/window_index.jsonl", "label": "next_action"},
        "split": {"kind": "declared", "column": "split"},
        "backbone": "sklearn",
        "fit": {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"max_iter": 1000}},
        "seeds": [0],
        "baselines": [],
        "gate": {"rules": [{"id": "good", "metric": "kappa", "over": "pooled", "at_least": 0.1}]},
    }
    write_json(looked / "study.yaml", study)
    answer = heldout("run", "study.yaml", cwd=looked)
    assert 1 == answer.code, answer
    (run,) = (looked / "runs/again").glob("base-*")
    assert ["pre-registered"] == [one["id"] for one in verdict(run)["rules"] if one["outcome"] != "PASS"]
    assert 0 == heldout("gate", "amend", "study.yaml", "--reason", "kappa is what serves", cwd=looked).code
    assert 0 == heldout("run", "study.yaml", cwd=looked).code
    assert 0 == heldout("verify", run, cwd=looked).code


def copied(way: str, home: Path, elsewhere: Path) -> Path:
    """Another index of the same windows."""
    again = elsewhere / "other" if way == "elsewhere" else home / "other"
    shutil.copytree(home / "index", again)
    if way != "copied":
        shutil.rmtree(again / "looks")
        for name in ("trials.jsonl", "policies.jsonl", "openings.jsonl"):
            (again / name).unlink()
    if way in ("elsewhere", "renamed episodes"):
        paths = str(home / "store") + "/" if way == "elsewhere" else "../store/"
        changes = [("../store/", paths)] if way == "elsewhere" else [("__ep", "__take")]
        rewrite(again, changes)
    if way == "built again":
        shutil.rmtree(again)
        built = heldout("index", "build", "manifest", "--out", "other", "--window", 10, "--stride", 10,
                        "--context-frames", 20, cwd=home)  # fmt: skip
        assert 0 == built.code, built
    return again


def rewrite(index: Path, changes: list[tuple[str, str]]) -> None:
    """Change texts in an index, and every digest above them."""
    for name in ("window_index.jsonl", "sealed_targets.jsonl"):
        text = (index / name).read_text()
        for old, new in changes:
            text = text.replace(old, new)
        (index / name).write_text(text)
    manifest = read_json(index / "window_index_manifest.json")
    manifest["output_sha256"] = sha256_file(index / "window_index.jsonl")
    manifest["sealed_targets"]["sha256"] = sha256_file(index / "sealed_targets.jsonl")
    manifest["heads"] = None
    write_json(index / "window_index_manifest.json", manifest)


@pytest.mark.parametrize(
    "gone",
    [("trials.jsonl", "policies.jsonl"), ("trials.jsonl",), ("policies.jsonl",), ("looks",)],
)
@route("looks", "motivated author", "the ledger or the registrations in an index are deleted", "stopped")
def test_a_ledger_that_is_missing_is_no_fresh_start(gone: tuple[str, ...], looked: Path) -> None:
    """Whoever deletes what he looked at would look for the first time."""
    home = looked
    contract(home, LOOSE)
    for name in gone:
        path = home / "index" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    answer = evaluate(home, "runs/loose", "--workspace", "cfg")
    assert 3 == answer.code, answer
    assert not (home / "runs/loose/PROMOTE.json").exists()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """Two evaluations of one index that nobody compared yet: one is promoted by its own gate, one answers the usual."""
    home = tmp_path_factory.mktemp("judged") / "home"
    shutil.copytree(built, home)
    contract(home, LOOSE)
    assert 0 == evaluate(home, "runs/seen", "--workspace", "cfg").code
    assert 1 == evaluate(home, "runs/blind", "--workspace", "cfg", predictor="majority").code
    return home


@pytest.fixture
def pair(judged: Path, tmp_path: Path) -> Path:
    """A copy that a test may compare."""
    shutil.copytree(judged, tmp_path / "home")
    return tmp_path / "home"


def compare(home: Path, *more: object, sides: tuple[str, str] = ("runs/seen", "runs/blind")) -> Answer:
    return heldout("eval", "compare", *sides, "--out", "runs/decision", *more, cwd=home)


@pytest.mark.slow
@route("rules", "motivated author", "evaluations are compared by another metric on each try", "HOLD")
@route("rules", "motivated author", "evaluations are compared by a larger margin on each try", "HOLD")
def test_what_decides_a_comparison_is_declared_by_the_first_one(pair: Path) -> None:
    """Of eight metrics one is better by luck: whoever chose it afterwards would choose who serves."""
    assert 0 == compare(pair, "--gain", "contact_accuracy").code
    for number, other in enumerate((("--gain", "action_macro_f1"), ("--gain", "contact_accuracy", "--margin", 0.9))):
        answer = compare(pair, *other)
        assert (1, "FAIL") == (answer.code, outcome(pair / "runs/decision", "pre-registered")), answer
        assert number + 2 == verdict(pair / "runs/decision")["trial"]["looks"]
    stricter = compare(pair, "--gain", "contact_accuracy", "--margin", 0.01)
    assert (0, "PASS") == (stricter.code, outcome(pair / "runs/decision", "pre-registered")), stricter
    reason = "contact is what the gripper needs"
    amended = compare(pair, "--gain", "action_macro_f1", "--reason", reason)
    assert (0, True) == (amended.code, reason in amended.out), amended


@pytest.mark.slow
@route("rules", "motivated author", "a challenger that lost is compared with a weaker champion", "HOLD")
def test_another_champion_needs_a_reason_unless_it_was_promoted(pair: Path) -> None:
    """Whoever lost against the champion would win against somebody weaker, and be called the better one."""
    assert 1 == compare(pair, sides=("runs/blind", "runs/seen")).code
    answer = compare(pair)
    assert (1, "FAIL") == (answer.code, outcome(pair / "runs/decision", "pre-registered")), answer
    assert 2 == verdict(pair / "runs/decision")["trial"]["looks"]


@pytest.mark.slow
@route("rules", "careless user", "a champion is followed by the challenger that replaced it", "flagged")
def test_a_champion_that_a_comparison_promoted_is_no_other_yardstick(pair: Path) -> None:
    """Every exchange would ask for a reason, and people would stop reading them."""
    assert 0 == compare(pair).code
    answer = compare(pair, sides=("runs/blind", "runs/seen"))
    assert (1, "PASS") == (answer.code, outcome(pair / "runs/decision", "pre-registered")), answer


@pytest.mark.slow
@route("rules", "sender of a bundle", "the verdict of a comparison is given to `verify`", "stopped")
def test_a_comparison_is_not_called_verified(pair: Path) -> None:
    """A PROMOTE that nothing checks would be believed, or called no run without a word of what to do."""
    assert 0 == compare(pair).code
    for path in ("runs/decision", "runs/decision/PROMOTE.json", "runs/decision/comparison.json"):
        answer = heldout("verify", path, cwd=pair)
        assert (2, True) == (answer.code, "compare them again" in answer.err), answer
    assert "register" not in verdict(pair / "runs/decision")["recommendation"]


@pytest.mark.slow
@route("looks", "motivated author", "evaluations are compared where their index is not", "HOLD")
def test_a_comparison_without_its_index_promotes_nobody(pair: Path) -> None:
    """Away from the books, any metric would be the first one."""
    (pair / "index").rename(pair / "gone")
    answer = compare(pair)
    assert (1, "UNKNOWN") == (answer.code, outcome(pair / "runs/decision", "pre-registered")), answer


ASKS = {
    "answers": LOOSE,
    "futures": ("future_retrieval_mrr", "feature_reconstruction_error", "held_out_episode_count"),
    "actions": ("action_accuracy", "trajectory_mpjpe", "held_out_episode_count"),
}


def score(home: Path, asks: str, rows: list[dict[str, Any]], *more: object, primary: tuple[str, ...] = ()) -> Answer:
    """``heldout eval score`` of rows, by a contract that such rows pass."""
    contract(home, primary or ASKS[asks], base=BACKBONES[asks])
    write_rows(home / "brought.jsonl", rows)
    named = ("--backbone", BACKBONES[asks], "--workspace", "cfg", "--out", "runs/brought")
    return heldout("eval", "score", "brought.jsonl", *named, *(more or ("--index", "index")), cwd=home)


@pytest.mark.parametrize("asks", sorted(ASKS))
@route("held-out", "careless user", "brought predictions are scored with the index that they are of", "flagged")
def test_brought_predictions_of_an_index_are_judged_by_its_books(asks: str, home: Path) -> None:
    """Attacks on rows that HOLD anyway would prove nothing; and a brought file is a look like any other."""
    answer = score(home, asks, brought(home / "index", asks))
    rules = {rule["id"]: rule["outcome"] for rule in verdict(home / "runs/brought")["rules"]}
    assert (0, "PASS", "PASS", "PASS") == (answer.code, *map(rules.get, ("held-out", "pre-registered", "non-trivial")))
    level = "reported" if asks == "futures" else "predicted"
    assert (level, 1) == (verdict(home / "runs/brought")["evidence"], verdict(home / "runs/brought")["trial"]["looks"])
    assert level in answer.out.splitlines()[-len(rules) - 4]
    assert 0 == heldout("verify", "runs/brought", cwd=home).code


@pytest.mark.slow
@pytest.mark.parametrize("asks", ["answers", "actions", "futures"])
@route("held-out", "motivated author", "train windows are brought as rows of test", "stopped")
@route("held-out", "motivated author", "the windows that were answered wrongly are left out", "stopped")
@route("held-out", "motivated author", "a window is brought twice under two ids, or one that no index has", "stopped")
@route("held-out", "motivated author", "what is true is changed in the rows to what was said", "stopped")
@route(
    "held-out", "motivated author", "windows are moved to another episode, so that intervals are narrower", "stopped"
)
def test_rows_that_are_not_those_of_the_index_are_refused(asks: str, home: Path) -> None:
    """Whoever brings predictions would choose the exam, and write its answers."""
    index, rows = home / "index", brought(home / "index", asks)
    train = brought(index, asks, split="train")
    for changed in (
        [row | {"split": "test"} for row in train],
        train,
        [*rows, train[0] | {"split": "test"}],
        rows[1:],
        rows[: len(rows) // 2],
        [*rows, rows[0] | {"id": "another"}],
        [untrue(rows[0]), *rows[1:]],
        [rows[0] | {"episode_id": rows[-1]["episode_id"]}, *rows[1:]],
    ):
        answer = score(home, asks, changed)
        no_promote = not (home / "runs/brought/PROMOTE.json").exists()
        assert (True, True) == (answer.code in (1, 2), no_promote), (answer, changed[0])
        assert 2 == answer.code or "the rows are of train" in answer.out, answer


def untrue(row: dict[str, Any]) -> dict[str, Any]:
    """A row with another truth, consistent in itself."""
    if "true_json" in row:
        return row | {"true_label": "wave", "true_json": row["true_json"] | {"action": "wave"}}
    if "true" in row:
        return row | {"true": row["true"] | {"action": "wave"}, "pred": row["pred"] | {"action": "wave"}}
    return row | {"true_contact": "maybe"}


@pytest.mark.slow
@pytest.mark.parametrize("asks", ["answers", "actions", "futures"])
@route("held-out", "motivated author", "brought predictions are scored without an index", "HOLD")
def test_rows_without_an_index_promote_nothing_and_say_so_first(asks: str, home: Path) -> None:
    """A file that says itself what is true and which split it is of would be believed."""
    heldout("eval", "run", "index", "--backbone", "qwen3_omni_lora", "--predictor", "majority", "--out", "m", cwd=home)
    answer = score(home, asks, brought(home / "index", asks), "--train-labels", "m/train_labels.json")
    assert (1, "UNKNOWN") == (answer.code, outcome(home / "runs/brought", "held-out")), answer
    first = next(line for line in answer.out.splitlines() if line.startswith("HOLD"))
    assert "reported" in first
    assert 0 == heldout("verify", "runs/brought", cwd=home).code


@route("held-out", "motivated author", "train labels of another file make the baselines weaker", "stopped")
def test_train_labels_that_are_not_those_of_the_index_are_refused(home: Path) -> None:
    """A majority of a label that nobody answers is beaten by everybody."""
    labels = {"schema": "heldout.train-labels/1", "windows": 9, "objects": {}}
    labels |= {
        "labels": {field: {"wave": 9} for field in ("action", "subtask", "transition", "next_action", "contact")}
    }
    write_json(home / "weak.json", labels)
    answer = score(
        home, "answers", brought(home / "index", "answers"), "--index", "index", "--train-labels", "weak.json"
    )
    assert (2, True) == (answer.code, "not those of the index" in answer.err), answer


@route("held-out", "motivated author", "paths of the hand are brought that no episode recorded", "HOLD")
def test_paths_that_were_not_recorded_are_held(home: Path) -> None:
    """A policy would be measured on paths that it chose itself."""
    rows = brought(home / "index", "actions")
    moved = [row | {"true_trajectory": row["pred_trajectory"]} if "pred_trajectory" in row else row for row in rows]
    answer = score(home, "actions", moved)
    assert (1, "UNKNOWN") == (answer.code, outcome(home / "runs/brought", "held-out")), answer


@pytest.mark.parametrize("asks", ["answers", "actions", "futures"])
@route("rules", "motivated author", "brought predictions are scored again by a loosened contract", "HOLD")
def test_brought_predictions_are_held_by_what_was_registered(asks: str, home: Path) -> None:
    """The way around `eval run` would be open to everybody who has a file."""
    rows = brought(home / "index", asks)
    first = score(home, asks, rows, primary=(*ASKS[asks], "subtask_accuracy"))
    assert 1 == first.code, first
    answer = score(home, asks, rows, primary=ASKS[asks][1:])
    assert (1, "FAIL") == (answer.code, outcome(home / "runs/brought", "pre-registered")), answer


@pytest.mark.slow
@route(
    "rules", "motivated author", "futures are judged by labels alone, which copying the present may get right", "HOLD"
)
def test_futures_that_copying_may_pass_are_held(home: Path) -> None:
    """Copying the present would be promoted as a model of the future."""
    rows = brought(home / "index", "futures")
    only = ("temporal_consistency", "contact_accuracy", "held_out_episode_count")
    answer = score(home, "futures", rows, primary=only)
    assert (1, "UNKNOWN") == (answer.code, outcome(home / "runs/brought", "non-trivial")), answer
    bare = [
        {key: value for key, value in row.items() if not key.startswith(("copy_last", "train_mean"))} for row in rows
    ]
    answer = score(home, "futures", bare, primary=("future_retrieval_mrr", "held_out_episode_count"))
    assert (1, "UNKNOWN") == (answer.code, outcome(home / "runs/brought", "non-trivial")), answer


@pytest.mark.slow
@route("held-out", "careless user", "windows of train or validation are evaluated", "HOLD")
def test_windows_that_are_not_test_promote_nothing(home: Path) -> None:
    """What a model was trained on, or chosen by, would promote it."""
    contract(home, LOOSE)
    for split in ("train", "val"):
        answer = evaluate(home, f"runs/{split}", "--workspace", "cfg", "--split", split)
        assert (1, "FAIL") == (answer.code, outcome(home / "runs" / split, "split")), answer
    assert not (home / "index/trials.jsonl").exists()


@route("rules", "motivated author", "the same answers are brought again as actions, by a contract of one's own", "HOLD")
def test_another_question_about_the_same_windows_is_no_fresh_start(looked: Path) -> None:
    """A HOLD of answers would be undone by calling them actions."""
    rows = brought(looked / "index", "actions")
    answer = score(looked, "actions", rows)
    assert (1, "FAIL") == (answer.code, outcome(looked / "runs/brought", "pre-registered")), answer
    write_rows(looked / "brought.jsonl", rows)
    built_in = ("--backbone", BACKBONES["actions"], "--index", "index", "--out", "runs/built-in")
    assert heldout("eval", "score", "brought.jsonl", *built_in, cwd=looked).code in (0, 1)
    assert "PASS" == outcome(looked / "runs/built-in", "pre-registered")


@route("looks", "motivated author", "what is true is changed in a copy of the index, its digests made again", "flagged")
def test_episodes_that_reappear_with_other_answers_are_named(looked: Path) -> None:
    """An exam whose answers were rewritten would be a new exam."""
    shutil.copytree(looked / "index", looked / "other")
    rewrite(looked / "other", [('"contact":"no"', '"contact":"unknown"'), ('"contact":"yes"', '"contact":"no"')])
    contract(looked, LOOSE)
    named = ("--backbone", "qwen3_omni_lora", "--predictor", "nearest", "--workspace", "cfg")
    answer = heldout("eval", "run", "other", *named, "--out", "runs/other", cwd=looked)
    assert "names reappear with other targets" in answer.out, answer


@pytest.mark.slow
@route(
    "looks", "motivated author", "ledger, openings and all evaluations that name them are deleted", "cannot be known"
)
def test_whoever_deletes_every_trace_looks_for_the_first_time(looked: Path) -> None:
    """Nothing would be wrong: the threat model says that this cannot be known."""
    shutil.rmtree(looked / "runs")
    shutil.rmtree(looked / "index/looks")
    for name in ("trials.jsonl", "policies.jsonl", "openings.jsonl"):
        (looked / "index" / name).unlink()
    contract(looked, LOOSE)
    assert 0 == evaluate(looked, "runs/loose", "--workspace", "cfg").code


@pytest.mark.slow
@route("held-out", "careless user", "rows leave out which split they are of, or are of several", "flagged")
def test_rows_of_no_split_take_that_of_the_index_and_rows_of_several_are_held(home: Path) -> None:
    """An honest file of the published form would be called TAMPERED by `verify`."""
    bare = [{key: value for key, value in row.items() if key != "split"} for row in brought(home / "index", "actions")]
    assert 0 == score(home, "actions", bare).code
    assert 0 == heldout("verify", "runs/brought", cwd=home).code
    heldout("eval", "run", "index", "--backbone", "qwen3_omni_lora", "--predictor", "majority", "--out", "m", cwd=home)
    mixed = [row | {"split": ("test", "val")[n % 2]} for n, row in enumerate(brought(home / "index", "answers"))]
    assert 2 == score(home, "answers", mixed, "--train-labels", "m/train_labels.json").code
    shutil.rmtree(home / "runs/brought")
    assert 1 == score(home, "answers", mixed, "--train-labels", "m/train_labels.json").code
    assert 0 == heldout("verify", "runs/brought", cwd=home).code


@pytest.mark.slow
@route("looks", "operator", "two processes evaluate the same windows at once, by a contract that changed", "HOLD")
def test_two_processes_at_once_register_one_of_two_contracts(home: Path) -> None:
    """Both would be the first to look."""
    contract(home, LOOSE)
    contract(home, ("accuracy", "json_validity_rate", "held_out_episode_count"), name="other")
    command = [sys.executable, "-m", "heldout", "eval", "run", "index", "--predictor", "nearest", "--workspace", "cfg"]
    ways = (("qwen3_omni_lora", "runs/a"), ("other", "runs/b"))
    started = [subprocess.Popen([*command, "--backbone", name, "--out", out], cwd=home) for name, out in ways]
    assert [0, 1] == sorted(process.wait() for process in started)
    rules = [outcome(home / out, "pre-registered") for _, out in ways]
    assert ["FAIL", "PASS"] == sorted(rules)
    assert [0, 0] == [heldout("verify", out, cwd=home).code for _, out in ways]
