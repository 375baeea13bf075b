"""What work says of itself while it runs."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from heldout.evidence import Events, JsonLines, loads


def test_events_count_units_and_are_handed_on_as_written(tmp_path: Path) -> None:
    """A bar that counts otherwise than the file would be at its end before the work is, or never."""
    told: list[dict[str, Any]] = []
    with JsonLines(tmp_path / "progress.jsonl") as log:
        events = Events(log, lambda record: told.append(dict(record)), frozenset({"made"}), total=3, done=1)
        events("started", "a")
        events("made", "a", frames=7)
        events.say("fitted", "b", 5, 9)
    written = [loads(line, where="log") for line in (tmp_path / "progress.jsonl").read_bytes().splitlines()]
    stamps = [dt.datetime.fromisoformat(record.pop("ts")) for record in written]
    assert all(stamp.utcoffset() == dt.timedelta(0) for stamp in stamps)
    assert written == told
    assert [("started", 1, 3), ("made", 2, 3), ("fitted", 5, 9)] == [(e["event"], e["done"], e["total"]) for e in told]
    assert 7 == told[1]["frames"]
