"""Encoding killed at random moments and started again ends in the corpus of an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from heldout.evidence import read_json, sha256_file

PROGRAM = "import sys; from heldout.cli.video.commands import app; app(sys.argv[1:])"
PICTURES = {"a": "testsrc2", "b": "mandelbrot"}
CELLS = 2 * 3 * 5


def make_sources(folder: Path, ffmpeg: str) -> list[str]:
    arguments = []
    for name, picture in PICTURES.items():
        path = folder / f"{name}.y4m"
        source = ["-f", "lavfi", "-i", f"{picture}=size=160x96:rate=25", "-frames:v", "12", "-pix_fmt", "yuv420p"]
        subprocess.run([ffmpeg, "-v", "error", *source, str(path)], check=True)
        arguments += ["--source", str(path)]
    return arguments


def start(arguments: list[str], out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, "encode", *arguments, "--out", str(out), "--workers", "2", "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def rows(out: Path) -> list[dict[str, Any]]:
    lines = (out / "per_frame_canonical6.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "enc_time_ms"} for line in lines]


def finished(out: Path) -> dict[str, int]:
    """Parts that a card vouches for, with the time at which they were written."""
    found = {}
    for card in out.glob("parts/*.cell.json"):
        part = card.with_name(card.name.replace(".cell.json", ".jsonl"))
        if part.is_file() and sha256_file(part) == read_json(card)["sha256"]:
            found[part.name] = part.stat().st_mtime_ns
    return found


@pytest.mark.slow
def test_kill_at_random_moments_then_resume_gives_the_same_corpus(tmp_path: Path) -> None:
    """A power cut would change the corpus, cost the whole run, or leave rows in it twice."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    arguments = make_sources(tmp_path, imageio_ffmpeg.get_ffmpeg_exe())
    for encoder in ("libx264", "libx265", "libsvtav1"):
        arguments += ["--encoder", encoder]
    for cq in (20, 28, 36, 44, 50):
        arguments += ["--cq", str(cq)]
    calm, wild = tmp_path / "calm", tmp_path / "wild"
    assert 0 == start(arguments, calm).wait(timeout=300)

    moments, killed, before = random.Random(11), 0, dict[str, int]()
    while killed < 5:
        process = start(arguments, wild)
        deadline = time.monotonic() + 60
        while process.poll() is None and len(finished(wild)) <= len(before) and time.monotonic() < deadline:
            time.sleep(0.01)  # until it has done something new
        time.sleep(moments.uniform(0.0, 0.4))
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)  # its encoders live on as orphans
        process.wait(timeout=60)
        now = finished(wild)
        assert before == {name: now[name] for name in before}, "a finished cell was encoded again"
        before, killed = now, killed + 1
    assert killed >= 3
    assert 0 == start(arguments, wild).wait(timeout=300)

    assert before == {name: finished(wild)[name] for name in before}
    assert CELLS == len(finished(wild)) == len(finished(calm))
    assert rows(calm) == rows(wild)
    encoded = [json.loads(line) for line in (wild / "progress.jsonl").read_text().splitlines()]
    units = [event["unit"] for event in encoded if event["event"] == "encoded"]
    assert len(units) == len(set(units))
    assert [] == [path.name for path in (wild / "parts").iterdir() if path.name.startswith(".")]
