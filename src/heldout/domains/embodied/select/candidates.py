"""What may be selected: every episode under the roots, with its files and sizes, and what it lacks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heldout.domains.embodied.episodes.layouts import find_episodes, layout_of
from heldout.errors import CorpusError, HeldoutError

_VIDEO = frozenset({".mp4", ".mkv", ".mov", ".webm", ".avi"})
_VISUALISATION = ".rrd"  # never trained on, and as large as the rest


@dataclass(frozen=True)
class Candidate:
    """One episode.

    Attributes:
        root: The folder that was searched.
        folder: The episode.
        episode_path: The folder relative to the root, with slashes: the name that hashes and ids are made of.
        episode_id: Unique; of the header, else of the path.
        session: What was recorded together.
        files: Name and bytes of every file.
        missing: Required files that are not there, by name.
        problem: Why the episode cannot be opened; empty if it can.
    """

    root: Path
    folder: Path
    episode_path: str
    episode_id: str
    session: str
    files: tuple[tuple[str, int], ...]
    missing: tuple[str, ...] = ()
    problem: str = ""

    @property
    def episode_number(self) -> int:
        """The digits of the episode's own name; 0 without."""
        digits = re.findall(r"\d+", self.folder.name)
        return int(digits[-1]) if digits else 0

    @property
    def total_bytes(self) -> int:
        """Of all files."""
        return sum(size for _, size in self.files)

    @property
    def training_bytes(self) -> int:
        """Of all files that training reads."""
        return sum(size for name, size in self.files if not name.endswith(_VISUALISATION))

    @property
    def video_bytes(self) -> int:
        """Of the video files."""
        return sum(size for name, size in self.files if Path(name).suffix.lower() in _VIDEO)

    @property
    def annotation_bytes(self) -> int:
        """Of what is neither video nor visualisation: the size that bands are made of."""
        return self.training_bytes - self.video_bytes

    @property
    def complete(self) -> bool:
        """Whether every required file is there and the header can be read."""
        return not self.missing and not self.problem

    def to_json(self) -> dict[str, object]:
        """The published keys of an episode of a selection, as far as they are known before it."""
        return {
            "episode_path": self.episode_path,
            "episode_id": self.episode_id,
            "episode_number": self.episode_number,
            "top_level_session": self.session,
            "file_count": len(self.files),
            "total_bytes": self.total_bytes,
            "training_bytes_excluding_visualization_rrd": self.training_bytes,
            "annotation_bytes": self.annotation_bytes,
            "video_bytes": self.video_bytes,
            "missing_required_files": list(self.missing),
        }


def scan(roots: Sequence[Path]) -> list[Candidate]:
    """Every episode under the roots, sorted by path.

    Raises:
        InputError: If a root does not exist or holds nothing.
        CorpusError: If two episodes have one path or one id: their rows could not be told apart.
    """
    found = [_candidate(root, folder) for root, folder in find_episodes(roots)]
    for what in ("episode_path", "episode_id"):
        seen: dict[str, Path] = {}
        for candidate in found:
            name = getattr(candidate, what)
            if name in seen:
                raise CorpusError(
                    f"two episodes have the {what} {name!r}",
                    where=f"{seen[name]}, {candidate.folder}",
                    hint="remove the copy, or rename the session",
                )
            seen[name] = candidate.folder
    return sorted(found, key=lambda candidate: candidate.episode_path)


def _candidate(root: Path, folder: Path) -> Candidate:
    path = folder.relative_to(root).as_posix()
    fallback = path.replace("/", "__")
    files: tuple[tuple[str, int], ...] = ()
    missing: tuple[str, ...] = ()
    try:
        layout = layout_of(folder)
        files = layout.files(folder)
        missing = layout.missing(folder)
        header = layout.header(folder)
    except HeldoutError as error:
        return Candidate(root, folder, path, fallback, path.split("/")[0], files, missing, error.what)
    return Candidate(root, folder, path, header.episode_id, header.session, files, missing)
