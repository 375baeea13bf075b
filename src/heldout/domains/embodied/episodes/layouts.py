"""The layouts of episodes that are known, and how to find episodes under a folder.

A layout is asked five things; the rest of the room knows episodes by their header alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from heldout.domains.embodied.episodes.header import HEADER_FILE, EpisodeHeader, parse_header
from heldout.domains.embodied.episodes.lerobot import LeRobotEpisode, episode_folders, root_of
from heldout.domains.embodied.episodes.lerobot_tables import INFO
from heldout.domains.embodied.episodes.store import WORK, Episode, StoredEpisode
from heldout.domains.embodied.episodes.xperience import ANNOTATION, XperienceEpisode, missing_files
from heldout.errors import InputError
from heldout.evidence import read_json

Files = tuple[tuple[str, int], ...]


class Layout(ABC):
    """One way in which episodes lie on disk."""

    annotation: str

    def find(self, root: Path) -> list[Path]:
        """Episodes under a folder; half-written ones are left out."""
        found = (path.parent for path in root.rglob(self.annotation))
        return [folder for folder in found if not any(part.startswith(WORK) for part in folder.parts)]

    def holds(self, folder: Path) -> bool:
        """Whether this folder is an episode of this layout."""
        return (folder / self.annotation).is_file()

    def files(self, folder: Path) -> Files:
        """Name and bytes of every file of an episode."""
        paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
        return tuple((path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths)

    def header(self, folder: Path) -> EpisodeHeader:
        """What an episode says of itself, whether or not all its files are there."""
        return self.open(folder).header

    @abstractmethod
    def missing(self, folder: Path) -> tuple[str, ...]:
        """Required files that are not there, by name."""

    @abstractmethod
    def open(self, folder: Path) -> Episode:
        """Open an episode."""


class _Store(Layout):
    annotation = HEADER_FILE

    def header(self, folder: Path) -> EpisodeHeader:
        return parse_header(read_json(folder / HEADER_FILE), where=str(folder / HEADER_FILE))

    def missing(self, folder: Path) -> tuple[str, ...]:
        return tuple(sorted(s.file for s in self.header(folder).streams.values() if not (folder / s.file).is_file()))

    def open(self, folder: Path) -> Episode:
        return StoredEpisode.open(folder)


class _Xperience(Layout):
    annotation = ANNOTATION

    def missing(self, folder: Path) -> tuple[str, ...]:
        return missing_files(folder)

    def open(self, folder: Path) -> Episode:
        return XperienceEpisode(folder)


class _LeRobot(Layout):
    annotation = str(INFO)

    def find(self, root: Path) -> list[Path]:
        roots = [path.parent.parent for path in root.rglob(str(INFO))]
        return [folder for one in roots for folder in episode_folders(one)]

    def holds(self, folder: Path) -> bool:
        return root_of(folder) is not None

    def files(self, folder: Path) -> Files:
        """Each file with the episode's share of its bytes, by frames."""
        return LeRobotEpisode(folder).shares()

    def missing(self, folder: Path) -> tuple[str, ...]:
        return tuple(sorted(name for name, size in self.files(folder) if not size))

    def open(self, folder: Path) -> Episode:
        return LeRobotEpisode(folder)


LAYOUTS: tuple[Layout, ...] = (_Store(), _Xperience(), _LeRobot())


def layout_of(folder: Path) -> Layout:
    """The layout of an episode.

    Raises:
        InputError: If the folder is no episode of any known layout.
    """
    for layout in LAYOUTS:
        if layout.holds(folder):
            return layout
    known = ", ".join(layout.annotation for layout in LAYOUTS)
    raise InputError("the folder is no episode", where=str(folder), hint=f"an episode is known by one of: {known}")


def open_episode(folder: Path) -> Episode:
    """Open an episode of any known layout.

    Raises:
        InputError: If the folder is no episode, or its header is wrong.
    """
    return layout_of(folder).open(folder)


def find_episodes(roots: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pairs of a root and an episode's folder under it, sorted.

    Raises:
        InputError: If a root does not exist, or nothing is found.
    """
    found: dict[Path, Path] = {}
    for root in roots:
        if not root.is_dir():
            raise InputError("no such folder", where=str(root), hint="name the folder that holds the episodes")
        for layout in LAYOUTS:
            for folder in layout.find(root):
                found.setdefault(folder, root)
    if not found:
        raise InputError("no episodes", where=", ".join(map(str, roots)), hint="heldout embodied simulate --out DIR")
    return sorted((root, folder) for folder, root in found.items())
