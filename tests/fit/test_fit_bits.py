"""Bit for bit: chunks, workers, company, repetition and interruption change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heldout.fit import MLPConfig, train
from heldout.fit.progress import Checkpoints

CONFIG = MLPConfig((20, 64, 64, 1), dropout=0.1, epochs=6, weight_decay=1e-5)
ROWS = (130, 97, 64, 130, 33, 1, 200, 31, 97)


def bits(weights: Any) -> bytes:
    return bytes(weights.to_flat().tobytes())


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        MLPConfig((20, 10, 2), "silu", dropout=0.3, epochs=4, batch_size=7, loss="gaussian_nll"),
        MLPConfig((20, 33, 17, 5, 1), "relu", dropout=0.3, epochs=4, batch_size=40, optimizer="adamw"),
        MLPConfig((20, 1), epochs=4),
    ],
    ids=["published", "odd", "odder", "linear"],
)
def test_a_model_does_not_depend_on_what_is_trained_with_it(make_jobs: Any, fit: Any, engine: str, config: Any) -> None:
    """Training fold by fold, seed by seed or all at once would give different verdicts."""
    jobs = make_jobs(ROWS)
    whole = {name: bits(weights) for name, weights in fit(config, jobs, engine).items()}
    alone = {job.name: bits(fit(config, [job], engine)[job.name]) for job in jobs}
    by_five = {
        name: bits(weights)
        for part in (jobs[:5], jobs[5:])
        for name, weights in fit(config, list(reversed(part)), engine).items()
    }
    assert whole == alone == by_five


def test_a_batch_twice_is_the_same_bits(make_jobs: Any, fit: Any, engine: str) -> None:
    """Nobody could re-verify a training."""
    first, second = (fit(CONFIG, make_jobs(ROWS[:3]), engine) for _ in range(2))
    assert {name: bits(w) for name, w in first.items()} == {name: bits(w) for name, w in second.items()}


def test_the_number_of_workers_changes_nothing(make_jobs: Any, fit: Any) -> None:
    """A laptop and a server would come to different verdicts."""
    pytest.importorskip("numba")
    runs = [fit(CONFIG, make_jobs(ROWS), "cached", workers=workers) for workers in (1, 2, 5)]
    one, two, five = ({name: bits(weights) for name, weights in run.items()} for run in runs)
    assert one == two == five


def test_a_models_name_changes_no_number(make_jobs: Any, fit: Any, engine: str) -> None:
    """Renaming a fold would change its model."""
    job = make_jobs([64])[0]
    assert bits(fit(CONFIG, [job], engine)["job0"]) == bits(fit(CONFIG, [job._replace(name="x")], engine)["x"])


def test_seeds_make_different_models_of_the_same_rows(make_jobs: Any, fit: Any, engine: str) -> None:
    """The spread of the seeds, which makes the interval, would be zero."""
    job = make_jobs([64])[0]
    pair = fit(CONFIG, [job, job._replace(name="other", seed=7)], engine)
    assert bits(pair["job0"]) != bits(pair["other"])


def test_twins_in_one_batch_are_twins(make_jobs: Any, fit: Any, engine: str) -> None:
    """Two jobs with the same rows and seed would overwrite each other's state."""
    job = make_jobs([64])[0]
    pair = fit(CONFIG, [job, job._replace(name="twin")], engine)
    assert bits(pair["job0"]) == bits(pair["twin"])


def test_an_interrupted_batch_goes_on_where_it_stood(
    make_jobs: Any, fit: Any, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resume would train from the start again, or end in other weights."""
    monkeypatch.setattr(Checkpoints, "due", lambda self: True)
    monkeypatch.setattr("heldout.fit.cached._STEPS_PER_CALL", 1)
    monkeypatch.setattr("heldout.fit.stacked._BLOCK", 3)
    jobs = make_jobs(ROWS[:4])
    whole = {name: bits(weights) for name, weights in fit(CONFIG, jobs, engine).items()}

    class StopError(Exception):
        pass

    def stop_late(name: str, done: int, total: int) -> None:
        if done == 4:
            raise StopError

    with pytest.raises(StopError):
        dict(train(CONFIG, jobs, tmp_path, engine=engine, on_progress=stop_late))  # type: ignore[arg-type]
    assert list(tmp_path.glob("*.safetensors"))
    seen: dict[str, list[int]] = {}
    resumed = train(
        CONFIG,
        list(reversed(jobs)),
        tmp_path,
        engine=engine,  # type: ignore[arg-type]
        on_progress=lambda name, done, total: seen.setdefault(name, []).append(done),
    )
    assert whole == {name: bits(weights) for name, weights in resumed}
    assert min(min(done) for done in seen.values()) >= 1
    assert sum(len(done) for done in seen.values()) < 4 * CONFIG.epochs
    assert [] == list(tmp_path.glob("*.safetensors"))


def test_state_of_other_rows_or_another_recipe_is_not_resumed(
    make_jobs: Any, fit: Any, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed corpus would go on from weights trained on the old one."""
    monkeypatch.setattr(Checkpoints, "due", lambda self: True)
    monkeypatch.setattr("heldout.fit.cached._STEPS_PER_CALL", 1)
    job = make_jobs([64])[0]
    batch = train(CONFIG, [job, job._replace(name="b", seed=5)], tmp_path, engine=engine)  # type: ignore[arg-type]
    next(batch)
    batch.close()  # type: ignore[attr-defined]
    changed = job._replace(y=job.y + 1)
    expected = bits(fit(CONFIG, [changed], engine)["job0"])
    resumed = dict(train(CONFIG, [changed], tmp_path, engine=engine))  # type: ignore[arg-type]
    assert expected == bits(resumed["job0"])


def test_a_damaged_state_file_costs_time_and_no_truth(make_jobs: Any, fit: Any, engine: str, tmp_path: Path) -> None:
    """A disk error in a scratch file would stop a run for good."""
    (tmp_path / "stacked.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 not a header")
    (tmp_path / "cached.safetensors").write_bytes(b"")
    job = make_jobs([40])[0]
    resumed = dict(train(CONFIG, [job], tmp_path, engine=engine))  # type: ignore[arg-type]
    assert bits(fit(CONFIG, [job], engine)["job0"]) == bits(resumed["job0"])
