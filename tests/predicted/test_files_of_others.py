"""`heldout judge` reads what others write: arrays of numpy, tables of MLflow."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from attack_kit import Answer, heldout

from heldout.corpus.files import read_table
from heldout.errors import CorpusError
from heldout.evidence import read_json

FIXTURES = Path(__file__).parent / "fixtures"
SAYS = ("--held-out", "sites were split before anything was trained")


def judge(folder: Path, *words: object) -> Answer:
    return heldout("judge", *words, *SAYS, cwd=folder)


def numbers_of(folder: Path) -> Any:
    (path,) = folder.glob("heldout-runs/*/*/metrics.json")
    return read_json(path)


def refused(answer: Answer, what: str) -> None:
    assert (2, True) == (answer.code, what in answer.err), answer
    assert all(word in answer.err for word in ("where:", "fix:"))


# --- arrays -------------------------------------------------------------------------------------------------------

ARRAYS = ("truth.csv", "--prediction", "new=new.npy", "--against", "old=both.npz", "--group", "site", "--target", "y")


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """Predictions of two models, beside the table that they are of."""
    rng = np.random.default_rng(1)
    y, sites = rng.normal(size=120), np.arange(120) % 8
    new, old = y + rng.normal(0, 0.3, 120), y + rng.normal(0, 0.9, 120)
    np.save(tmp_path / "new.npy", new)
    np.savez(tmp_path / "both.npz", new=new, old=old)
    pl.DataFrame({"site": sites, "y": y}).write_csv(tmp_path / "truth.csv")
    return tmp_path


def test_arrays_beside_a_table_are_judged(arrays: Path) -> None:
    """What everybody has after a cross-validation would first have to be written into a table."""
    done = judge(arrays, *ARRAYS)
    assert 0 == done.code, done.err
    found, truth = numbers_of(arrays), pl.read_csv(arrays / "truth.csv")
    new, old = np.load(arrays / "new.npy"), np.load(arrays / "both.npz")["old"]
    gains = []
    for site in range(8):
        own = (truth["site"] == site).to_numpy()
        errors = [np.sqrt(np.mean((truth["y"].to_numpy() - each)[own] ** 2)) for each in (new, old)]
        assert errors[0] == pytest.approx(found["ensemble"]["groups"][str(site)]["rmse"], rel=1e-12)
        gains.append(errors[1] - errors[0])
    assert np.mean(gains) == pytest.approx(found["comparisons"]["old"]["rmse"]["gain"], rel=1e-12)
    np.save(arrays / "new.npy", old)  # the judged table was kept beside the runs
    (run,) = arrays.glob("heldout-runs/truth/base-*")
    assert 0 == heldout("verify", run, "--corpus", "truth.csv", cwd=arrays).code


@pytest.mark.slow
def test_what_cross_val_predict_answers_is_judged(tmp_path: Path) -> None:
    """The second column would be taken for another class."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import GroupKFold, cross_val_predict

    rng = np.random.default_rng(2)
    X, sites = rng.normal(size=(160, 2)), np.arange(160) % 8
    y = np.digitize(X[:, 0] + rng.normal(0, 0.2, 160), [-0.5, 0.5]) + 8  # 8, 9 and 10: as text, 10 stands before 8
    for name, model in (("new", LogisticRegression()), ("old", DummyClassifier())):
        answers = cross_val_predict(model, X, y, groups=sites, cv=GroupKFold(4), method="predict_proba")
        np.save(tmp_path / f"{name}.npy", answers)
    ids = [f"s{number}" for number in range(160)]
    pl.DataFrame({"id": ids, "site": sites, "y": y}).write_parquet(tmp_path / "truth.parquet")
    words = ("truth.parquet", "--prediction", "new=new.npy", "--against", "old=old.npy", "--group", "site")
    done = judge(tmp_path, *words, "--target", "y", "--id", "id")
    assert 0 == done.code, done.err
    expected = log_loss(y, np.load(tmp_path / "new.npy"))
    assert expected == pytest.approx(numbers_of(tmp_path)["ensemble"]["pooled"]["log_loss"], rel=1e-9)


def test_arrays_that_do_not_fit_are_refused(arrays: Path) -> None:
    """Rows would be compared with the truth of others, or a pickle would be run."""
    np.save(arrays / "short.npy", np.zeros(3))
    np.save(arrays / "wide.npy", np.zeros((120, 2)))
    np.save(arrays / "scalar.npy", np.array(1.0))
    np.savez(arrays / "one.npz", old=np.zeros(120))
    np.save(arrays / "pickle.npy", np.array(["a", None] * 60, dtype=object), allow_pickle=True)
    (arrays / "text.npy").write_text("1, 2, 3")
    (arrays / "text.npz").write_text("1, 2, 3")
    torn = (arrays / "new.npy").read_bytes()
    (arrays / "torn.npy").write_bytes(torn[:-100])
    (arrays / "huge.npy").write_bytes(torn.replace(b"(120,)", b"(9999999999999,)")[: len(torn)])
    for name, what in {
        "short.npy": "the array has 3 rows, and the truth has 120",
        "wide.npy": "have the shape [120, 2], and there are 0 classes",
        "scalar.npy": "the array has 0 rows",
        "pickle.npy": "Python objects, which are never loaded",
        "text.npy": "no array of numpy",
        "text.npz": "no array of numpy",
        "torn.npy": "no array of numpy",
        "huge.npy": "no array of numpy",
        "none.npy": "the file does not exist",
        "both.npz#newer": "the file has no array 'newer'",
        "one.npz#newer": "the file has no array 'newer'",
    }.items():
        refused(judge(arrays, *ARRAYS, "--prediction", f"x={name}"), what)
    refused(judge(arrays, *ARRAYS[1:]), "arrays are predictions alone")
    refused(judge(arrays, *ARRAYS, "--id", "visit"), "no column 'visit'")
    assert not (arrays / "heldout-runs").exists()


def test_an_archive_that_is_larger_than_the_memory_is_refused(arrays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few thousand bytes may promise a thousand million."""
    from heldout.predicted import arrays as module

    monkeypatch.setattr(module, "room_to_unpack", lambda: 1000)
    with zipfile.ZipFile(arrays / "both.npz", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", bytes(100_000))
    refused(judge(arrays, *ARRAYS), "out of memory: unpacked")


@pytest.mark.slow
def test_predictions_may_lie_in_several_files(arrays: Path) -> None:
    """Whoever predicts batch by batch would glue the batches together."""
    truth = pl.read_csv(arrays / "truth.csv").with_row_index("id")
    for name in ("new", "old"):
        (arrays / name).mkdir()
        said = truth.select("id", prediction=pl.Series(np.load(arrays / "both.npz")[name]))
        for part in range(3):
            said[part * 40 : (part + 1) * 40].write_parquet(arrays / name / f"{part}.parquet")
    truth.write_csv(arrays / "truth.csv")
    words = ("truth.csv", "new/", "--prediction", "new", "--against", "old=old/*.parquet", "--id", "id")
    assert 0 == judge(arrays, *words, "--group", "site", "--target", "y").code
    found, new = numbers_of(arrays), np.load(arrays / "new.npy")
    right = float(np.sqrt(np.mean((truth["y"].to_numpy() - new) ** 2)))
    assert right == pytest.approx(found["ensemble"]["pooled"]["rmse"], rel=1e-12)


# --- MLflow -------------------------------------------------------------------------------------------------------


def test_tables_of_mlflow_are_judged(tmp_path: Path) -> None:
    """`eval_results_table.json` would have to be written anew before anybody could judge it."""
    for name in ("new", "old"):
        shutil.copy(FIXTURES / "mlflow" / f"{name}.json", tmp_path)
    words = ("--prediction", "new=new.json#said", "--against", "old=old.json#said", "--group", "patient")
    done = judge(tmp_path, *words, "--target", "score", "--id", "visit")
    assert 0 == done.code, done.err
    rows = json.loads((tmp_path / "new.json").read_text())["data"]
    right = np.sqrt(np.mean([(row[2] - row[3]) ** 2 for row in rows]))
    assert right == pytest.approx(numbers_of(tmp_path)["ensemble"]["pooled"]["rmse"], rel=1e-12)
    assert {f"{number:03d}" for number in range(8)} == set(numbers_of(tmp_path)["ensemble"]["groups"])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"columns": ["a", "b"], "data": [[1, 2], [3]]}', "row 2 has 1 values, and there are 2 columns"),
        ('{"columns": ["a", "a"], "data": [[1, 2]]}', "two columns are named 'a'"),
        ('{"columns": [1], "data": [[1]]}', "no list of names"),
        ('{"columns": ["a"], "data": [1]}', "row 1 has no list of values"),
        ('{"columns": ["a"], "data": [[NaN]]}', "NaN"),
        ('{"columns": ["a"], "data": []}', "no rows"),
    ],
)
def test_a_table_of_mlflow_that_is_broken_is_refused(text: str, what: str, tmp_path: Path) -> None:
    """Values would stand under the names of others."""
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(Exception, match=what) as told:
        read_table(tmp_path / "t.json")
    assert isinstance(told.value, CorpusError) or told.value.code == "HO-E100"  # type: ignore[attr-defined]
    assert told.value.where
    assert told.value.hint
