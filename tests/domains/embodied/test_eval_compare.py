"""``heldout eval compare``: a challenger takes the champion's place by what it gains on the same windows, or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_kit import make_index
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from heldout.cli.main import build, main
from heldout.domains.embodied.contract.contracts import BackboneContract, load_registry
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.evaluate.run import run
from heldout.domains.embodied.score.metrics_future import mean_of, pairs
from heldout.domains.embodied.verify.compare import Rules, compare, names_apart
from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import read_json
from heldout.study import BootstrapSpec
from heldout.task.cluster import Contender, Draws, beside, paired
from heldout.verify import verify_path

CONTRACT = "qwen3_omni_lora"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluations of a model and of the most common answer, on the same windows."""
    home = tmp_path_factory.mktemp("compared")
    index = make_index(home, episodes=48)
    published = load_registry(index)[CONTRACT]
    # What the nearest neighbour can do: its own gate must be passable.
    primary = ["action_macro_f1", "contact_accuracy", "object_micro_f1", "json_validity_rate", "held_out_episode_count"]
    contract = BackboneContract(published.path, {**published.config, "primary_metrics": primary})
    for name in ("nearest", "majority"):
        run(Plan(index, name), contract, home / name)
    run(Plan(index, "nearest", limit=5), contract, home / "smoke")
    run(Plan(index, "nearest", split="val"), contract, home / "val")
    return home


@pytest.fixture
def home(built: Path, tmp_path: Path) -> Path:
    """A copy in which nothing was compared yet."""
    shutil.copytree(built, tmp_path / "home")
    return tmp_path / "home"


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {rule["id"]: rule["outcome"] for rule in document["verdict"]["rules"]}


@pytest.mark.slow
def test_a_better_model_takes_the_place_by_its_paired_gain(home: Path, tmp_path: Path) -> None:
    """A user could say that a model is better than nothing, and not that it is better than the one in service."""
    document = compare(home / "nearest", home / "majority", out=tmp_path / "out")
    found = outcomes(document)
    assert ("PASS", "PASS", "PASS") == tuple(found[name] for name in ("own_gate", "episodes", "better:action_macro_f1"))
    assert "PROMOTE" == document["verdict"]["verdict"], document["verdict"]["reasons"]
    assert document["verdict"] == read_json(tmp_path / "out/PROMOTE.json")
    assert document["metrics"] == read_json(tmp_path / "out/comparison.json")["metrics"]


@pytest.mark.slow
def test_a_gain_over_an_evaluated_majority_is_the_one_that_stands_beside_the_metric(home: Path) -> None:
    """Two roads to one number would differ, and a user could choose."""
    found = compare(home / "nearest", home / "majority")["metrics"]
    evidence = read_json(home / "nearest/metrics.json")["evidence"]
    for name in ("accuracy", "subtask_accuracy", "contact_accuracy", "transition_accuracy", "object_micro_f1"):
        expected = evidence[name]["baselines"]["majority"]["gain"]
        assert expected == {key: found[name][key] for key in ("gain", "low", "high")}, name


def test_a_worse_model_and_the_same_one_are_held_with_the_reason(home: Path) -> None:
    """The pointer would move without a reason, each time that somebody trains again."""
    worse = compare(home / "majority", home / "nearest")
    assert ("HOLD", "FAIL") == (worse["verdict"]["verdict"], outcomes(worse)["own_gate"])
    assert "not shown to be better" in " ".join(worse["verdict"]["reasons"])
    same = compare(home / "nearest", home / "nearest")
    assert {0.0} == {one[key] for one in same["metrics"].values() for key in ("gain", "low", "high") if one["low"] == 0}
    assert "FAIL" == outcomes(same)["better:action_macro_f1"]
    rest = {name: found for name, found in outcomes(same).items() if name.startswith("no_worse")}
    assert {"PASS"} == set(rest.values()), rest


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("runs/a/eval", "runs/b/eval", ("a", "b")),
        ("runs/new", "runs/old", ("new", "old")),
        ("runs/same", "runs/same", ("same", "same")),
    ],
)
def test_a_verdict_names_who_met_whom(one: str, other: str, expected: tuple[str, str]) -> None:
    """Of two folders that are both named eval, the verdict would say nothing."""
    assert expected == names_apart(Path(one), Path(other))


@pytest.mark.slow
def test_other_windows_another_truth_and_smoke_are_refused(home: Path, tmp_path: Path) -> None:
    """A gain between different exams is no gain."""
    (tmp_path / "other").mkdir()
    index = make_index(tmp_path / "other", episodes=40)
    run(Plan(index, "nearest"), load_registry(index)[CONTRACT], tmp_path / "other/eval")
    with pytest.raises(RefusedError, match="differ in rules of the contract, windows or truth"):
        compare(tmp_path / "other/eval", home / "nearest")
    with pytest.raises(RefusedError, match="only the first 5 windows"):
        compare(home / "smoke", home / "smoke")
    with pytest.raises(RefusedError, match="split val"):
        compare(home / "val", home / "val")


def test_a_forged_evaluation_is_compared_with_nothing(home: Path, tmp_path: Path) -> None:
    """A challenger would win by an edited row."""
    forged = tmp_path / "forged"
    shutil.copytree(home / "nearest", forged)
    path = forged / "predictions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["raw_prediction"] = json.dumps(rows[0]["true_json"])
    path.write_text("".join(json.dumps(row, sort_keys=True, separators=(",", ":")) + "\n" for row in rows))
    with pytest.raises(TamperedError):
        compare(forged, home / "nearest")


def test_a_metric_or_margin_that_does_not_exist_is_named(home: Path) -> None:
    """A typo would decide by another metric."""
    with pytest.raises(InputError, match="no metric 'acuracy'") as told:
        compare(home / "nearest", home / "majority", Rules(gain="acuracy"))
    assert "accuracy" in str(told.value.hint)
    with pytest.raises(InputError, match="margin"):
        compare(home / "nearest", home / "majority", Rules(margin=-0.1))


@pytest.mark.slow
def test_the_command_says_gain_and_verdict(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is what a pipeline acts upon."""
    words = ["eval", "compare", str(home / "nearest"), str(home / "majority"), "--gain", "contact_accuracy"]
    for folders, code, verdict in ((words[2:4], 0, "PROMOTE"), (words[3:1:-1], 1, "HOLD")):
        asked = ["eval", "compare", *folders, *words[4:]]
        monkeypatch.setattr("sys.argv", ["heldout", *asked])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr().out
        assert (code, True) == (ended.value.code, verdict in shown and "better:contact_accuracy" in shown), shown
    document = json.loads(CliRunner().invoke(build(["eval"]), [*words, "--json"]).stdout)
    assert "heldout.eval-compare/1" == document["schema"]
    assert verify_path(home / "nearest").holds


@given(st.integers(2, 12), st.integers(0, 99), st.booleans())
@settings(deadline=None, max_examples=25)
def test_a_gain_between_two_scorings_is_that_of_one(groups: int, seed: int, smaller: bool) -> None:
    """Scored apart, two contenders would be drawn differently, and their difference be wider than it is."""
    rng = np.random.default_rng(seed)
    names = [f"g{number % groups}" for number in range(4 * groups)]
    spec = BootstrapSpec(level=0.9, draws=200, seed=seed)
    ours, theirs = rng.normal(size=(2, len(names)))

    def scored(values: Any, others: dict[str, Contender], draws: Draws) -> dict[str, Any]:
        return beside(draws, mean_of, draws.sums(pairs(values)), others, smaller_is_better=smaller)

    draws = Draws(names, spec)
    together = scored(ours, {"other": Contender(draws.sums(pairs(theirs)))}, draws)["baselines"]["other"]["gain"]
    apart = paired(scored(ours, {}, Draws(names, spec)), scored(theirs, {}, Draws(names, spec)))
    back = paired(scored(theirs, {}, Draws(names, spec)), scored(ours, {}, Draws(names, spec)))
    assert apart is not None
    assert back is not None
    for key, mirrored in (("gain", "gain"), ("low", "high"), ("high", "low")):
        assert apart[key] == pytest.approx(together[key])
        assert back[mirrored] == pytest.approx(-apart[key])
    moved = [*names[1:], names[0]]
    assert None is paired(scored(ours, {}, Draws(names, spec)), scored(theirs, {}, Draws(moved, spec)))
