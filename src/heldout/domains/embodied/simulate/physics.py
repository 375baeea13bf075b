"""One episode of real physics: MuJoCo, a MetaWorld task, its scripted expert with a little noise, and the sensors.

Everything random comes from the episode's own seed; nothing is shared with another episode, so that an episode has the
same bytes whichever process makes it and whatever was made before. Pictures come from MuJoCo's renderer, whose bytes
belong to one machine's OpenGL; its name stands in the header.
"""

from __future__ import annotations

import ctypes.util
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.simulate.tasks import SimTask
from heldout.errors import PrerequisiteError

CAMERAS = ("corner", "corner2", "corner3", "topview", "behindGripper", "gripperPOV")
_HOLD = 10  # steps that the episode goes on after the first success
Senses = Mapping[str, NDArray[Any]]
# Readings of the sensors and the latest picture of each camera, to an action in -1 .. 1, float ``[4]``.
Controller = Callable[[Senses, Senses], NDArray[Any]]
_GL_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}


@dataclass(frozen=True)
class SimOptions:
    """How episodes are made; part of their key.

    Attributes:
        cameras: Names of MetaWorld's cameras; none gives episodes without video.
        size: Height and width of a picture in pixels, even.
        every: A picture every so many steps of the 80 Hz clock.
        max_steps: Longest episode.
        noise: Standard deviation of the noise on the expert's actions, whose range is -1 .. 1.
        audio: Whether to add the synthetic sonification.
    """

    cameras: tuple[str, ...] = ("corner2", "gripperPOV")
    size: int = 96
    every: int = 4
    max_steps: int = 150
    noise: float = 0.05
    audio: bool = True


@dataclass
class Recording:
    """What was measured, one row a frame; frame ``i`` is the state before action ``i``.

    Attributes:
        clock_hz: Frames a second.
        arrays: By name, float32 or float64.
        success: Whether the task was done.
        frames: Pictures of each camera.
        versions: Of what made it.
    """

    clock_hz: float
    arrays: dict[str, NDArray[Any]]
    success: NDArray[np.bool_]
    frames: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def choose_renderer(*, video: bool) -> str:
    """Name MuJoCo's way to OpenGL here; to be called before MuJoCo is imported.

    Raises:
        PrerequisiteError: If pictures are wanted and no headless OpenGL is installed.
    """
    chosen = os.environ.get("MUJOCO_GL")
    if not chosen:
        found = [name for name, library in _GL_LIBRARIES.items() if ctypes.util.find_library(library)]
        if video and not found:
            raise PrerequisiteError(
                "no headless OpenGL is installed, so nothing can be rendered",
                where="MUJOCO_GL",
                hint="apt-get install libegl1 libgl1-mesa-dri, or make episodes without video: --no-video",
            )
        chosen = os.environ["MUJOCO_GL"] = found[0] if found else "disable"
    os.environ.setdefault("LP_NUM_THREADS", "1")  # Mesa's software renderer: one thread a worker
    return chosen


def _refuse_other_renderer(chosen: str) -> None:
    """MuJoCo that was imported first bound itself to a window system, and would abort the process."""
    wanted = chosen.lower().strip()  # as MuJoCo reads it
    if getattr(sys.modules.get("mujoco.gl_context"), "_MUJOCO_GL", wanted) != wanted:
        raise PrerequisiteError(
            "MuJoCo was imported before its renderer was chosen",
            where="MUJOCO_GL",
            hint=f"set MUJOCO_GL={chosen} before the first import of mujoco",
        )


def record(task: SimTask, seed: int, options: SimOptions, controller: Controller | None = None) -> Recording:
    """Run one episode.

    Args:
        task: What is to be done.
        seed: Of where things stand, and of the expert's noise.
        options: Cameras and lengths.
        controller: Who acts; without one the scripted expert, with its noise.

    Raises:
        PrerequisiteError: If MuJoCo, MetaWorld or a renderer is missing.
    """
    chosen = choose_renderer(video=bool(options.cameras))
    if options.cameras:
        _refuse_other_renderer(chosen)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MetaWorld's policies say that they will be clipped
        return _Simulation(task, seed, options).run(controller)


class _Simulation:
    def __init__(self, task: SimTask, seed: int, options: SimOptions) -> None:
        self._mujoco, environments, policies = _import()
        name = f"{task.name}-v3"
        np.random.seed(seed)
        self._env = environments[name]()
        self._env.seeded_rand_vec, self._env._freeze_rand_vec = True, False  # noqa: SLF001 - no public way to seed
        self._env._partially_observable, self._env._set_task_called = False, True  # noqa: SLF001 - the expert sees the goal
        self._env.__dict__.pop("sawyer_observation_space", None)  # cached with the goal hidden
        self._env.seed(seed)
        self._policy = policies[name]()
        self._noise = np.random.default_rng([seed, zlib.crc32(task.name.encode())])
        self._options, self._objects = options, len(task.objects)
        self._model, self._data = self._env.model, self._env.data
        self._hand = self._model.body("hand").id
        self._side = _sides(self._model)

    def run(self, controller: Controller | None) -> Recording:
        observation, _ = self._env.reset()
        clock_hz = 1.0 / float(self._env.dt)
        rows: list[Senses] = []
        success: list[bool] = []
        with _Cameras(self._mujoco, self._model, self._options) as cameras:
            for step in range(self._options.max_steps):
                if step % self._options.every == 0:
                    cameras.take(self._data)
                row = self._sense(observation)
                action = self._expert(observation) if controller is None else controller(row, cameras.latest())
                action = np.clip(action, -1, 1).astype(np.float32)
                observation, reward, _, _, info = self._env.step(action)
                rows.append(row | {"action": action, "reward": np.array([reward])})
                success.append(bool(info["success"]))
                if any(success[:-_HOLD]):
                    break
            versions = self._versions() | cameras.versions()
        arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        keep = {"objects"}
        arrays = {name: a if name in keep else a.astype(np.float32) for name, a in arrays.items()}
        return Recording(clock_hz, arrays, np.array(success), cameras.stacked(), versions)

    def _expert(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        action: NDArray[np.float64] = np.clip(self._policy.get_action(observation), -1, 1)
        return action + self._noise.normal(0, self._options.noise, 4)

    def _sense(self, observation: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """The sensors' readings of this state."""
        mujoco, model, data = self._mujoco, self._model, self._data
        mujoco.mj_rnePostConstraint(model, data)  # accelerations; leaves the state alone
        acceleration, velocity = np.zeros(6), np.zeros(6)
        body = mujoco.mjtObj.mjOBJ_BODY
        mujoco.mj_objectAcceleration(model, data, body, self._hand, acceleration, 1)
        mujoco.mj_objectVelocity(model, data, body, self._hand, velocity, 1)
        # MetaWorld's 39 numbers: hand 3, gripper 1, two objects of 7 (position, quaternion), the same before, goal 3
        return {
            "proprioception": np.concatenate([observation[0:4], data.qpos[:9], data.qvel[:9]]),
            "pose": np.concatenate([data.xpos[self._hand], data.xquat[self._hand]]),
            "imu": np.concatenate([acceleration[3:6], velocity[0:3]]),
            "contact": self._contact(),
            "object_state": observation[4:18].copy(),
            "objects": np.stack([observation[4:7], observation[11:14]])[: self._objects],
            "goal": observation[36:39].copy(),
        }

    def _contact(self) -> NDArray[np.float64]:
        """Normal force in N of the left pad, the right pad and the rest of the hand on what is not the robot."""
        forces, one = np.zeros(3), np.zeros(6)
        for number in range(self._data.ncon):
            contact = self._data.contact[number]
            sides = self._side[contact.geom1], self._side[contact.geom2]
            part = max(sides)
            if part > 0 and min(sides) == 0:
                self._mujoco.mj_contactForce(self._model, self._data, number, one)
                forces[part - 1] += max(float(one[0]), 0.0)
        return forces

    def _versions(self) -> dict[str, str]:
        from importlib.metadata import version

        return {name: version(name) for name in ("mujoco", "metaworld", "numpy")}


class _Cameras:
    """Takes pictures without shadows, reflections and multisampling: fifteen times faster in software."""

    def __init__(self, mujoco: Any, model: Any, options: SimOptions) -> None:
        self._names = options.cameras
        self._taken: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in options.cameras}
        self._renderer = None
        if not options.cameras:
            return
        model.vis.quality.offsamples = model.vis.quality.shadowsize = 0  # read when the renderer is made
        self._renderer = mujoco.Renderer(model, options.size, options.size)
        off = mujoco.mjtRndFlag
        for flag in (off.mjRND_SHADOW, off.mjRND_REFLECTION, off.mjRND_SKYBOX, off.mjRND_HAZE):
            self._renderer.scene.flags[flag] = 0

    def take(self, data: Any) -> None:
        for name in self._names:
            assert self._renderer is not None
            self._renderer.update_scene(data, camera=name)
            self._taken[name].append(self._renderer.render().copy())

    def latest(self) -> dict[str, NDArray[np.uint8]]:
        return {name: pictures[-1] for name, pictures in self._taken.items() if pictures}

    def stacked(self) -> dict[str, NDArray[np.uint8]]:
        return {name: np.stack(pictures) for name, pictures in self._taken.items()}

    def versions(self) -> dict[str, str]:
        if self._renderer is None:
            return {}
        from OpenGL import GL

        return {"renderer": GL.glGetString(GL.GL_RENDERER).decode(), "gl": GL.glGetString(GL.GL_VERSION).decode()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._renderer is not None:
            self._renderer.close()


def _sides(model: Any) -> NDArray[np.int64]:
    """Of each geom: 1 left pad, 2 right pad, 3 the rest of the hand, 0 a thing that moves, -1 all else."""
    robot, hand = model.body("base").id, model.body("hand").id
    pads = {model.body("leftpad").id: 1, model.body("rightpad").id: 2}

    def side(body: int) -> int:
        moves = model.body_weldid[body] != 0
        while body:
            if body in pads:
                return pads[body]
            if body == hand:
                return 3
            if body == robot:
                return -1
            body = int(model.body_parentid[body])
        return 0 if moves else -1

    return np.array([side(int(body)) for body in model.geom_bodyid])


def _import() -> tuple[Any, Any, Any]:
    try:
        import mujoco
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        from metaworld.policies import ENV_POLICY_MAP
    except ImportError as error:
        raise PrerequisiteError(
            f"the simulator is not installed: {error}", where="metaworld", hint="pip install 'heldout[embodied]'"
        ) from None
    return mujoco, ALL_V3_ENVIRONMENTS, ENV_POLICY_MAP
