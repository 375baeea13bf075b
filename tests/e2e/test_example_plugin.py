"""The example of a plug-in, installed as its users would: its tests, a run, its verification, and a kit of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import pytest
from plugin_kit import install_project

from heldout.study import load_yaml

pytestmark = pytest.mark.slow
EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"
Call = Callable[..., str]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, and beside it a folder of installed packages that holds it."""
    home = tmp_path_factory.mktemp("example")
    project = Path(shutil.copytree(EXAMPLE, home / "plugin", ignore=shutil.ignore_patterns("__pycache__")))
    if find_spec("setuptools") is None:
        install_project(project, home / "site-packages")
        return home
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", home / "site-packages", project], check=True, capture_output=True)
    shutil.rmtree(project / "build", ignore_errors=True)
    return home


@pytest.fixture(scope="module")
def call(desk: Path) -> Call:
    """Run a module of Python in the copy, with the example installed."""

    def run(*words: str | Path, code: int = 0) -> str:
        environment = os.environ | {"PYTHONPATH": str(desk / "site-packages"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            cwd=desk / "plugin", env=environment, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert code == done.returncode, done.stdout + done.stderr
        return done.stdout

    return run


def test_its_own_tests_pass(call: Call) -> None:
    """What every author copies would fail from the first day."""
    told = call("pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert " passed" in told
    assert "skipped" not in told


def test_it_is_listed_and_adds_its_command(call: Call) -> None:
    """An installed plug-in would not be found."""
    found = json.loads(call("heldout", "plugins", "--strict", "--json"))["plugins"]
    ours = [each for each in found if each["distribution"] == "heldout-example"]
    assert {"median_neighbours", "priced"} == {each["name"] for each in ours if each["kind"] == "backbones"}
    mine = {each["kind"]: (each["name"], each["version"]) for each in ours if each["name"] != "priced"}
    names = {"backbones": "median_neighbours", "readers": "unit_tsv", "metrics": "within_tenth", "commands": "units"}
    names |= {"splitters": "largest-groups", "tasks": "tolerance"}
    assert {kind: (name, "0.1.0") for kind, name in names.items()} == mine
    shown = json.loads(call("heldout", "units", "springs.tsv", "--json"))
    assert {"stiffness": "N/m", "maker": None}.items() <= shown.items()
    schema = json.loads(call("heldout", "study", "schema"))
    jsonschema.validate(load_yaml(EXAMPLE / "study.yaml").value, schema)
    assert "Which unit each column of a file has" in " ".join(call("heldout", "--help").split())


def test_it_runs_verifies_and_travels(call: Call, desk: Path) -> None:
    """A study that uses only plug-ins could not be judged, checked by others, or handed over."""
    told = call("heldout", "run", "study.yaml", "--workers", "1")
    assert told.startswith("PROMOTE springs / base"), told
    (run,) = (desk / "plugin" / "runs" / "springs").glob("base-*")
    assert "VERIFIED PROMOTE" in call("heldout", "verify", run)
    elsewhere = subprocess.run(
        [sys.executable, "-m", "heldout", "gate", run], capture_output=True, text=True, check=False, cwd=desk
    )
    assert 2 == elsewhere.returncode, elsewhere.stdout  # without the plug-in: nothing is TAMPERED, nothing verified
    assert "no plug-in offers the task 'tolerance' here" in elsewhere.stderr
    metrics = json.loads((run / "metrics.json").read_text())
    assert "within_tenth" in [each["name"] for each in metrics["metrics"]]
    assert json.loads((run / "corpus.json").read_text())["facts"]["units"]["extension"] == "mm"
    call("heldout", "kit", "build", "study.yaml", "--out", "kit.tar.gz", "--no-hashes", "--agree", "within_tenth=0.01")
    with tarfile.open(desk / "plugin" / "kit.tar.gz") as archive:
        names = {Path(name).name for name in archive.getnames()}
    assert {"heldout_example-0.1.0-py3-none-any.whl", "heldout-0.1.0-py3-none-any.whl"} <= names
