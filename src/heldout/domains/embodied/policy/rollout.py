"""One run in the simulator with a policy in the loop; what the evaluation engine's workers do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.policy.model import Policy, load_policy
from heldout.domains.embodied.simulate.physics import Controller, Recording, Senses, SimOptions, record
from heldout.domains.embodied.simulate.tasks import TASKS, SimTask
from heldout.predict.session import Sample

POLICY, UNTRAINED, EXPERT = "policy", "untrained", "expert"
_TASKS = {task.name: task for task in TASKS}


class Rollouts:
    """Runs of a policy, of itself before training, and of the expert."""

    batch = 1

    def __init__(self, checkpoint: str, max_steps: int, render: int, every: int) -> None:
        """Load the checkpoint."""
        self._folder = Path(checkpoint)
        self._policies = {name: load_policy(self._folder, untrained=name == UNTRAINED) for name in (POLICY, UNTRAINED)}
        cameras = tuple(one.removeprefix("camera/") for one in self._policies[POLICY].spec.cameras)
        self._options = SimOptions(cameras, render, every, max_steps, 0.0, audio=False)

    def predict(self, samples: Sequence[Sample]) -> list[Mapping[str, Any]]:
        """Whether and when each run succeeded."""
        found: list[Mapping[str, Any]] = []
        for sample in samples:
            task, seed, who = sample.ref
            recording = self._run(_TASKS[task], int(seed), who)
            steps = np.flatnonzero(recording.success)
            found.append(
                {
                    "task": task,
                    "seed": int(seed),
                    "contender": who,
                    "success": bool(len(steps)),
                    "first_success_step": int(steps[0]) if len(steps) else None,
                    "steps": len(recording.success),
                    "seconds": len(recording.success) / recording.clock_hz,
                }
            )
        return found

    def _run(self, task: SimTask, seed: int, who: str) -> Recording:
        if who == EXPERT:
            blind = SimOptions((), self._options.size, self._options.every, self._options.max_steps, 0.0, audio=False)
            return record(task, seed, blind)
        return record(task, seed, self._options, controller(self._policies[who], task, self._options.every))


def controller(policy: Policy, task: SimTask, every: int) -> Controller:
    """A policy as who acts: it decides when there is a new picture, and carries out its plan until the next.

    Args:
        policy: Who decides.
        task: Whose words it is told.
        every: Steps from picture to picture; no more than it plans.
    """
    told = policy.spec.told(task.phrase)
    history: list[Mapping[str, Any]] = []
    plan: list[NDArray[Any]] = []
    steps = min(every, policy.chunks.actions)

    def act(senses: Senses, pictures: Senses) -> NDArray[Any]:
        history.append({name: senses[name] for name in policy.spec.streams})
        del history[: -policy.spec.back - 1]
        if not plan:
            decision = policy.decide(policy.spec.of_simulator(history, pictures, told))
            plan.extend(decision.actions[:steps])
        return plan.pop(0)

    return act
