"""The real entry point, in this process; and a table with a study."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from heldout.cli.main import main

BASE: dict[str, Any] = {
    "study": "small",
    "corpus": {"path": "table.csv", "group": "person", "target": "score"},
    "backbone": "sklearn",
    "fit": {"estimator": "sklearn.linear_model.Ridge"},
    "seeds": [0],
    "baselines": [],
    "gate": {"rules": [{"id": "plcc", "metric": "plcc", "over": "pooled", "at_least": 0.9}]},
    "bootstrap": {"draws": 100},
}


class Answer(NamedTuple):
    """What a command left: its exit code and its two streams."""

    code: int
    out: str
    err: str


@pytest.fixture
def heldout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Answer]]:
    """Run `heldout` with arguments."""
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["heldout", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code
        out, err = capsys.readouterr()
        return Answer(code if isinstance(code, int) else 0, out, err)

    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def write_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a table and a study of it into the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(**changes: Any) -> Path:
        rng = np.random.default_rng(0)
        weight = rng.normal(size=40)
        frame = pl.DataFrame({"person": ["ann", "bob", "cyd", "dan"] * 10, "weight": weight})
        frame.with_columns(score=3 * weight + 0.1 * rng.normal(size=40)).write_csv("table.csv")
        # JSON is YAML
        (tmp_path / "study.yaml").write_text(json.dumps(BASE | changes, indent=1))
        return Path("study.yaml")

    return write
