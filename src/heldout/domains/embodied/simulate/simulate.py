"""Simulated episodes into a store: a pure function of task, seed and options, in parallel, resumable one by one."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.header import HEADER_FILE
from heldout.domains.embodied.episodes.media import write_video, write_wav
from heldout.domains.embodied.episodes.store import WORK, EpisodeWriter, StoredEpisode
from heldout.domains.embodied.simulate.labels import SimState, label
from heldout.domains.embodied.simulate.physics import CAMERAS, Recording, SimOptions, choose_renderer, record
from heldout.domains.embodied.simulate.tasks import TASKS, SimTask
from heldout.engine.local import run_tasks
from heldout.errors import HeldoutError, InputError
from heldout.evidence import Events, JsonLines, Listener, alone, digest

GENERATOR = "heldout.metaworld/1"  # counts up when the same options give other bytes
_DONE = frozenset({"made", "failed"})
_SOUND_HZ = 16000
_COLUMNS = {
    "pose": ("x", "y", "z", "qw", "qx", "qy", "qz"),
    "imu": ("ax", "ay", "az", "gx", "gy", "gz"),
    "contact": ("left_pad", "right_pad", "hand"),
    "action": ("dx", "dy", "dz", "grip"),
    "goal": ("x", "y", "z"),
}
_UNITS = {
    "pose": "m; unit quaternion",
    "proprioception": "m; 1; rad; m; rad/s; m/s",
    "imu": "m/s^2; rad/s",
    "contact": "N",
    "action": "1 (range -1 .. 1)",
    "object_state": "m; unit quaternion",
    "goal": "m",
    "reward": "1",
}
_PRIVILEGED = frozenset({"object_state", "goal", "reward"})


class Job(NamedTuple):
    """One episode to make."""

    task: SimTask
    seed: int
    options: SimOptions
    folder: Path

    @property
    def key(self) -> str:
        """Digest of everything that decides the bytes, save the versions of libraries, which the header names."""
        options = asdict(self.options) | {"cameras": list(self.options.cameras)}
        return digest({"generator": GENERATOR, "task": list(self.task), "seed": self.seed, "options": options})


@dataclass(frozen=True)
class Simulated:
    """What is there now.

    Attributes:
        episodes: Folders of the episodes that are there, in the order of the plan.
        made: How many were made now; the others were there before.
        failed: Folder names of those that failed, with the reason.
        unsuccessful: Episodes in which the expert did not reach its goal; they are kept and say so.
    """

    episodes: tuple[Path, ...]
    made: int
    failed: tuple[tuple[str, str], ...]
    unsuccessful: int


def choose_tasks(count: int | None, names: Sequence[str]) -> tuple[SimTask, ...]:
    """The named tasks, or the first ``count``.

    Raises:
        InputError: If a name or the count is out of range.
    """
    known = {task.name: task for task in TASKS}
    unknown = [name for name in names if name.removesuffix("-v3") not in known]
    if unknown or (not names and not 1 <= (count or 0) <= len(TASKS)):
        raise InputError(
            f"no such task: {unknown[0]}" if unknown else f"{count} tasks of {len(TASKS)}",
            where="--task" if unknown else "--tasks",
            hint="known tasks: " + ", ".join(known),
        )
    chosen = [known[name.removesuffix("-v3")] for name in names] or list(TASKS[:count])
    return tuple(dict.fromkeys(chosen))


def simulate(
    tasks: Sequence[SimTask],
    seeds: int,
    out: Path,
    options: SimOptions | None = None,
    *,
    workers: int | None = None,
    on_event: Listener | None = None,
) -> Simulated:
    """Make what is missing of tasks x seeds.

    An episode is one session of its own: another seed places every object anew.

    Args:
        tasks: What to do.
        seeds: Seeds ``0 .. seeds - 1`` of each task.
        out: Folder of the store; what is there and was made in the same way is kept.
        options: Cameras and lengths.
        workers: Processes; None takes one a processor. The bytes do not depend on it.
        on_event: Called with each event of ``progress.jsonl``.

    Raises:
        InputError: If a camera or a number is wrong, or the store holds an episode that was made in another way.
        PrerequisiteError: If the simulator or a renderer is missing.
        StaleError: If another process is writing there.
    """
    options = options or SimOptions()
    _check(options, seeds)
    choose_renderer(video=bool(options.cameras))
    jobs = [Job(t, s, options, out / f"{t.name}-s{s:03d}" / "ep1") for t in tasks for s in range(seeds)]
    with alone(out, "simulates into this folder"), JsonLines(out / "progress.jsonl") as log:
        _sweep(out)
        pending = [job for job in jobs if not _is_there(job)]
        tell = Events(log, on_event, _DONE, len(jobs), len(jobs) - len(pending))
        tell("plan", out.name, reused=len(jobs) - len(pending))
        failed = _run(pending, workers, tell)
        there = [job.folder for job in jobs if (job.folder / HEADER_FILE).exists()]
        tell("complete" if not failed else "incomplete", out.name)
    unsuccessful = sum(not StoredEpisode.open(folder).header.provenance["success"] for folder in there)
    return Simulated(tuple(there), len(pending) - len(failed), tuple(failed), unsuccessful)


def make_episode(job: Job) -> dict[str, object]:
    """Run one episode and put it into the store; the task of a worker process."""
    recording = record(job.task, job.seed, job.options)
    arrays = recording.arrays
    positions = arrays.pop("objects")
    touching = arrays["contact"].max(axis=1) > 0
    state = SimState(
        arrays["pose"][:, :3].astype(np.float64), positions, touching, recording.success, recording.clock_hz
    )
    session = job.folder.parent.name
    with EpisodeWriter(job.folder) as writer:
        _add_arrays(writer, recording)
        for camera, frames in recording.frames.items():
            _add_video(writer, camera, frames, recording.clock_hz / job.options.every)
        if job.options.audio:
            _add_sound(writer, arrays["contact"], state.hand, recording.clock_hz)
        writer.add_labels(label(job.task, state), note="made by rule, not by people")
        header = writer.finish(
            episode_id=f"{session}__ep1",
            session=session,
            source_episode_id="ep1",
            frames=len(state.hand),
            clock_hz=recording.clock_hz,
            main_task=job.task.phrase,
            provenance={
                "generator": GENERATOR,
                "key": job.key,
                "task": job.task.name,
                "seed": job.seed,
                "success": bool(recording.success.any()),
                "versions": recording.versions,
            },
        )
    return {"frames": header.frames, "success": header.provenance["success"]}


def _add_arrays(writer: EpisodeWriter, recording: Recording) -> None:
    arrays = recording.arrays | {"success": recording.success[:, None]}
    for name, values in arrays.items():
        writer.add_array(
            name,
            values,
            modality=name,
            units=_UNITS.get(name, "1"),
            rate_hz=recording.clock_hz,
            names=_COLUMNS.get(name, ()),
            privileged=name in _PRIVILEGED or name == "success",
            label_source=("contact",) if name == "contact" else (),
        )


def _add_video(writer: EpisodeWriter, camera: str, frames: NDArray[np.uint8], rate_hz: float) -> None:
    writer.add_media(
        f"camera/{camera}",
        ".mp4",
        lambda path: write_video(path, frames, rate_hz),
        kind="video",
        modality="video",
        units="1",
        rate_hz=rate_hz,
        shape=frames.shape,
        dtype="|u1",
    )


def _add_sound(writer: EpisodeWriter, contact: NDArray[Any], hand: NDArray[np.float64], clock_hz: float) -> None:
    """A tone as loud as the contact force and a hum as loud as the hand is fast. Nothing here is acoustics."""
    speed = np.linalg.norm(np.gradient(hand, axis=0), axis=1) * clock_hz
    frame = np.arange(round(len(hand) / clock_hz * _SOUND_HZ)) / _SOUND_HZ * clock_hz
    frames = np.arange(len(hand))
    force = np.interp(frame, frames, np.log1p(contact.sum(axis=1)))
    hum = np.interp(frame, frames, speed)
    seconds = frame / clock_hz
    wave = 0.1 * force * np.sin(2 * np.pi * 440 * seconds) + 0.2 * hum * np.sin(2 * np.pi * 110 * seconds)
    samples = np.round(np.clip(wave, -1, 1) * 32767).astype(np.int16)
    writer.add_media(
        "audio",
        ".wav",
        lambda path: write_wav(path, samples, _SOUND_HZ),
        kind="audio",
        modality="audio",
        units="1",
        rate_hz=float(_SOUND_HZ),
        shape=samples.shape,
        dtype="<i2",
        synthetic=True,
        label_source=("contact",),
        note="sonification of contact force and hand speed; not acoustic physics",
    )


def _run(jobs: Sequence[Job], workers: int | None, tell: Events) -> list[tuple[str, str]]:
    failed = []
    with contextlib.closing(run_tasks(make_episode, jobs, workers=workers)) as results:
        for done in results:
            name = jobs[done.index].folder.parent.name
            if done.error is None:
                assert isinstance(done.result, dict)
                tell("made", name, **done.result)
            elif isinstance(done.error, HeldoutError) and done.error.code == "HO-E200":
                raise done.error
            else:
                failed.append((name, str(done.error)))
                tell("failed", name, reason=str(done.error))
    return failed


def _is_there(job: Job) -> bool:
    if not job.folder.exists():
        return False
    header = StoredEpisode.open(job.folder).header
    if header.provenance.get("key") != job.key:
        raise InputError(
            "the store holds an episode that was made with other options",
            where=str(job.folder),
            hint="choose another --out, or remove that folder",
        )
    return True


def _check(options: SimOptions, seeds: int) -> None:
    unknown = sorted(set(options.cameras) - set(CAMERAS))
    if unknown or len(set(options.cameras)) != len(options.cameras):
        raise InputError(
            f"cameras {list(options.cameras)}", where="--camera", hint=f"each once, of {', '.join(CAMERAS)}"
        )
    if options.size % 2 or not 16 <= options.size <= 640:
        raise InputError(f"pictures of {options.size} pixels", where="--size", hint="an even number from 16 to 640")
    if min(seeds, options.every) < 1 or not 20 <= options.max_steps <= 500:
        raise InputError(
            "a count is out of range", where="--seeds, --every, --max-steps", hint="max-steps is 20 .. 500"
        )


def _sweep(out: Path) -> None:
    """Remove what killed writers left."""
    for stray in out.glob(f"*/{WORK}*"):
        shutil.rmtree(stray, ignore_errors=True)
