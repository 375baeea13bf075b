"""Which samples a process sees in which order, and how many steps there are: all of it by counting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from heldout.domains.embodied.qwen.batch import epoch_order


class Plan(NamedTuple):
    """The steps of a training.

    Attributes:
        ids: Samples in the order of the data set.
        seed: Of the order.
        epochs: Over all samples.
        batch: Samples of a forward pass.
        accumulation: Forward passes of a step.
        rank: Of this process.
        world: Processes.
        most: Steps at most; 0 has no limit.
    """

    ids: Sequence[str]
    seed: int
    epochs: int
    batch: int
    accumulation: int
    rank: int = 0
    world: int = 1
    most: int = 0

    @property
    def per_rank(self) -> int:
        """Samples of an epoch that one process sees."""
        return -(-len(self.ids) // self.world)

    @property
    def micro_steps(self) -> int:
        """Forward passes of an epoch."""
        return -(-self.per_rank // self.batch)

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        every = self.epochs * -(-self.micro_steps // self.accumulation)
        return min(every, self.most) if self.most else every

    def order(self, epoch: int) -> list[int]:
        """Places of this process's samples in an epoch; the first ones fill up what is short."""
        whole = epoch_order(self.ids, self.seed, epoch)
        padded = (whole * -(-self.per_rank * self.world // len(whole)))[: self.per_rank * self.world]
        return padded[self.rank :: self.world]

    def group(self, epoch: int, micro: int) -> list[list[int]]:
        """Batches of the step that starts at a forward pass."""
        order = self.order(epoch)
        last = min(micro + self.accumulation, self.micro_steps)
        return [order[one * self.batch : (one + 1) * self.batch] for one in range(micro, last)]
