"""``heldout demo embodied``: the study that it reads, steps that are done once, the table, and the whole road."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from nightly import NIGHTLY
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.demo.rows import lines, row_of
from heldout.domains.embodied.demo.steps import Steps
from heldout.domains.embodied.demo.study import DEFAULT, DemoStudy, load_demo_study, options, shortcuts
from heldout.domains.embodied.simulate.physics import SimOptions
from heldout.errors import HeldoutError, InputError, PrerequisiteError, StaleError, StudyError
from heldout.evidence import read_json, read_json_lines

EXAMPLE = Path(__file__).parents[3] / "examples/embodied/study.yaml"


def heldout(*words: Any) -> Any:
    texts = [str(word) for word in words]
    return CliRunner().invoke(build(texts), texts, standalone_mode=False)


def changed(folder: Path, before: str, after: str) -> Path:
    text = DEFAULT.read_text()
    assert before in text
    path = folder / "study.yaml"
    path.write_text(text.replace(before, after, 1))
    return path


def test_the_example_is_what_the_demo_runs() -> None:
    """Who changes a copy of the example would start from another study than the one whose figures are told."""
    assert EXAMPLE.read_bytes() == DEFAULT.read_bytes()


def test_every_backbone_has_a_variant_and_small_changes_sizes_alone() -> None:
    """A backbone would be left out of the demonstration without a word, or --small would judge something else."""
    whole, small = load_demo_study(), load_demo_study(small=True)
    families = {"qwen3_omni_lora", "cosmos_world_model", "policy_vla_branch"}
    assert families == {variant.family for variant, _ in whole.variants()}
    assert [v for v, _ in whole.variants()] == [v for v, _ in small.variants()]
    assert (12, 4) == (whole.spec.corpus.tasks, small.spec.corpus.tasks)


def test_a_variant_sets_its_own_family_alone() -> None:
    """Conditioning on actions would leak into the variant that is there to be compared with."""
    found = {variant.id: family.train for variant, family in load_demo_study().variants()}
    assert "conditioning" not in found["future-network"]
    assert "actions" == found["future-given-actions"]["conditioning"]


def test_the_short_options_reach_every_trainer() -> None:
    """--steps would shorten one training, and the others would take their quarter of an hour."""
    study = load_demo_study(sets=shortcuts(2, 3, 5))
    assert (2, 3) == (study.spec.corpus.tasks, study.spec.corpus.seeds)
    families = study.spec.families
    assert 5 == families["policy_vla_branch"].train["steps"]
    qwen = families["qwen3_omni_lora"]
    assert [5, 5] == [block["max_train_steps"] for block in (qwen.first_stage, qwen.train)]
    assert {} == shortcuts(None, None, None)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("smoke_windows: 8", "smoke_window: 8", "did you mean 'smoke_windows'"),
        ("family: policy_vla_branch", "family: policy_vla", "policy_vla_branch"),
        ("id: future-network", "id: tiny-omni-lora", "appears twice"),
        ("  cosmos_world_model:\n    headline: future_retrieval_mrr\n", "  cosmos_model:\n    headline: x\n", "cosmos"),
    ],
)
def test_a_study_that_is_wrong_says_where(tmp_path: Path, before: str, after: str, says: str) -> None:
    """A misspelt key would be a setting that nobody reads."""
    with pytest.raises(StudyError) as caught:
        load_demo_study(changed(tmp_path, before, after))
    assert says in f"{caught.value.what} {caught.value.hint}"
    assert "study.yaml" in caught.value.where


def test_options_of_a_function_are_checked_by_their_own_names() -> None:
    """A misspelt option would train with its default, after minutes of simulation."""
    with pytest.raises(StudyError) as caught:
        options(SimOptions, {"max_step": 90}, "corpus.simulate")
    assert "did you mean 'max_steps'" in caught.value.hint
    with pytest.raises(StudyError) as caught:
        options(SimOptions, {"max_steps": "many"}, "corpus.simulate")
    assert "`corpus.simulate.max_steps`" in caught.value.what
    assert ("corner",) == options(SimOptions, {"cameras": ["corner"]}, "corpus.simulate").cameras


def test_an_unknown_variant_is_no_empty_success(tmp_path: Path) -> None:
    """A typing error in --variant would end with nothing trained and exit code 0."""
    answer = heldout("demo", "embodied", "--out", tmp_path / "out", "--variant", "future-netwerk")
    assert isinstance(answer.exception, StudyError)
    assert "did you mean 'future-network'" in answer.exception.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("train: {steps: 1500}", "train: {step: 1500}", "did you mean 'steps'"),
        ("export: {horizon_seconds: 0.25}", "export: {horizon_seconds: soon}", "horizon_seconds"),
        ("    train: {epochs: 120, patience: 25}", "    rollout: {seeds: 3}", "means nothing"),
        ("warmup_steps: 30", "lr_schedule_: cosine", "lr_schedule"),
        ("set: {train.conditioning: actions}", "set: {train.conditionin: actions}", "conditioning"),
    ],
)
def test_every_option_is_looked_at_before_anything_is_simulated(
    tmp_path: Path, before: str, after: str, says: str
) -> None:
    """Minutes of physics and of training would end at a typing error in the last variant."""
    answer = heldout("demo", "embodied", "--study", changed(tmp_path, before, after), "--out", tmp_path / "out")
    assert isinstance(answer.exception, StudyError)
    assert says in f"{answer.exception.what} {answer.exception.hint}"
    assert not (tmp_path / "out").exists()


def test_a_step_is_done_once_and_a_half_one_again(tmp_path: Path) -> None:
    """A second call would do everything again, or take what an interruption left for the whole."""
    said: list[str] = []
    steps, product, made = Steps(tmp_path / "steps", said.append), tmp_path / "product", list[str]()

    def make() -> str:
        assert not product.exists()
        product.mkdir()
        (product / "file").write_text("whole")
        made.append("made")
        return "one thing"

    def killed() -> str:
        product.mkdir()
        (product / "torn").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        steps.once("a/step", {"n": 1}, product, killed)
    key = steps.once("a/step", {"n": 1}, product, make)
    assert key == steps.once("a/step", {"n": 1}, product, make)
    assert ["made"] == made
    assert ["file"] == [path.name for path in product.iterdir()]
    assert "there already" in said[-1]
    with pytest.raises(InputError, match="another study"):
        steps.once("a/step", {"n": 2}, product, make)
    shutil.rmtree(product)
    steps.once("a/step", {"n": 1}, product, make)
    assert ["made", "made"] == made


def test_what_no_step_made_is_never_removed(tmp_path: Path) -> None:
    """``--out`` in a folder with an index of one's own would delete that index."""
    steps = Steps(tmp_path / "steps", lambda _: None)
    (tmp_path / "index").mkdir()
    (tmp_path / "index/mine").write_text("of a week")
    with pytest.raises(InputError, match="no step of a demonstration"):
        steps.once("index", {}, tmp_path / "index", lambda: "made")
    assert (tmp_path / "index/mine").exists()


def test_two_demonstrations_in_one_folder_are_one_too_many(tmp_path: Path) -> None:
    """Two processes would write one data set at once."""
    with FileLock(tmp_path / ".demo.lock"):
        answer = heldout("demo", "embodied", "--out", tmp_path, "--variant", "future-network")
    assert isinstance(answer.exception, StaleError)
    assert [".demo.lock"] == [path.name for path in tmp_path.iterdir()]


def test_what_ended_a_variant_stands_in_its_row() -> None:
    """A backbone that could not be judged would be missing from the table, which looks like success."""
    facts = {"backbone": "cosmos_world_model", "variant": "v", "headline": "future_retrieval_mrr"}
    row = row_of(facts, None, None, reason="no window has a future; a shorter horizon")
    shown = "\n".join(lines({"rows": [row], "promote": False}))
    assert "FAILED" in shown
    assert "why      no window has a future; a shorter horizon" in shown
    assert "v: not judged." in shown


def needs(*modules: str) -> Any:
    absent = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"not installed: {', '.join(absent)}")


@pytest.mark.slow
@pytest.mark.longest
@needs("torch", "transformers", "peft", "accelerate", "llguidance", "metaworld", "mujoco")
def test_the_whole_road_and_again(tmp_path: Path) -> None:
    """The demonstration would end without reports, or a second call would train, look or package again."""
    from heldout.domains.embodied.simulate.physics import choose_renderer

    try:
        choose_renderer(video=True)
    except HeldoutError as error:
        pytest.skip(error.what)
    out = tmp_path / "demo"
    chosen = [variant.id for variant, _ in load_demo_study().variants()]
    if not NIGHTLY:  # a policy is judged by rollouts, which test_policy_simulated.py has
        chosen = ["tiny-omni-lora", "future-network"]
    words = ("demo", "embodied", "--small", *(f"--variant={each}" for each in chosen), "--out", out, "--json")
    first = heldout(*words)
    document = json.loads(first.stdout)
    assert chosen == [row["variant"] for row in document["rows"]]
    for row in document["rows"]:
        assert row["verdict"] in ("PROMOTE", "HOLD"), row["reasons"]
        assert (row["verdict"] == "PROMOTE") == (not row["reasons"])
        assert row["held_out_episodes"] >= 5
        assert row["headline"]["baselines"]
        assert "<html" in Path(row["report"]).read_text()
        with tarfile.open(row["package"]) as package:
            names = [Path(name).name for name in package.getnames()]
        assert "metrics.json" in names
        assert not [name for name in names if name.endswith((".mp4", ".safetensors", ".npy"))]
    assert int(not document["promote"]) == first.return_value
    assert document == read_json(out / "demo.json")

    if not NIGHTLY:
        return
    before = snapshot(out)
    again = heldout(*words)
    assert document == json.loads(again.stdout)
    assert first.return_value == again.return_value
    assert before == snapshot(out)


def snapshot(out: Path) -> Sequence[Any]:
    """When weights, exports and packages were written, and how often test was looked at."""
    kept = [path for pattern in ("*.safetensors", "*.tar.gz", "dataset.jsonl") for path in sorted(out.rglob(pattern))]
    looks = len(read_json_lines(out / "index/trials.jsonl"))
    return [looks, *((str(path), path.stat().st_mtime_ns) for path in kept)]


def test_a_backbone_that_is_only_planned_is_a_row_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planned backbone would end the demonstration of all the others with a traceback."""
    from heldout.domains.embodied.demo import demo

    monkeypatch.setattr(demo, "_corpus", lambda *_: "key")
    folder = tmp_path / "configs/backbones"
    folder.mkdir(parents=True)
    contract = demo.load_registry(tmp_path)["cosmos_world_model"]
    config = json.loads(contract.path.read_text())
    config["entrypoints"]["train"] = None
    (folder / "cosmos_world_model.json").write_text(json.dumps(config))
    study: DemoStudy = load_demo_study()
    document = demo.demo_embodied(tmp_path, study, variants=["future-network"], say=lambda _: None)
    assert not document["promote"]
    assert "no entry point for train" in document["rows"][0]["reasons"][0]


def test_what_the_end_needs_is_asked_for_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes of training would end with a missing package."""
    from heldout.domains.embodied.demo.demo import demo_embodied
    from heldout.package.content import secrets as public_secrets

    monkeypatch.setitem(sys.modules, "detect_secrets.core.plugins.util", None)
    public_secrets._plugins.cache_clear()
    try:
        with pytest.raises(PrerequisiteError, match="detect-secrets"):
            demo_embodied(tmp_path / "demo", load_demo_study(DEFAULT))
    finally:
        public_secrets._plugins.cache_clear()
    assert not (tmp_path / "demo").exists()
