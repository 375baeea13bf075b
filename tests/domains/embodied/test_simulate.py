"""Simulated episodes: real physics, labels by rule, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from heldout.cli.embodied.commands import app
from heldout.domains.embodied.episodes.store import StoredEpisode
from heldout.domains.embodied.simulate.labels import SimState, label
from heldout.domains.embodied.simulate.physics import SimOptions, choose_renderer, record
from heldout.domains.embodied.simulate.simulate import choose_tasks, simulate
from heldout.domains.embodied.simulate.tasks import TASKS, SimTask
from heldout.engine.local import run_fresh
from heldout.errors import InputError, PrerequisiteError, StaleError

UNSEEN = SimOptions(cameras=(), audio=True)
TASK = SimTask("t", "open the box", "lift the lid", ("lid", "box"))


def digests(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file() and path.parent != root]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def state(touching: list[int], done: int, frames: int = 60) -> SimState:
    hand = np.zeros((frames, 3))
    objects = np.zeros((frames, 2, 3))
    objects[:, 0, 0] = 0.5
    objects[30:, 0, 0] = 0.5 + 0.01 * np.arange(frames - 30)
    objects[:, 1, 0] = 0.1
    touch = np.zeros(frames, bool)
    touch[touching] = True
    return SimState(hand, objects, touch, np.arange(frames) >= done, 80.0)


def test_labels_follow_from_the_state() -> None:
    """The answers would be someone's opinion, and no other place could recompute them."""
    labels = label(TASK, state(list(range(20, 60)), done=50))
    expected = [(0, 19, "reach for the lid"), (20, 25, "touch the lid"), (26, 49, "lift the lid")]
    assert [*expected, (50, 59, "rest at the lid")] == [tuple(run) for run in labels.action]
    assert ["get to the lid", "open the box", "keep: open the box"] == [run.label for run in labels.subtask]
    assert [(0, 19, ("box",)), (20, 59, ("lid", "box"))] == [tuple(run) for run in labels.objects]


def test_flicker_of_contact_is_no_transition() -> None:
    """Single frames without contact would count as changes of action."""
    labels = label(TASK, state([*range(10, 15), *range(17, 26)], done=99))
    assert ["reach for the lid", "touch the lid", "lift the lid"] == [run.label for run in labels.action]


def test_tasks_are_chosen_by_number_or_name() -> None:
    """A typing error would give another data set."""
    assert 50 == len(TASKS) == len({task.name for task in TASKS})
    assert ["drawer-open", "button-press-topdown"] == [task.name for task in choose_tasks(2, [])]
    assert ["hammer"] == [task.name for task in choose_tasks(12, ["hammer-v3"])]
    with pytest.raises(InputError, match="no such task: fly"):
        choose_tasks(1, ["fly"])
    with pytest.raises(InputError, match="51 tasks of 50"):
        choose_tasks(51, [])


@pytest.mark.slow
def test_all_tasks_are_known_to_the_simulator() -> None:
    """``--tasks 50`` would fail in the middle of the night."""
    choose_renderer(video=True)
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    assert set(ALL_V3_ENVIRONMENTS) == {f"{task.name}-v3" for task in TASKS}


@pytest.mark.slow
def test_physics_is_bitwise_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    """Nobody could check a published figure: their episodes would be other ones."""
    tasks = choose_tasks(2, [])
    simulate(tasks, 2, tmp_path / "a", UNSEEN, workers=2)
    simulate(tuple(reversed(tasks)), 2, tmp_path / "b", UNSEEN, workers=1)
    first = digests(tmp_path / "a")
    assert 4 == sum(name.endswith("episode.json") for name in first)
    assert first == digests(tmp_path / "b")
    seeds = [StoredEpisode.open(tmp_path / f"a/drawer-open-s00{seed}/ep1") for seed in (0, 1)]
    assert seeds[0].content_sha256() != seeds[1].content_sha256()


@pytest.mark.slow
def test_pictures_are_bitwise_the_same_and_show_the_scene(tmp_path: Path) -> None:
    """A black or a changing picture would train a model on nothing."""
    options = SimOptions(cameras=("corner2", "gripperPOV"), max_steps=40, audio=False)
    for name in ("a", "b"):  # by themselves: here MuJoCo may have been imported without a renderer
        run_fresh(
            partial(simulate, choose_tasks(None, ["drawer-open"]), 1, options=options, workers=1), tmp_path / name
        )
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    episode = StoredEpisode.open(tmp_path / "a/drawer-open-s000/ep1", verify=True)
    from heldout.domains.embodied.episodes.media import read_frames

    frames = read_frames(episode.path("camera/corner2"), 0, 10)
    assert (10, 96, 96, 3) == frames.shape == episode.stream("camera/corner2").shape
    assert frames.std() > 20
    assert (frames[0] != frames[-1]).any()


def _of_a_window_system() -> str:
    os.environ.pop("MUJOCO_GL", None)
    import mujoco  # noqa: F401

    try:
        record(choose_tasks(None, ["drawer-open"])[0], 0, SimOptions(cameras=("corner2",), max_steps=3, audio=False))
    except PrerequisiteError as error:
        return str(error)
    return "it rendered"


@pytest.mark.slow
def test_a_renderer_that_came_too_late_is_an_error_and_no_abort() -> None:
    """A notebook that had imported MuJoCo would lose its process, and all that is in it."""
    own = f"runpy.run_path({__file__!r})"
    program = f"import runpy, sys; sys.path[:0] = {sys.path!r}; print({own}['_of_a_window_system']())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert "MuJoCo was imported before its renderer was chosen" in done.stdout


@pytest.mark.slow
def test_the_command_resumes_and_refuses_to_mix(tmp_path: Path) -> None:
    """An interrupted night would start again; a store would hold episodes made in two ways under one name."""
    out = tmp_path / "store"
    options = ["simulate", "--task", "handle-press", "--seeds", "2", "--no-video", "--workers", "1", "--out", str(out)]
    first = CliRunner().invoke(app, [*options, "--json", "--quiet"])
    assert 0 == first.exit_code, first.output
    assert (2, 2, []) == tuple(json.loads(first.stdout)[key] for key in ("episodes", "made", "failed"))
    before = digests(out)
    for path in sorted((out / "handle-press-s001").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    again = CliRunner().invoke(app, options)
    assert "plan    1 episodes reused, 1 to make" in again.stderr
    assert before == digests(out)
    other = CliRunner().invoke(app, [*options, "--noise", "0.2"])
    assert isinstance(other.exception, InputError)
    assert "other options" in other.exception.what


@pytest.mark.slow
def test_sound_is_marked_as_made_up_and_privileged_streams_too(tmp_path: Path) -> None:
    """A model would be said to hear, or would read the answer from the simulator's memory."""
    simulate(choose_tasks(None, ["handle-press"]), 1, tmp_path, UNSEEN, workers=1)
    streams = StoredEpisode.open(tmp_path / "handle-press-s000/ep1").header.streams
    assert streams["audio"].synthetic
    assert {"object_state", "goal", "reward", "success", "labels"} == {n for n, s in streams.items() if s.privileged}
    assert {"contact", "audio"} == {n for n, s in streams.items() if "contact" in s.label_source}


def test_two_simulations_into_one_folder_are_refused(tmp_path: Path) -> None:
    """Each would sweep the other's half-written episodes."""
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"), pytest.raises(StaleError, match="another process"):
        simulate(choose_tasks(1, []), 1, tmp_path, UNSEEN)


@pytest.mark.slow
def test_killed_simulations_resume_to_the_same_bytes(tmp_path: Path) -> None:
    """A power cut would leave half an episode that is trained on, or another data set."""
    command = [sys.executable, "-m", "heldout.cli.main", "embodied", "simulate", "--tasks", "3", "--seeds", "2"]
    command += ["--no-video", "--quiet", "--out"]
    subprocess.run([*command, str(tmp_path / "calm")], check=True)
    for wait, workers in ((4.0, "2"), (5.0, "1"), (6.0, "2")):
        torn = subprocess.Popen([*command, str(tmp_path / "torn"), "--workers", workers])
        time.sleep(wait)
        torn.send_signal(signal.SIGKILL)
        torn.wait()
    subprocess.run([*command, str(tmp_path / "torn"), "--workers", "1"], check=True)
    calm = digests(tmp_path / "calm")
    assert 6 == sum(name.endswith("episode.json") for name in calm)
    assert calm == digests(tmp_path / "torn")
