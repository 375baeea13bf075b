"""Published files of the three systems, made again from archived inputs: the same bytes, but for clocks and digests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import kept
import pytest
import recipes
from places import published_again

Home = Callable[[str], Path]


@pytest.mark.parametrize("family", ["market", pytest.param("embodied", marks=pytest.mark.slow)])
def test_a_family_is_written_again_as_it_was(family: str, archived: Home, fresh: Home) -> None:
    """Scripts that read manifests, indexes, predictions, metrics, a watcher's states or boards would break."""
    assert {} == kept.differences(archived(family), fresh(family))


@pytest.mark.slow
def test_runs_of_a_table_are_written_again_as_they_were(archived: Home, fresh: Home) -> None:
    """The same study would give other numbers, or other files, after an update."""
    was, now = archived("registry") / "runs/sites", fresh("tables") / "numbers/runs/sites"
    for label in ("base", "alpha2"):
        assert {} == kept.differences(recipes.newest(was, label), recipes.newest(now, label)), label


@pytest.mark.parametrize("run", ["base", "hasty", "smoke"])
def test_seed_files_follow_from_metrics_as_they_did(run: str, archived: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts of the existing system would not find a key of ``loso_seed{N}.json``, or read another number."""
    monkeypatch.chdir(archived("video"))
    clips = Path("runs/clips")
    (smoke,) = (path.parent for path in clips.glob("base-*/HOLD.json"))
    folder = smoke if run == "smoke" else recipes.newest(clips, run)
    made = published_again(folder, Path("per_frame_canonical6.jsonl"))
    verdict = next(path for name in ("PROMOTE", "HOLD") if (path := folder / f"{name}.json").exists())
    fields, stored = json.loads(made.pop("")), json.loads(verdict.read_text())
    assert ["loso_seed0.json", "loso_seed1.json"] == sorted(made)
    for name, data in made.items():
        assert (folder / name).read_bytes() == data, name
    assert {key: stored[key] for key in fields} == fields


def test_reported_seed_files_are_judged_in_the_same_bytes(archived: Home, tmp_path: Path) -> None:
    """The published verdict would lose a field or change a word that somebody's script looks for."""
    for name in ("reported", "reported-low"):
        (tmp_path / name).mkdir()
        for path in (archived("video") / name).glob("loso_seed*.json"):
            shutil.copy(path, tmp_path / name)
    recipes.judge_reported(tmp_path)
    for name in ("reported", "reported-low"):
        assert {} == kept.differences(archived("video") / name, tmp_path / name), name


def test_a_flip_writes_the_same_registry(archived: Home, tmp_path: Path) -> None:
    """``registry.json`` of the shipped models would be written otherwise than those who load it expect."""
    was = archived("video")
    shutil.copytree(was / "tiny", tmp_path / "tiny")
    shutil.copy(was / "before.json", tmp_path / "tiny/registry.json")
    (tmp_path / "tiny/registry.before.json").unlink()
    verdict = recipes.newest(was / "runs/clips") / "PROMOTE.json"
    recipes.told(tmp_path, "registry", "flip", "tiny/registry.json", "--verdict", verdict)
    for name in ("registry.json", "registry.before.json"):
        assert (was / "tiny" / name).read_bytes() == (tmp_path / "tiny" / name).read_bytes(), name


def test_the_board_of_archived_runs_is_the_same(archived: Home, tmp_path: Path) -> None:
    """Who leads, and by how much, would depend on the version that one asks."""
    was = archived("market")
    for name in ("runs", "panel.csv"):
        (shutil.copytree if (was / name).is_dir() else shutil.copy)(was / name, tmp_path / name)
    told = recipes.board(tmp_path)
    assert (was / "said/board.json").read_text() == told.out
