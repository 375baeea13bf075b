"""A process with limits: whatever it does, it ends, it is told apart, and it has written nowhere else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from heldout.zoo.process import Ended, Limits, run_limited

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is watched on Linux")


def run(task: dict[str, Any], limits: Limits | None = None, writable: list[Path] | None = None) -> Ended:
    return run_limited("zoo_child", task, limits=limits or Limits(), writable=writable or [])


@pytest.mark.slow
def test_an_answer_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing could be trained, or the process would be told where the registry is."""
    monkeypatch.setenv("HELDOUT_REGISTRY", "somewhere")
    ended = run({"do": "answer", "say": [1, None, "ä"]})
    assert ("done", [1, None, "ä"], None) == (ended.state, ended.answer["said"], ended.answer["registry"])
    assert ended.answer["fence"] in ("landlock", "python")
    assert not Path(ended.answer["folder"]).exists(), "its temporary folder is gone"


@pytest.mark.first_is_fast
@pytest.mark.parametrize(
    ("task", "limits", "state", "reason"),
    [
        ("sleep", Limits(seconds=1), "timed_out", "longer than its 1 seconds"),
        ("crash", Limits(), "failed", "exit code 7 and no answer"),
        ("signal", Limits(), "failed", "killed by signal 11"),
        ("error", Limits(), "failed", "wrong\n  where: here"),
        ("memory-error", Limits(), "out_of_memory", "out of memory"),
        ("eat", Limits(memory_mb=300), "out_of_memory", "of its 300 MB"),
        ("eat-in-a-child", Limits(memory_mb=200), "out_of_memory", "of its 200 MB"),
    ],
)
def test_problem_07_each_way_to_fail_is_told_apart(task: str, limits: Limits, state: str, reason: str) -> None:
    """A training that needs more memory would be mended like one that crashes, or take the machine down with it."""
    ended = run({"do": task}, limits)
    assert state == ended.state
    assert reason in ended.reason
    assert {} == ended.answer


@pytest.mark.slow
def test_nothing_that_it_started_outlives_it(tmp_path: Path) -> None:
    """A process that left its group would go on writing and eating after its budget."""
    note = tmp_path / "pid"
    assert "done" == run({"do": "orphan", "note": str(note)}, writable=[tmp_path]).state
    deadline = time.monotonic() + 5
    while _alive(int(note.read_text())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(int(note.read_text()))


@pytest.mark.slow
def test_it_writes_in_its_own_folders_only(tmp_path: Path) -> None:
    """A challenger could replace the champion's files, by Python, by a shell, by cutting or removing them."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "file").write_text("theirs")
    paths = [str(outside / "file"), str(outside / "new")]
    ended = run({"do": "write", "paths": paths}, writable=[inside])
    if ended.answer["fence"] != "landlock":
        pytest.skip("this kernel has no Landlock; what Python refuses is tested below")
    assert {"refused"} == {value for key, value in ended.answer.items() if key != "fence"}
    assert ["file"] == [path.name for path in outside.iterdir()]
    assert "theirs" == (outside / "file").read_text()
    ended = run({"do": "write", "paths": [str(inside / "file")]}, writable=[inside])
    assert "done" == ended.answer["_write file"] == ended.answer["_remove file"]


def test_without_landlock_python_itself_refuses(tmp_path: Path) -> None:
    """On another system a slip of a backbone would write where it likes."""
    (tmp_path / "in").mkdir()
    program = (
        "import sys, pathlib, os, shutil\n"
        "from heldout.engine import fence\n"
        "fence._landlock = lambda *_: False\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "assert 'python' == fence.enclose([root / 'in'])\n"
        "(root / 'in' / 'a').write_text('x'); (root / 'out').read_text()\n"
        "acts = [lambda: (root / 'out').write_text('x'), lambda: (root / 'out').unlink(),\n"
        "    lambda: os.mkdir(root / 'd'),\n"
        "    lambda: (root / 'in' / 'a').rename(root / 'b'), lambda: os.truncate(root / 'out', 0),\n"
        "    lambda: os.symlink(root, root / 'in' / '..' / 'link'), lambda: shutil.rmtree(root)]\n"
        "for number, act in enumerate(acts):\n"
        "    try:\n"
        "        act()\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    sys.exit(f'act {number} was done')\n"
    )
    (tmp_path / "out").write_text("theirs")
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert "theirs" == (tmp_path / "out").read_text()


@pytest.mark.slow
def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """A supervisor that was killed would leave trainings behind that fit the same run twice."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom heldout.zoo.process import Limits, run_limited\n"
        "first = {'do': 'orphan', 'note': sys.argv[1]}\n"
        "run_limited('zoo_child', first, limits=Limits(), writable=[Path(sys.argv[2])])\n"
        "run_limited('zoo_child', {'do': 'sleep'}, limits=Limits(), writable=[])\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path), TMPDIR=str(tmp_path))
    note = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, "-c", program, str(note), str(tmp_path)], env=environment)
    deadline = time.monotonic() + 20
    children: list[int] = []
    while time.monotonic() < deadline and not (children and note.exists()):
        time.sleep(0.1)
        children = [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]
    parent.send_signal(signal.SIGKILL)
    parent.wait(20)
    while any(_alive(pid) for pid in children) and time.monotonic() < deadline + 10:
        time.sleep(0.05)
    assert children
    assert not [pid for pid in children if _alive(pid)]
    subprocess.run(["kill", "-9", note.read_text()], check=False, capture_output=True)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
