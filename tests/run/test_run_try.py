"""`heldout try`: a part of the groups is looked at, the others stay unseen, and nothing of it is a verdict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from heldout import Run, Study
from heldout.cli.main import app
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import CorpusError, InputError
from heldout.ledger.targets import group_targets
from heldout.run.begin.trying import Part, part_of


def table(folder: Path, names: Sequence[str]) -> Path:
    rng = np.random.default_rng(1)
    x = rng.normal(size=20 * len(names))
    frame = {"g": np.repeat(names, 20), "x": x, "y": x + 0.1 * rng.normal(size=len(x))}
    days = [f"2026-{row // 20 + 1:02d}-{row % 20 + 1:02d}" for row in range(len(x))]
    pl.DataFrame({**frame, "day": days}).write_csv(folder / "t.csv")
    return folder / "t.csv"


def study(folder: Path, **more: Any) -> Path:
    block = {
        "study": "tried-out",
        "corpus": {"path": "t.csv", "group": "g", "target": "y", "ignore": ["day"]},
        "backbone": "ridge",
        "seeds": [0],
        "gate": {"min_groups": 2, "rules": [{"id": "gain", "metric": "rmse", "above": 0, "against": "trivial"}]},
    }
    (folder / "study.yaml").write_text(json.dumps(block | more))
    return folder / "study.yaml"


def part(path: Path, share: float = 0.5) -> Part:
    return part_of(Study.load(path).resolve(), share, path.parent / "runs")


def looked_at(runs: Path) -> set[str]:
    """Digests of the targets of every group that stands in the ledger."""
    looks = [json.loads(each.read_text()) for each in (runs / "tried-out" / "looks").iterdir()]
    return {str(group["targets"]) for look in looks for group in look.get("groups", {}).values()}


def test_the_part_is_drawn_by_what_groups_hold(tmp_path: Path) -> None:
    """Whoever renames groups, or draws again, would come to see all of them."""
    names = [f"g{number}" for number in range(7)]
    table(tmp_path, names)
    first = part(study(tmp_path))
    assert (4, 7, first) == (len(first.groups), first.of, part(tmp_path / "study.yaml"))
    table(tmp_path, [f"other {name}" for name in names])
    assert {f"other {name}" for name in first.groups} == {*part(tmp_path / "study.yaml").groups}


def test_in_a_split_in_time_it_is_the_early_part(tmp_path: Path) -> None:
    """What comes last, and is to be predicted, would be seen first."""
    names = ["c", "a", "e", "b", "d", "f"]
    table(tmp_path, names)
    corpus = {"path": "t.csv", "group": "g", "target": "y", "time": "day"}
    path = study(tmp_path, corpus=corpus, split={"kind": "walk-forward", "warmup": 1, "window": 1})
    assert {"c", "a", "e"} == {*part(path).groups}


def test_the_other_groups_stay_unseen_and_a_run_registers_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Trying things out would cost a look at everything, or pass for a verdict."""
    table(tmp_path, [f"g{number}" for number in range(6)])
    path, runs = study(tmp_path), tmp_path / "runs"
    arguments = ["try", str(path), "--runs", str(runs), "--workers", "1", "--json", "--set", "fit.alpha=3.0"]
    answer = CliRunner().invoke(app, arguments)
    assert 0 == answer.exit_code, answer.output
    found = json.loads(answer.stdout)
    corpus = TableReader(TableOptions(path=tmp_path / "t.csv", group="g", target="y", ignore=["day"])).read()
    every = group_targets(corpus, [group.id for group in corpus.manifest.groups])["groups"]
    assert 3 == len(found["groups"])
    assert {every[name]["targets"] for name in found["groups"]} == looked_at(runs)
    assert "HOLD" == Run(Path(found["run"])).verdict
    assert "FAIL" == {rule["id"]: rule["outcome"] for rule in found["rules"]}["not-smoke"]
    run = Study.load(path).run(runs=runs, workers=1)
    assert "PROMOTE" == run.verdict, run.document["reasons"]


@pytest.mark.parametrize(("share", "what"), [(0.0, "no share"), (1.0, "no share"), (0.1, "too few")])
def test_a_share_that_is_none_is_refused(tmp_path: Path, share: float, what: str) -> None:
    """All groups would be seen, or none could be held out."""
    table(tmp_path, [f"g{number}" for number in range(6)])
    with pytest.raises(InputError, match=what) as caught:
        part(study(tmp_path), share)
    assert "--share" == caught.value.where


def test_trying_on_a_tried_table_does_not_cut_it(tmp_path: Path) -> None:
    """Half of somebody's table would be gone without a word."""
    own = tmp_path / "runs" / "tried-out" / "tried"
    own.mkdir(parents=True)
    before = table(own, [f"g{number}" for number in range(6)]).read_bytes()
    corpus = {"path": str(own / "t.csv"), "group": "g", "target": "y", "ignore": ["day"]}
    for path in (own / "t.csv", tmp_path / "link" / "t.csv"):
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.hardlink_to(own / "t.csv")
        with pytest.raises(InputError, match="would be lost"):
            part(study(tmp_path, corpus=corpus | {"path": str(path)}))
        assert before == (own / "t.csv").read_bytes()


def test_a_folder_of_any_name_is_one_to_try_in(tmp_path: Path) -> None:
    """The path would be read as YAML, and what follows a hash be a comment."""
    folder = tmp_path / "a #b: [c] 'd\" {é}"
    folder.mkdir()
    table(folder, [f"g{number}" for number in range(4)])
    path, runs = study(folder), folder / "runs"
    answer = CliRunner().invoke(app, ["try", str(path), "--runs", str(runs), "--workers", "1", "--json"])
    assert 0 == answer.exit_code, answer.output


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"kind": "group-k-fold", "folds": 10}, "5 groups cannot fill 10 folds"),
        ({"kind": "stratified-group-k-fold", "folds": 10}, "5 groups cannot fill 10 folds"),
        ({"kind": "fixed", "test": ["G"]}, "they have no group 'G'"),
    ],
)
def test_a_split_that_does_not_fit_the_part_is_said_to_be_right(
    tmp_path: Path, split: dict[str, Any], said: str
) -> None:
    """Whoever tries would mend a study that is right, or look for a group that the corpus has."""
    table(tmp_path, names := [f"g{number}" for number in range(10)])
    if "test" in split:
        (unseen, *_) = sorted({*names} - {*part(study(tmp_path)).groups})
        split, said = split | {"test": [unseen]}, said.replace("G", unseen)
    with pytest.raises(InputError, match="does not fit the 5 groups that are tried, of 10") as caught:
        part(study(tmp_path, split=split))
    assert said in caught.value.what
    assert ("--share", True) == (caught.value.where, f"--set split.{[*split][-1]}=" in str(caught.value.hint))
    assert 10 == len(part(study(tmp_path, split=split), 0.95).groups)


def test_a_split_that_is_wrong_is_said_to_be_wrong(tmp_path: Path) -> None:
    """No share would ever be large enough."""
    table(tmp_path, [f"g{number}" for number in range(6)])
    with pytest.raises(CorpusError, match="the corpus has no group 'nobody'"):
        part(study(tmp_path, split={"kind": "fixed", "test": ["nobody"]}))


def test_words_for_gaps_are_such_in_the_part(tmp_path: Path) -> None:
    """A part of other words than the table's would be read as another one, or each word be named as of no use."""
    frame = pl.read_csv(table(tmp_path, [f"g{number}" for number in range(6)]))
    frame.with_columns(x=pl.when(pl.col("day").str.ends_with("-01")).then(-9.0).otherwise("x")).write_csv(
        tmp_path / "t.csv"
    )
    corpus = {"path": "t.csv", "group": "g", "target": "y", "ignore": ["day"], "missing": ["-9"]}
    found = part(study(tmp_path, corpus=corpus))
    read = TableReader(TableOptions.model_validate(corpus | {"path": found.table})).read()
    assert ({"x": 3}, ()) == (read.missing, read.idle)
