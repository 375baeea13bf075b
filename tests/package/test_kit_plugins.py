"""Kits of studies that use plug-ins: their wheels travel, and what no wheel holds is refused; tolerances by name."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_kit import OURS
from beside_kit import COMMANDS, FIT_SH, shell
from plugin_kit import importable, install
from portable_kit import Judged

from heldout.errors import HeldoutError, InputError, PrerequisiteError, StudyError
from heldout.evidence import read_json
from heldout.package.doctor.plugins import list_plugins
from heldout.package.kit.agreement import judge_agreement
from heldout.package.kit.build import KitOptions, build_kit
from heldout.package.kit.wheel import carry_wheel
from heldout.package.verify.any import verify_any
from heldout.verify.evidence import RunEvidence

BACKBONE = """
import json
from pathlib import Path
from typing import ClassVar

import numpy as np

from heldout.backbone import Backbone, Contract, Params
from heldout.task.metric import SIZE, Metric


class Mean(Backbone):
    name: ClassVar[str] = "carried_mean"
    Params = Params
    contract: ClassVar[Contract] = Contract(files=("mean.json",))

    def fit(self, view, seed, workdir):
        return float(view.target.mean())

    def predict(self, model, view):
        return np.full(view.features.height, model)

    def save(self, model, folder):
        (folder / "mean.json").write_text(json.dumps(model))

    def load(self, folder):
        return json.loads((folder / "mean.json").read_text())


def gap(truth, said):
    return float(abs(truth - said).max())


def largest(rows):
    return float(abs(rows.said - rows.truth).max())


LARGEST = Metric("largest_error", "largest error", "lower", SIZE, "value", largest)
"""
STUDY = """
study: carried
corpus: {reader: table, path: table.csv, group: site, target: y, task: regression}
backbone: carried_mean
metrics: [largest_error, r2]
baselines: []
gate: {rules: [{id: rmse, metric: rmse, at_most: 9}]}
"""
POINTS = {
    "heldout.backbones": {"carried_mean": "carried_models:Mean"},
    "heldout.metrics": {"largest_error": "carried_models:LARGEST"},
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    site = tmp_path / "site-packages"
    requires = ["heldout", "numpy", "packaging"]
    install(site, "carried-models", {"carried_models.py": BACKBONE}, POINTS, version="1.2", requires=requires)
    (tmp_path / "study.yaml").write_text(STUDY)
    with importable(site, "carried_models"):
        yield site


def build(tmp_path: Path, **more: Any) -> Any:
    return build_kit(tmp_path / "study.yaml", tmp_path / "kit.tar.gz", KitOptions(ask_pip=False, **more))


@pytest.mark.slow
def test_a_plug_in_travels_as_a_wheel(site: Path, tmp_path: Path) -> None:
    """A study with a model of somebody's own could not be run anywhere else."""
    kit = build(tmp_path)
    wheel = "dist/carried_models-1.2-py3-none-any.whl"
    assert ["carried-models"] == kit.document["carried"]
    assert {wheel} < set(kit.document["files"])
    assert kit.sha256 == build(tmp_path).sha256
    assert verify_any(kit.path).holds
    with tarfile.open(kit.path) as archive:
        archive.extractall(tmp_path / "open", **OURS)
    folder = tmp_path / "open" / "carried-kit"
    wanted = (folder / "requirements" / "any.txt").read_text()
    assert f"# and in this kit: {wheel}" in wanted
    assert "\nnumpy==" in wanted
    assert "\ncarried-models" not in wanted
    assert wheel in (folder / "README.md").read_text()
    with zipfile.ZipFile(folder / wheel) as packed:
        packed.extractall(tmp_path / "there" / "site-packages")
    shutil.rmtree(site)  # what is found now came out of the kit
    with importable(tmp_path / "there" / "site-packages"):
        health = {each.name: each.health for each in list_plugins() if each.distribution == "carried-models"}
    assert {"carried_mean": "ok", "largest_error": "ok"} == health
    (folder / wheel).write_bytes((folder / wheel).read_bytes()[:-40])
    with pytest.raises(HeldoutError):
        verify_any(folder)


@pytest.mark.slow
def test_pip_installs_the_wheel_of_a_plug_in(site: Path, tmp_path: Path) -> None:
    """The operator's first step would stop."""
    made = carry_wheel("carried-models")
    (tmp_path / made.name).write_bytes(made.data)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", tmp_path / "there"]
    subprocess.run([*command, tmp_path / made.name], check=True, capture_output=True)
    assert (site / "carried_models.py").read_bytes() == (tmp_path / "there" / "carried_models.py").read_bytes()
    with zipfile.ZipFile(io.BytesIO(made.data)) as packed:
        assert {"RECORD", "WHEEL", "METADATA", "entry_points.txt"} <= {Path(name).name for name in packed.namelist()}


@pytest.mark.slow
def test_what_no_wheel_holds_is_refused(site: Path, tmp_path: Path) -> None:
    """A kit would be built that fails on the other machine, for want of a file that stayed at home."""
    info = site / "carried_models-1.2.dist-info"
    with (site / "carried_models.py").open("a") as file:
        file.write("# edited in place\n")
    with pytest.raises(PrerequisiteError, match="is not the file that was installed") as refused:
        build(tmp_path)
    assert ("carried-models", True) == (refused.value.where, "install it again" in (refused.value.hint or ""))
    (info / "RECORD").write_text("carried_models-1.2.dist-info/METADATA,,\n__editable__.carried.pth,,\n")
    (site / "__editable__.carried.pth").write_text("/somewhere\n")
    with pytest.raises(PrerequisiteError, match="it is editable"):
        build(tmp_path)
    (info / "RECORD").write_text("carried_models.py,,\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n")
    with pytest.raises(PrerequisiteError, match="compiled for one kind of machine"):
        build(tmp_path)


def test_code_of_no_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kit would be built without the model that it trains."""
    (tmp_path / "loose_models.py").write_text(BACKBONE.replace("carried_mean", "loose"))
    (tmp_path / "study.yaml").write_text(
        STUDY.replace("backbone: carried_mean", "backbone: ridge").replace(
            "metrics: [largest_error, r2]", "metrics: [{name: mine, function: 'loose_models:gap', better: lower}]"
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StudyError, match="the module 'loose_models' is of no installed package") as refused:
        build(tmp_path)
    assert "examples/plugin" in (refused.value.hint or "")


@pytest.mark.slow
@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, {"plcc": 0.005}),
        ({"pearson": 0.01}, {"plcc": 0.01}),
        ({"r2": 0.1, "largest_error": 2.0}, {"r2": 0.1, "largest_error": 2.0}),
    ],
)
def test_a_tolerance_is_of_a_metric_that_is_computed(
    tmp_path: Path, asked: dict[str, float] | None, expected: dict[str, float]
) -> None:
    """An alias would be compared with nothing, and the second hardware never agree."""
    assert {"tolerance": expected} == build(tmp_path, tolerance=asked).document["second_hardware"]


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"nonsense": 0.005}, "there is no metric 'nonsense'"),
        ({"plc": 0.005}, "there is no metric 'plc'"),
        ({"mape": 0.1}, "the study does not compute 'mape'"),
        ({"accuracy": 0.1}, "the study does not compute 'accuracy'"),
        ({"plcc": 0.1, "pearson": 0.2}, "plcc has two tolerances"),
    ],
)
def test_a_tolerance_of_nothing_is_refused(tmp_path: Path, asked: dict[str, float], what: str) -> None:
    """The rule would be UNKNOWN for ever, found after hours on the other machine."""
    with pytest.raises(InputError, match=what) as refused:
        build(tmp_path, tolerance=asked)
    assert "--agree" == refused.value.where
    assert refused.value.hint


def test_a_classifier_has_a_tolerance_of_its_own(tmp_path: Path) -> None:
    """A kit of a classifier would ask for a correlation that nobody computes."""
    study = (
        STUDY.replace("carried_mean", "sklearn")
        .replace("[largest_error, r2]", "[]")
        .replace("metric: rmse", "metric: mcc")
    )
    study += "fit: {estimator: sklearn.linear_model.LogisticRegression}\n"
    (tmp_path / "study.yaml").write_text(
        study.replace("regression", "classification").replace("at_most: 9", "at_least: .1")
    )
    assert {"tolerance": {"accuracy": 0.005}} == build(tmp_path).document["second_hardware"]


def test_a_kit_of_an_older_version_may_name_an_alias(judged: Judged) -> None:
    """A bundle that is on its way would never agree."""
    lead = RunEvidence.open(judged.folder)
    found = judge_agreement(lead, lead, {"pearson": 1.0}, None)
    assert {0.0} == {fold["difference"] for fold in found["folds"]}
    assert read_json(judged.folder / "metrics.json")["ensemble"]["folds"].keys() == {
        each["fold"] for each in found["folds"]
    }
    assert json.dumps(found)


@pytest.mark.slow
def test_code_beside_the_study_travels_as_it_is(tmp_path: Path) -> None:
    """The operator's study would name a script that stayed at home."""
    shell(tmp_path)
    commands = "\n".join(f"  {key}: {json.dumps(value)}" for key, value in COMMANDS.items())
    block = f"backbone: command\nfit:\n{commands}\n"
    (tmp_path / "study.yaml").write_text(
        STUDY.replace("backbone: carried_mean\n", block).replace("[largest_error, r2]", "[r2]")
    )
    kit = build(tmp_path)
    assert {"code/fit.sh", "code/ask.sh"} < set(kit.document["files"])
    assert verify_any(kit.path).holds
    with tarfile.open(kit.path) as archive:
        archive.extractall(tmp_path / "open", **OURS)
    folder = tmp_path / "open" / "carried-kit"
    out = dict(os.environ, OUT_DIR=str(tmp_path / "out"))
    subprocess.run(["sh", "-c", '. "$0"', folder / "_kit.sh"], check=True, env=out, cwd=tmp_path)
    assert FIT_SH == (tmp_path / "out" / "fit.sh").read_text()
    (folder / "code" / "more.sh").write_text("")
    done = subprocess.run([sys.executable, folder / "check_kit.py"], capture_output=True, text=True, check=False)
    assert (3, True) == (done.returncode, "code/more.sh is no file of the kit" in done.stderr)


def test_a_program_that_a_kit_cannot_carry_is_named(tmp_path: Path) -> None:
    """It would arrive without the right to be executed."""
    shell(tmp_path)
    (tmp_path / "fit").write_text("#!/bin/sh\n" + FIT_SH)
    (tmp_path / "fit").chmod(0o755)
    commands = "\n".join(f"  {key}: {json.dumps(value)}" for key, value in COMMANDS.items()).replace(
        "sh fit.sh", "./fit"
    )
    (tmp_path / "study.yaml").write_text(
        STUDY.replace("backbone: carried_mean\n", f"backbone: command\nfit:\n{commands}\n").replace(
            "[largest_error, r2]", "[r2]"
        )
    )
    with pytest.raises(StudyError, match="cannot carry 'fit' as a program"):
        build(tmp_path)
