"""Labels of a simulated episode, by rule from the simulator's state. No person and no model has a say in them.

- ``action``: reach for the object; touch it (contact, and it is still); move it (it moves: a drawer that was struck
  glides on without contact); let go of it (neither, after the first); rest (the task is done).
- ``subtask``: get to the object, then the task, then keep what was reached.
- ``objects``: those within 0.25 m of the hand; the handled one also while it is touched or moves.
- ``contact``: any normal force between the gripper and what is not the robot.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.labels import FrameLabels, object_runs_of, runs_of
from heldout.domains.embodied.simulate.tasks import SimTask

_NEAR_M = 0.25
_MOVING_M_S = 0.02
_SPEED_OVER = 5  # frames on either side
_SHORTEST = 4  # frames; a shorter run belongs to the one before it
RULE = "by rule from the simulator's state: contact forces, speed of the object, distance of the hand, success"


class SimState(NamedTuple):
    """What the rules look at.

    Attributes:
        hand: Position of the hand, m, of shape ``[frames, 3]``.
        objects: Position of each object, m, of shape ``[frames, objects, 3]``.
        touching: Whether the gripper touches anything, of shape ``[frames]``.
        success: Whether the task is done, of shape ``[frames]``.
        clock_hz: Frames a second.
    """

    hand: NDArray[np.float64]
    objects: NDArray[np.float64]
    touching: NDArray[np.bool_]
    success: NDArray[np.bool_]
    clock_hz: float


def label(task: SimTask, state: SimState) -> FrameLabels:
    """Apply the rules."""
    frames = len(state.hand)
    distance = np.linalg.norm(state.objects - state.hand[:, None], axis=2)
    moving = _speed(state.objects[:, 0], state.clock_hz) > _MOVING_M_S
    engaged = state.touching | moving
    first = int(np.argmax(engaged)) if engaged.any() else frames
    done = int(np.argmax(state.success)) if state.success.any() else frames
    name = task.objects[0]

    def action(frame: int) -> str:
        if frame >= done:
            return f"rest at the {name}"
        if engaged[frame]:
            return task.moving if moving[frame] else f"touch the {name}"
        return f"reach for the {name}" if frame < first else f"let go of the {name}"

    def subtask(frame: int) -> str:
        if frame >= done:
            return f"keep: {task.phrase}"
        return task.phrase if frame >= first else f"get to the {name}"

    def objects(frame: int) -> tuple[str, ...]:
        near = distance[frame] < _NEAR_M
        near[0] |= bool(engaged[frame])
        return tuple(o for o, is_near in zip(task.objects, near, strict=True) if is_near)

    actions = _without_flicker([action(frame) for frame in range(frames)])
    return FrameLabels(
        frames,
        runs_of(actions),
        runs_of([subtask(frame) for frame in range(frames)]),
        object_runs_of([objects(frame) for frame in range(frames)]),
        RULE,
    )


def _speed(position: NDArray[np.float64], clock_hz: float) -> NDArray[np.float64]:
    """Speed in m/s over a few frames around each."""
    frames = np.arange(len(position))
    before, after = np.maximum(frames - _SPEED_OVER, 0), np.minimum(frames + _SPEED_OVER, len(position) - 1)
    seconds = np.maximum(after - before, 1) / clock_hz
    speed: NDArray[np.float64] = np.linalg.norm(position[after] - position[before], axis=1) / seconds
    return speed


def _without_flicker(labels: list[str]) -> list[str]:
    """Runs shorter than four frames take the label before them; contact comes and goes for single frames."""
    result: list[str] = []
    for name, run in groupby(labels):
        length = len(list(run))
        result += [result[-1] if result and length < _SHORTEST else name] * length
    return result
