"""Honest runs hold wherever they are verified: another path, another user, a read-only folder, every kind of study."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from heldout import Study
from heldout.cli.main import main
from heldout.verify import verify_run

STUDIES = {
    "classes": """
study: classes
corpus: {path: table.csv, group: site, target: label}
backbone: sklearn
fit: {estimator: sklearn.ensemble.RandomForestClassifier, params: {n_estimators: 3}}
seeds: [3, 1]
baselines:
- {id: majority, backbone: sklearn, fit: {estimator: sklearn.dummy.DummyClassifier}}
bootstrap: {draws: 100}
gate: {rules: [{id: ba, metric: balanced_accuracy, over: pooled, at_least: 0.5}]}
""",
    "parts": """
study: parts
corpus: {path: table.csv, group: site, target: y, ignore: [label]}
backbone: sklearn
fit: {estimator: sklearn.linear_model.Ridge}
split: {kind: group-k-fold, folds: 2}
seeds: [0]
baselines: []
bootstrap: {draws: 100}
gate: {rules: [{id: rmse, metric: rmse, over: worst_group, at_most: 5}]}
""",
    "fixed": """
study: fixed
corpus: {path: table.csv, group: site, target: y, ignore: [label]}
backbone: sklearn
fit: {estimator: sklearn.ensemble.ExtraTreesRegressor, params: {n_estimators: 3}}
split: {kind: fixed, test: [south, "a/b é"]}
seeds: [0, 1]
bootstrap: {draws: 100}
gate: {rules: [{id: spread, metric: plcc, scope: members, statistic: spread, at_most: 1}]}
""",
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(60, 2))
    y = X.sum(axis=1) + rng.normal(size=60) * 0.2
    sites = np.repeat(["north", "south", "east", "a/b é"], 15)
    labels = np.where(y > 0.5, "high", np.where(y < -0.5, "low", "mid"))
    labels[:2] = "only-here"
    path = tmp_path / "table.csv"
    frame = {"a": X[:, 0], "b": X[:, 1], "word": labels, "site": sites, "y": y}
    pl.DataFrame(frame).rename({"word": "label"}).write_csv(path)
    return path


@pytest.mark.first_is_fast
@pytest.mark.parametrize("name", STUDIES)
def test_every_kind_of_study_is_verified(name: str, table: Path) -> None:
    """An honest run of classes, of few folds or with odd group names would be called tampered."""
    (table.parent / "study.yaml").write_text(STUDIES[name])
    run = Study.load(table.parent / "study.yaml").run(runs=table.parent / "runs", workers=1)
    found = verify_run(run.folder, corpus=table, refit_too=True, workers=1)
    assert {"OK"} == {link.state for link in found.links if link.id not in ("code", "signature")}, found.broken


def test_a_copy_at_another_path_is_verified(honest: dict[str, Any], tmp_path: Path) -> None:
    """A run could only be checked where it was made."""
    target = tmp_path / "sent by post" / "renamed"
    shutil.copytree(honest["promote"].folder, target)
    (target / "exports").mkdir()
    (target / "exports" / "model.onnx").write_bytes(b"later")
    (target / "notes.txt").write_text("read on Monday")
    assert verify_run(target).holds
    assert verify_run(target / "PROMOTE.json").holds


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.rglob("*"))}


@pytest.mark.slow
def test_verification_writes_nothing(victim: Any, honest: dict[str, Any]) -> None:
    """Evidence on read-only media could not be checked, or looking would change it."""
    run = victim("promote")
    before = _tree(run.parent)
    for path in [*run.rglob("*"), run, run.parent]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert verify_run(run, corpus=honest["promote"].corpus, refit_too=True, workers=1).holds
    finally:
        for path in [run.parent, run, *run.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert before == _tree(run.parent)


@pytest.mark.parametrize("name", ["study.lock.yaml", "corpus.json", "split.json", "metrics.json", "predictions.jsonl"])
def test_what_is_not_the_file_of_the_manifest_is_never_parsed(victim: Any, name: str) -> None:
    """A stranger's bytes would reach a parser though their digest already says that they are not the run's."""
    run = victim("promote")
    path = run / name
    path.write_bytes(path.read_bytes() + b"\n")
    states = {link.id: link.state for link in verify_run(run).links}
    assert "BROKEN" == states.pop("files")
    parsing = ("study", "run-name", "smoke", "corpus", "split", "units", "predictions", "metrics", "rules", "verdict")
    assert {"NOT CHECKED"} == {states[each] for each in parsing}


# Everything is imported before the user changes: who may read this interpreter is not what is tested.
AS_NOBODY = """
import os, sys
from heldout.verify import verify_run
verify_run(sys.argv[1])
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(verify_run(sys.argv[1]).holds)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may become another user")
def test_another_user_without_a_home_verifies(honest: dict[str, Any]) -> None:
    """A third party could not check a verdict."""
    run = Path("/var/tmp") / f"heldout-verify-{os.getpid()}"
    shutil.copytree(honest["promote"].folder, run)
    try:
        for path in [run, *run.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        answer = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(run)], cwd="/", env={"HOME": "/nowhere", "PATH": "/usr/bin"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        shutil.rmtree(run)
    assert answer.stdout == "True\n", answer.stderr


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["heldout", *(str(word) for word in words)])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_the_command_prints_the_chain_and_exits_by_it(
    victim: Any, honest: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script would take a tampered run for a verified one, or a HOLD for a broken chain."""
    run = victim("hold")
    assert command(monkeypatch, "verify", run, "--corpus", honest["hold"].corpus) == 0
    text = capsys.readouterr().out
    assert "VERIFIED HOLD  sha256 " in text
    assert "\x1b" not in text
    (run / "metrics.json").write_bytes((run / "metrics.json").read_bytes().replace(b'"rows": 48', b'"rows": 49'))
    assert command(monkeypatch, "verify", run) == 3
    assert "TAMPERED at the link 'manifest → every file'" in capsys.readouterr().out
    assert command(monkeypatch, "verify", run, "--json") == 3
    document = json.loads(capsys.readouterr().out)
    assert ("heldout.verification/1", "TAMPERED", "files") == tuple(document[k] for k in ("schema", "result", "broken"))
    (run / "HOLD.json").unlink()
    assert command(monkeypatch, "verify", run) == 2
    assert "INVALID: the run has no verdict" in capsys.readouterr().err


def test_another_corpus_is_no_match(honest: dict[str, Any], tmp_path: Path) -> None:
    """A run would be verified against rows that it never saw."""
    other = tmp_path / "other.csv"
    shutil.copy(honest["twin"].corpus, other)
    broken = verify_run(honest["promote"].folder, corpus=other).broken
    assert broken is not None
    assert broken.id == "corpus-file"
