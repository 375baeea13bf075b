"""Honest code of a user that does more than fit: the fence neither breaks it nor accuses it."""

from __future__ import annotations

from pathlib import Path

import pytest
from attack_kit import module_of, route, table_desk

from heldout.run.apart.child import _Reached

BUSY = """
import functools, threading, warnings
import numpy as np
from joblib import Parallel, delayed
from sklearn.linear_model import LinearRegression


def twice(x):
    return 2 * x


class Mine(LinearRegression):
    def fit(self, X, y):
        print("fitting")
        warnings.warn("a warning")
        assert [0, 2, 4] == Parallel(n_jobs=2)(delayed(twice)(each) for each in range(3))
        thread = threading.Thread(target=twice, args=(1,))
        thread.start()
        thread.join()
        return super().fit(X, y)

    @functools.cached_property
    def size(self):
        return float(np.abs(self.coef_).sum())

    def predict(self, X):
        print("predicting", self.size)
        return super().predict(X)
"""


@pytest.mark.slow
def test_joblib_threads_and_prints_are_no_cheat(tmp_path: Path) -> None:
    """An estimator with `n_jobs` would fail in every fold, and its author be told that it opened the runs."""
    desk = table_desk(tmp_path, rows=48, groups=4)
    desk.write(study="s", fit={"estimator": "busy.Mine", "scale": False})
    with module_of(tmp_path, "busy", BUSY):
        answer = desk.run()
    assert 0 == answer.code, answer


@pytest.mark.parametrize("said", ["[Errno 13] Permission denied", "No such file: 'my.s'", "it's: Permission denied"])
def test_a_short_name_is_not_found_in_every_sentence(said: str) -> None:
    """A study that is called `s` would be "opened" by any code that is refused anything."""
    reached = _Reached(["/x/runs/s"], "/x")
    reached.from_words(said)
    assert not reached.found


@route(
    "Estimators", "motivated author", "A library that is not Python opens the corpus, and hides where it is.", "HOLD"
)
@pytest.mark.parametrize(
    "said", ["Permission denied: my table.csv", "No such file or directory (os error 2): /x/my table.csv"]
)
def test_a_file_that_a_library_names_is_found(said: str) -> None:
    """The finding would not say which file the code asked for."""
    reached = _Reached(["/x/my table.csv"], "/x")
    reached.from_words(said)
    assert {"/x/my table.csv"} == reached.found


@pytest.mark.slow
@route("Estimators", "motivated author", "`fit` looks into the folder of the runs, by its absolute path.", "stopped")
def test_the_folder_of_the_runs_is_named(tmp_path: Path) -> None:
    """A study at a relative path would have its runs watched in another folder, where nobody opens them."""
    desk = table_desk(tmp_path, rows=48, groups=4)
    code = (
        "import os\nfrom sklearn.linear_model import LinearRegression\n\n\nclass Mine(LinearRegression):\n"
        f"    def fit(self, X, y):\n        os.listdir({str(desk.of_study)!r})\n        return super().fit(X, y)\n"
    )
    desk.write(fit={"estimator": "looking.Mine", "scale": False})
    with module_of(tmp_path, "looking", code):
        answer = desk.run()
    assert 5 == answer.code, answer
    assert "opens attacked, where the held-out rows are, or what they gave" in answer.err
    assert r"\x0a" not in answer.err
