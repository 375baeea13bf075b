"""A test run that is killed leaves nothing running."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from keeper import kept
from nightly import NIGHTLY

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked at in /proc")
SUPPORT = Path(__file__).parents[1] / "support"
MARK = "HELDOUT_TESTS_THAT_ARE_KILLED"
HANGING = """
import pathlib, time
from urllib.parse import parse_qs, urlparse
from registry_kit import postgres, runs

def test_hangs(postgres, runs):
    runs("base")  # its process for other people's code is kept, too
    (home,) = parse_qs(urlparse(postgres.format("postgres")).query)["host"]
    note = pathlib.Path(__file__).with_name("note")
    note.with_suffix(".new").write_text(home)
    note.with_suffix(".new").rename(note)
    time.sleep(600)
"""


def within(seconds: float, asked: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not asked() and time.monotonic() < until:
        time.sleep(0.05)
    return asked()


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def marked(value: str) -> list[int]:
    """Processes that were started by whoever has this mark in its environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={value}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def test_a_kept_server_ends_with_the_block_and_its_folder_is_gone(tmp_path: Path) -> None:
    """A session of tests would leave its database behind."""
    home = tmp_path / "home"
    home.mkdir()
    program = f"import os, time; open({str(home / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    with kept(home, "", [sys.executable, "-c", program]):
        assert within(30, lambda: (home / "pid").exists() and bool((home / "pid").read_text()))
        pid = int((home / "pid").read_text())
        assert runs(pid)
    assert not runs(pid)
    assert not home.exists()


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["2", "0"] if NIGHTLY else ["2"])  # as CI runs
def test_a_killed_test_run_leaves_no_server(tmp_path: Path, workers: str) -> None:
    """Every run that CI or a developer kills would cost the machine a database server until it is restarted."""
    if os.environ.get("HELDOUT_TEST_POSTGRES"):
        pytest.skip("the server is not the tests' own")
    (tmp_path / "test_hanging.py").write_text(HANGING)
    words = [
        *("-q", "-p", "no:cacheprovider", "-n", workers, "--rootdir", tmp_path, "-o", f"pythonpath={SUPPORT}"),
        *("--import-mode=importlib", tmp_path / "test_hanging.py"),
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *map(str, words)],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True, env={**os.environ, MARK: str(tmp_path)},
    ) as tests:  # fmt: skip
        try:
            note = tmp_path / "note"
            assert within(120, lambda: note.exists() or tests.poll() is not None)
            if not note.exists():
                assert "skipped" in (out := tests.communicate()[0]), out
                pytest.skip("no PostgreSQL server is installed")
            home = Path(note.read_text())
            server = int((home / "data" / "postmaster.pid").read_text().splitlines()[0])
            assert runs(server)
            assert tests.pid in marked(str(tmp_path))
        finally:
            tests.kill()
    assert within(60, lambda: not runs(server))
    assert within(60, lambda: not marked(str(tmp_path))), marked(str(tmp_path))
    assert within(60, lambda: not home.exists())
