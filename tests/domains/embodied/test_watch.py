"""``heldout watch``: the published states in their order, how far a training is, and what ends a watch."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkpoint_kit import make_adapter, write
from evaluation_kit import make_index
from filelock import FileLock
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.contract.contracts import load_registry
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.index.sealed import read_openings
from heldout.domains.embodied.watch.progress import read_progress
from heldout.domains.embodied.watch.watch import Watch, WatchOptions
from heldout.errors import InputError, StaleError, UnitError
from heldout.evidence import read_json, read_json_lines

START = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("data"))


@pytest.fixture
def index(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built.parent, tmp_path / "data")
    return tmp_path / "data/index"


class Clock:
    """A minute passes at every look, and a training goes on meanwhile."""

    def __init__(self, training: Path, events: list[dict[str, Any]]) -> None:
        self.time, self._path, self._events = START, training / "progress.jsonl", events

    def now(self) -> dt.datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += dt.timedelta(seconds=seconds)
        if self._events:
            event = self._events.pop(0)
            with self._path.open("a") as stream:
                stream.write(json.dumps({"time": self.time.isoformat()} | event) + "\n")


def step(number: int) -> dict[str, Any]:
    return {"event": "train_step", "global_step": number, "max_train_steps": 10}


@pytest.fixture
def watch(index: Path, tmp_path: Path) -> Callable[..., Watch]:
    def make(events: list[dict[str, Any]], **options: Any) -> Watch:
        training = tmp_path / "training"
        make_adapter(training)
        (training / "progress.jsonl").unlink()
        clock = Clock(training, events)
        contract = load_registry(tmp_path)["qwen3_omni_lora"]
        chosen = WatchOptions(**({"skip_checkpoint": True} | options))
        plan = Plan(index, "nearest")
        gated = Checkpoint(training, contract, training)
        return Watch(training, gated, plan, tmp_path / "out", chosen, now=clock.now, sleep=clock.sleep)

    return make


def states(watch: Watch) -> list[str]:
    return [event["event"] for event in read_json_lines(watch.out / "watch.jsonl")]


def test_the_published_states_in_their_order(watch: Callable[..., Watch], index: Path) -> None:
    """Whoever reads the published status file would not find what it waits for."""
    watched = watch([step(2), step(4), {"event": "complete"}])
    last = watched.run()
    assert [
        "watch_start",
        *["training_progress"] * 4,
        "training_complete_observed",
        "adapter_shape_check_skipped",
        "validation_training_start",
        "validation_training_exit",
        "eval_smoke_start",
        "eval_smoke_exit",
        "eval_full_start",
        "eval_full_exit",
        "validation_eval_start",
        "validation_eval_exit",
        "watch_complete",
    ] == states(watched)
    events = read_json_lines(watched.out / "watch.jsonl")
    assert (4, 10, 180.0, 0.0) == tuple(events[3][key] for key in ("done", "total", "eta_seconds", "silent_seconds"))
    assert read_json(watched.out / "eval/evaluation.json")["verdict"] == last["verdict"]
    assert ["pass", "pass"] == [
        read_json(watched.out / f"validation_{stage}.json")["status"] for stage in ("training", "eval")
    ]
    (opening,) = read_openings(index)
    assert "evaluation eval" in opening["purpose"], "the smoke evaluation looked at test answers"


def test_watching_again_goes_on_and_looks_no_second_time(watch: Callable[..., Watch], index: Path) -> None:
    """A watcher that was restarted would predict everything again, or count twice."""
    watched = watch([{"event": "complete"}])
    watched.run()
    watched.run()
    assert 1 == len(read_openings(index))
    assert ["watch_complete"] * 2 == [state for state in states(watched) if state == "watch_complete"]


def test_silence_is_said_once_and_waiting_ends(watch: Callable[..., Watch]) -> None:
    """A training that died would be waited for for ever."""
    watched = watch([step(1)], timeout_hours=2)
    with pytest.raises(UnitError, match="not complete after 2 hours"):
        watched.run()
    found = states(watched)
    assert (1, "watch_failed") == (found.count("training_stale"), found[-1])


def test_a_training_that_failed_ends_the_watch(watch: Callable[..., Watch]) -> None:
    """Half a model would be evaluated."""
    watched = watch([step(1), {"event": "failed"}])
    with pytest.raises(UnitError, match="the training failed"):
        watched.run()
    assert "eval_smoke_start" not in states(watched)


def test_a_checkpoint_that_is_not_sound_is_not_evaluated(watch: Callable[..., Watch]) -> None:
    """Test answers would be opened for an adapter that learnt nothing."""
    watched = watch([{"event": "complete"}], skip_checkpoint=False)
    with pytest.raises(UnitError, match="HO-G127, HO-G128"):
        watched.run()
    assert ["adapter_shape_check_done", "watch_failed"] == states(watched)[-2:]
    assert "fail" == read_json(watched.out / "adapter_shape_check.json")["status"]


def test_a_training_without_its_files_is_not_evaluated(watch: Callable[..., Watch]) -> None:
    """A run that nobody can reproduce would be scored."""
    watched = watch([{"event": "complete"}])
    (watched.training / "training_metadata.json").unlink()
    with pytest.raises(UnitError, match=r"training_metadata\.json is missing"):
        watched.run()
    write(watched.training / "training_metadata.json", {"run_id": "train", "num_train_samples": 0})
    with pytest.raises(UnitError, match="num_train_samples is 0"):
        watched.run()


def test_two_watchers_do_not_write_into_one_folder(watch: Callable[..., Watch]) -> None:
    """States of two watchers would be mixed."""
    watched = watch([{"event": "complete"}], skip_full=True)
    watched.out.mkdir()
    with FileLock(watched.out / ".watch.jsonl.lock"), pytest.raises(StaleError, match="another process"):
        watched.run()
    assert watched.run()["verdict"] is None
    assert "eval_full_start" not in states(watched)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"rank0_seen": 5, "rank0_samples_per_epoch": 20, "epoch": 1, "epochs": 2}, (25, 40)),
        ({"completed_samples": 3, "num_eval_samples": 4}, (3, 4)),
        ({"global_step": 3}, (None, None)),
        ({"global_step": True, "max_train_steps": -1}, (None, None)),
    ],
)
def test_what_is_done_is_read_from_published_events(tmp_path: Path, event: dict[str, Any], expected: Any) -> None:
    """The remaining time would be that of another training."""
    path = tmp_path / "progress.jsonl"
    path.write_text(json.dumps({"event": "x", "timestamp": "2030-01-01T00:00:00Z"} | event) + '\n{"torn')
    seen = read_progress(path, START + dt.timedelta(minutes=5))
    assert (expected, 300.0, 1) == ((seen.done, seen.total), seen.silent_seconds, seen.rows)


def test_the_command_ends_with_the_verdict(watch: Callable[..., Watch], index: Path, tmp_path: Path) -> None:
    """A script after it could not tell HOLD from PROMOTE."""
    watched = watch([])
    write(watched.training / "progress.jsonl", {"event": "complete"})
    path = watched.training / "progress.jsonl"
    path.write_text(path.read_text() + "\n")
    words = ["watch", str(watched.training), "--backbone", "qwen3_omni_lora", "--index", str(index)]
    words += ["--predictor", "majority", "--out", str(tmp_path / "o"), "--skip-checkpoint", "--json"]
    done = CliRunner().invoke(build(words), words, standalone_mode=False)
    assert (1, "HOLD") == (done.return_value, json.loads(done.stdout)["verdict"])


def test_a_folder_that_never_comes_is_named_and_its_silence_too(watch: Callable[..., Watch], tmp_path: Path) -> None:
    """A misspelt folder would be waited for in silence, for twelve hours."""
    watched = replace(watch([], timeout_hours=2), training=tmp_path / "trian")
    with pytest.raises(UnitError) as caught:
        watched.run()
    assert f"{tmp_path / 'trian/progress.jsonl'}, which never came" == caught.value.where
    events = read_json_lines(watched.out / "watch.jsonl")
    assert str(tmp_path / "trian/progress.jsonl") == events[1]["waits_for"]
    assert ["watch_start", "training_progress", "training_stale", "watch_failed"] == states(watched)


def test_a_wrong_index_is_found_before_the_wait(watch: Callable[..., Watch], tmp_path: Path) -> None:
    """It would be found when the training ends, hours later."""
    watched = watch([step(1)])
    for plan in (Plan(tmp_path / "indx", "nearest"), Plan(watched.plan.index, "nearst")):
        with pytest.raises(InputError):
            replace(watched, plan=plan).run()
    assert not watched.out.exists()


def test_the_command_says_what_it_waits_for_and_how_to_stop(index: Path, tmp_path: Path) -> None:
    """Somebody before a silent terminal would not know whether it works."""
    words = ["watch", str(tmp_path / "trian"), "--backbone", "qwen3_omni_lora", "--index", str(index)]
    words += ["--predictor", "majority", "--out", str(tmp_path / "o"), "--timeout-hours", "0", "--poll-seconds", "5"]
    done = CliRunner().invoke(build(words), words, standalone_mode=False)
    assert f"waits_for {tmp_path / 'trian/progress.jsonl'}" in done.stderr
    assert "looks every 5 s, for 0 h at most; Ctrl-C stops" in done.stderr
    assert "None" not in done.stderr
