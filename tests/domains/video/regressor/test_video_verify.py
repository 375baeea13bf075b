"""A video run is verified with its own files: the seed reports and the published gate block are made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from heldout import Study
from heldout.domains.video.backbone import onnx as onnx_graph
from heldout.domains.video.backbone.model import FRModel
from heldout.evidence import write_json
from heldout.run.layout import files_digest, run_files, write_manifest
from heldout.verify import verify_run

STUDY = """
study: clips
corpus: {reader: video_frames, path: frames.jsonl}
backbone: fr_regressor
fit: {epochs: 3, hidden: 8}
seeds: [0, 1]
bootstrap: {draws: 100}
baselines:
- {id: linear, backbone: sklearn, fit: {estimator: sklearn.linear_model.LinearRegression, features: [vif_scale0]}}
"""


@pytest.fixture
def run(write_frames: Any, tmp_path: Path) -> Path:
    write_frames(frames=10)
    (tmp_path / "study.yaml").write_text(STUDY)
    return Study.load(tmp_path / "study.yaml").run(runs=tmp_path / "runs", workers=1).folder


def reseal(run: Path, document: dict[str, Any]) -> None:
    document["judged"]["files_sha256"] = files_digest(run_files(run))
    write_json(run / f"{document['verdict']}.json", document)
    write_manifest(run)


def edit_seed_report(run: Path, verdict: dict[str, Any]) -> None:
    document = json.loads((run / "loso_seed0.json").read_text())
    write_json(run / "loso_seed0.json", document | {"mean_plcc": 0.99})


def edit_gate_block(run: Path, verdict: dict[str, Any]) -> None:
    verdict["gate"]["passed"] = not verdict["gate"]["passed"]


def edit_recommendation(run: Path, verdict: dict[str, Any]) -> None:
    verdict["recommendation"] = "Ship it."


def add_field(run: Path, verdict: dict[str, Any]) -> None:
    verdict["approved_by"] = "the board"


@pytest.mark.slow
def test_a_video_run_and_its_domain_files(run: Path, tmp_path: Path) -> None:
    """An honest video run would be called tampered, or a seed report that says something else would be believed."""
    found = verify_run(run, corpus=tmp_path / "frames.jsonl", refit_too=True, workers=1)
    assert {"OK"} == {link.state for link in found.links if link.id not in ("code", "signature")}, found.broken
    for attack in (edit_seed_report, edit_gate_block, edit_recommendation, add_field):
        target = tmp_path / attack.__name__
        shutil.copytree(run, target)
        verdict = json.loads(next(target.glob("[HP][OR]*.json")).read_text())
        attack(target, verdict)
        reseal(target, verdict)
        broken = verify_run(target).broken
        assert broken is not None, attack.__name__
        assert broken.id == "published", broken


def test_size_and_latency_are_those_of_the_exported_graph(write_frames: Any, tmp_path: Path) -> None:
    """A rule would bound a file that nobody serves."""
    write_frames(frames=10)
    size, speed = "{id: size, metric: model_bytes, at_most: 6000}", "{id: speed, metric: latency_us, at_most: 1.0e+9}"
    (tmp_path / "study.yaml").write_text(f"{STUDY}gate: {{rules: [{size}, {speed}]}}\n")
    run = Study.load(tmp_path / "study.yaml").run(runs=tmp_path / "runs", workers=1)
    document = json.loads((run.folder / "costs.json").read_text())
    model = FRModel.load(next(run.folder.glob("fits/seed0/*")))
    assert ("onnx", len(onnx_graph.build(model, "member", {}))) == (document["form"], document["model_bytes"])
    assert verify_run(run.folder).broken is None
    write_json(run.folder / "costs.json", document | {"model_bytes": 1})
    verdict = dict(run.document)
    reseal(run.folder, verdict)
    broken = verify_run(run.folder).broken
    assert broken is not None
    assert "model_bytes is 1; the fits have" in str(broken.what)
