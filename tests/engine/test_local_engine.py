"""Tasks on this machine's processes: results, failures, interruption, and what a killed run leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import ModuleType

import pytest

from heldout.engine import default_workers, run_tasks
from heldout.errors import CorpusError, MachineError

TASKS = '''
import os, signal, time

class TwoPartsError(Exception):
    """Cannot be unpickled: its arguments are not those of its constructor."""
    def __init__(self, left, right):
        super().__init__(f"{left} and {right}")

def square(number):
    return number * number

def place(_):
    time.sleep(0.2)
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")

def where(seconds):
    time.sleep(seconds)
    return os.getpid()

def fail_at_two(number):
    if number == 2:
        raise ValueError("two is too much")
    return number

def fail_oddly(number):
    if number == 2:
        raise TwoPartsError("two", "two")
    return number

def refuse(number):
    from heldout.errors import CorpusError
    raise CorpusError("bad row", where=f"row {number}", hint="mend it")

def die_at_two(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number

def sleep(folder):
    with open(os.path.join(folder, str(os.getpid())), "w"):
        time.sleep(60)
'''


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Functions in a module that workers can import by name, as those of a plug-in."""
    (tmp_path / "engine_tasks.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "engine_tasks", raising=False)
    return __import__("engine_tasks")


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until(holds: object, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_answers_once_with_its_number(tasks: ModuleType, workers: int) -> None:
    """Predictions would be stored under the wrong seed and fold."""
    found = list(run_tasks(tasks.square, [3, 1, 4, 1, 5], workers=workers))
    assert {0: 9, 1: 1, 2: 16, 3: 1, 4: 25} == {done.index: done.result for done in found}
    assert 5 == len(found)
    assert all(done.error is None for done in found)


def test_no_tasks_start_no_process() -> None:
    """A run with nothing left to do would fail, as a pool of no workers does."""
    assert [] == list(run_tasks(os.getpid, [], workers=4))  # type: ignore[arg-type]
    assert default_workers() >= 1


def test_one_worker_works_in_this_process(tasks: ModuleType) -> None:
    """A debugger or a coverage tool would see nothing with one worker."""
    assert {os.getpid()} == {done.result[0] for done in run_tasks(tasks.place, [0, 1], workers=1)}  # type: ignore[index]


def test_workers_are_fresh_processes_of_one_thread(tasks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers would depend on the number of cores, and two threads in a small model would slow it down."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    answers = [done.result for done in run_tasks(tasks.place, [0, 1, 2, 3], workers=2)]
    assert {"1"} == {threads for _, threads in answers}  # type: ignore[misc]
    assert os.getpid() not in {pid for pid, _ in answers}  # type: ignore[misc]
    assert 2 == len({pid for pid, _ in answers})  # type: ignore[misc]
    assert "7" == os.environ["OMP_NUM_THREADS"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [("fail_at_two", "ValueError", "two is too much"), ("fail_oddly", "TwoPartsError", "two and two")],
)
def test_one_failure_aborts_no_other_task(
    tasks: ModuleType, workers: int, function: str, kind: str, words: str
) -> None:
    """One bad fold would cost all the others, whatever class of error it raises."""
    found = {done.index: done for done in run_tasks(getattr(tasks, function), [0, 1, 2, 3], workers=workers)}
    assert [0, 1, 3] == sorted(index for index, done in found.items() if done.error is None)
    error = found[2].error
    assert f"{kind}: {words}" in f"{type(error).__name__}: {error}"
    assert found[2].result is None


@pytest.mark.parametrize("workers", [1, 2])
def test_error_keeps_its_three_parts_on_the_way_home(tasks: ModuleType, workers: int) -> None:
    """A message from a worker would say what is wrong but not where."""
    for done in run_tasks(tasks.refuse, [5, 6], workers=workers):
        assert isinstance(done.error, CorpusError)
        assert ("bad row", f"row {done.index + 5}", "mend it") == (done.error.what, done.error.where, done.error.hint)


def test_what_is_small_starts_no_worker(tasks: ModuleType) -> None:
    """Seven fits of a millisecond would cost seconds of imports in each worker."""
    done = list(run_tasks(tasks.where, [0.0] * 5, here_s=30))
    assert [0, 1, 2, 3, 4] == [each.index for each in done]
    assert {os.getpid()} == {each.result for each in done}


def test_what_is_not_small_goes_to_workers(tasks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night of fits would be done by one processor because the first of them was quick."""
    monkeypatch.setattr("heldout.engine.local.default_workers", lambda: 2)
    found = {each.index: each.result for each in run_tasks(tasks.where, [0.0, 0.0, 1.0, 0.0, 0.0, 0.0], here_s=1.5)}
    assert [0, 1, 2, 3, 4, 5] == sorted(found)
    assert {os.getpid()} == {found[index] for index in (0, 1, 2)}
    assert os.getpid() not in {found[index] for index in (3, 4, 5)}


def test_declared_workers_are_started(tasks: ModuleType) -> None:
    """Who asks for processes, so that a crash ends none but one of them, would get his own."""
    assert os.getpid() not in {each.result for each in run_tasks(tasks.where, [0.0] * 2, workers=2, here_s=30)}


def test_killed_worker_is_one_clear_error(tasks: ModuleType) -> None:
    """A worker that the kernel killed for its memory would hang the run, or end it in a traceback."""
    with pytest.raises(MachineError, match="a worker process was killed") as caught:
        list(run_tasks(tasks.die_at_two, [0, 1, 2, 3], workers=2))
    assert "memory" in str(caught.value.hint)
    assert 2 == caught.value.exit_code


def test_closing_ends_busy_workers(tasks: ModuleType, tmp_path: Path) -> None:
    """Ctrl-C would wait until every unit in flight is fitted."""
    started = tmp_path / "started"
    started.mkdir()
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import engine_tasks
        from heldout.engine import run_tasks
        list(run_tasks(engine_tasks.sleep, [{str(started)!r}] * 2, workers=2))
    """)
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    assert wait_until(lambda: len(list(started.iterdir())) == 2, 20)
    time.sleep(0.2)  # while workers are being started, Python itself may lose an interruption
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    assert time.monotonic() - before < 2.0
    assert wait_until(lambda: not any(alive(int(path.name)) for path in started.iterdir()), 5)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_a_library_swallows_is_not_lost(tasks: ModuleType, workers: int, number: int) -> None:
    """A C function that clears errors where Ctrl-C comes would let a run of hours go on as if nothing was asked."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    finished = []
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - where it comes is what is tested
            for done in run_tasks(tasks.square, range(4), workers=workers):
                finished.append(done)
                try:
                    signal.raise_signal(number)
                except KeyboardInterrupt:
                    continue
        assert 1 == len(finished)
        assert interrupt == signal.getsignal(number)
    finally:
        signal.signal(number, before)


def test_a_program_that_ignores_a_signal_or_leaves_it_to_the_system_is_left_alone(tasks: ModuleType) -> None:
    """Under nohup a lost terminal would end a night of training; a program's own choice would be undone."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for _ in run_tasks(tasks.square, range(3), workers=1):
            assert signal.SIG_IGN == signal.getsignal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_workers_of_a_killed_run_end_too(tasks: ModuleType, tmp_path: Path) -> None:
    """Each kill would leave processes that hold memory for ever, and may write into a run that was resumed."""
    started = tmp_path / "started"
    started.mkdir()
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import engine_tasks
        from heldout.engine import run_tasks
        list(run_tasks(engine_tasks.sleep, [{str(started)!r}] * 2, workers=2))
    """)
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    assert wait_until(lambda: len(list(started.iterdir())) == 2, 20)
    process.kill()
    process.wait(timeout=10)
    workers = [int(path.name) for path in started.iterdir()]
    assert wait_until(lambda: not any(alive(pid) for pid in workers), 5)


def test_script_without_a_guard_is_not_run_again(tasks: ModuleType, tmp_path: Path) -> None:
    """The two lines of the README would start themselves for ever, or die with a message about memory."""
    script = tmp_path / "two_lines.py"
    script.write_text(
        textwrap.dedent("""
        import engine_tasks
        from heldout.engine import run_tasks
        print("started")
        print(sorted(done.result for done in run_tasks(engine_tasks.square, [2, 3], workers=2)))
    """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert "started\n[4, 9]\n" == done.stdout, done.stderr
