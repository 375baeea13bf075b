"""The page on backbones: its study runs, its table names what is installed, its sentences are those of the code."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest
import yaml

from heldout import Study, plugins
from heldout.run.units.unit import stream_seed
from heldout.study.own_seeds import with_own_seeds
from heldout.study.spec import StudySpec

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "backbones.md").read_text(encoding="utf-8")


def test_every_installed_backbone_of_ours_is_on_the_page() -> None:
    """Nobody would find a backbone that is there, or look for one that is not."""
    listed = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert set(plugins.names("backbones")) == listed


def test_links_lead_somewhere() -> None:
    """A reader would follow a link into nothing."""
    targets = re.findall(r"\]\(([^)#:]+)", PAGE)
    assert len(targets) >= 4
    assert [] == [target for target in targets if not (ROOT / "docs" / target).exists()]


@pytest.mark.slow
def test_the_study_of_a_model_from_elsewhere_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever bought a model could not judge it by what the page says."""
    from asked_kit import desk_at

    *_, block = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    desk = desk_at(tmp_path)
    for name in ("train", "judged"):
        desk.rows(name).drop("label").write_csv(tmp_path / f"{name}.csv")
    desk.manifest(ignore=[])
    (tmp_path / "study.yaml").write_text(block)
    run = Study.load(tmp_path / "study.yaml").run(runs=tmp_path / "runs")
    assert ("PROMOTE", "asked") == (run.verdict, run.document["evidence"]), run.document["reasons"]


def test_seeds_are_as_the_page_says() -> None:
    """Nobody could give an estimator the stream that it has in a fold, or take its own."""
    (program,) = re.findall(r"```python\n(import hashlib.*?)```", PAGE, re.DOTALL)
    names: dict[str, int] = {}
    exec(compile(program, "page", "exec"), names)
    assert stream_seed(0, "10s") == names["random_state"]
    block = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])
    spec = StudySpec.model_validate({"study": "x", "corpus": {}} | block)
    assert ([0], block["fit"] | {"random_state": "as_given"}) == (spec.fits, with_own_seeds(spec).fit)


def test_the_page_names_every_code_of_the_gate() -> None:
    """A reader would search for a code and find nothing."""
    from heldout.backbone import saved, saved_onnx
    from heldout.run.asked import gate as model_gate

    assert model_gate.ANSWERS == saved.ANSWERS
    for code in (saved.UNREADABLE, saved.FEATURES, saved.ANSWERS, saved_onnx.OUTSIDE, saved_onnx.OPERATORS):
        assert f"({code})" in PAGE


def test_the_ridge_study_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What people copy from the page would not run."""
    pytest.importorskip("sklearn")
    _, block, _ = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "study.yaml").write_text(block)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_table.py", "diabetes.csv"])
    runpy.run_path(str(ROOT / "examples" / "table" / "make_table.py"), run_name="__main__")
    study = Study.load(tmp_path / "study.yaml")
    assert ["base", "stiff"] == study.variants
    assert "PROMOTE" == study.run(runs=tmp_path / "runs").verdict
    assert yaml.safe_load(block)["fit"] == {"alpha": study.resolve().main.backbone.params.alpha}
