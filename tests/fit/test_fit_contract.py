"""The entry point: what it refuses, what it tells, and what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.errors import InputError, PrerequisiteError, UnitError
from heldout.fit import MLPConfig, TrainJob, train
from heldout.fit.ensemble import resolve_engine

CONFIG = MLPConfig((20, 8, 1), epochs=3)


@pytest.mark.parametrize(
    ("what", "job"),
    [
        ("X\\[3, 2\\] is nan", lambda X, y: TrainJob("seed0/a", _with(X, (3, 2), np.nan), y, 0)),
        ("y\\[5\\] is inf", lambda X, y: TrainJob("seed0/a", X, _with(y, 5, np.inf), 0)),
        ("not float32", lambda X, y: TrainJob("seed0/a", X.astype(float), y, 0)),
        ("not \\[n, 20\\]", lambda X, y: TrainJob("seed0/a", X[:, :19], y, 0)),
        ("not \\[n, 20\\]", lambda X, y: TrainJob("seed0/a", X, y[:-1], 0)),
        ("no rows", lambda X, y: TrainJob("seed0/a", X[:0], y[:0], 0)),
        ("seed -1", lambda X, y: TrainJob("seed0/a", X, y, -1)),
    ],
)
def test_arrays_that_cannot_be_trained_are_refused_by_job(make_jobs: Any, tmp_path: Path, what: str, job: Any) -> None:
    """One bad row would make every weight NaN, hours later and without a place."""
    good = make_jobs([40])[0]
    with pytest.raises(InputError, match=what) as caught:
        train(CONFIG, [job(good.X, good.y)], tmp_path)
    assert "seed0/a" == caught.value.where


def _with(array: Any, place: Any, value: float) -> Any:
    changed = array.copy()
    changed[place] = value
    return changed


def test_two_jobs_of_one_name_are_refused(make_jobs: Any, tmp_path: Path) -> None:
    """One fold's model would be stored as another's."""
    job = make_jobs([40])[0]
    with pytest.raises(InputError, match="one name"):
        train(CONFIG, [job, job], tmp_path)


def test_a_model_that_runs_away_is_named(make_jobs: Any, fit: Any, engine: str) -> None:
    """NaN weights would be stored, and the metric rule would meet them first."""
    job = make_jobs([40])[0]
    wild = job._replace(name="seed3/clip", y=np.full(40, 1e30, dtype=np.float32))
    with pytest.raises(UnitError, match="finite") as caught:
        fit(MLPConfig((20, 8, 1), epochs=30, lr=1e30), [wild], engine)
    assert "seed3/clip" == caught.value.where


def test_every_model_is_yielded_once_and_progress_reaches_the_end(make_jobs: Any, tmp_path: Path, engine: str) -> None:
    """A caller that stores models as they come would lose one, or wait for ever."""
    jobs, last = make_jobs([40, 70, 1]), dict[str, int]()

    def note(name: str, done: int, total: int) -> None:
        assert last.get(name, 0) < done <= total == CONFIG.epochs
        last[name] = done

    trained = list(train(CONFIG, jobs, tmp_path, engine=engine, on_progress=note))  # type: ignore[arg-type]
    assert sorted(job.name for job in jobs) == sorted(name for name, _ in trained)
    assert {job.name: 3 for job in jobs} == last
    assert [(20, 8, 1)] * 3 == [weights.widths for _, weights in trained]


def test_a_finished_model_is_yielded_before_the_batch_is(make_jobs: Any, tmp_path: Path, engine: str) -> None:
    """A kill near the end would cost every model instead of those in flight."""
    first = next(train(MLPConfig((20, 8, 1), epochs=60), make_jobs([4000, 32]), tmp_path, engine=engine, workers=2))  # type: ignore[arg-type]
    assert "job1" == first[0]


def test_no_jobs_train_nothing(tmp_path: Path, engine: str) -> None:
    """A resumed run whose models are all done would fail."""
    assert [] == list(train(CONFIG, [], tmp_path, engine=engine))  # type: ignore[arg-type]


def test_an_engine_that_is_not_there_is_told_and_auto_takes_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without Numba would get a traceback instead of a slower training."""
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "numba", None)
    assert "stacked" == resolve_engine("auto")
    with pytest.raises(PrerequisiteError, match="numba"):
        resolve_engine("cached")
    with pytest.raises(InputError, match="no engine"):
        resolve_engine("quantum")  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, -2])
def test_a_number_of_workers_below_one_is_refused(tmp_path: Path, workers: int) -> None:
    """Nothing would train, and nothing would say so."""
    with pytest.raises(InputError, match="workers"):
        train(CONFIG, [], tmp_path, workers=workers)


def test_weights_of_dead_inputs_end_at_zero_and_not_in_denormals(make_jobs: Any, fit: Any, engine: str) -> None:
    """One-hot columns that never fire would slow every step to a crawl as their weights decay."""
    config = MLPConfig((20, 16, 1), epochs=60, batch_size=8, lr=5e-3, weight_decay=1e-2)
    trained = fit(config, make_jobs([200]), engine)["job0"]
    dead = np.concatenate([trained.layers[0].W[6:11].ravel(), trained.layers[0].W[12:18].ravel()])
    assert np.median(abs(dead)) < 1e-15
    numbers = abs(trained.to_flat())
    assert 0 == np.count_nonzero((numbers > 0) & (numbers < np.finfo(np.float32).tiny))


def test_the_callers_torch_settings_are_left_as_they_were(make_jobs: Any, tmp_path: Path) -> None:
    """Training a small network would slow down whatever the process does next with PyTorch."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads(), torch.initial_seed()
    for engine in ("stacked", "loop"):
        for _ in train(CONFIG, make_jobs([40]), tmp_path, engine=engine):  # type: ignore[arg-type]
            assert before[0] == torch.get_num_threads()
            assert 1e-40 < float(torch.tensor([1e-39]) + torch.tensor([0.0]))
    assert before == (torch.get_num_threads(), torch.initial_seed())


def test_importing_the_room_imports_no_heavy_library() -> None:
    """Every command would wait for PyTorch, also those that never train."""
    program = "import sys, heldout.fit; print(*{'torch', 'numba', 'scipy'} & set(sys.modules))"
    assert "\n" == subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
