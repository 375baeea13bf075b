"""The published files of a run: every published key, with a meaning that a stranger can check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from heldout.backbone import Judged
from heldout.corpus import CorpusManifest, GroupRecord
from heldout.domains.video.backbone.published import published_files, published_verdict_fields
from heldout.domains.video.backbone.published_gate import Bounds, failing_aspects, gate_report, recommendation
from heldout.domains.video.published.judge import judge_reported
from heldout.evidence import dumps, provenance, sha256_file, write_json
from heldout.gate import Facts, judge
from heldout.run.verdict import build_verdict
from heldout.study import BootstrapSpec, GateSpec
from heldout.task import Predictions, summarise

SOURCES = ("bikes", "bunny", "carphone", "rocket")
CELLS, FRAMES = 6, 8
RULES = [
    {"id": "mean", "metric": "plcc", "scope": "members", "statistic": "mean", "at_least": 0.95},
    {"id": "spread", "metric": "plcc", "scope": "members", "statistic": "spread", "at_most": 0.005},
    {"id": "seeds", "metric": "plcc", "scope": "members", "statistic": "min", "at_least": 0.95},
]
FIT = {"epochs": 200, "batch_size": 32, "lr": 5e-4, "weight_decay": 1e-5, "recipe": "default"}


def run(
    folder: Path,
    *,
    noise: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5, 0.5),
    offset: float = 0.0,
    constant: bool = False,
    smoke: str | None = None,
    rules: list[dict[str, Any]] | None = None,
) -> Judged:
    """A judged run over real arrays: targets from 10 to 100 with ties at 100, as VMAF clips there."""
    corpus = folder / "per_frame_canonical6.jsonl"
    corpus.write_text('{"src": "bikes"}\n')
    chance = np.random.default_rng(7)
    target = np.minimum(100.0, chance.uniform(10, 120, size=(len(SOURCES), CELLS * FRAMES))).ravel()
    samples = samples_of(target)
    members = {seed: target + offset + chance.normal(0, sd, len(target)) for seed, sd in enumerate(noise)}
    if constant:
        members[2][: CELLS * FRAMES] = 50.0
    held_in = (len(SOURCES) - 1) * CELLS * FRAMES
    metrics = summarise(Predictions(samples, members, ()), dict.fromkeys(SOURCES, held_in), BootstrapSpec(draws=100))
    gate = GateSpec.model_validate({"rules": RULES if rules is None else rules})
    seeds = list(members)
    units = frozenset((seed, source) for seed in seeds for source in SOURCES)
    facts = Facts(seeds, SOURCES, units, (), len(SOURCES), smoke, ())
    block = provenance.build(args={"study": "demo"}, inputs={"corpus": corpus}, outputs={"run": "demo"})
    config = {"seeds": seeds, "fit": FIT, "gate": gate.model_dump(mode="json", exclude_none=True)}
    judged = Judged(
        folder=folder,
        corpus_path=corpus,
        manifest=manifest(corpus, len(target)),
        config=config,
        metrics=metrics,
        verdict={},
        wall_time_s=dict.fromkeys(seeds, 1.25),
        smoke=smoke,
        provenance=block,
    )
    core = build_verdict(
        study="demo", variant="base", seeds=seeds, outcomes=judge(metrics, gate, facts), findings=[], smoke=smoke,
        judged={}, provenance=block,
    )  # fmt: skip
    return replace(judged, verdict=core)


def samples_of(target: np.ndarray) -> pl.DataFrame:
    groups = np.repeat(SOURCES, CELLS * FRAMES)
    cells = [f"{group}/{row // FRAMES % CELLS}" for row, group in enumerate(groups)]
    ids = [f"s{row}" for row in range(len(target))]
    return pl.DataFrame({"sample_id": ids, "group": groups, "cell": cells, "fold": groups, "target": target})


def manifest(corpus: Path, rows: int) -> CorpusManifest:
    groups = tuple(GroupRecord(source, CELLS * FRAMES, "0" * 64) for source in SOURCES)
    return CorpusManifest(
        "video_frames", corpus.name, sha256_file(corpus), rows, "regression", "vmaf", ("adm2",), groups
    )


def test_every_published_key_is_there(tmp_path: Path) -> None:
    """The existing system's scripts would not find a key in our files."""
    files = published_files(run(tmp_path))
    assert sorted(files) == [f"loso_seed{seed}.json" for seed in range(5)]
    document = files["loso_seed3.json"]
    published = {"seed", "corpus", "n_folds", "folds", "mean_plcc", "std_plcc", "min_plcc", "max_plcc", "mean_srocc"}
    published |= {"mean_rmse", "epochs", "batch_size", "lr", "weight_decay", "num_codecs", "encoder_vocab_version"}
    assert published | {"wall_time_s", "run_provenance"} <= set(document)
    assert "note" not in document
    assert {"held_out", "n_train", "n_val", "plcc", "srocc", "rmse"} <= set(document["folds"][0])
    assert (document["seed"], document["n_folds"]) == (3, 4)
    assert (document["num_codecs"], document["encoder_vocab_version"]) == (14, 2)
    assert (document["epochs"], document["lr"], document["wall_time_s"]) == (200, 5e-4, 1.25)
    assert [fold["held_out"] for fold in document["folds"]] == list(SOURCES)
    assert {(fold["n_train"], fold["n_val"]) for fold in document["folds"]} == {(144, 48)}
    dumps(files)


def test_each_file_carries_its_own_provenance(tmp_path: Path) -> None:
    """Nobody could tell from one seed's file by what and from what it was made."""
    block = published_files(run(tmp_path))["loso_seed1.json"]["run_provenance"]
    assert block["schema"] == "ai-run-provenance-v1"
    assert (block["args"]["seed"], block["args"]["epochs"]) == (1, 200)
    assert block["inputs"]["corpus"]["sha256"] == sha256_file(tmp_path / "per_frame_canonical6.jsonl")
    assert block["outputs"]["report_target"].endswith("/loso_seed1.json")
    assert {"code", "packages", "host", "device"} <= set(block)


def test_what_is_written_is_what_the_reported_gate_accepts(tmp_path: Path) -> None:
    """Our own files would be refused by our own cross-checks."""
    for name, document in published_files(run(tmp_path)).items():
        write_json(tmp_path / name, document)
    document = judge_reported(tmp_path)
    assert document["reasons"] == []
    assert document["verdict"] == "PROMOTE"


def test_a_good_run_has_the_published_gate_report(tmp_path: Path) -> None:
    """The exporter that copies the gate block would copy nonsense."""
    judged = run(tmp_path)
    fields = published_verdict_fields(judged)
    members = judged.metrics["members"]
    assert fields["verdict"] == judged.verdict["verdict"] == "PROMOTE"
    assert fields["schema_version"] == 1
    assert fields["gate"]["passed"] is True
    assert fields["gate"]["per_seed_plccs"] == {seed: members[seed]["mean"]["plcc"] for seed in "01234"}
    assert fields["gate"]["mean_plcc"] == pytest.approx(np.mean([members[seed]["mean"]["plcc"] for seed in "01234"]))
    assert (fields["gate"]["mean_plcc_threshold"], fields["gate"]["plcc_spread_max"]) == (0.95, 0.005)
    assert (fields["adr"], fields["parent_adr"]) == ("ADR-0309", "ADR-0303")
    dumps(fields)


def test_a_poor_run_is_held_in_the_published_words(tmp_path: Path) -> None:
    """An operator who greps the recommendation for the failing aspect would find nothing."""
    fields = published_verdict_fields(run(tmp_path, noise=(0.5, 0.5, 0.5, 0.5, 15.0)))
    gate = fields["gate"]
    assert fields["verdict"] == "HOLD"
    assert f"plcc_spread {gate['plcc_spread']:.4f} > 0.0050" in fields["recommendation"]
    assert "failing seeds [4]" in fields["recommendation"]
    assert (gate["passed"], gate["mean_plcc_pass"], gate["per_seed_pass"]) == (False, True, False)


def test_a_smoke_run_is_noted_and_does_not_pass(tmp_path: Path) -> None:
    """A quick look with perfect numbers could be shipped."""
    judged = run(tmp_path, smoke="`--set fit.epochs=5` overrides the declared study")
    fields = published_verdict_fields(judged)
    assert published_files(judged)["loso_seed0.json"]["note"] == "dry-run"
    assert (fields["verdict"], fields["gate"]["passed"]) == ("HOLD", False)
    assert fields["gate"]["mean_plcc_pass"] is True
    assert "a smoke run can never PROMOTE" in fields["recommendation"]
    for name, document in published_files(judged).items():
        write_json(tmp_path / name, document)
    assert judge_reported(tmp_path)["verdict"] == "HOLD"


def test_defect_12_nan_fold_makes_its_seed_fail_and_no_number_lies(tmp_path: Path) -> None:
    """A fold that collapsed to a constant would leave the mean quietly."""
    judged = run(tmp_path, constant=True)
    document, gate = published_files(judged)["loso_seed2.json"], published_verdict_fields(judged)["gate"]
    assert document["folds"][0]["plcc"] is None
    assert [document[key] for key in ("mean_plcc", "std_plcc", "min_plcc", "max_plcc")] == [None] * 4
    assert (gate["failing_seeds"], gate["per_seed_pass"], gate["passed"]) == ([2], False, False)
    assert (gate["mean_plcc"], gate["plcc_spread"]) == (None, None)
    assert "mean_plcc cannot be judged" in published_verdict_fields(judged)["recommendation"]
    dumps(gate)


def test_defect_13_the_verdict_names_the_bytes_that_were_trained_on(tmp_path: Path) -> None:
    """A verdict could not be tied to its corpus: names and sizes of some folder say nothing."""
    corpus = published_verdict_fields(run(tmp_path))["corpus"]
    assert corpus["sha256"] == sha256_file(tmp_path / "per_frame_canonical6.jsonl")
    assert corpus["present"] is True
    assert (corpus["ref_count"], corpus["dis_count"], corpus["yuv_count"]) == (4, 24, 28)


def test_defect_15_an_offset_that_plcc_cannot_see_stands_in_the_verdict(tmp_path: Path) -> None:
    """A model that is wrong by twenty points everywhere would be promoted without a word about it."""
    fields = published_verdict_fields(run(tmp_path, offset=-20.0))
    assert fields["gate"]["passed"] is True
    assert fields["beside"]["ensemble"]["bias"] == pytest.approx(-20.0, abs=0.2)
    assert fields["beside"]["ensemble"]["rmse"] == pytest.approx(20.0, abs=0.2)
    assert set(fields["beside"]["worst_fold"]) == {"plcc", "srocc", "rmse", "mae", "bias"}
    assert fields["beside"]["worst_fold"]["mae"]["value"] > 19.5


def test_defect_26_srocc_shares_ranks_among_ties(tmp_path: Path) -> None:
    """VMAF clips at 100: ranks by order of appearance would make SROCC depend on the order of rows."""
    judged = run(tmp_path)
    chance = np.random.default_rng(7)
    target = np.minimum(100.0, chance.uniform(10, 120, size=(len(SOURCES), CELLS * FRAMES)))
    prediction = target.ravel() + chance.normal(0, 0.5, target.size)
    assert (target[0] == 100.0).sum() > 1
    expected = stats.spearmanr(target[0], prediction[: CELLS * FRAMES]).statistic
    assert published_files(judged)["loso_seed0.json"]["folds"][0]["srocc"] == pytest.approx(expected, abs=1e-12)


def test_a_bound_that_a_study_does_not_declare_is_null(tmp_path: Path) -> None:
    """The report would claim a judgement that nobody made."""
    gate = published_verdict_fields(run(tmp_path, rules=[{"id": "rmse", "metric": "rmse", "at_most": 5.0}]))["gate"]
    assert (gate["mean_plcc_threshold"], gate["mean_plcc_pass"], gate["per_seed_pass"]) == (None, None, None)
    assert gate["passed"] is True
    assert gate["mean_plcc"] > 0.99


def test_the_gate_report_never_passes_what_the_verdict_holds() -> None:
    """Whoever reads `passed` and whoever reads `verdict` would act differently."""
    good = dict.fromkeys(range(5), 0.99)
    assert gate_report(good, Bounds(), "PROMOTE")["passed"] is True
    assert gate_report(good, Bounds(), "HOLD")["passed"] is False
    assert gate_report(good | {2: 0.94}, Bounds(), "PROMOTE")["passed"] is False
    assert gate_report({}, Bounds(), "PROMOTE")["passed"] is False


def test_near_misses_are_printed_with_enough_digits() -> None:
    """`mean_plcc 0.9500 < 0.9500` explains nothing."""
    report = gate_report(dict.fromkeys(range(5), 0.94999), Bounds(), "HOLD")
    assert failing_aspects(report) == ["mean_plcc 0.94999 < 0.95000", "failing seeds [0, 1, 2, 3, 4]"]
    assert "mean_plcc 0.94999 < 0.95000; failing seeds" in recommendation("HOLD", report, [])
