"""A run that is killed while a model is asked loses one batch, and ends in the bytes of an undisturbed one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asked_kit import JUDGED, MODULE, POINTS, ROWS, Desk, desk_at
from plugin_kit import install

from heldout.evidence import write_json
from heldout.predict.partial import PARTIAL_FILE

HELDOUT = "from heldout.cli.main import main; main()"
# heldout's own code, as far as the rule for foreign code sees: it naps before each batch, and notes its rows.
SLOW = (
    "import time; from heldout.backbone import saved; plain = saved.SavedBackbone.predict; "
    "note = lambda view: (time.sleep(0.05), open('asked.log', 'a').write(f'{view.features.height} ')); "
    "saved.SavedBackbone.predict = lambda self, model, view: (note(view), plain(self, model, view))[1]; "
)
SAME = (
    "predictions.jsonl",
    "predictions.csv",
    "metrics.json",
    "corpus.json",
    "split.json",
    "study.lock.yaml",
    "model.json",
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return desk_at(tmp_path)


def start(desk: Desk, prefix: str = "", *, runs: str = "runs") -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(desk.folder / "site-packages")}
    command = [sys.executable, "-c", prefix + HELDOUT, "run", "study.yaml", "--runs", runs, "--workers", "1"]
    return subprocess.Popen(
        command, cwd=desk.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def batches(path: Path) -> int:
    """Whole batches in a partial file."""
    return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0


def kill_after(desk: Desk, count: int, prefix: str = "") -> Path:
    """Start a run, and kill it without warning when so many batches of a unit are on disk."""
    process = start(desk, prefix)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for path in (desk.folder / "runs").rglob(PARTIAL_FILE):
            if batches(path) >= count:
                process.send_signal(signal.SIGKILL)
                process.wait(60)
                return path
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    raise AssertionError("no batch was ever written")


def same_bytes(one: Path, other: Path) -> Iterator[str]:
    yield from (name for name in SAME if (one / name).read_bytes() != (other / name).read_bytes())
    for path in sorted(one.rglob("predictions.safetensors")):
        if path.read_bytes() != (other / path.relative_to(one)).read_bytes():
            yield str(path)


@pytest.mark.slow
def test_a_kill_costs_one_batch(desk: Desk) -> None:
    """Hours of asking would be lost, or answers be mixed, and nobody could tell from the result."""
    study = desk.study({"batch": 4})
    partial = kill_after(desk, 3, SLOW)
    with partial.open("ab") as stream:
        stream.write(b'{"key":"torn')
    assert 0 == start(desk, SLOW).wait(300)
    (resumed,) = (desk.runs / "elsewhere").glob("base-*")
    asked = [int(word) for word in (desk.folder / "asked.log").read_text().split()]
    asked = [size for size in asked if size == 4]  # in the end all are asked again, half as many at once
    assert len(JUDGED) * ROWS <= sum(asked) <= len(JUDGED) * ROWS + 4, "only the batch under way is asked twice"
    undisturbed = study.run(runs=desk.folder / "other", workers=1).folder
    assert [] == list(same_bytes(resumed, undisturbed))
    assert not list(resumed.rglob(PARTIAL_FILE))


@pytest.mark.slow
def test_foreign_code_goes_on_between_blocks(desk: Desk) -> None:
    """A model that takes minutes to load and hours to ask would begin anew."""
    install(desk.folder / "site-packages", "asked-line", {"asked_line.py": MODULE}, {"heldout.backbones": POINTS})
    (desk.folder / "line").mkdir()
    write_json(desk.folder / "line" / "line.json", {"a": 2.0, "b": -1.0})
    fit: dict[str, Any] = {"model": "line", "nap": 0.2, "held_out": {"says": "it was never trained at all"}}
    path = desk.folder / "study.yaml"
    desk.study()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"backbone": "gated_line", "fit": fit}))
    partial = kill_after(desk, 2)
    before = partial.read_bytes()
    process = start(desk)
    while process.poll() is None and (not partial.exists() or len(partial.read_bytes()) <= len(before)):
        if not partial.exists():
            break
        time.sleep(0.002)
    grown = partial.read_bytes() if partial.exists() else before
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert before == grown[: len(before)]
