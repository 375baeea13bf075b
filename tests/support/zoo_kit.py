"""A zoo with difficult animals: backbones that sleep, crash, eat memory, write elsewhere, or leave orphans behind."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

MOODY = """
import os, pathlib, subprocess, sys, time
from typing import Literal
import numpy as np
from heldout.backbone import Backbone, Contract, Params
from heldout.evidence import read_json, write_json

HERE = pathlib.Path(__file__).parent
AWAKE = HERE / "awake"  # moods of predicting show only while this file exists


class MoodyParams(Params):
    slope: float = 1.0
    mood: str = "calm"
    ignored: int = 0


def misbehave(mood):
    if mood == "sleep":
        time.sleep(600)
    elif mood == "crash":
        os._exit(7)
    elif mood == "raise":
        raise ValueError("no")
    elif mood == "memory":
        kept = []
        while True:
            kept.append(np.ones(1 << 20))
            time.sleep(0.001)
    elif mood == "orphan":
        code = "import os,time,pathlib; pathlib.Path(%r).write_text(str(os.getpid())); time.sleep(600)" % str(
            pathlib.Path(os.environ["TMPDIR"]) / "orphan")
        subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        time.sleep(1)
        os._exit(3)
    elif mood == "write":
        for line in (HERE / "targets").read_text().splitlines():
            target = pathlib.Path(line)
            for attempt in (
                lambda: target.write_text("mine"), target.unlink, lambda: target.rename(target.with_name("gone")),
                lambda: target.with_name("new").write_text("mine"), lambda: os.truncate(target, 0),
                lambda: subprocess.run(["sh", "-c", f"echo mine > '{target}'"], check=True),
                lambda: os.kill(os.getppid(), 9),
            ):
                try:
                    attempt()
                except (OSError, subprocess.SubprocessError):
                    pass
        raise ValueError("tried everything")


class Moody(Backbone):
    name = "moody"
    Params = MoodyParams
    contract = Contract(files=("moody.json",))

    def fit(self, view, seed, workdir):
        if self.params.mood.startswith("train-"):
            misbehave(self.params.mood.removeprefix("train-"))
        return float(np.mean(view.target)) * 0 + self.params.slope

    def predict(self, model, view):
        if AWAKE.exists():
            misbehave(self.params.mood)
        return model * view.features.to_series(0).to_numpy().astype(float)

    def save(self, model, folder):
        write_json(folder / "moody.json", {"slope": model})

    def load(self, folder):
        return read_json(folder / "moody.json")["slope"]
"""
BASE: dict[str, Any] = {
    "study": "pets",
    "corpus": {"path": "table.csv", "group": "site", "target": "y", "id": "row", "features": ["x"]},
    "backbone": "moody",
    "seeds": [0],
    "baselines": [],
    "gate": {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.9}]},
    "bootstrap": {"draws": 100},
}


def variant(name: str, **more: Any) -> dict[str, Any]:
    """A variant whose mood is its name; ``slope`` keeps its predictions apart from those of others."""
    return {"id": name, "set": {"fit.mood": name, "fit.slope": 2.0 + len(name) + ord(name[0]) / 7}} | more


def write_pets(folder: Path, *variants: dict[str, Any], **changes: Any) -> Path:
    """A study of a table in which y is x, more or less."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    rows = {"row": [f"r{number}" for number in range(60)], "site": [f"s{number % 3}" for number in range(60)], "x": x}
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).with_columns(y=x + 0.1 * rng.normal(size=60)).write_csv(folder / "table.csv")
    (folder / "study.yaml").write_text(json.dumps(BASE | {"variants": list(variants)} | changes, indent=1))
    return folder / "study.yaml"


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an installed plug-in with the backbone ``moody``: it and whoever it starts finds it."""
    folder = tmp_path / "plugins"
    info = folder / "moody-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moody\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[heldout.backbones]\nmoody = moody_plugin:Moody\n")
    (folder / "moody_plugin.py").write_text(MOODY)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    yield folder
    sys.modules.pop("moody_plugin", None)
