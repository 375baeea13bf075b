"""A run of more than 5,000 rows holds its predictions as Parquet; all that reads a run reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from attack_kit import heldout

from heldout.errors import TamperedError
from heldout.package.public.publish import package_public
from heldout.run import Run, Study
from heldout.task.table import parquet_bytes, read_table
from heldout.verify import verify_path, verify_run

STUDY: dict[str, Any] = {
    "study": "long",
    "corpus": {"path": "table.csv", "group": "person", "target": "score", "id": "id"},
    "backbone": "ridge",
    "seeds": [0],
    "baselines": [{"id": "weak", "backbone": "ridge", "fit": {"alpha": 1e6}}],
    "gate": {"rules": [{"id": "beats", "metric": "rmse", "against": "weak", "at_least": 0.1}]},
    "bootstrap": {"draws": 100},
}
AGAINST = {"rules": [{"id": "beats", "metric": "rmse", "against": "champion", "at_least": 0.0}]}


def write(folder: Path, **changes: Any) -> Study:
    path = folder / "study.yaml"
    path.write_text(json.dumps(STUDY | changes))
    return Study.load(path)


def write_table(folder: Path, prefix: str) -> None:
    rng = np.random.default_rng(0)
    rows, weight = 5_400, rng.normal(size=5_400)
    columns = {"id": [f"{prefix}{number:04d}" for number in range(rows)], "person": [f"p{n % 6}" for n in range(rows)]}
    frame = pl.DataFrame(columns | {"weight": weight, "score": weight + 0.1 * rng.normal(size=rows)})
    frame.write_csv(folder / "table.csv")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("long")
    write_table(folder, "row")
    run = write(folder).run(runs=folder / "runs", workers=1)
    assert "PROMOTE" == run.verdict
    return run


@pytest.fixture
def copy(made: Run, tmp_path: Path) -> Run:
    shutil.copytree(made.folder.parents[2], tmp_path / "copy")
    return Run(tmp_path / "copy" / made.folder.relative_to(made.folder.parents[2]))


def states(run: Run) -> dict[str, str]:
    return {link.id: link.state for link in verify_run(run.folder, corpus=run.folder.parents[2] / "table.csv").links}


@pytest.mark.slow
def test_a_long_run_is_verified_from_parquet(made: Run) -> None:
    """A verdict over a table that nobody could check would count."""
    assert ["predictions.parquet"] == [path.name for path in made.folder.glob("predictions.*")]
    assert "BROKEN" not in states(made).values()
    assert "OK" == states(made)["predictions"] == states(made)["metrics"] == states(made)["files"]


def turned(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("seed0").reverse())


ATTACKS: dict[str, Callable[[Path], object]] = {
    "other numbers": lambda path: path.write_bytes(parquet_bytes(turned(read_table(path)))),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "gone": lambda path: path.unlink(),
    "a nicer table beside it": lambda path: turned(read_table(path)).write_ndjson(path.with_suffix(".jsonl")),
    "written again by somebody else": lambda path: read_table(path).write_parquet(path),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_table_that_was_changed_is_tampered(copy: Run, attack: str) -> None:
    """Whoever edits the numbers after the verdict would be believed."""
    ATTACKS[attack](copy.folder / "predictions.parquet")
    assert "BROKEN" == states(copy)["files"]
    with pytest.raises(TamperedError):
        verify_run(copy.folder).raise_if_broken()


@pytest.mark.slow
def test_a_nicer_parquet_beside_the_lines_of_a_short_run_is_tampered(desk: Any) -> None:
    """The planted table would be read in place of the one that was judged."""
    run = desk.run()
    pl.read_ndjson(run.folder / "predictions.jsonl").write_parquet(run.folder / "predictions.parquet")
    found = {link.id: link.state for link in verify_run(run.folder).links}
    assert "BROKEN" == found["files"]


@pytest.mark.slow
def test_a_long_champion_is_compared_with_and_verified_from_the_run_alone(copy: Run) -> None:
    """Whoever holds the place of a long table could not be beaten."""
    folder = copy.folder.parents[2]
    study = write(folder, study="next", champion=str(copy.folder), gate=AGAINST, fit={"alpha": 0.5})
    run = study.run(runs=folder / "runs", workers=1)
    assert ["predictions.parquet", "verdict.json"] == sorted(path.name for path in (run.folder / "champion").iterdir())
    shutil.rmtree(copy.folder)
    assert verify_run(run.folder).broken is None


def test_further_forms_are_given_to_a_finished_run(copy: Run) -> None:
    """Who has a spreadsheet could not look; or the copies would change what was judged."""
    study = copy.folder.parents[2] / "study.yaml"
    write(study.parent)
    arguments = ("run", study, "--runs", study.parent / "runs", "--also")
    done = heldout(*arguments, "jsonl,csv", "--json")
    assert 0 == done.code
    paths = [Path(path) for path in json.loads(done.out)["also"]]
    assert [copy.folder / "tables" / name for name in ("predictions.jsonl", "predictions.csv")] == paths
    table = read_table(copy.folder / "predictions.parquet")
    assert table.equals(pl.read_ndjson(paths[0]))
    assert table.equals(pl.read_csv(paths[1]))
    assert "BROKEN" not in states(copy).values()
    for more in (("csv,xlsx",), ("csv", "--dry-run"), ("csv", "--shard", "0/2")):
        assert 2 == heldout(*arguments, *more).code


@pytest.mark.slow
def test_a_long_run_is_published_and_verified(made: Run, tmp_path: Path) -> None:
    """A table that is no text could not leave, or would carry out what nobody looked at."""
    package_public(made.folder, tmp_path / "public")
    assert (tmp_path / "public/run/predictions.parquet").read_bytes() == (
        made.folder / "predictions.parquet"
    ).read_bytes()
    assert (tmp_path / "public/run/baselines/weak/predictions.parquet").is_file()
    found = {link.id: link.state for link in verify_path(tmp_path / "public").links}
    assert "BROKEN" not in found.values()
    assert "OK" == found["metrics"]


@pytest.mark.slow
def test_private_names_in_a_long_table_stay_at_home(tmp_path: Path) -> None:
    """Texts in a file that is no text would be published unread."""
    write_table(tmp_path, "/home/ada/films/row")
    run = write(tmp_path).run(runs=tmp_path / "runs", workers=1)
    package_public(run.folder, tmp_path / "public")
    before, after = (read_table(folder / "predictions.parquet") for folder in (run.folder, tmp_path / "public/run"))
    assert not any("ada" in name for name in after["sample_id"])
    assert after["sample_id"].n_unique() == 5_400
    assert before.drop("sample_id").equals(after.drop("sample_id"))
    assert "BROKEN" not in {link.state for link in verify_path(tmp_path / "public").links}
