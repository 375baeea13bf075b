"""A log a seed, as published."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from heldout.cli.printing import SeedLogs


def test_each_seed_has_a_log_of_its_own_units(tmp_path: Path) -> None:
    """The runbook's reader would find one seed's failure in another's log, or in none."""
    logs = SeedLogs(tmp_path / "logs")
    events: list[dict[str, Any]] = [
        {"event": "plan", "unit": "2 to fit", "done": 0, "total": 3},
        {"event": "fitted", "unit": "base/seed0/clip/seed7/x", "done": 1, "total": 3},
        {"event": "failed", "unit": "base/seed12/clip\n", "done": 2, "total": 3},
        {"event": "fitted", "unit": "base/seed0/b", "done": 3, "total": 3},
        {"event": "complete", "unit": "HOLD", "done": 1, "total": 1},
    ]
    for event in events:
        logs.event(event)
    found = {path.name.partition("_")[0]: path for path in (tmp_path / "logs").iterdir()}
    assert {"seed0", "seed12"} == found.keys()
    assert all(re.fullmatch(r"seed\d+_\d{8}T\d{6}Z\.log", path.name) for path in found.values())
    first, last = found["seed0"].read_text().splitlines()
    assert first.endswith("fitted 1/3 base/seed0/clip/seed7/x")
    assert last.endswith("fitted 3/3 base/seed0/b")
    assert 1 == len(found["seed12"].read_text().splitlines())
