"""The layouts of episodes that are known, and how to find episodes under a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heldout.domains.embodied.header import HEADER_FILE, EpisodeHeader, parse_header
from heldout.domains.embodied.store import WORK, Episode, StoredEpisode
from heldout.errors import InputError
from heldout.evidence import read_json


def open_episode(folder: Path) -> Episode:
    """Open an episode of any known layout.

    Raises:
        InputError: If the folder is no episode, or its header is wrong.
    """
    if (folder / HEADER_FILE).is_file():
        return StoredEpisode.open(folder)
    raise InputError("the folder is no episode", where=str(folder), hint=f"an episode has {HEADER_FILE}")


def read_header(folder: Path) -> EpisodeHeader:
    """What an episode says of itself, whether or not its files are there.

    Raises:
        InputError: If the header cannot be read.
    """
    return parse_header(read_json(folder / HEADER_FILE), where=str(folder / HEADER_FILE))


def missing_files(folder: Path) -> tuple[str, ...]:
    """Required files of an episode that are not there, by name.

    Raises:
        InputError: If the header cannot be read.
    """
    return tuple(sorted(s.file for s in read_header(folder).streams.values() if not (folder / s.file).is_file()))


def find_episodes(roots: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pairs of a root and an episode's folder under it, sorted by path; half-written ones are left out.

    Raises:
        InputError: If a root does not exist, or nothing is found.
    """
    found: dict[Path, Path] = {}
    for root in roots:
        if not root.is_dir():
            raise InputError("no such folder", where=str(root), hint="name the folder that holds the episodes")
        for header in root.rglob(HEADER_FILE):
            if not any(part.startswith(WORK) for part in header.parts):
                found.setdefault(header.parent, root)
    if not found:
        raise InputError("no episodes", where=", ".join(map(str, roots)), hint="heldout embodied simulate --out DIR")
    return sorted((root, folder) for folder, root in found.items())
