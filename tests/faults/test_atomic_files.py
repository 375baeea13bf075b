"""Kills, full disks and torn tails: the old file or the new one, never a mix, and no litter."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from heldout.errors import InputError
from heldout.evidence import JsonLines, canonical, loads, read_json, read_json_lines, write_json

OLD = {"schema": "x/1", "generation": 0, "padding": "o" * 5000}
NEW = {"schema": "x/1", "generation": 1, "padding": "n" * 9000}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_tail_torn_at_any_byte_costs_one_record(tmp_path: Path) -> None:
    """A power cut in mid-append would make a whole run unreadable, or glue two records together."""
    records: list[dict[str, Any]] = [
        {"n": 1},
        {"n": 2, "text": "ö\U0001f3ac"},
        {"n": 3, "x": [1.5, None], "s": "a\\nb"},
    ]
    lines = [canonical(record) + b"\n" for record in records]
    whole, path = b"".join(lines), tmp_path / "s.jsonl"
    for cut in range(len(whole) - len(lines[-1]), len(whole) + 1):
        path.write_bytes(whole[:cut])
        expected = records if cut == len(whole) else records[:-1]
        assert read_json_lines(path) == expected
        with JsonLines(path) as stream:
            stream.append({"n": 4})
        assert read_json_lines(path) == [*expected, {"n": 4}]


def test_a_tail_of_nuls_costs_one_record(tmp_path: Path) -> None:
    """Some file systems give a file its length before its bytes."""
    path = tmp_path / "s.jsonl"
    for length in (1, 7, 4096):
        path.write_bytes(b'{"n":1}\n' + b"\x00" * length)
        assert read_json_lines(path) == [{"n": 1}]
        with JsonLines(path) as stream:
            stream.append({"n": 2})
        assert path.read_bytes() == b'{"n":1}\n{"n":2}\n'


ATOMIC = "from heldout.evidence import write_json as write"
NAIVE = "import json\ndef write(path, value):\n    with path.open('w') as f: json.dump(value, f)"
LOOP = """
import sys, itertools
from pathlib import Path
{writer}
path = Path(sys.argv[1])
print("ready", flush=True)
for generation in itertools.count(1):
    write(path, {{"generation": generation, "numbers": [generation] * 40_000}})
"""


def killed_writer(path: Path, writer: str, rounds: int, chance: random.Random) -> list[str]:
    """Kill a process that rewrites a document, again and again; return what was wrong with the document."""
    damage = []
    for _ in range(rounds):
        script = LOOP.format(writer=writer)
        process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.uniform(0.02, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        try:
            value = loads(path.read_bytes(), where=str(path))
        except InputError as error:
            damage.append(str(error))
            continue
        if set(value["numbers"]) != {value["generation"]} or len(value["numbers"]) != 40_000:
            damage.append("a mix of two generations")
    return damage


@pytest.mark.slow
def test_a_killed_writer_leaves_the_old_document_or_the_new_one(tmp_path: Path) -> None:
    """A kill at the wrong moment would destroy the evidence of hours."""
    path = tmp_path / "doc.json"
    write_json(path, {"generation": 0, "numbers": [0] * 40_000})
    assert killed_writer(path, ATOMIC, 20, random.Random(3)) == []
    write_json(path, {})
    assert names_in(tmp_path) == ["doc.json"], "the next writer sweeps what the killed ones left"


@pytest.mark.slow
def test_the_kill_test_can_fail(tmp_path: Path) -> None:
    """The test above would pass for any writer, so that it proved nothing."""
    path = tmp_path / "doc.json"
    path.write_text(json.dumps({"generation": 0, "numbers": [0] * 40_000}))
    assert killed_writer(path, NAIVE, 20, random.Random(3)) != []


class FailingCalls:
    """Counts calls that touch the disk and lets the nth fail."""

    def __init__(self, nth: int, error: int) -> None:
        self.counter, self.nth, self.error, self.failed = itertools.count(1), nth, error, False

    def wrap(self, original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(self.counter) == self.nth:
                self.failed = True
                raise OSError(self.error, os.strerror(self.error))
            return original(*args, **kwargs)

        return call

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for holder, name in ((os, "fsync"), (os, "open"), (Path, "open"), (Path, "replace"), (Path, "mkdir")):
            patch.setattr(holder, name, self.wrap(getattr(holder, name)))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_whichever_call_fails_the_document_is_whole_and_the_message_one(tmp_path: Path, error: int) -> None:
    """One unlucky call among many would leave half a file, a stray, or a traceback."""
    path, failures = tmp_path / "doc.json", 0
    for nth in itertools.count(1):
        write_json(path, OLD)
        calls = FailingCalls(nth, error)
        expected, caught = NEW, None
        with pytest.MonkeyPatch.context() as patch:
            calls.install(patch)
            try:
                write_json(path, NEW)
            except InputError as failure:
                caught = failure
        if caught is not None:
            failures += 1
            assert os.strerror(error) in caught.what
            assert caught.where == str(path)
            expected = OLD if "unchanged" in str(caught.hint) else NEW
        assert read_json(path) == expected
        assert names_in(tmp_path) == ["doc.json"]
        if not calls.failed:
            break
    assert failures >= 5


@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_flush_folders_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Nothing could be written to some network drives."""
    original = os.fsync

    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112 - a magic link, not a path
            raise OSError(error, os.strerror(error))
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "doc.json", NEW)
    assert read_json(tmp_path / "doc.json") == NEW


def test_a_failed_append_leaves_no_part_of_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that was reported as lost would appear later, or half of it for ever."""
    path = tmp_path / "s.jsonl"
    with JsonLines(path, durable=True) as stream:
        stream.append({"n": 1})
        monkeypatch.setattr(os, "fsync", FailingCalls(1, errno.ENOSPC).wrap(os.fsync))
        with pytest.raises(InputError, match="No space left"):
            stream.append({"n": 2})
        assert read_json_lines(path) == [{"n": 1}]
        stream.append({"n": 3})
    assert path.read_bytes() == b'{"n":1}\n{"n":3}\n'


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_in_place_of_a_stream_is_one_clear_message(tmp_path: Path) -> None:
    """Records would go where nobody reads them, or end in a traceback."""
    (tmp_path / "s.jsonl").symlink_to("/dev/full")
    with pytest.raises(InputError, match="a device stands where a plain file should be"):
        JsonLines(tmp_path / "s.jsonl").append({"n": 1})


QUOTA = """
import resource, signal, sys
from pathlib import Path
from heldout.errors import InputError
from heldout.evidence import JsonLines, read_json, read_json_lines, write_json
folder = Path(sys.argv[1])
write_json(folder / "doc.json", {"generation": 0})
stream = JsonLines(folder / "s.jsonl")
for n in range(3):
    stream.append({"n": n})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
messages = []
big = {"padding": "x" * 100_000}
for write in (lambda: write_json(folder / "doc.json", big), lambda: stream.append(big)):
    try:
        write()
    except InputError as error:
        messages.append(str(error))
stream.append({"n": 3})
assert read_json(folder / "doc.json") == {"generation": 0}
assert [record["n"] for record in read_json_lines(folder / "s.jsonl")] == [0, 1, 2, 3]
assert len(messages) == 2 and all("File too large" in message and "fix:" in message for message in messages), messages
print("intact")
"""


def test_a_quota_leaves_the_old_state_and_no_stray(tmp_path: Path) -> None:
    """A disk that fills up in mid-write would leave a short document under its final name."""
    assert resource.RLIM_INFINITY in resource.getrlimit(resource.RLIMIT_FSIZE)
    done = subprocess.run([sys.executable, "-c", QUOTA, str(tmp_path)], text=True, capture_output=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("intact", "")
    assert names_in(tmp_path) == ["doc.json", "s.jsonl"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The message would be about a temporary name that nobody knows."""
    if os.geteuid() == 0:
        folder = Path("/proc/self")  # even root cannot make a file there
    else:
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot write the file") as caught:
        write_json(folder / "doc.json", {})
    assert caught.value.where == str(folder / "doc.json")
