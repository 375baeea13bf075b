"""The one FFmpeg of a run: where it is, what it says it is, how it is started and stopped.

Every child is started in a session of its own and is known to ``Children``, so that an interruption ends all of them
and a terminal's Ctrl-C reaches the parent alone. What a child printed is kept: a failure is told in FFmpeg's words.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from heldout.errors import PrerequisiteError

KEPT_LINES = 8
_ADDRESS = re.compile(r" @ 0x[0-9a-fA-F]+")
_CONTEXT = re.compile(r"^(?:\[[^\]]*\]\s*)+")
_SERIOUS = re.compile(r"\[(?:error|fatal|panic)\]")
_QUIET = {"SVT_LOG": "1", "AV_LOG_FORCE_NOCOLOR": "1"}


class StoppedError(Exception):
    """The run was interrupted; nothing more is started."""


class Finished(NamedTuple):
    """What a child left: exit status, standard output, and the lines of its standard error without addresses."""

    code: int
    output: bytes
    lines: tuple[str, ...]

    def last_lines(self, hide: Path | None = None) -> tuple[str, ...]:
        """FFmpeg's last words; the folder ``hide`` is left out of paths."""
        prefix = f"{hide}{os.sep}" if hide else ""
        return tuple(line.replace(prefix, "") if prefix else line for line in self.lines[-KEPT_LINES:])

    @property
    def cause(self) -> str:
        """The first thing that it complained of, without the name of the part that complained."""
        texts = [_CONTEXT.sub("", line).strip() for line in self.lines]
        serious = (text for line, text in zip(self.lines, texts, strict=True) if _SERIOUS.search(line))
        first = next(serious, None) or next(iter(texts), None)
        return first or f"it printed nothing and exited with {self.code}"


class Children:
    """The children that are alive. ``stop`` kills them and lets no other start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # starting a child and stopping all must not overlap
        self._alive: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def run(self, command: Sequence[str], cwd: Path | None) -> Finished:
        """Run to the end and keep what was printed.

        Raises:
            StoppedError: If ``stop`` was called before or meanwhile.
        """
        with self._lock:
            if self._stopped:
                raise StoppedError
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=os.environ | _QUIET,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._alive.add(child)
        try:
            output, errors = child.communicate()
        finally:
            with self._lock:
                self._alive.discard(child)
        if self._stopped:
            raise StoppedError
        text = _ADDRESS.sub("", errors.decode("utf-8", errors="replace"))
        return Finished(child.returncode, output, tuple(line.rstrip() for line in text.splitlines() if line.strip()))

    def stop(self) -> None:
        """Kill every child; no other starts afterwards."""
        with self._lock:
            self._stopped = True
            for child in list(self._alive):
                with contextlib.suppress(ProcessLookupError):
                    child.kill()


@dataclass(frozen=True)
class FFmpeg:
    """An FFmpeg that was asked for its version.

    Attributes:
        path: The program.
        version: The second and third word of its banner, such as ``n7.1-29-g...``.
        children: Where its processes are registered.
    """

    path: Path
    version: str
    children: Children

    def run(self, arguments: Sequence[str], *, level: str = "error", cwd: Path | None = None) -> Finished:
        """Run once, without statistics, without a terminal, one thread for each graph of filters.

        Raises:
            StoppedError: If the run was interrupted.
        """
        head = [str(self.path), "-hide_banner", "-nostdin", "-nostats", "-y", "-loglevel", f"level+{level}"]
        single = ["-filter_threads", "1", "-filter_complex_threads", "1"]
        return self.children.run([*head, *single, *arguments], cwd)

    @functools.cached_property
    def listed_encoders(self) -> frozenset[str]:
        """Names of the video encoders that were compiled in; whether one can run is another question."""
        done = self.run(["-encoders"])
        rows = (line.split() for line in done.output.decode(errors="replace").splitlines())
        return frozenset(row[1] for row in rows if len(row) > 2 and row[0].startswith("V") and row[1] != "=")


def find_ffmpeg(path: Path | None = None, children: Children | None = None) -> FFmpeg:
    """The FFmpeg at ``path``, or the static one of imageio-ffmpeg, or the one on the search path.

    Raises:
        PrerequisiteError: If there is none, or it does not run.
    """
    found = path or _default()
    if not found.is_file() or not os.access(found, os.X_OK):
        raise PrerequisiteError(
            "FFmpeg is not a program that can be run", where=str(found), hint="give the path of ffmpeg to --ffmpeg"
        )
    children = children or Children()
    try:
        banner = children.run([str(found.resolve()), "-version"], None)
    except OSError as error:
        raise PrerequisiteError(
            f"FFmpeg does not start: {error.strerror}", where=str(found), hint="give another path to --ffmpeg"
        ) from None
    match = re.match(rb"ffmpeg version (\S+)", banner.output)
    if banner.code != 0 or not match:
        raise PrerequisiteError(
            f"this is not FFmpeg: {banner.cause}", where=str(found), hint="give the path of ffmpeg to --ffmpeg"
        )
    return FFmpeg(found.resolve(), match[1].decode(), children)


def _default() -> Path:
    try:
        import imageio_ffmpeg

        return Path(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        on_path = shutil.which("ffmpeg")
    if on_path is None:
        raise PrerequisiteError(
            "there is no FFmpeg",
            where="imageio-ffmpeg, PATH",
            hint="pip install 'heldout[video]', or use --ffmpeg PATH",
        )
    return Path(on_path)
