"""The network: a small eye for each camera that says where things are, and heads for actions, path and labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class Eye(nn.Module):  # type: ignore[misc]
    """Convolutions, then the mean place of what each filter answers to: where, and not what colour."""

    def __init__(self, side: int, points: int) -> None:
        """Build it for pictures of ``side`` pixels."""
        super().__init__()
        self.filters = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, points, 3),
        )
        size = (side - 5) // 2 + 1 - 4
        place = torch.linspace(-1, 1, size)
        self.register_buffer("rows", place.repeat_interleave(size), persistent=False)
        self.register_buffer("columns", place.repeat(size), persistent=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """``[rows, 3, side, side]``, 0 .. 1, to ``[rows, 2 * points]``."""
        answers = self.filters(pictures - 0.5).flatten(2).softmax(dim=2)
        return torch.cat([(answers * self.rows).sum(2), (answers * self.columns).sum(2)], dim=1)


class PolicyNetwork(nn.Module):  # type: ignore[misc]
    """An observation to everything that is predicted of it."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """Build it; ``sizes`` are the block ``network`` of a ``model_config.json``."""
        super().__init__()
        self.sizes = sizes
        self.eyes = nn.ModuleList(Eye(sizes["side"], sizes["points"]) for _ in range(sizes["cameras"]))
        width = sizes["sensors"] + sizes["instructions"] + 2 * sizes["points"] * sizes["cameras"]
        hidden = sizes["hidden"]
        self.body = nn.Sequential(
            nn.Linear(width, hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Dropout(0.1),
            nn.Linear(hidden, hidden),
            nn.GELU(),
        )
        self.heads = nn.ModuleDict(
            {
                "actions": nn.Linear(hidden, sizes["chunk"] * sizes["dims"]),
                "path": nn.Linear(hidden, sizes["path"] * 3),
                "action": nn.Linear(hidden, sizes["labels"]),
                "next_action": nn.Linear(hidden, sizes["labels"]),
                "contact": nn.Linear(hidden, 2),
                "objects": nn.Linear(hidden, sizes["objects"]),
            }
        )

    def forward(self, sensors: torch.Tensor, pictures: torch.Tensor, told: torch.Tensor) -> dict[str, torch.Tensor]:
        """Standardised sensors, uint8 pictures ``[rows, cameras, side, side, 3]``, instructions; outputs by head."""
        seen = [eye(pictures[:, number].permute(0, 3, 1, 2).float() / 255) for number, eye in enumerate(self.eyes)]
        inside = self.body(torch.cat([sensors, told, *seen], dim=1))
        return {name: head(inside) for name, head in self.heads.items()}
