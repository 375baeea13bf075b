"""What does it cost to keep an evaluation safe? Against writing, and reading, the same lines with nothing around it.

The predictor answers at once, so all that is measured is the harness: rows that are bound to an identity and handed to
the operating system batch by batch, events of progress, the check of what is there, and rows in the order of samples.

    python benchmarks/evaluation_store.py
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _measure import Taken, report, spread, take_turns, times_faster

from heldout.evidence import sha256_bytes
from heldout.predict.identity import Identity
from heldout.predict.partial import PARTIAL_FILE, join_rows
from heldout.predict.session import PredictorSpec, Sample, Session

IDENTITY = Identity("weights", "data", "test", "question", {"greedy": True}, "code")
_BOUNDS = (
    ("harness, a sample at a time", 50.0),
    ("resume, nothing missing", 1.0),
    ("resume, the last one torn", 1.0),
)
TEXT = json.dumps(
    {"action": "reach for the cup", "contact": "no", "objects": ["cup"], "transition": "no"} | {"x": "y" * 150}
)


class Instant:
    """A model that takes no time; one sample at a time, as a large one."""

    batch = 1

    def predict(self, samples: Sequence[Sample]) -> list[Mapping[str, Any]]:
        """The same text for all."""
        return [{"raw_prediction": TEXT} for _ in samples]


class InstantBatch(Instant):
    """The same, sixteen at a time."""

    batch = 16


def samples(count: int) -> list[Sample]:
    return [Sample(f"session{n // 256:05d}__ep1:win:{n:06d}", f"session{n // 256:05d}__ep1", n) for n in range(count)]


def evaluate(folder: Path, chosen: Sequence[Sample], model: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    Session(folder, IDENTITY, chosen, {}).run(PredictorSpec(f"{__name__}:{model}", {}))


def bare(path: Path, chosen: Sequence[Sample]) -> None:
    """The same rows, one write each."""
    with path.open("wb", buffering=0) as stream:
        for sample in chosen:
            row = {"key": IDENTITY.key[:16], "row": {"raw_prediction": TEXT, "id": sample.id}}
            stream.write(json.dumps(row, sort_keys=True, separators=(",", ":")).encode() + b"\n")


def resume(folder: Path, chosen: Sequence[Sample]) -> str:
    """Start again where nothing is missing; digest of the rows."""
    finished = Session(folder, IDENTITY, chosen, {}).run(PredictorSpec(f"{__name__}:InstantBatch", {}))
    return sha256_bytes(join_rows(finished.require()))


def resume_one(folder: Path, whole: Path, chosen: Sequence[Sample]) -> None:
    """Start again where the last sample is torn."""
    data = whole.read_bytes()
    (folder / PARTIAL_FILE).write_bytes(data[:-20])
    resume(folder, chosen)  # counted with the copy that is torn


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--finished", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        ratio, figures = measure(Path(name), options.turns, options.samples, options.finished)
    for label, bound in _BOUNDS:
        print(f"bound: {label} <= {bound:g}: {'kept' if figures[label]['median'] <= bound else 'BROKEN'}")
    title = f"{options.samples:,} samples predicted at once; {options.finished:,} finished ones resumed"
    report("evaluation_store", title, ["msgspec", "numpy"], ratio, figures)


def measure(folder: Path, turns: int, count: int, finished: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Ratios to bare lines, microseconds a sample, seconds of a resume."""
    some, many = samples(count), samples(finished)
    writing = take_turns(
        {
            "harness, a sample at a time": lambda: evaluate(folder / "one", some, "Instant"),
            "harness, 16 at a time": lambda: evaluate(folder / "batch", some, "InstantBatch"),
            "bare lines": lambda: bare(folder / "bare.jsonl", some),
        },
        turns,
    )
    evaluate(folder / "many", many, "InstantBatch")
    whole = folder / "whole.jsonl"
    shutil.copy(folder / "many" / PARTIAL_FILE, whole)
    digests = {resume(folder / "many", many)}
    reading = take_turns(
        {
            "resume, nothing missing": lambda: digests.add(resume(folder / "many", many)),
            "resume, the last one torn": lambda: resume_one(folder / "many", whole, many),
            "json.loads of every line": lambda: [json.loads(line) for line in whole.read_bytes().splitlines()],
        },
        turns,
    )
    assert len(digests) == 1, "a resume changed the rows"
    ratio = times_faster(writing.wall, [(name, "bare lines") for name in writing.wall[0] if name != "bare lines"])
    ratio |= times_faster(reading.wall, [("resume, nothing missing", "json.loads of every line")])
    figures = {
        name: spread([turn[name] / count * 1e6 for turn in writing.wall], "us a sample") for name in writing.wall[0]
    }
    figures |= cpu(writing, count)
    figures |= {name: spread([turn[name] for turn in reading.wall], "s") for name in reading.wall[0]}
    return ratio, figures


def cpu(taken: Taken, count: int) -> dict[str, Any]:
    """Of the processor: what a busy machine does not lengthen."""
    return {
        f"{name}, processor": spread([turn[name] / count * 1e6 for turn in taken.cpu], "us a sample")
        for name in taken.cpu[0]
    }


if __name__ == "__main__":
    main()
