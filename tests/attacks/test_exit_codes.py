"""Exit code 1 is an answer: HOLD, KEEP, a finding that blocks. No fault, closed pipe or full disk exits with it."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from attack_kit import Answer, Desk, heldout, module_of, route, table_desk
from nightly import NIGHTLY, times

from heldout.cli import main as entry
from heldout.cli.main import build
from heldout.errors import ExitCode, worst

HELDOUT = [sys.executable, "-m", "heldout"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="devices of Linux")


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that does something, by its words."""
    for name, child in getattr(command, "commands", {}).items():
        if getattr(child, "commands", None) is None:
            yield (*path, name)
        else:
            yield from leaves(child, (*path, name))


@functools.cache
def commands() -> tuple[tuple[str, ...], ...]:
    return tuple(leaves(typer.main.get_command(build())))


class PanicException(BaseException):
    """No ``Exception``: ``except Exception`` lets it through."""


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


FAULTS: dict[str, tuple[BaseException, int]] = {
    "exception": (RuntimeError("planted ≥ \udcff"), 70),
    "panic": (PanicException("called `Result::unwrap()` on an `Err` value"), 70),
    "recursion": (RecursionError("maximum recursion depth exceeded"), 70),
    "leaves": (SystemExit(0), 70),
    "leaves-1": (SystemExit(1), 70),
    "unspeakable": (UnspeakableError(), 70),
    "memory": (MemoryError(), 2),
    "disk": (OSError(errno.EIO, os.strerror(errno.EIO)), 2),
    "interrupted": (KeyboardInterrupt(), 130),
}


@functools.cache
def tree(first: str) -> Any:
    """The command line of a command's first word, made once for all faults."""
    return typer.main.get_command(build([first]))


def plant(patch: pytest.MonkeyPatch, words: tuple[str, ...], fault: BaseException) -> None:
    """Let the body of a command raise, whatever it is called with."""
    command = leaf = tree(words[0])
    for word in words:
        leaf = leaf.commands[word]

    def body(**_: object) -> None:
        raise fault

    patch.setattr(leaf, "params", [])
    patch.setattr(leaf, "callback", body)
    patch.setattr(typer.main, "get_command", lambda _: command)


@pytest.mark.slow
@route(
    "exit codes",
    "disk",
    "a fault of ours, or a panic of a library, in any command: read as HOLD or as PROMOTE",
    "stopped",
)
@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_in_any_command_is_no_answer(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script would read a crash as HOLD, and `exit()` in somebody's module as PROMOTE."""
    fault, code = FAULTS[kind]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for words in commands():
        with monkeypatch.context() as patch:
            plant(patch, words, fault)
            answer = heldout(*words)
        assert (words, code) == (words, answer.code), answer
        assert "Traceback" not in answer.err
        assert answer.err, words
        if code == 70:
            named = re.search(r"the traceback is in (\S+?): please report it", answer.err)
            assert named, answer.err
            assert len(answer.err.splitlines()) == 1
            assert "Traceback" in Path(named[1]).read_text()
            assert f"heldout {' '.join(words)}" in Path(named[1]).read_text()
    assert len(commands()) > 70


def test_a_fault_is_told_where_no_file_can_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A full disk would turn one fault into another exit code."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    plant(monkeypatch, ("check",), RuntimeError("planted"))
    answer = heldout("check")
    assert 70 == answer.code
    assert "the traceback could not be written (" in answer.err


def test_a_fault_tells_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever reports a fault would publish the registry's password."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    plant(monkeypatch, ("registry", "list"), RuntimeError("at postgresql://u:s3cret@h/db and x://h/d?password=s3cret2"))
    answer = heldout("registry", "list", cwd=tmp_path)
    (kept,) = (tmp_path / "heldout" / "failures").iterdir()
    assert 70 == answer.code
    assert "s3cret" not in answer.err + kept.read_text()
    assert os.name == "nt" or 0o600 == kept.stat().st_mode & 0o777


@pytest.mark.parametrize(
    "code", ["raise RuntimeError('at import')", "import sys; sys.exit(0)", "import not_there_at_all"]
)
def test_a_plugin_that_cannot_be_imported_is_named(code: str, tmp_path: Path, desk: Desk) -> None:
    """`exit(0)` in a module of somebody else would be a PROMOTE."""
    from importlib.metadata import EntryPoint

    from heldout import plugins

    with module_of(tmp_path, "broken_plugin", code):
        point = EntryPoint("broken", "broken_plugin:Backbone", "heldout.backbones")
        with pytest.MonkeyPatch.context() as patch:
            real = plugins.entry_points
            patch.setattr(
                plugins, "entry_points", lambda group: [point] if group == "heldout.backbones" else real(group=group)
            )
            desk.write(backbone="broken")
            answer = desk.heldout("study", "show", "study.yaml")
    assert 2 == answer.code
    assert "the backbone 'broken' cannot be imported" in answer.err


def test_a_command_that_cannot_be_imported_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installation that is broken would exit like a HOLD, help included."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def broken(name: str) -> Any:
        raise ImportError(f"{name} is damaged")

    monkeypatch.setattr(entry, "import_module", broken)
    for words in (["run"], ["--help"], ["verify", "--help"], []):
        assert 70 == heldout(*words).code


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of Unix")
@pytest.mark.parametrize(
    ("words", "more", "told"),
    [
        (["--show-completion"], {}, ""),
        ([], {"_HELDOUT_COMPLETE": "complete_bash", "COMP_WORDS": "heldout regis", "COMP_CWORD": "1"}, "registry"),
    ],
)
def test_completion_of_words_is_no_fault(words: list[str], more: dict[str, str], told: str, tmp_path: Path) -> None:
    """Typer leaves the process by itself there, as a model that calls `exit` does."""
    program = "import sys; sys.argv[0] = 'heldout'; from heldout.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path, env={**os.environ, **more}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 2) if words else 0 == done.returncode  # 2 where there is no shell that Typer knows
    assert "internal error" not in done.stderr
    assert told in done.stdout


@route("exit codes", "careless user", "two things went wrong at once, and the milder code is taken", "stopped")
def test_of_several_codes_the_gravest_counts() -> None:
    """A TAMPERED run among others would be passed over."""
    order = [130, 70, 3, 2, 4, 5, 1, 0]
    for place, code in enumerate(order):
        assert code == worst(order[place:]) == worst(reversed(order[place:]))
    assert 0 == worst([])
    assert 70 == worst([0, 99])
    assert set(order) | {141} == {int(code) for code in ExitCode}


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk with a PROMOTE of groups that only Unicode can name, registered and promoted."""
    desk = table_desk(tmp_path_factory.mktemp("promoted"))
    path = desk.folder / "table.csv"
    path.write_text(path.read_text().replace("g0", "Zürich ≥ 東京").replace("g1", "łódź"), encoding="utf-8")
    assert 0 == desk.run().code
    desk.newest.rename(desk.folder / "run")
    desk.folder.joinpath("runs").rename(desk.folder / "moved")
    return desk


READERS: dict[str, list[str]] = {
    "judge": ["gate", "judge", "run"],
    "judge --json": ["gate", "run", "--json"],
    "verify": ["verify", "run"],
    "verify both": ["verify", "run", "run/PROMOTE.json"],
    "study show": ["study", "show", "study.yaml"],
    "study schema": ["study", "schema"],
    "check": ["check", "study.yaml"],
    "check --json": ["check", "study.yaml", "--json"],
    "gate plan": ["gate", "plan", "study.yaml"],
    "run --dry-run": ["run", "study.yaml", "--dry-run"],
    "zoo list": ["zoo", "list"],
    "backbone list": ["backbone", "list"],
    "backbone validate": ["backbone", "validate"],
    "help": ["--help"],
    "run --help": ["run", "--help"],
    "version": ["--version"],
}


def shell(desk: Desk, words: list[str], how: str = "", **environment: str) -> Answer:
    """A real process, by way of a shell that leads its streams; the code is that of heldout, not of the pipe."""
    line = " ".join(f"'{word}'" for word in [*HELDOUT, *words])
    tail = f"{{ {line} {how if '|' not in how else ''} ; echo $? > code.txt; }} {how if '|' in how else ''}"
    done = subprocess.run(
        ["sh", "-c", tail], cwd=desk.folder, capture_output=True, check=False, env={**os.environ, **environment}
    )
    code = int((desk.folder / "code.txt").read_text())
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    return Answer(code, done.stdout.decode(encoding), done.stderr.decode(encoding, "replace"))


# One process that is asked several things: its streams are led as the shell and the environment led them.
ASKED = """
import json, os, pathlib, sys
from heldout.cli.main import main
first, codes = (sys.stdout, sys.stderr), []
for number, words in enumerate(json.loads(sys.argv[1])):
    answer = os.open(f"answer{number}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(answer, 1)
    os.close(answer)
    (sys.stdout, sys.stderr), sys.argv = first, ["heldout", *words]
    try:
        main()
    except SystemExit as leaving:
        codes.append(leaving.code)
    sys.stdout.flush()
pathlib.Path("codes.json").write_text(json.dumps(codes))
"""


def asked(desk: Desk, names: tuple[str, ...], how: str = "", **environment: str) -> tuple[dict[str, Answer], str]:
    """What one real process answers to each of these, and what it wrote to standard error, or to where that led."""
    command = shlex.join([sys.executable, "-c", ASKED, json.dumps([READERS[name] for name in names])])
    done = subprocess.run(
        ["sh", "-c", f"{command} {how}"], cwd=desk.folder, capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert 0 == done.returncode, done.stderr
    codes = json.loads((desk.folder / "codes.json").read_text())
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    told = [(desk.folder / f"answer{number}").read_bytes().decode(encoding) for number in range(len(names))]
    return {name: Answer(code, out, "") for name, code, out in zip(names, codes, told, strict=True)}, done.stderr


# What the fast tests ask, all of them, and those that fit nothing in processes of their own; at night all.
ASKED_OF = {
    "one": ("judge",),
    "all": tuple(READERS),
    "quick": tuple(name for name in READERS if NIGHTLY or not name.startswith("check")),
}


@pytest.mark.slow
@route(
    "exit codes",
    "operator",
    "a terminal or a log of an old encoding, which cannot hold the symbols of a verdict",
    "stopped",
)
@pytest.mark.parametrize(
    ("which", "encoding"),
    [
        ("one", "ascii"),
        *[("all", encoding) for encoding in (("ascii", "utf-8", "cp1252", "latin-1") if NIGHTLY else ("ascii",))],
        ("quick", "cp1252"),
    ],
)
def test_no_encoding_changes_an_answer(promoted: Desk, which: str, encoding: str) -> None:
    """`heldout verify RUN > log` on Windows would be a HOLD."""
    names = ASKED_OF[which]
    answers, err = asked(promoted, names, PYTHONIOENCODING=encoding)
    assert (dict.fromkeys(names, 0), "") == ({name: answer.code for name, answer in answers.items()}, err)
    assert all(answer.out for answer in answers.values())
    for name, answer in answers.items():
        if "--json" in name or name.startswith(("study", "run --dry-run")):
            json.loads(answer.out)


@pytest.mark.slow
@linux
@route("exit codes", "operator", "standard error is closed or full, or there is no standard input", "stopped")
@pytest.mark.parametrize(
    ("which", "how", "encoding"),
    [
        ("one", "2>&-", "utf-8"),
        ("all", "2>&-", "ascii"),
        *[("quick", "2>&-", encoding) for encoding in (("utf-8", "cp1252") if NIGHTLY else ())],
        *[("quick", how, "utf-8") for how in ("2>/dev/full", "<&- 2>&-", *(("</dev/null",) if NIGHTLY else ()))],
    ],
)
def test_no_lost_error_stream_changes_an_answer(promoted: Desk, which: str, how: str, encoding: str) -> None:
    """`heldout gate RUN 2>&- && deploy` would never deploy."""
    names = ASKED_OF[which]
    answers, err = asked(promoted, names, how, PYTHONIOENCODING=encoding)
    assert (dict.fromkeys(names, 0), "") == ({name: answer.code for name, answer in answers.items()}, err)
    assert all(answer.out for answer in answers.values())


HOWS = {
    "| head -1": {0, 141},
    "| true": {0, 141},
    ">&-": {141},
    "2>&-": {0},
    "2>/dev/full": {0},
    ">/dev/full": {2},
    "2>&- >/dev/full": {2},
}
# A process each: a stream that failed once has failed. Two readers meet all of them in CI; at night all do.
ENDS = ("| head -1", "| true", ">&-", ">/dev/full", "2>&- >/dev/full")
ALWAYS, FEW_ENDS = ("judge", "verify"), (">/dev/full",)


@pytest.mark.slow
@linux
@route("exit codes", "operator", "a closed or full standard output: `| head`, a log on a full disk", "stopped")
@pytest.mark.parametrize(
    ("name", "how", "encoding"),
    [
        (name, how, encoding)
        for name in READERS
        for all_of_them in [NIGHTLY or name in ALWAYS]
        for how in (ENDS if all_of_them else FEW_ENDS)
        for encoding in (("utf-8", "ascii", "cp1252") if all_of_them and how == "| head -1" else ("utf-8",))
    ],
)
def test_no_closed_or_full_stream_is_a_hold(promoted: Desk, name: str, how: str, encoding: str) -> None:
    """`heldout verify RUN | head -1` would be a HOLD."""
    answer = shell(promoted, READERS[name], how, PYTHONIOENCODING=encoding)
    assert answer.code in HOWS[how], answer
    assert "Traceback" not in answer.err
    assert "Exception" not in answer.err
    if how == ">/dev/full":
        assert "standard output cannot be written: No space left on device" in answer.err


@linux
@pytest.mark.parametrize("how", ["| true", ">/dev/full", *(["2>&-", "2>/dev/full"] if NIGHTLY else [])])
@pytest.mark.slow
def test_a_run_keeps_its_verdict_whoever_reads(tmp_path: Path, how: str) -> None:
    """A night of training would end in nothing for want of a reader."""
    desk = table_desk(tmp_path)
    answer = shell(desk, ["run", "study.yaml", "--workers", "1"], how)
    assert answer.code in HOWS[how], answer
    assert "PROMOTE" == desk.verdict["verdict"]


@pytest.mark.slow
def test_a_pipe_that_closes_early_is_141_for_long_output(promoted: Desk) -> None:
    """Typer turns a closed pipe into exit code 1, rich into another 1, and Python's last flush into 120."""
    process = subprocess.Popen([*HELDOUT, "study", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert b"" == process.stderr.read()
    process.stderr.close()
    assert 141 == process.wait()


@pytest.mark.parametrize("command", ["promote", "rollback"])
@route("exit codes", "careless user", "the name of a slot or a version is no UTF-8 text", "stopped")
def test_a_name_that_is_no_text_is_bad_input(command: str, tmp_path: Path) -> None:
    """A fault of ours would be reported for a name that a terminal of an old encoding made."""
    more = ("--reason", "r") if command == "rollback" else ("--slot", "s")
    heldout("registry", "add", tmp_path, cwd=tmp_path)  # refused, but there is a registry now
    assert (tmp_path / "registry" / "registry.sqlite").exists()
    found = heldout("registry", command, "b\udcff", *more, cwd=tmp_path)
    assert 2 == found.code
    assert "an argument is not UTF-8 text" in found.err


@pytest.mark.skipif(sys.platform != "linux", reason="file names of bytes")
def test_a_file_name_that_is_no_text_is_told_in_escapes(tmp_path: Path) -> None:
    """The message about a file would fail for the file's name."""
    name = os.fsdecode(b"st\xff\xe9udy.yaml")
    done = subprocess.run([*HELDOUT, "run", name], cwd=tmp_path, capture_output=True, check=False)
    assert 2 == done.returncode
    assert b"\\udcff" in done.stderr
    assert b"Traceback" not in done.stderr


# --- units, and what the machine refuses -----------------------------------------------------------------------------

ESTIMATOR = """
import errno, os, sys
from sklearn.linear_model import LinearRegression, LogisticRegression
class Failing(LinearRegression):
    def fit(self, X, y):
        if os.environ.get("PLANTED"):
            {fault}
        return super().fit(X, y)
"""
UNIT_FAULTS = {
    "raises": ("raise ArithmeticError('no answer ≥')", 5),
    "leaves": ("sys.exit(0)", 5),
    "no memory": ("raise MemoryError", 2),
    "no room": ("raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))", 2),
    "no handles": ("raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))", 2),
    "no room, wrapped": ("raise RuntimeError('cannot cache') from OSError(errno.ENOSPC, 'full')", 2),
    "no room, of Rust": ("raise ValueError('I/O error: No space left on device (os error 28)')", 2),
    "no room for torch": ('raise RuntimeError("DefaultCPUAllocator: can\'t allocate memory")', 2),
    "killed": ("import signal; os.kill(os.getpid(), signal.SIGKILL)", 2),
    "crashes": ("import signal; os.kill(os.getpid(), signal.SIGSEGV)", 5),
}


@pytest.mark.slow
@route(
    "machine faults",
    "disk",
    "a fit that fails for want of memory, room or handles: recorded as the variant's fault",
    "stopped",
)
@route("exit codes", "careless user", "a fit that raises, leaves or crashes: a HOLD that nobody judged", "stopped")
@pytest.mark.parametrize(
    ("kind", "workers"),
    [
        (kind, workers)
        for kind in UNIT_FAULTS
        for workers in (1, 2)
        # One that is killed or crashes would end this process; how the others come home from a worker is all the same.
        if (workers == 2 and (NIGHTLY or kind == "raises")) or (workers == 1) != (kind in ("killed", "crashes"))
    ],
)
def test_a_unit_that_fails_leaves_no_verdict_and_no_look(
    kind: str, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk would be a HOLD of the variant, and its look would be counted."""
    fault, code = UNIT_FAULTS[kind]
    desk = table_desk(tmp_path)
    desk.write(fit={"estimator": "failing_unit.Failing"})
    with module_of(tmp_path, "failing_unit", ESTIMATOR.format(fault=fault)):
        monkeypatch.setenv("PLANTED", "1")
        failed = desk.heldout("run", "study.yaml", "--workers", workers)
        assert code == failed.code, failed
        assert "Traceback" not in failed.err
        assert not [*desk.of_study.glob("*/PROMOTE.json"), *desk.of_study.glob("*/HOLD.json")]
        ledger = desk.of_study / "trials.jsonl"
        assert not ledger.exists() or not ledger.read_text()
        logs = [*desk.of_study.glob("*/failures/base/seed0/*.log")]
        if code == 5 and kind != "crashes":
            assert 5 == len(logs)
            words = "SystemExit: 0" if kind == "leaves" else "failing_unit"
            assert all("Traceback" in log.read_text() and words in log.read_text() for log in logs)
            assert "failures/base/seed0/" in failed.err
        monkeypatch.delenv("PLANTED")
        done = desk.heldout("run", "study.yaml", "--workers", workers)
    assert 0 == done.code, done
    assert 1 == desk.verdict["trial"]["attempt"] == desk.verdict["trial"]["looks"]
    assert not [*desk.of_study.glob("*/failures")]


@pytest.mark.slow
@route("machine faults", "disk", "the disk is full at the n-th write of a run, for each n", "stopped")
def test_a_disk_that_is_full_at_any_moment_leaves_no_verdict_and_no_second_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P5: a full disk would end in half a verdict, in a HOLD, or in a look too many."""
    from heldout.evidence import files

    real = files._flush
    counted, at = 0, 0

    def flush(path: Path) -> None:
        nonlocal counted
        counted += 1
        if 0 < at <= counted:  # and stays full until room is made
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path)

    monkeypatch.setattr(files, "_flush", flush)
    for number in range(1, 200, times(3, 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        desk, counted, at = table_desk(folder), 0, number
        answer = desk.run()
        if counted < number:
            assert 0 == answer.code
            assert number > 20
            return
        there = [*desk.of_study.glob("*/PROMOTE.json"), *desk.of_study.glob("*/HOLD.json")]
        assert 2 == answer.code, (number, answer)
        assert "No space left on device" in answer.err
        at = 0
        assert 0 == desk.run().code, number
        assert 1 == desk.verdict["trial"]["looks"], (number, there)
    pytest.fail("a run has no end")


QUOTA = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
sys.argv = ["heldout", "run", "study.yaml", "--workers", "1"]
from heldout.cli.main import main
main()
"""


@pytest.mark.slow
@linux
@route("machine faults", "disk", "a quota that is reached in the middle of a run", "stopped")
def test_a_quota_is_no_hold(tmp_path: Path) -> None:
    """A tmpfs of 64 KB, or a quota, would be a HOLD with a counted look."""
    desk = table_desk(tmp_path)
    done = subprocess.run([sys.executable, "-c", QUOTA], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 2 == done.returncode, done.stderr
    assert "File too large" in done.stderr
    assert "fix:" in done.stderr
    assert not [*desk.of_study.glob("*/PROMOTE.json"), *desk.of_study.glob("*/HOLD.json")]
    assert 0 == desk.run().code
    assert 1 == desk.verdict["trial"]["looks"]


@linux
@pytest.mark.slow
@route(
    "machine faults",
    "sender of a bundle",
    "a small Parquet file whose millions of rows do not fit into memory",
    "stopped",
)
def test_a_table_without_room_in_memory_is_refused(tmp_path: Path) -> None:
    """A panic of Rust would end the process: exit code 1 or 134, and no word of what to do."""
    import polars as pl

    rows = 20_000_000
    zeros = pl.zeros(rows, eager=True)
    frame = pl.DataFrame({"site": pl.Series(["a"]).extend_constant("a", rows - 1), "a": zeros, "b": zeros, "y": zeros})
    desk = table_desk(tmp_path)
    frame.write_parquet(tmp_path / "big.parquet", compression="zstd")
    assert (tmp_path / "big.parquet").stat().st_size < 300_000
    desk.write(corpus=desk.study["corpus"] | {"path": "big.parquet"})
    line = "ulimit -v 2000000; exec " + " ".join(f"'{word}'" for word in [*HELDOUT, "check", "study.yaml"])
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 2 == done.returncode, done.stderr
    assert "out of memory: 20,000,000 rows" in done.stderr


@linux
def test_a_machine_without_handles_says_nothing_about_evidence(promoted: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run would be TAMPERED for want of file handles."""
    from heldout.evidence import files

    def refuse(*_: object, **__: object) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(files.hashlib, "file_digest", refuse)
    answer = promoted.heldout("verify", "run")
    assert 2 == answer.code, answer
    assert "Too many open files" in answer.err


# --- signals ---------------------------------------------------------------------------------------------------------

SLOW = """
import time
from sklearn.linear_model import LinearRegression
class Slow(LinearRegression):
    def fit(self, X, y):
        time.sleep(600)
        return super().fit(X, y)
"""


def interrupted(desk: Desk, number: int, *before: str) -> tuple[int | None, str]:
    desk.write(fit={"estimator": "slow_unit.Slow"})
    with module_of(desk.folder, "slow_unit", SLOW):
        process = subprocess.Popen(
            [*before, *HELDOUT, "run", "study.yaml", "--workers", "1"],
            cwd=desk.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # as it is where no nohup stands above
        )  # fmt: skip
        try:
            for _ in range(1200):
                if [*desk.runs.rglob("progress.jsonl")] or process.poll() is not None:
                    break
                time.sleep(0.05)
            time.sleep(2)  # and the estimator, which cannot write here, is at work
            os.killpg(process.pid, number)
            _, told = process.communicate(timeout=3 if before else 60)
            return process.returncode, told
        except subprocess.TimeoutExpired:
            return None, ""
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@linux
@route(
    "exit codes",
    "operator",
    "the terminal is lost (SIGHUP) or the job is ended (SIGTERM) in the middle of a run",
    "stopped",
)
@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_whoever_ends_a_run_is_told_how_it_goes_on(tmp_path: Path, name: str) -> None:
    """A lost terminal would end a night of training without a word, in the shell's own code."""
    code, told = interrupted(table_desk(tmp_path), getattr(signal, name))
    assert 130 == code, told
    assert "Go on with:\n  heldout run study.yaml" in told
    assert "Traceback" not in told


@linux
@pytest.mark.slow
def test_under_nohup_a_lost_terminal_ends_nothing(tmp_path: Path) -> None:
    """`nohup heldout run` would end with its terminal."""
    assert (None, "") == interrupted(table_desk(tmp_path), signal.SIGHUP, "nohup")


# --- addresses -------------------------------------------------------------------------------------------------------


@route(
    "exit codes", "careless user", "a registry's address that is none: a traceback with the password in it", "stopped"
)
@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:s3cret@h:notaport/db",
        "postgresql://u:s3cret@/db?port=notaport",
        "postgresql://u@127.0.0.1:1/db?password=s3cret",
        "mysql://u:s3cret@h/db",
        "postgresql://[u:s3cret@h/db",
    ],
)
@pytest.mark.parametrize("words", [["list"], ["show", "v"], ["history"], ["verify"]], ids=" ".join)
def test_an_address_that_is_none_is_bad_input_and_tells_no_password(
    address: str, words: list[str], tmp_path: Path
) -> None:
    """The password would stand in the log of the job."""
    pytest.importorskip("psycopg")
    answer = heldout("registry", *words, "--registry", address, cwd=tmp_path)
    assert 2 == answer.code, answer
    assert "s3cret" not in answer.out + answer.err
    assert "fix:" in answer.err


# --- the page --------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "exit-codes.md"


def test_the_page_names_every_command_and_every_code() -> None:
    """Whoever writes a pipeline would have to read the source."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `heldout ")]
    named = {row.split("`")[1].removeprefix("heldout ") for row in rows}
    assert {" ".join(words) for words in commands()} == named
    for code in ExitCode:
        assert re.search(rf"^\| {int(code)} \|", PAGE.read_text(), re.MULTILINE), code


def test_help_names_no_code_that_the_page_lacks() -> None:
    """Help and page would contradict each other."""
    page = {
        row.split("`")[1].removeprefix("heldout "): row for row in PAGE.read_text().splitlines() if "`heldout " in row
    }
    command: Any = typer.main.get_command(build())
    for words in commands():
        leaf = command
        for word in words:
            leaf = leaf.commands[word]
        said = re.findall(r"(?i)exits? (?:code |with )?(\d+)", leaf.help or "")
        for code in said:
            assert code == "0" or f"{code}:" in page[" ".join(words)], (words, code)
