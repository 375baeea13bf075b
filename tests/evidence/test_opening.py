"""Whatever stands in place of a file is looked at before it is waited for."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import polars as pl
import pytest

import heldout
from heldout.errors import InputError
from heldout.evidence import JsonLines, loads, open_plain, plain_path, plain_source, read_json, read_plain, sha256_file
from heldout.evidence.depth import json_depth
from heldout.evidence.opening import append_plain

SRC = Path(heldout.__file__).parent
# Files of our own installation, of the kernel, or of a stream that PyAV opens by name.
_OWN = {
    "corpus/room.py", "evidence/opening.py", "report/pages.py", "zoo/process.py", "package/doctor/doctor.py",
    "package/doctor/machine.py", "plugins.py", "engine/zygote.py", "backbone/code.py",
    "package/kit/wheel.py", "package/kit/steps/check_kit.py", "domains/embodied/contract/file_schemas.py",
    "domains/embodied/episodes/media.py", "domains/market/demo/demo.py", "domains/market/demo/panel.py",
    "testing/backbone.py", "testing/asked.py",
}  # fmt: skip
_READS = re.compile(
    r"\.read_(?:bytes|text)\(|\.open\(\"rb\"\)|(?:pl\.(?:read|scan)_\w+|np\.load|load_file|safe_open|h5py\.File)\("
    r"(?!plain_path|plain_source|source,|str\(plain_path|io\.BytesIO)"
)  # `source` is what `plain_source` gave, or bytes


def test_every_reader_of_a_file_goes_through_the_one_opener() -> None:
    """One reader that opens by itself would hang on a pipe in its place."""
    found = []
    for path in SRC.rglob("*.py"):
        name = path.relative_to(SRC).as_posix()
        text = re.sub(r"\(\s+", "(", path.read_text())
        if name not in _OWN:
            found += [f"{name}: {match[0]}" for match in _READS.finditer(text)]
    assert [] == found


def test_a_name_that_is_a_pattern_to_polars_is_read_as_bytes(tmp_path: Path) -> None:
    """Rows would come from a file whose name the pattern fits, and whose digest nobody took."""
    (tmp_path / "t1.csv").write_text("a\n2\n")
    (tmp_path / "t[1].csv").write_text("a\n1\n")
    assert [1] == pl.read_csv(plain_source(tmp_path / "t[1].csv"))["a"].to_list()
    assert tmp_path / "t1.csv" == plain_source(tmp_path / "t1.csv")


@pytest.fixture(params=["pipe", "socket", "device", "folder"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is no plain file."""
    path = tmp_path / "other"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        here = Path.cwd()
        os.chdir(tmp_path)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("other")
        os.chdir(here)
    elif request.param == "device":
        return Path("/dev/zero")
    else:
        path.mkdir()
    return path


def test_what_is_no_plain_file_is_refused_at_once(other: Path) -> None:
    """A verifier would hang for ever, or read without end."""
    for read in (open_plain, read_plain, plain_path, sha256_file, read_json):
        with pytest.raises(InputError, match="stands where a plain file should be"):
            read(other)


def test_nothing_is_appended_to_a_pipe(tmp_path: Path) -> None:
    """A run would hang at its first line of progress."""
    os.mkfifo(tmp_path / "pipe")
    for opened in (append_plain, JsonLines):
        with pytest.raises(InputError, match="stands where a plain file should be"):
            opened(tmp_path / "pipe")


def test_a_link_will_do_only_where_links_may_be(tmp_path: Path) -> None:
    """A corpus may be a link; a file in somebody's package that is one may point anywhere."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    assert b"x" == read_plain(tmp_path / "link")
    with pytest.raises(InputError, match="a link stands"):
        read_plain(tmp_path / "link", links=False)
    with pytest.raises(InputError, match="a link stands"):
        plain_path(tmp_path / "link", links=False)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A sparse file of a few bytes on disk would fill the memory."""
    with (tmp_path / "sparse.json").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(InputError, match="bytes are more than this kind of file may have"):
        read_json(tmp_path / "sparse.json")


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b"[]", 1), (b'{"a": [1, {"b": []}]}', 4), (b"1", 0), (b'"[[[["', 0), (rb'["\"[[[", []]', 2),
        (b'["', 1), (b'["\\', 1), (b"[[[", 3), (b"]]]", 0), (b'{"[": "{"}', 1),
    ],
)  # fmt: skip
def test_depth_is_that_of_brackets_outside_of_text(text: bytes, depth: int) -> None:
    """A document whose texts hold brackets would be refused, or one that is deep let through."""
    assert depth == json_depth(text)


def test_depth_128_is_read_and_129_is_not() -> None:
    """The bound is one number, on every reader."""
    assert loads(b"[" * 128 + b"]" * 128, where="x")
    with pytest.raises(InputError, match="nested more than 128 levels deep"):
        loads(b"[" * 129 + b"]" * 129, where="x")


def test_a_number_of_hundreds_of_digits_is_refused() -> None:
    """It fits in no float, and would end as an overflow far from its file."""
    assert 10**299 == loads(b"1" + b"0" * 299, where="x")
    with pytest.raises(InputError, match="too many digits"):
        loads(b'{"a": 1' + b"0" * 300 + b"}", where="x")
