"""The one checker of archives: what it writes is equal for equal files, what it reads cannot leave the folder."""

from __future__ import annotations

import io
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from portable_kit import Forge, gzipped, member

from heldout.errors import HeldoutError, InputError, RefusedError, TamperedError
from heldout.evidence import sha256_bytes, sha256_file
from heldout.package.archive.read import Limits, is_archive, read_members, safe_name, unpack
from heldout.package.archive.write import write_archive

LONG = "/".join(["folder" * 12] * 4) + "/ü.txt"


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.zst"])
def test_archive_round_trip(tmp_path: Path, suffix: str) -> None:
    """A file would come out changed, under another name, or without its right to run."""
    (tmp_path / "on_disk").write_bytes(b"disk" * 70_000)
    files: dict[str, Path | bytes] = {"a.sh": b"#!/bin/sh\n", LONG: b"", "b/c": tmp_path / "on_disk"}
    out = tmp_path / f"x.{suffix}"
    assert write_archive(out, files, top="top") == sha256_file(out)
    found = unpack(out, tmp_path / "open")
    assert {"top/a.sh", f"top/{LONG}", "top/b/c"} == set(found)
    assert read_members(out) == found
    assert sha256_bytes(b"disk" * 70_000) == found["top/b/c"].sha256 == sha256_file(tmp_path / "open/top/b/c")
    assert (tmp_path / "open/top/a.sh").stat().st_mode & stat.S_IXUSR
    assert not (tmp_path / "open/top/b/c").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.zst"])
def test_equal_files_give_equal_archives(tmp_path: Path, suffix: str) -> None:
    """Two builds of one kit would have two digests, and nobody could compare them."""
    one = write_archive(tmp_path / f"one.{suffix}", {"b": b"2", "a": b"1"})
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "a").chmod(0o600)
    two = write_archive(tmp_path / f"other name.{suffix}", {"a": tmp_path / "a", "b": b"2"})
    assert one == two


HOSTILE = {
    "absolute": [member("/etc/passwd")],
    "climbing": [member("top/../../evil")],
    "climbing-first": [member("../evil")],
    "dot": [member("top/./a")],
    "empty-part": [member("top//a")],
    "backslash": [member("top\\..\\evil")],
    "drive": [member("C:evil")],
    "device-name": [member("top/aux.txt")],
    "trailing-dot": [member("top/a.")],
    "newline": [member("top/a\nb")],
    "link": [member("top/a", kind=tarfile.SYMTYPE, link="/etc/passwd")],
    "hard-link": [member("top/a"), member("top/b", kind=tarfile.LNKTYPE, link="top/a")],
    "character-device": [member("top/a", kind=tarfile.CHRTYPE)],
    "block-device": [member("top/a", kind=tarfile.BLKTYPE)],
    "pipe": [member("top/a", kind=tarfile.FIFOTYPE)],
    "sparse": [member("top/a", kind=tarfile.GNUTYPE_SPARSE)],
    "twice": [member("top/a", b"1"), member("top/a", b"2")],
    "twice-but-for-case": [member("top/a"), member("top/A")],
    "twice-but-for-form": [member("top/\u00e9"), member("top/e\u0301")],
    "file-as-folder": [member("top/a"), member("top/a/b")],
    "folder-as-file": [member("top/a/b"), member("top/a")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_member_is_refused_and_nothing_lies_outside(name: str, forge: Forge, tmp_path: Path) -> None:
    """A bundle could write where it likes on the machine of whoever opens it."""
    archive = forge(*HOSTILE[name])
    target = tmp_path / "deep" / "target"
    with pytest.raises(RefusedError) as caught:
        unpack(archive, target)
    assert 3 == caught.value.exit_code
    assert [] == [path for path in tmp_path.rglob("*evil*") if path != archive]
    assert {"deep", archive.name} == {path.name for path in tmp_path.iterdir()}


def test_an_extended_header_that_says_more_than_a_name_is_refused(tmp_path: Path) -> None:
    """A header could smuggle in a link's target or a size that the checks never saw."""
    info = tarfile.TarInfo("a")
    info.pax_headers = {"SCHILY.xattr.user": "x"}
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    with pytest.raises(RefusedError, match="more than a name"):
        read_members(gzipped(tmp_path / "x.tar.gz", plain.getvalue()))


def test_a_bomb_is_refused_by_what_is_really_unpacked(tmp_path: Path) -> None:
    """A small file could fill the disk."""
    bomb = gzipped(tmp_path / "bomb.tar.gz", _zeros(64))
    assert bomb.stat().st_size < 200_000
    with pytest.raises(RefusedError, match="bomb"):
        unpack(bomb, tmp_path / "a", Limits(ratio_from=1 << 20))
    assert sum(path.stat().st_size for path in (tmp_path / "a").rglob("*") if path.is_file()) < 15 << 20


def test_a_bomb_is_refused_by_its_declared_size(forge: Forge, tmp_path: Path) -> None:
    """The disk would be full before the count of bytes came to an end."""
    with pytest.raises(RefusedError, match="would have"):
        unpack(forge(member("top/a", b"x" * 5000)), tmp_path / "a", Limits(bytes=4999))


def test_too_many_members_are_refused(forge: Forge, tmp_path: Path) -> None:
    """A million empty files cost a file system more than their bytes."""
    with pytest.raises(RefusedError, match="more than 3 files"):
        unpack(forge(*(member(f"f{n}", b"") for n in range(5))), tmp_path / "a", Limits(members=3))


def test_something_behind_the_end_is_refused(forge: Forge, tmp_path: Path) -> None:
    """Two readers would see two archives in one file."""
    with pytest.raises(RefusedError, match="behind its end"):
        read_members(forge(member("a"), tail=b"\0" * 1024 + b"more"))
    path = forge(member("a"))
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(RefusedError, match="behind its end"):
        read_members(path)


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.zst"])
def test_every_changed_byte_and_every_cut_is_refused(tmp_path: Path, suffix: str) -> None:
    """Damage on the way would be taken for the file that was sent."""
    path, whole = tmp_path / f"x.{suffix}", tmp_path / f"whole.{suffix}"
    write_archive(whole, {"a": bytes(range(256)) * 2, "b": b"b"})
    data = whole.read_bytes()
    expected = read_members(whole)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0x55
        path.write_bytes(changed)
        try:
            found = read_members(path)
        except HeldoutError as error:
            assert error.exit_code == 3 or place < 4, (place, str(error))  # noqa: PT017
        else:
            assert suffix == "tar.zst", place
            assert expected == found, place  # a bit of the frame's header that means nothing
    for end in range(4, len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(TamperedError):
            read_members(path)


def test_what_is_no_archive_is_bad_input(tmp_path: Path) -> None:
    """Somebody who names the wrong file would be told of an attack."""
    (tmp_path / "text").write_text("hello")
    assert not is_archive(tmp_path / "text")
    with pytest.raises(InputError):
        read_members(tmp_path / "text")
    with pytest.raises(InputError):
        read_members(tmp_path / "nothing")
    with pytest.raises(InputError):
        write_archive(tmp_path / "x.zip", {"a": b""})


def test_nothing_is_unpacked_into_a_folder_that_holds_something(forge: Forge, tmp_path: Path) -> None:
    """Files of two archives would lie mixed."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("")
    with pytest.raises(InputError, match="not empty"):
        unpack(forge(member("a")), tmp_path / "there")


@given(st.text(min_size=1, max_size=40))
@settings(max_examples=300)
def test_a_name_that_is_let_through_stays_inside(name: str) -> None:
    """Some name that nobody thought of would lead outside."""
    try:
        safe_name(name, "x")
    except HeldoutError:
        return
    except UnicodeEncodeError:
        return
    inside = Path("/base/folder").joinpath(*name.split("/"))
    assert Path("/base/folder") in Path(*inside.parts).parents
    assert ".." not in inside.parts
    assert not name.startswith("/")


def _zeros(megabytes: int) -> bytes:
    info = tarfile.TarInfo("zeros")
    info.size = megabytes << 20
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(info.size) + bytes(1024)
