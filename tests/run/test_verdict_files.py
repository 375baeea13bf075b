"""One verdict a folder, wherever the writer is killed: no PROMOTE outlives a newer HOLD."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from heldout.errors import InputError, RefusedError, TamperedError
from heldout.evidence import dumps
from heldout.gate.verdict_files import read_verdict
from heldout.run.verdict import remove_verdicts, write_verdict

OLD, NEW = 1, 2
BEFORE = {"none": (), "promote": ("PROMOTE",), "hold": ("HOLD",), "both": ("PROMOTE", "HOLD")}


def verdict(name: str, age: int = NEW) -> dict[str, Any]:
    return {"schema": "heldout.verdict/1", "verdict": name, "age": age, "padding": "x" * 4096, "trial": {"attempt": 1}}


def old_state(folder: Path, names: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.json").write_bytes(dumps(verdict(name, OLD)))


def seen(folder: Path) -> str:
    """What a reader of the folder concludes."""
    try:
        found = read_verdict(folder)
    except RefusedError:
        return "HOLD by refusal"
    return "nothing" if found is None else f"{found['verdict']} {'old' if found['age'] == OLD else 'new'}"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("name", ["PROMOTE", "HOLD"])
def test_after_a_write_there_is_one_verdict_and_no_stray(tmp_path: Path, before: str, name: str) -> None:
    """A folder would say PROMOTE and HOLD at once."""
    old_state(tmp_path, BEFORE[before])
    assert write_verdict(tmp_path, verdict(name)) == tmp_path / f"{name}.json"
    assert names_in(tmp_path) == [f"{name}.json"]
    assert read_verdict(tmp_path) == verdict(name)


def test_a_promote_that_no_ledger_counts_is_not_written(tmp_path: Path) -> None:
    """A judge that forgets to count its looks could be asked until one of them passes."""
    uncounted = {"schema": "heldout.verdict/1", "verdict": "PROMOTE", "evidence": "predicted"}
    for given in (uncounted, uncounted | {"trial": None}):
        with pytest.raises(InputError, match="no trial ledger counts"):
            write_verdict(tmp_path, given)
    assert [] == names_in(tmp_path)
    write_verdict(tmp_path, uncounted | {"verdict": "HOLD"})
    write_verdict(tmp_path, uncounted | {"evidence": "reported"})
    assert ["PROMOTE.json"] == names_in(tmp_path)


def test_defect_11_stale_verdict_beside_another_counts_as_a_hold(tmp_path: Path) -> None:
    """A reader would pick the one that it looked for first."""
    old_state(tmp_path, BEFORE["both"])
    with pytest.raises(RefusedError, match="side by side") as caught:
        read_verdict(tmp_path)
    assert caught.value.exit_code == 3


def test_a_folder_without_a_verdict_has_none(tmp_path: Path) -> None:
    """A run that was never judged would look judged."""
    assert read_verdict(tmp_path) is None
    assert read_verdict(tmp_path / "nowhere") is None


def test_a_renamed_hold_is_not_a_promote(tmp_path: Path) -> None:
    """`mv HOLD.json PROMOTE.json` would promote a model."""
    write_verdict(tmp_path, verdict("HOLD")).rename(tmp_path / "PROMOTE.json")
    with pytest.raises(TamperedError, match="says 'HOLD'"):
        read_verdict(tmp_path)
    (tmp_path / "PROMOTE.json").write_text("[]")
    with pytest.raises(TamperedError, match="says None"):
        read_verdict(tmp_path)
    (tmp_path / "PROMOTE.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        read_verdict(tmp_path)


def test_removing_leaves_nothing_to_read(tmp_path: Path) -> None:
    """Training again into the same folder would start beside the old verdict."""
    old_state(tmp_path, BEFORE["both"])
    remove_verdicts(tmp_path)
    assert names_in(tmp_path) == []
    remove_verdicts(tmp_path)
    remove_verdicts(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "bad", [{}, {"verdict": "promote"}, {"verdict": None}, {"verdict": "PROMOTE", "x": float("nan")}]
)
def test_a_document_that_cannot_be_a_verdict_changes_nothing(tmp_path: Path, bad: dict[str, Any]) -> None:
    """A crash while judging would wipe out the verdict that was there."""
    old_state(tmp_path, BEFORE["hold"])
    with pytest.raises(InputError):
        write_verdict(tmp_path, bad)
    assert (names_in(tmp_path), seen(tmp_path)) == (["HOLD.json"], "HOLD old")


def test_a_dangling_link_named_promote_is_removed_too(tmp_path: Path) -> None:
    """`exists()` says no to it, and its target may come back."""
    (tmp_path / "PROMOTE.json").symlink_to(tmp_path / "elsewhere.json")
    write_verdict(tmp_path, verdict("HOLD"))
    assert names_in(tmp_path) == ["HOLD.json"]


class Crash(BaseException):
    """Ends the writer as a kill does: no handler of an `Exception` sees it."""


def calls_that_fail(monkeypatch: pytest.MonkeyPatch, nth: int, error: BaseException) -> None:
    """Make the nth call that touches a directory or a disk fail."""
    counter = itertools.count(1)

    def wrapped(original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if next(counter) == nth:
                raise error
            return original(*args, **kwargs)

        return call

    for holder, name in ((os, "fsync"), (os, "replace"), (os, "unlink"), (Path, "replace"), (Path, "unlink")):
        monkeypatch.setattr(holder, name, wrapped(getattr(holder, name)))


ALLOWED = {
    # What a reader may conclude at any moment, from what was there to what is written.
    ("none", "PROMOTE"): ["nothing", "PROMOTE new"],
    ("none", "HOLD"): ["nothing", "HOLD new"],
    ("promote", "PROMOTE"): ["PROMOTE old", "PROMOTE new"],
    ("promote", "HOLD"): ["PROMOTE old", "nothing", "HOLD new"],
    ("hold", "PROMOTE"): ["HOLD old", "nothing", "PROMOTE new"],
    ("hold", "HOLD"): ["HOLD old", "HOLD new"],
    ("both", "PROMOTE"): ["HOLD by refusal", "HOLD old", "nothing", "PROMOTE new"],
    ("both", "HOLD"): ["HOLD by refusal", "HOLD old", "HOLD new"],
}


@pytest.mark.parametrize(("before", "name"), ALLOWED)
@pytest.mark.parametrize("error", [Crash(), OSError(28, "No space left on device")], ids=["kill", "full disk"])
def test_a_failure_at_each_step_never_leaves_a_stale_promote(
    tmp_path: Path, before: str, name: str, error: BaseException
) -> None:
    """Between two system calls a HOLD could be lost and the older PROMOTE live on."""
    expected = ALLOWED[before, name]
    reached = 0
    for nth in itertools.count(1):
        folder = tmp_path / str(nth)
        old_state(folder, BEFORE[before])
        with pytest.MonkeyPatch.context() as patch:
            calls_that_fail(patch, nth, error)
            try:
                write_verdict(folder, verdict(name))
            except (Crash, InputError):
                failed = True
            else:
                failed = False
        state = seen(folder)
        assert state in expected
        assert expected.index(state) >= reached, "the states come in order"
        reached = expected.index(state)
        if name == "HOLD" and (folder / "HOLD.json").exists() and "new" in state:
            assert not (folder / "PROMOTE.json").exists()
        if not failed and nth > 12:
            break
    assert reached == len(expected) - 1


def test_defect_11_stale_promote_is_gone_before_the_hold_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The existing bundle step asks only whether PROMOTE.json exists: it must not, at the moment a HOLD does."""
    old_state(tmp_path, BEFORE["promote"])
    original, states = Path.replace, []

    def replace(source: Path, target: Path) -> Path:
        states.append([name for name in names_in(tmp_path) if not name.startswith(".")])
        return original(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    write_verdict(tmp_path, verdict("HOLD"))
    assert states == [[]]


WRITER = """
import sys
from pathlib import Path
from heldout.gate.verdict_files import read_verdict
from heldout.run.verdict import write_verdict
folder = Path(sys.argv[1])
print("ready", flush=True)
age = (read_verdict(folder) or {"age": 2})["age"]
while True:
    for name in ("PROMOTE", "HOLD"):
        age += 1
        (folder / "intent").write_text(f"{age} {name}")
        write_verdict(folder, {"verdict": name, "age": age, "padding": "x" * 200_000, "trial": {"attempt": 1}})
"""


@pytest.mark.slow
def test_a_real_kill_never_leaves_two_verdicts_or_an_older_promote(tmp_path: Path) -> None:
    """The order of system calls would be right on paper only."""
    chance = random.Random(11)
    for _ in range(25):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(chance.uniform(0.01, 0.08))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        there = [name for name in ("PROMOTE.json", "HOLD.json") if (tmp_path / name).exists()]
        assert len(there) <= 1
        found = read_verdict(tmp_path)
        intent = (tmp_path / "intent").read_text().split() if (tmp_path / "intent").exists() else []
        if found is not None and intent:
            assert found["age"] in (int(intent[0]), int(intent[0]) - 1)
    write_verdict(tmp_path, verdict("HOLD"))
    assert [name for name in names_in(tmp_path) if not name.startswith(".")] == ["HOLD.json", "intent"]
