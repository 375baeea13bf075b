"""``heldout registry`` as people and scripts call it: words, documents, exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from registry_kit import Runs, copied, runs  # noqa: F401

from heldout.cli.main import main
from heldout.evidence import read_json, write_json


class Shell:
    """The program's entry point in a folder of its own, in this process: importing it anew each time takes seconds."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capture = patch, capture

    def __call__(self, *words: object) -> Done:
        self._patch.setattr(sys, "argv", ["heldout", "registry", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        return Done(left.value.code, *self._capture.readouterr())

    def document(self, *words: object) -> dict[str, object]:
        done = self(*words, "--json")
        assert 0 == done.code, done.err
        found = json.loads(done.out)
        assert isinstance(found, dict)
        assert str(found["schema"]).startswith("heldout.")
        return found


class Done(NamedTuple):
    code: object
    out: str
    err: str


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    """A shell in the test's own folder."""
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    yield Shell(monkeypatch, capsys)
    signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_the_whole_way_on_the_command_line(copied: Runs, shell: Shell) -> None:  # noqa: F811
    """Someone who follows the docs would not get from two runs to a champion and back."""
    first = shell.document("add", copied("base"))["id"]
    second = shell.document("add", copied("alpha2"), "--challenger", "--by", "ann")["id"]
    hold = shell.document("add", copied("constant"))["id"]
    assert "promoted" == shell.document("promote", first, "--expect", "none")["kind"]
    assert 4 == shell("promote", second, "--expect", "none").code
    refused = shell("promote", hold)
    assert 3 == refused.code
    assert "HOLD" in refused.err
    assert "fix:" in refused.err
    shell.document("promote", second, "--reason", "better")
    assert "rolled-back" == shell.document("rollback", "demo", "--reason", "worse")["kind"]
    assert 0 == shell("retire", hold, "--reason", "lost").code
    shown = shell("list").out
    assert [True, True, True] == [word in shown for word in ("serves demo", "challenger", "retired")]
    told = shell("history", "--slot", "demo").out.splitlines()
    assert 3 == len(told)
    assert "better" in told[1]
    assert second == json.loads(shell("show", second).out)["id"]
    assert 0 == shell("export", "registry.json").code
    taken = shell("import", "registry.json", "--registry", "other")
    assert "8 events" in taken.out
    head = shell.document("verify")["head"]
    assert head == shell.document("verify", "--anchor", head, "--registry", "other")["head"]


def test_verify_says_by_its_exit_code_what_it_found(copied: Runs, shell: Shell, tmp_path: Path) -> None:  # noqa: F811
    """A nightly job would not notice a tampered registry, or a server left behind."""
    assert 2 == shell("verify").code
    version = shell.document("add", copied("base"))["id"]
    shell.document("promote", version)
    pointer = tmp_path / "registry" / "slots" / "demo" / "champion.json"
    pointer.unlink()
    lagging = shell("verify")
    assert (4, True) == (lagging.code, "LAGGING" in lagging.out)
    assert 0 == shell("verify", "--repair").code
    write_json(pointer, read_json(pointer) | {"run": "../elsewhere"})
    assert 3 == shell("verify").code
    assert 2 == shell("verify", "--files", "some").code


@pytest.mark.parametrize("words", [["--help"], ["registry", "--help"]])
def test_help_does_not_load_the_database(words: list[str], tmp_path: Path) -> None:
    """`heldout --help` would take a second for what it does not need."""
    program = (
        "import sys; from heldout.cli.main import app\n"
        f"try: app({words!r})\n"
        "except SystemExit: pass\n"
        "print([name for name in ('sqlalchemy', 'polars', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert "[]" == done.stdout.splitlines()[-1]


def test_a_version_goes_by_the_name_of_its_run(copied: Runs, shell: Shell) -> None:  # noqa: F811
    """Someone who registers RUN and promotes RUN, as the README does, would be told that there is no such version."""
    run = copied("base")
    added = shell.document("add", run)["id"]
    assert added != run.name
    assert added == json.loads(shell("show", run).out)["id"] == json.loads(shell("show", run.name).out)["id"]
    assert added == shell.document("promote", run.name)["version"]
    assert "there is no version 'base'" in shell("show", "base").err


def test_the_shared_options_stand_in_the_help_of_every_command(shell: Shell) -> None:
    """A command that lost one would act on the wrong registry, or under no name."""
    for name in ("add", "promote", "rollback"):
        told = shell(name, "--help").out
        assert [] == [word for word in ("--registry", "--serving", "--by", "--reason", "--json") if word not in told]
    assert "desk" not in shell("promote", "--help").out.lower()
    assert "--freeze" in shell("promote", "--help").out
