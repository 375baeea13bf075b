"""How fast are per-frame rows read? Against polars.read_ndjson and json.loads, which check less, in the same run.

`decoded` is every check of bytes and values without the cache, `typed` the same by msgspec's typed decoder alone,
which gives the same rows and the same refusals; `cached` finds the rows by the file's digest; `corpus`
is the whole reader, with the checks between rows, ids and the digests of the groups. Rates are also given a second of
one core, which other work on the machine changes little.

    python benchmarks/reader.py
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import polars as pl
from _measure import rates, report, take_turns, times_faster

from heldout.domains.video.corpus.blocks import BlockLayout
from heldout.domains.video.corpus.reader import FrameReader
from heldout.domains.video.corpus.rows import FEATURES, read_rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.jsonl"
        write_corpus(path, options.rows)
        taken = take_turns(contenders(path, Path(folder) / "cache"), options.turns)
        size = path.stat().st_size / options.rows
    peers = ("polars.read_ndjson", "json.loads", "typed")
    pairs = [(ours, peer) for ours in ("decoded", "cached", "corpus") for peer in peers]
    ratio = times_faster(taken.wall, pairs)
    ratio |= {f"{name}, a core": each for name, each in times_faster(taken.cpu, pairs).items()}
    title = f"{options.rows:,} rows of {size:.0f} bytes"
    figures = rates(taken.wall, options.rows, "rows/s")
    figures |= {f"{name}, a core": each for name, each in rates(taken.cpu, options.rows, "rows/s").items()}
    report("reader", title, ("polars", "msgspec"), ratio, figures)


def contenders(path: Path, cache: Path) -> dict[str, Callable[[], object]]:
    """Each reads the whole file."""

    def with_cache(where: str, read: Callable[[], object]) -> Callable[[], object]:
        def work() -> object:
            os.environ["HELDOUT_CACHE"] = where
            return read()

        return work

    def loads() -> None:
        with path.open("rb") as stream:
            for line in stream:
                json.loads(line)

    def typed() -> None:
        with mock.patch.object(BlockLayout, "of", return_value=None):
            read_rows(path)

    return {
        "decoded": with_cache("off", lambda: read_rows(path)),
        "typed": with_cache("off", typed),
        "cached": with_cache(str(cache), lambda: read_rows(path)),
        "corpus": with_cache("off", lambda: FrameReader(FrameReader.Options(path=path)).read()),
        "polars.read_ndjson": lambda: pl.read_ndjson(path),
        "json.loads": loads,
    }


def write_corpus(path: Path, count: int, frames: int = 200) -> None:
    """Rows with the published keys, scores of six decimals as libvmaf writes them."""
    rng = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as stream:
        for cell in range(-(-count // frames)):
            scores = np.round(rng.random((frames, 1 + len(FEATURES))), 6)
            head = {"src": f"clip{cell // 36}", "encoder": ("libx264", "libx265", "libsvtav1")[cell // 12 % 3]}
            head |= {"cq": 20 + cell % 12, "enc_bytes": 1_234_567 + cell, "enc_time_ms": 1000.25 + cell}
            for frame in range(min(frames, count - cell * frames)):
                vmaf, *features = scores[frame].tolist()
                row = {**head, "frame_index": frame, "vmaf": round(100 * vmaf, 6)}
                stream.write(json.dumps(row | dict(zip(FEATURES, features, strict=True))) + "\n")


if __name__ == "__main__":
    main()
