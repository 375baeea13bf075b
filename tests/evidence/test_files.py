"""Documents and streams on an undisturbed disk; what a kill or a full disk does is in tests/faults."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heldout.errors import InputError
from heldout.evidence import (
    JsonLines,
    atomic_path,
    canonical,
    read_json,
    read_json_lines,
    sha256_bytes,
    sha256_file,
    write_bytes,
    write_json,
    write_text,
)
from heldout.evidence.files import repair_tail

RECORDS = st.lists(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
        st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        max_size=4,
    ),
    max_size=6,
)


def strays(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_digests_are_of_the_bytes(tmp_path: Path) -> None:
    """Nobody could check a digest of ours with sha256sum."""
    data = os.urandom(3_000_001)
    (tmp_path / "f").write_bytes(data)
    assert sha256_file(tmp_path / "f") == sha256_bytes(data) == hashlib.sha256(data).hexdigest()


def test_documents_are_written_into_folders_that_are_made(tmp_path: Path) -> None:
    """A run would fail at its first file."""
    write_json(tmp_path / "a" / "b" / "c.json", {"x": 1})
    write_text(tmp_path / "a" / "t.md", "ö\n")
    write_bytes(tmp_path / "a" / "e.bin", b"")
    assert read_json(tmp_path / "a" / "b" / "c.json") == {"x": 1}
    assert (tmp_path / "a" / "t.md").read_bytes() == b"\xc3\xb6\n"
    assert (tmp_path / "a" / "e.bin").read_bytes() == b""
    assert strays(tmp_path / "a") == []


def test_a_value_that_is_no_json_leaves_the_old_document(tmp_path: Path) -> None:
    """A NaN in a metric would destroy the metrics of the last run."""
    path = tmp_path / "metrics.json"
    write_json(path, {"plcc": 0.9})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"plcc": float("nan")})
    assert (read_json(path), strays(tmp_path)) == ({"plcc": 0.9}, [])


def test_an_error_inside_the_writer_leaves_the_old_file(tmp_path: Path) -> None:
    """Half a model would replace a whole one."""
    path = tmp_path / "model.bin"
    write_bytes(path, b"whole")

    def half(error: BaseException) -> None:
        with atomic_path(path) as partial:
            partial.write_bytes(b"ha")
            raise error

    for error in (RuntimeError("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            half(error)
    assert (path.read_bytes(), strays(tmp_path)) == (b"whole", [])


def test_a_writer_that_writes_nothing_is_told(tmp_path: Path) -> None:
    """A model that was never saved would count as saved."""
    with pytest.raises(InputError, match="cannot write the file"), atomic_path(tmp_path / "model.bin"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    """The message would be a traceback about a temporary name."""
    (tmp_path / "verdict.json").mkdir()
    with pytest.raises(InputError, match="cannot write the file") as caught:
        write_json(tmp_path / "verdict.json", {})
    assert caught.value.where == str(tmp_path / "verdict.json")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write the file"):
        write_json(tmp_path / "file" / "below.json", {})
    with pytest.raises(InputError, match="cannot write the file"):
        JsonLines(tmp_path / "file" / "below.jsonl")
    assert strays(tmp_path) == []


def test_strays_of_dead_writers_are_swept_and_those_of_the_living_stay(tmp_path: Path) -> None:
    """A killed run would leave litter for ever, or two live runs would tear each other's files."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    living = f".m[1].json.{os.getppid()}.partial"
    others = [".m1.json.1.partial", ".m[1].json.x.partial", f".n.json.{dead.pid}.partial"]
    for name in (f".m[1].json.{dead.pid}.partial", f".m[1].json.{10**30}.partial", living, *others):
        (tmp_path / name).write_text("half")
    write_json(tmp_path / "m[1].json", {})
    assert strays(tmp_path) == sorted([living, *others])


def test_a_stream_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Progress and predictions would change between writer and reader."""
    path = tmp_path / "deep" / "progress.jsonl"
    records: list[dict[str, Any]] = [{"event": "plan"}, {"text": "a\nb\u2028c\rd\x85e"}, {"x": 0.1}]
    for durable in (False, True):
        with JsonLines(path, durable=durable) as stream:
            for record in records:
                stream.append(record)
    assert read_json_lines(path) == records * 2
    assert read_json_lines(tmp_path / "none.jsonl") == []


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(RECORDS, RECORDS)
def test_any_records_survive_two_writers_in_turn(
    tmp_path_factory: pytest.TempPathFactory, first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    """Some odd text would split a record in two."""
    path = tmp_path_factory.mktemp("stream") / "s.jsonl"
    for part in (first, second):
        with JsonLines(path) as stream:
            for record in part:
                stream.append(record)
    assert read_json_lines(path) == first + second


def test_records_are_seen_before_the_stream_is_closed(tmp_path: Path) -> None:
    """A progress display would stand still, and a kill would lose records that were reported as done."""
    stream = JsonLines(tmp_path / "s.jsonl")
    stream.append({"a": 1})
    assert read_json_lines(tmp_path / "s.jsonl") == [{"a": 1}]
    stream.close()


def test_a_stream_with_windows_line_ends_is_read(tmp_path: Path) -> None:
    """A file that was copied through another system would be refused."""
    (tmp_path / "s.jsonl").write_bytes(b'{"a":1}\r\n{"a":2}\r\n')
    assert read_json_lines(tmp_path / "s.jsonl") == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a":', "not JSON"),
        (b"[1]", "not an object"),
        (b"", "not JSON"),
        (b"\x00\x00", "not JSON"),
        (b'{"a":1}\r{"a":2}', "not JSON"),
        (b'\xef\xbb\xbf{"a":1}', "byte-order mark"),
        (b'{"a":NaN}', "NaN"),
    ],
)
def test_damage_in_the_middle_is_an_error_with_its_line(tmp_path: Path, line: bytes, message: str) -> None:
    """A record that was lost in the middle would be passed over in silence."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(b'{"n":1}\n' + line + b'\n{"n":3}\n')
    with pytest.raises(InputError, match=message) as caught:
        read_json_lines(path)
    assert str(caught.value.where).startswith(f"{path}:2")


def test_the_tail_is_found_behind_a_megabyte(tmp_path: Path) -> None:
    """A torn record longer than one read would be cut in the wrong place."""
    path = tmp_path / "s.jsonl"
    whole = canonical({"a": 1}) + b"\n"
    for torn in (b"x" * (3 << 20), b"x" * (1 << 20), b"x" * ((1 << 20) - 1), b"\x00" * 4096):
        path.write_bytes(whole + torn)
        assert repair_tail(path) == len(torn)
        assert path.read_bytes() == whole
    path.write_bytes(b"y" * (2 << 20))
    assert (repair_tail(path), path.read_bytes()) == (2 << 20, b"")
    assert repair_tail(path) == 0
