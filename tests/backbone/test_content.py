"""What a model from elsewhere is: names and bytes of its files, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from heldout.backbone import content
from heldout.backbone.content import content_of
from heldout.errors import InputError
from heldout.evidence import digest, sha256_bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "model"
    (place / "deep").mkdir(parents=True)
    (place / "a.bin").write_bytes(b"a")
    (place / "deep" / "b.bin").write_bytes(b"bb")
    return place


def test_a_file_is_its_bytes(tmp_path: Path) -> None:
    """The digest could not be compared with the one that a vendor prints."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    assert (sha256_bytes(b"weights"), 7, 1) == content_of(path)


def test_a_folder_is_its_names_and_bytes(folder: Path) -> None:
    """A file that is swapped, renamed or added would leave the digest as it was."""
    files = {"a.bin": sha256_bytes(b"a"), "deep/b.bin": sha256_bytes(b"bb")}
    first = content_of(folder)
    assert (digest(files), 3, 2) == first
    (folder / "a.bin").rename(folder / "c.bin")
    renamed = content_of(folder)
    (folder / "new").write_bytes(b"")
    assert 3 == len({first.sha256, renamed.sha256, content_of(folder).sha256})


def test_the_same_elsewhere_is_the_same(folder: Path, tmp_path: Path) -> None:
    """A model that is moved would be another one."""
    before = content_of(folder)
    folder.rename(tmp_path / "moved")
    assert before == content_of(tmp_path / "moved")


def test_an_edit_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    """What is remembered of a file would hide that somebody changed it."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"one")
    before, stamp = content_of(path), path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert before.sha256 != content_of(path).sha256


def test_what_is_no_model_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe would be waited for, a link lead out of what is named, and a home folder be read for hours."""
    with pytest.raises(InputError, match="cannot be read"):
        content_of(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is empty"):
        content_of(tmp_path / "empty")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no plain file"):
        content_of(tmp_path / "pipe")
    (folder / "out").symlink_to(tmp_path)
    with pytest.raises(InputError, match="holds a link"):
        content_of(folder)
    (folder / "out").unlink()
    os.mkfifo(folder / "pipe")
    with pytest.raises(InputError, match="no plain file"):
        content_of(folder)
    (folder / "pipe").unlink()
    monkeypatch.setattr(content, "_MOST_FILES", 1)
    with pytest.raises(InputError, match="more than 1 files"):
        content_of(folder)
