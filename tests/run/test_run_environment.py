"""What other versions of its libraries fitted is never served as new, and a finished run is never rewritten."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from units_kit import told

from heldout.backbone import environment, estimators
from heldout.backbone.environment import difference
from heldout.errors import UnitError
from heldout.evidence import read_json, read_json_lines
from heldout.gate.verdict_files import read_verdict
from heldout.run.resolve import load_backbone
from heldout.run.units.compute import compute_unit
from heldout.verify import verify_run

# A package of estimators; the number is what another version fits otherwise. It fails while the flag is there.
SHELF = """
import os
from sklearn.linear_model import Ridge

class Shelved(Ridge):
    def __init__(self, flag="", refuse=0):
        super().__init__(alpha=ALPHA)
        self.flag, self.refuse = flag, refuse

    def fit(self, X, y):
        if len(X) == self.refuse and self.flag in os.environ:
            raise ArithmeticError("cannot learn")
        return super().fit(X, y)
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a version of the package, or of another one, where a new process would find it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def forget() -> None:
        for cache in (environment._version, environment._home, estimators.distributions_of):
            cache.cache_clear()
        sys.modules.pop("shelf_models", None)
        # Compiled code is told apart by size and second: two versions of one length in one second are one to Python.
        shutil.rmtree(site / "__pycache__", ignore_errors=True)
        importlib.invalidate_caches()

    def put(version: str, name: str = "shelf-models") -> None:
        for path in site.glob(f"{name.replace('-', '_')}-*.dist-info/*"):
            path.unlink()
        home = site / f"{name.replace('-', '_')}-{version}.dist-info"
        home.mkdir(exist_ok=True)
        (home / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (home / "top_level.txt").write_text("shelf_models\n" if name == "shelf-models" else "other\n")
        (site / "shelf_models.py").write_text(SHELF.replace("ALPHA", version))
        for path in site.glob(f"{name.replace('-', '_')}-*.dist-info"):
            if not any(path.iterdir()):
                path.rmdir()
        forget()

    put("1.0")
    yield put
    forget()


def fit_block(desk: Any) -> dict[str, Any]:
    params = {"flag": "SHELF_REFUSES", "refuse": 42}
    return {"estimator": "shelf_models.Shelved", "params": params}


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Everything but the stream of events and the lock."""
    beside = {"progress.jsonl", ".lock"}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in beside
    }


def plans(folder: Path) -> list[str]:
    return [each["unit"] for each in read_json_lines(folder / "progress.jsonl") if each["event"] == "plan"]


def fitted(folder: Path) -> list[str]:
    return [each["unit"] for each in read_json_lines(folder / "progress.jsonl") if each["event"] == "fitted"]


def predictions(desk: Any, runs: str) -> bytes:
    """What a run from nothing predicts here and now."""
    folder = desk.load(fit=fit_block(desk)).run(runs=desk.folder / runs, workers=1).folder
    return (folder / "predictions.jsonl").read_bytes()


@pytest.mark.slow
def test_an_interrupted_run_fits_again_what_other_versions_fitted(
    desk: Any, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a table would be one model, half another, and nothing would say so."""
    monkeypatch.setenv("SHELF_REFUSES", "1")
    with pytest.raises(UnitError):
        desk.run(fit=fit_block(desk))
    (folder,) = (path.parent for path in desk.runs.glob("*/*/run.json"))
    before = desk.fitted(folder)
    assert 6 + 4 == len(before)  # two seeds without the fold that failed, and the baseline
    monkeypatch.delenv("SHELF_REFUSES")

    install("2.0")
    assert folder == desk.run(fit=fit_block(desk)).folder
    after = desk.fitted(folder)
    assert {name for name in before if "baselines" in name} == {name for name in before if after[name] == before[name]}
    assert any("6 fitted with shelf-models 1.0 (now 2.0)" in each for each in plans(folder))
    assert predictions(desk, "from nothing") == (folder / "predictions.jsonl").read_bytes()
    assert {"2.0"} == {read_json(path)["packages"]["shelf-models"] for path in folder.glob("fits/*/*/unit.json")}
    assert "2.0" == read_json(folder / "run.json")["packages"]["shelf-models"]
    verify_run(folder).raise_if_broken()


@pytest.mark.slow
def test_a_finished_run_of_other_versions_stays_and_a_new_one_begins(desk: Any, install: Install) -> None:
    """An upgrade would rewrite the models of a champion that somebody signed and registered."""
    old = desk.run(fit=fit_block(desk)).folder
    before = bytes_of(old)

    install("2.0")
    planned = desk.prepare(fit=fit_block(desk)).summary()
    assert {"base": {"reused": 0, "to_fit": 8}, "mean": {"reused": 4, "to_fit": 0}} == planned["units"]
    new = desk.run(fit=fit_block(desk)).folder
    assert old != new
    assert before == bytes_of(old)
    assert any(f"{old.name} was fitted with shelf-models 1.0 (now 2.0)" in each for each in plans(new))
    assert predictions(desk, "from nothing") == (new / "predictions.jsonl").read_bytes()
    assert (old / "predictions.jsonl").read_bytes() != (new / "predictions.jsonl").read_bytes()
    assert read_verdict(new) is not None
    for folder in (old, new):
        verify_run(folder).raise_if_broken()

    mean = "baselines/mean/fits/seed0/ann/unit.json"  # what the upgrade does not touch is copied
    assert (old / mean).read_bytes() == (new / mean).read_bytes()
    assert not any("baselines" in each or "mean/" in each for each in fitted(new))
    both = desk.fitted(old) | desk.fitted(new)
    install("1.0")
    assert old == desk.run(fit=fit_block(desk)).folder
    install("2.0")
    assert new == desk.run(fit=fit_block(desk)).folder
    assert both == desk.fitted(old) | desk.fitted(new)
    assert before == bytes_of(old)


@pytest.mark.slow
def test_versions_that_nothing_is_fitted_with_cost_nothing(desk: Any, install: Install) -> None:
    """Every upgrade of anything would cost a training."""
    install("1.0", "bystander")
    folder = desk.run(fit=fit_block(desk)).folder
    before = bytes_of(folder)
    install("2.0", "bystander")
    assert folder == desk.run(fit=fit_block(desk)).folder
    assert before == bytes_of(folder)


def test_a_worker_that_finds_other_versions_stops(desk: Any, install: Install) -> None:
    """An upgrade in the midst of a run would leave a model under the wrong label."""
    prepared = desk.prepare(fit=fit_block(desk))
    unit = prepared.main.units[0]
    argument, inputs = told(prepared, unit)
    install("2.0")
    with pytest.raises(UnitError, match=r"packages changed during the run: shelf-models 1.0 \(now 2.0\)"):
        compute_unit(argument, inputs)
    work = replace(argument.work, packages=environment.environment(argument.backbone))
    assert "unit.json" in compute_unit(replace(argument, work=work), inputs)


def test_python_and_the_package_of_a_plug_in_count(desk: Any, install: Install, tmp_path: Path) -> None:
    """`pip install -U` of somebody's own models would be served from what the old ones fitted."""
    backbone = desk.prepare(fit=fit_block(desk)).resolved.main.backbone
    found = environment.environment(backbone)
    assert {"numpy", "polars", "python", "scikit-learn", "scipy", "shelf-models"} == set(found)
    assert ".".join(map(str, sys.version_info[:2])) == found["python"]

    (home,) = (tmp_path / "site").glob("shelf_models-*.dist-info")
    (home / "entry_points.txt").write_text("[heldout.backbones]\nshelved = shelf_models:Backbone\n")

    class Shelved(type(backbone)):  # type: ignore[misc]
        name = "shelved"

        def packages(self) -> tuple[str, ...]:
            return ("numpy", "not-installed")

    assert {"numpy", "python", "shelf-models"} == set(environment.environment(Shelved(backbone.params)))


def test_networks_depend_on_the_engine_that_trains_them() -> None:
    """An upgrade of PyTorch would cost a training that Numba does, or keep one that PyTorch did."""
    pytest.importorskip("numba")
    pytest.importorskip("torch")
    for engine, own in (("cached", {"llvmlite", "numba"}), ("stacked", {"torch"}), ("loop", {"torch"})):
        backbone = load_backbone("fr_regressor", {"engine": engine})
        assert own | {"numpy", "polars", "python"} == set(environment.environment(backbone))


def test_a_difference_is_told_in_words() -> None:
    """Nobody would know which upgrade cost the training."""
    before, now = {"numpy": "2.3", "torch": "2.12", "scipy": "1.0"}, {"numpy": "2.4", "numba": "0.6", "scipy": "1.0"}
    assert "numba none (now 0.6), numpy 2.3 (now 2.4), torch 2.12 (now none)" == difference(before, now)
