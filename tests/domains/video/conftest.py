"""Tiny clips, and an FFmpeg that misbehaves on request, for the tests of the producer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("imageio_ffmpeg")

MakeClip = Callable[..., Path]
MakeFFmpeg = Callable[[str], Path]

# Runs the real program; CHANGE may edit `args` before and act on the working folder afterwards.
_WRAPPER = """#!{python}
import json, os, pathlib, subprocess, sys
real, args = {real!r}, sys.argv[1:]
text = " ".join(args)
encoding, scoring = text.endswith("encode.mp4"), "vmaf.json" in text
after = lambda: None
{change}
done = subprocess.run([real, *args])
after()
sys.exit(done.returncode)
"""


@pytest.fixture(scope="session")
def real_ffmpeg() -> Path:
    import imageio_ffmpeg

    return Path(imageio_ffmpeg.get_ffmpeg_exe())


@pytest.fixture(scope="session")
def clip_in(real_ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeClip:
    """A clip of a moving test picture in a folder; its format is told by the suffix of its name.

    What is made in the same way again is copied.
    """
    kept, made = tmp_path_factory.mktemp("clips"), dict[tuple[str, ...], Path]()

    def make(
        home: Path,
        name: str,
        *,
        picture: str = "testsrc2",
        frames: int = 8,
        fps: str = "25",
        size: str = "160x96",
        pix_fmt: str = "yuv420p",
        more: tuple[str, ...] = (),
    ) -> Path:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        form = {".yuv": "rawvideo", ".y4m": "yuv4mpegpipe", ".mp4": "mp4", ".mkv": "matroska"}[path.suffix]
        source = ["-f", "lavfi", "-i", f"{picture}=size={size}:rate={fps}", "-frames:v", str(frames)]
        codec = [] if form in {"rawvideo", "yuv4mpegpipe"} else ["-c:v", "libx264", "-qp", "0"]
        words = [*source, *codec, "-pix_fmt", pix_fmt, "-strict", "-1", *more, "-f", form]
        how = tuple(words)
        if how not in made:
            clip = kept / str(len(made))
            subprocess.run([real_ffmpeg, "-v", "error", "-y", *words, clip], check=True)
            made[how] = clip
        shutil.copyfile(made[how], path)
        return path

    return make


@pytest.fixture
def make_clip(tmp_path: Path, clip_in: MakeClip) -> MakeClip:
    """A clip in this test's folder."""
    return partial(clip_in, tmp_path)


@pytest.fixture
def make_ffmpeg(tmp_path: Path, real_ffmpeg: Path) -> MakeFFmpeg:
    """An FFmpeg that does what the given Python lines make of its arguments."""

    def make(change: str) -> Path:
        path = tmp_path / "wrapped-ffmpeg"
        path.write_text(_WRAPPER.format(python=sys.executable, real=str(real_ffmpeg), change=change))
        path.chmod(0o755)
        return path

    return make
