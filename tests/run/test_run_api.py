"""The Python API: two lines from a study to a verdict."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import heldout
from heldout import Run, Study
from heldout.errors import InputError, RefusedError, StudyError, TamperedError


@pytest.mark.slow
def test_two_lines_from_study_to_verdict(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first example of the documentation would not work."""
    desk.write(seeds=[0], baselines=[])
    monkeypatch.chdir(desk.folder)
    assert "PROMOTE" == Study.load("study.yaml").run(workers=1).verdict
    assert (desk.folder / "runs" / "small").is_dir()


@pytest.mark.slow
def test_script_of_two_lines_runs_with_many_workers(desk: Any) -> None:
    """A script without a main guard would start itself again in each worker."""
    desk.write(seeds=[0], baselines=[])
    script = desk.folder / "two_lines.py"
    script.write_text('from heldout import Study\nprint(Study.load("study.yaml").run(workers=2).verdict)\n')
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=desk.folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ("PROMOTE\n", 0) == (done.stdout, done.returncode), done.stderr


@pytest.mark.slow
def test_run_gives_verdict_metrics_and_report(judged: tuple[Any, Run]) -> None:
    """A notebook would have to know the names of the files."""
    run = Run(judged[1].folder)
    assert "PROMOTE" == run.verdict == run.document["verdict"]
    assert "heldout.metrics/2" == run.numbers["schema"]
    assert run.numbers["ensemble"]["pooled"]["plcc"] > 0.9
    assert run.report.read_text().startswith("<!doctype html>") or run.report.is_file()


def test_runs_of_a_study_go_where_they_are_told(judged: tuple[Any, Run]) -> None:
    """Runs would be spread over working folders."""
    desk, run = judged
    assert desk.runs / "small" == run.folder.parent
    assert run.folder.name.startswith("base-")


def test_a_run_is_no_folder_of_runs(judged: tuple[Any, Run]) -> None:
    """A second run inside a finished one would make the finished one TAMPERED."""
    desk, run = judged
    for place in (run.folder, run.folder / "fits"):
        with pytest.raises(StudyError, match="itself a run, or lies in one"):
            Study.load(desk.folder / "study.yaml").prepare(runs=place)


@pytest.mark.slow
def test_listener_hears_what_the_log_says(desk: Any) -> None:
    """A progress bar would show another run than the one that is logged."""
    heard: list[Any] = []
    desk.run(listener=heard.append, seeds=[0], baselines=[])
    assert ["plan", "fitted", "fitted", "fitted", "fitted", "complete"] == [each["event"] for each in heard]
    assert [0, 1, 2, 3, 4, 1] == [each["done"] for each in heard]


def test_folder_without_a_verdict_is_an_error_with_a_hint(tmp_path: Path) -> None:
    """A run that was killed would count as judged."""
    with pytest.raises(InputError, match="no verdict") as caught:
        Run(tmp_path).verdict  # noqa: B018
    assert (str(tmp_path), "run the study to its end") == (caught.value.where, caught.value.hint)


def test_defect_11_two_verdicts_side_by_side_are_refused(again: tuple[Any, Path]) -> None:
    """A copied HOLD beside a PROMOTE would be read as PROMOTE."""
    folder = again[1]
    (folder / "HOLD.json").write_bytes((folder / "PROMOTE.json").read_bytes())
    with pytest.raises(RefusedError):
        Run(folder).verdict  # noqa: B018
    (folder / "PROMOTE.json").unlink()
    with pytest.raises(TamperedError):
        Run(folder).verdict  # noqa: B018


def test_unknown_variant_is_refused_with_the_near_one(desk: Any) -> None:
    """A typo in the variant would run the base configuration."""
    study = desk.load(variants=[{"id": "softer", "set": {"fit.params": {"alpha": 3}}}])
    with pytest.raises(StudyError) as caught:
        study.run("sotfer", runs=desk.runs)
    assert "did you mean 'softer'" in str(caught.value.hint)


def test_preparing_writes_nothing(desk: Any) -> None:
    """A dry run would leave directories that look like runs."""
    summary = desk.prepare().summary()
    assert not desk.runs.exists()
    assert {"base": {"reused": 0, "to_fit": 8}, "mean": {"reused": 0, "to_fit": 4}} == summary["units"]
    assert (60, ["ann", "bob", "cyd", "dan"]) == (summary["rows"], summary["folds"])


@pytest.mark.slow
def test_variants_have_directories_of_their_own(desk: Any) -> None:
    """The verdict of a variant would replace that of another."""
    study = desk.load(seeds=[0], baselines=[], variants=[{"id": "soft", "set": {"fit.params": {"alpha": 3}}}])
    base, soft = (study.run(variant, runs=desk.runs, workers=1) for variant in ("base", "soft"))
    assert base.folder != soft.folder
    assert soft.folder.name.startswith("soft-")
    assert ("base", "soft") == (base.document["variant"], soft.document["variant"])
    assert base.numbers["ensemble"] != soft.numbers["ensemble"]


def test_public_names_load_on_first_use() -> None:
    """`from heldout import Study` would fail, or a typo would pass."""
    assert {"Run", "Study", "__version__", "evaluate", "judge"} == set(heldout.__all__)
    assert Study is heldout.Study
    with pytest.raises(AttributeError, match="Stduy"):
        heldout.Stduy  # noqa: B018
