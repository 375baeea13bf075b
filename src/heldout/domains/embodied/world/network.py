"""The network: what the features will be, as a change of what they are."""

from __future__ import annotations

import torch
from torch import nn


class FutureNetwork(nn.Module):  # type: ignore[misc]
    """Standardised present, its change since the window before and maybe actions, to the standardised future.

    With nothing learnt it says that nothing changes.
    """

    def __init__(self, features: int, actions: int, hidden: int, dropout: float) -> None:
        """Build it; ``features`` and ``actions`` are widths."""
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(2 * features + actions, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.LayerNorm(hidden),
        )
        self.change = nn.Linear(hidden, features)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)

    def forward(self, present: torch.Tensor, drift: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """All ``[rows, width]``; ``actions`` may have no columns."""
        change: torch.Tensor = self.change(self.body(torch.cat([present, drift, actions], dim=1)))
        return present + change
