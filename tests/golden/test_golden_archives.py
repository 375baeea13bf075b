"""The archives themselves: small, without a trace of the machine that made them, and the same whoever packs them."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import kept
import pytest

_PLACES = re.compile(rb"(?<![\w.~])/(?:home|root|tmp|work|Users|var|private)/")


@pytest.mark.parametrize("family", kept.FAMILIES)
def test_an_archive_is_small_and_packed_alike_everywhere(family: str) -> None:
    """Every clone would carry megabytes, or an archive made again would differ in every byte."""
    path = kept.archive_of(family)
    assert path.stat().st_size <= 400_000
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    assert {(True, 0o644, 0, 0, "")} == {
        (each.isreg(), each.mode, each.mtime, each.uid, each.uname) for each in members
    }
    assert sorted(each.name for each in members) == [each.name for each in members]


def test_equal_files_give_equal_archives(tmp_path: Path) -> None:
    """The same recipe would give another archive each time, and nobody could compare two."""
    archives = []
    for order in ("ab", "ba"):
        home = tmp_path / order
        (home / "sub").mkdir(parents=True)
        for name in order:
            (home / "sub" / name).write_text(name)
        (home / "sub/held.lock").touch()
        kept.pack(home, tmp_path / f"{order}.tar.xz")
        archives.append((tmp_path / f"{order}.tar.xz").read_bytes())
    assert archives[0] == archives[1]


def test_no_archive_is_written_over() -> None:
    """What readers were promised to stay readable would be replaced by what is easy to read today."""
    from make import make

    before = kept.archive_of("market").read_bytes()
    with pytest.raises(SystemExit, match="stays readable"):
        make("market")
    assert before == kept.archive_of("market").read_bytes()


@pytest.mark.parametrize("family", kept.FAMILIES)
def test_no_file_names_the_machine_that_made_it(family: str, archived: Callable[..., Path]) -> None:
    """What users publish would name their folders, and these archives would name ours."""
    found = {}
    for path in archived(family).rglob("*"):
        if path.is_file() and path.suffix != ".gz" and (place := _PLACES.search(path.read_bytes())):
            found[path.name] = path.read_bytes()[place.start() : place.end() + 40]
    assert {} == found


def test_all_archives_together_are_small() -> None:
    """The history of the project grows by them for ever."""
    assert sum(kept.archive_of(family).stat().st_size for family in kept.FAMILIES) <= 2_000_000
