"""A folder of someone else's seed files: judged as it is, and PROMOTE only if nothing in it contradicts itself."""

from __future__ import annotations

import copy
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heldout.domains.video.published.judge import NOTE, judge_reported, write_reported
from heldout.errors import InputError, RefusedError
from heldout.evidence import dumps, read_json
from heldout.gate.verdict_files import read_verdict

# Published: mean PLCC of the shipped ensemble's seeds, and the folds of its nearest published relative.
SHIPPED = {0: 0.997506, 1: 0.997159, 2: 0.997813, 3: 0.996926, 4: 0.996862}
RELATIVE = {  # held-out source: rows, PLCC, SROCC, RMSE
    "BigBuckBunny_25fps": (600, 0.9973, 0.9878, 0.787),
    "BirdsInCage_30fps": (720, 0.9988, 0.9989, 0.432),
    "CrowdRun_25fps": (600, 0.9996, 0.9972, 0.677),
    "ElFuente1_30fps": (720, 0.9987, 0.8805, 0.822),
    "ElFuente2_30fps": (720, 0.9950, 0.9984, 3.288),
    "FoxBird_25fps": (600, 0.9945, 0.9329, 0.904),
    "OldTownCross_25fps": (600, 0.9981, 0.9951, 0.810),
    "Seeking_25fps": (600, 0.9989, 0.9877, 1.013),
    "Tennis_24fps": (480, 0.9962, 0.9436, 1.061),
}
ROWS = 5640
Documents = dict[int, dict[str, Any]]


def seed_document(seed: int, mean_plcc: float) -> dict[str, Any]:
    """A published document whose folds average to ``mean_plcc``, their shape taken from the relative."""
    shift = mean_plcc - statistics.fmean(row[1] for row in RELATIVE.values())
    folds = []
    for index, (source, (rows, plcc, srocc, rmse)) in enumerate(RELATIVE.items()):
        wobble = ((index * 7 + seed * 3) % 9 - 4) * 2e-5  # sums to zero over the nine sources
        scores = {"plcc": plcc + shift + wobble, "srocc": srocc - 1e-4 * seed, "rmse": rmse + 0.01 * seed}
        folds.append({"held_out": source, "n_train": ROWS - rows, "n_val": rows} | scores)
    document = {"seed": seed, "corpus": "runs/phase_a/full_grid/per_frame_canonical6.jsonl", "n_folds": 9}
    document |= {"folds": folds, "epochs": 200, "batch_size": 32, "lr": 5e-4, "weight_decay": 1e-5}
    document |= {"num_codecs": 14, "encoder_vocab_version": 2, "wall_time_s": 28.4}
    return document | summary(folds)


def summary(folds: list[dict[str, Any]]) -> dict[str, float]:
    """The published statistics over folds."""
    plcc = [fold["plcc"] for fold in folds]
    means = {f"mean_{name}": statistics.fmean(fold[name] for fold in folds) for name in ("plcc", "srocc", "rmse")}
    return means | {"std_plcc": statistics.stdev(plcc), "min_plcc": min(plcc), "max_plcc": max(plcc)}


def shipped() -> Documents:
    return {seed: seed_document(seed, mean) for seed, mean in SHIPPED.items()}


def write_folder(folder: Path, documents: Documents) -> Path:
    """Write files as the existing system does: indented, sorted, and with bare NaN."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, document in documents.items():
        (folder / f"loso_seed{seed}.json").write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    return folder


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {rule["id"]: rule["outcome"] for rule in document["rules"]}


def sentence(document: dict[str, Any], identifier: str) -> str:
    return next(rule["sentence"] for rule in document["rules"] if rule["id"] == identifier)


def judged(folder: Path, documents: Documents, **options: Any) -> dict[str, Any]:
    return judge_reported(write_folder(folder, documents), **options)


def test_the_shipped_ensemble_is_promoted_with_its_published_figures(tmp_path: Path) -> None:
    """If this failed, nobody could judge the results that they already have."""
    document = judged(tmp_path, shipped())
    assert document["reasons"] == []
    assert document["verdict"] == "PROMOTE"
    assert document["gate"]["passed"] is True
    assert document["gate"]["mean_plcc"] == pytest.approx(0.9972532, abs=1e-6)
    assert document["gate"]["plcc_spread"] == pytest.approx(0.000951, abs=1e-6)
    assert document["gate"]["per_seed_plccs"] == {str(seed): pytest.approx(v, abs=1e-9) for seed, v in SHIPPED.items()}
    assert document["gate"]["failing_seeds"] == []


def test_the_verdict_has_every_published_field(tmp_path: Path) -> None:
    """A consumer of the published verdict would look for a key in vain."""
    document = judged(tmp_path, shipped())
    published = {"schema_version", "verdict", "generated_at_utc", "loso_dir", "seeds", "gate", "corpus"}
    assert published | {"recommendation", "adr", "parent_adr"} <= set(document)
    report = {"passed", "mean_plcc", "mean_plcc_threshold", "mean_plcc_pass", "plcc_spread", "plcc_spread_max"}
    report |= {"plcc_spread_pass", "per_seed_plccs", "per_seed_min", "per_seed_pass", "failing_seeds"}
    assert set(document["gate"]) == report
    assert document["seeds"] == [0, 1, 2, 3, 4]
    dumps(document)


def test_a_reported_verdict_says_so_and_names_nothing_that_a_registry_could_match(tmp_path: Path) -> None:
    """Somebody's typed-in numbers could be promoted as if they had been computed."""
    document = judged(tmp_path, shipped())
    assert document["evidence"] == "reported"
    assert NOTE in document["recommendation"]
    assert document["judged"]["corpus_sha256"] is None
    assert document["judged"]["predictions_sha256"] is None
    assert sorted(document["judged"]["files"]) == [f"loso_seed{seed}.json" for seed in range(5)]


def test_a_low_ensemble_is_held_in_the_published_words(tmp_path: Path) -> None:
    """An operator who greps the recommendation for the failing aspect would find nothing."""
    low = {seed: seed_document(seed, mean - 0.052 + 0.002 * seed) for seed, mean in SHIPPED.items()}
    document = judged(tmp_path, low)
    assert document["verdict"] == "HOLD"
    assert "mean_plcc 0.9493 < 0.9500" in document["recommendation"]
    assert "plcc_spread 0.0074 > 0.0050" in document["recommendation"]
    assert "failing seeds [0, 1, 2]" in document["recommendation"]
    assert [rule["id"] for rule in document["rules"] if rule["outcome"] != "PASS"] == [
        "mean-plcc",
        "plcc-spread",
        "every-seed",
    ]


def test_bounds_are_inclusive_and_can_be_chosen(tmp_path: Path) -> None:
    """A seed that meets the bound exactly would be turned away, or a declared bound ignored."""
    folder = write_folder(tmp_path, shipped())
    exact = min(document["mean_plcc"] for document in shipped().values())
    assert judge_reported(folder, per_seed_min=exact)["verdict"] == "PROMOTE"
    assert outcomes(judge_reported(folder, per_seed_min=exact + 1e-9))["every-seed"] == "FAIL"
    assert outcomes(judge_reported(folder, plcc_spread_max=1e-4))["plcc-spread"] == "FAIL"
    assert outcomes(judge_reported(folder, mean_plcc_threshold=0.999))["mean-plcc"] == "FAIL"
    with pytest.raises(InputError, match="bound is nan"):
        judge_reported(folder, mean_plcc_threshold=float("nan"))


def test_nothing_to_judge_is_an_input_error_and_not_a_hold(tmp_path: Path) -> None:
    """A mistyped folder would look like a model that failed."""
    with pytest.raises(InputError, match="no such folder"):
        judge_reported(tmp_path / "nowhere")
    with pytest.raises(InputError, match="there is no file of the seeds") as caught:
        judge_reported(write_folder(tmp_path, {7: seed_document(7, 0.99)}))
    assert "the seeds 7" in str(caught.value)
    (tmp_path / "loso_seed0.json").write_text('{"seed": 0,')
    with pytest.raises(InputError, match="not JSON") as caught:
        judge_reported(tmp_path)
    assert (caught.value.exit_code, "loso_seed0.json:1" in str(caught.value)) == (2, True)
    (tmp_path / "loso_seed0.json").write_text("[]")
    with pytest.raises(InputError, match="not a JSON object"):
        judge_reported(tmp_path)
    with pytest.raises(InputError, match="different whole numbers"):
        judge_reported(tmp_path, seeds=[0, 0])


@pytest.mark.parametrize("missing", range(5))
def test_a_missing_seed_is_a_hold_that_names_it(tmp_path: Path, missing: int) -> None:
    """A crashed training of one seed would be judged on the others."""
    documents = shipped()
    del documents[missing]
    document = judged(tmp_path, documents)
    assert (document["verdict"], outcomes(document)["seed-files"]) == ("HOLD", "FAIL")
    assert f"loso_seed{missing}.json" in sentence(document, "seed-files")
    assert document["gate"]["failing_seeds"] == [missing]
    assert document["gate"]["mean_plcc"] is None


def test_defect_10_a_dry_run_is_never_promoted(tmp_path: Path) -> None:
    """One epoch over synthetic rows would ship as the production ensemble."""
    noted, one_epoch = shipped(), shipped()
    noted[3]["note"] = "dry-run"
    for each in one_epoch.values():
        each["epochs"] = 1
    for name, documents in (("noted", noted), ("one_epoch", one_epoch)):
        document = judged(tmp_path / name, documents)
        assert (document["verdict"], outcomes(document)["not-dry-run"]) == ("HOLD", "FAIL")
        assert document["smoke"] is not None


def test_defect_10_one_fold_is_never_promoted(tmp_path: Path) -> None:
    """A single lucky source would stand for all of them."""
    documents = shipped()
    for document in documents.values():
        document["folds"] = document["folds"][:1]
        only = document["folds"][0]["plcc"]
        document |= {"n_folds": 1, "std_plcc": None, "mean_plcc": only, "min_plcc": only, "max_plcc": only}
    result = judged(tmp_path, documents)
    assert (result["verdict"], outcomes(result)["enough-folds"]) == ("HOLD", "FAIL")


def test_defect_10_a_seed_that_is_not_its_name_is_never_promoted(tmp_path: Path) -> None:
    """The same seed could be counted five times under five names."""
    documents = shipped()
    documents[4] = copy.deepcopy(documents[0])
    document = judged(tmp_path, documents)
    assert (outcomes(document)["seed-names"], outcomes(document)["distinct-seeds"]) == ("FAIL", "FAIL")
    documents[4]["seed"] = 4
    document = judged(tmp_path, documents)
    assert (document["verdict"], outcomes(document)["distinct-seeds"]) == ("HOLD", "FAIL")


def test_defect_10_five_corpora_are_never_promoted(tmp_path: Path) -> None:
    """Seeds trained on different rows would be compared as if only chance differed."""
    documents = shipped()
    for seed, document in documents.items():
        document["corpus"] = f"runs/corpus{seed}.jsonl"
    document = judged(tmp_path, documents)
    assert (document["verdict"], outcomes(document)["one-corpus"]) == ("HOLD", "FAIL")


def test_defect_10_mixed_recipes_are_never_promoted(tmp_path: Path) -> None:
    """The gate would judge an average of different models."""
    documents = shipped()
    documents[1]["lr"] = 1e-3
    document = judged(tmp_path, documents)
    assert (document["verdict"], outcomes(document)["one-recipe"]) == ("HOLD", "FAIL")
    assert "lr differs" in sentence(document, "one-recipe")


def test_defect_10_a_mean_without_its_folds_is_never_promoted(tmp_path: Path) -> None:
    """One typed-in number per file would be enough."""
    bare = {seed: {"mean_plcc": 0.99} for seed in range(5)}
    document = judged(tmp_path, bare)
    assert document["verdict"] == "HOLD"
    assert {"PASS"} != set(outcomes(document).values())
    assert outcomes(document)["mean-plcc"] == "UNKNOWN"


def test_defect_11_stale_verdict_is_removed_with_the_new_one(tmp_path: Path) -> None:
    """A HOLD beside an older PROMOTE would be exported."""
    write_reported(write_folder(tmp_path, shipped()), judge_reported(tmp_path))
    assert sorted(path.name for path in tmp_path.glob("*O*.json")) == ["PROMOTE.json"]
    (tmp_path / "loso_seed2.json").unlink()
    path = write_reported(tmp_path, judge_reported(tmp_path))
    assert (path.name, (tmp_path / "PROMOTE.json").exists()) == ("HOLD.json", False)
    assert read_verdict(tmp_path) == read_json(path)


def test_defect_11_stale_verdict_pair_is_reported(tmp_path: Path) -> None:
    """Nobody would hear that two contradicting verdicts had been lying there."""
    folder = write_folder(tmp_path, shipped())
    for name in ("PROMOTE.json", "HOLD.json"):
        (folder / name).write_text("{}\n")
    document = judge_reported(folder)
    assert "two-verdicts" in [finding["code"] for finding in document["findings"]]
    write_reported(folder, document)
    assert not (folder / "HOLD.json").exists()


@pytest.mark.parametrize(
    "name", ["loso_seed5.json", "loso_seed0 (copy).json", "loso_seed00.json", "loso_seed1.json.bak"]
)
def test_defect_11_stale_or_foreign_seed_files_are_never_ignored(tmp_path: Path, name: str) -> None:
    """Old seeds left behind by a crash would mix with new ones, or a weak seed be left out on purpose."""
    folder = write_folder(tmp_path, shipped())
    (folder / name).write_text((folder / "loso_seed0.json").read_text())
    document = judge_reported(folder)
    assert (document["verdict"], outcomes(document)["no-foreign-files"]) == ("HOLD", "FAIL")
    assert [(finding["code"], finding["where"]) for finding in document["findings"] if finding["blocking"]] == [
        ("stale-or-foreign-file", name)
    ]


def test_defect_11_mixed_versions_of_the_trainer_are_never_promoted(tmp_path: Path) -> None:
    """Files of two trainings in one folder would be judged as one."""
    documents = shipped()
    for document in documents.values():
        document["run_provenance"] = provenance("a" * 64, "b" * 64)
    assert judged(tmp_path, documents)["verdict"] == "PROMOTE"
    for change in (None, provenance("c" * 64, "b" * 64), provenance("a" * 64, "c" * 64)):
        mixed = copy.deepcopy(documents)
        mixed[2]["run_provenance"] = change
        document = judged(tmp_path, mixed)
        assert (document["verdict"], outcomes(document)["one-provenance"]) == ("HOLD", "FAIL")


def test_defect_12_nan_seed_is_unknown_and_named(tmp_path: Path) -> None:
    """A diverged seed would pass, because NaN compares as nothing."""
    documents = shipped()
    documents[2]["mean_plcc"] = float("nan")
    document = judged(tmp_path, documents)
    assert document["verdict"] == "HOLD"
    assert outcomes(document)["finite"] == "UNKNOWN"
    assert "loso_seed2.json: mean_plcc is NaN" in sentence(document, "finite")
    assert {"UNKNOWN"} == {outcomes(document)[name] for name in ("mean-plcc", "plcc-spread", "every-seed")}
    assert (document["gate"]["failing_seeds"], document["gate"]["per_seed_pass"]) == ([2], False)
    assert document["gate"]["plcc_spread"] is None
    assert b"NaN" not in dumps(document["gate"])


def test_defect_12_null_is_a_hold_with_a_file_and_not_a_crash(tmp_path: Path) -> None:
    """A TypeError would exit with the code of HOLD and leave no HOLD.json."""
    documents = shipped()
    documents[4]["mean_plcc"] = None
    document = judged(tmp_path, documents)
    assert "loso_seed4.json: mean_plcc is null" in sentence(document, "finite")
    assert write_reported(tmp_path, document).name == "HOLD.json"


def test_defect_12_nan_folds_are_not_dropped_from_the_mean(tmp_path: Path) -> None:
    """One good fold of nine could pass for all."""
    documents = shipped()
    for document in documents.values():
        for fold in document["folds"][1:]:
            fold["plcc"] = float("nan")
        document |= dict.fromkeys(("mean_plcc", "min_plcc", "max_plcc"), document["folds"][0]["plcc"])
    document = judged(tmp_path, documents)
    assert document["verdict"] == "HOLD"
    assert outcomes(document)["mean-plcc"] == "UNKNOWN"
    assert "folds[1].plcc is NaN" in sentence(document, "finite")
    assert document["gate"]["failing_seeds"] == [0, 1, 2, 3, 4]


def test_defect_13_a_corpus_that_nobody_named_is_said_to_be_unnamed(tmp_path: Path) -> None:
    """A verdict would seem tied to a corpus that no file names."""
    document = judged(tmp_path, shipped())
    assert (document["corpus"]["present"], document["corpus"]["sha256"]) == (False, None)
    assert "corpus-unnamed" in [finding["code"] for finding in document["findings"]]
    documents = shipped()
    for each in documents.values():
        each["run_provenance"] = provenance("a" * 64, "b" * 64)
    document = judged(tmp_path, documents)
    assert document["corpus"]["sha256"] == "a" * 64
    assert document["judged"]["corpus_sha256"] is None


def test_defect_15_what_plcc_does_not_see_stands_beside_it(tmp_path: Path) -> None:
    """A model with a huge error on one source would be promoted without a word about it."""
    document = judged(tmp_path, shipped())
    worst = document["beside"]["worst_fold"]
    assert (worst["rmse"]["held_out"], worst["rmse"]["seed"]) == ("ElFuente2_30fps", 4)
    assert (worst["srocc"]["held_out"], pytest.approx(worst["srocc"]["value"])) == ("ElFuente1_30fps", 0.8801)
    assert document["beside"]["per_seed"]["0"]["rmse"] == pytest.approx(1.088, abs=1e-3)


def test_defect_26_min_and_max_are_checked_against_the_folds(tmp_path: Path) -> None:
    """A minimum that depended on where a NaN stood would be believed."""
    documents = shipped()
    documents[0]["min_plcc"] = documents[0]["max_plcc"]
    document = judged(tmp_path, documents)
    assert outcomes(document)["fold-means"] == "FAIL"
    assert "min_plcc" in sentence(document, "fold-means")


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    """A single seed would pass the rule that is there to catch unstable training."""
    document = judged(tmp_path, {0: seed_document(0, 0.99)}, seeds=[0])
    assert (document["verdict"], outcomes(document)["plcc-spread"]) == ("HOLD", "UNKNOWN")


def test_seeds_can_be_named(tmp_path: Path) -> None:
    """Three seeds that were declared could not be judged as three."""
    folder = write_folder(tmp_path, {seed: shipped()[seed] for seed in (0, 2, 4)})
    assert judge_reported(folder, seeds=[0, 2, 4])["verdict"] == "PROMOTE"
    assert judge_reported(folder)["verdict"] == "HOLD"


def test_a_report_never_replaces_a_computed_verdict(tmp_path: Path) -> None:
    """Evidence from predictions could be overwritten by evidence from hearsay."""
    folder = write_folder(tmp_path, shipped())
    (folder / "HOLD.json").write_bytes(dumps({"verdict": "HOLD", "evidence": "computed"}))
    with pytest.raises(RefusedError, match="may not replace"):
        write_reported(folder, judge_reported(folder))
    assert read_json(folder / "HOLD.json")["evidence"] == "computed"


def provenance(corpus: str, trainer: str) -> dict[str, Any]:
    return {
        "schema": "ai-run-provenance-v1",
        "entrypoint": {"path": "ai/scripts/train.py", "exists": True, "kind": "file", "sha256": trainer},
        "argv": [],
        "args": {"dry_run": False},
        "inputs": {"corpus": {"path": "c.jsonl", "exists": True, "kind": "file", "sha256": corpus}},
        "outputs": {"report_target": "loso.json"},
    }


Mutation = Callable[[Documents, int, int], None]


def on_seed(key: str, value: Any) -> Mutation:
    def mutate(documents: Documents, seed: int, fold: int) -> None:
        documents[seed][key] = value(documents[seed]) if callable(value) else value

    return mutate


def on_fold(key: str, value: Any) -> Mutation:
    def mutate(documents: Documents, seed: int, fold: int) -> None:
        each = documents[seed]["folds"][fold]
        each[key] = value(each[key]) if callable(value) else value

    return mutate


def without(key: str) -> Mutation:
    return lambda documents, seed, fold: documents[seed].pop(key) and None


def again(change: Mutation) -> Mutation:
    """A change of the folds, with the statistics over folds made to fit."""

    def mutate(documents: Documents, seed: int, fold: int) -> None:
        change(documents, seed, fold)
        documents[seed] |= summary(documents[seed]["folds"])

    return mutate


def drop_fold(documents: Documents, seed: int, fold: int) -> None:
    del documents[seed]["folds"][fold]


def repeat_fold(documents: Documents, seed: int, fold: int) -> None:
    documents[seed]["folds"].append(dict(documents[seed]["folds"][fold]))


def copy_of_another(documents: Documents, seed: int, fold: int) -> None:
    documents[seed] = copy.deepcopy(documents[(seed + 1) % 5]) | {"seed": seed}


def swap_with_another(documents: Documents, seed: int, fold: int) -> None:
    other = (seed + 1) % 5
    documents[seed], documents[other] = documents[other], documents[seed]


MUTATIONS: dict[str, Mutation] = {
    "no file": lambda documents, seed, fold: documents.pop(seed) and None,
    "a sixth file": lambda documents, seed, fold: documents.update({5 + seed: copy.deepcopy(documents[seed])}),
    "seed of another": on_seed("seed", lambda document: document["seed"] + 1),
    "seed as text": on_seed("seed", lambda document: str(document["seed"])),
    "seed as truth value": on_seed("seed", True),
    "copy of another seed": copy_of_another,
    "two files swapped": swap_with_another,
    "dry-run note": on_seed("note", "dry-run"),
    "one epoch": on_seed("epochs", 1),
    "other epochs": on_seed("epochs", 60),
    "other batch": on_seed("batch_size", 64),
    "other step": on_seed("lr", 1e-3),
    "other decay": on_seed("weight_decay", 0.0),
    "other codec block": on_seed("num_codecs", 12),
    "other vocabulary": on_seed("encoder_vocab_version", 1),
    "other corpus": on_seed("corpus", "runs/other.jsonl"),
    "corpus null": on_seed("corpus", None),
    "mean NaN": on_seed("mean_plcc", float("nan")),
    "mean null": on_seed("mean_plcc", None),
    "mean infinite": on_seed("mean_plcc", float("inf")),
    "mean as text": on_seed("mean_plcc", "0.9975"),
    "mean raised": on_seed("mean_plcc", lambda document: document["mean_plcc"] + 1e-4),
    "mean above one": on_seed("mean_plcc", 1.5),
    "mean of the published bound": on_seed("mean_plcc", 0.95),
    "std zero": on_seed("std_plcc", 0.0),
    "minimum raised": on_seed("min_plcc", lambda document: document["min_plcc"] + 1e-3),
    "maximum raised": on_seed("max_plcc", 1.0),
    "SROCC raised": on_seed("mean_srocc", lambda document: document["mean_srocc"] + 1e-3),
    "RMSE lowered": on_seed("mean_rmse", 0.1),
    "n_folds of another corpus": on_seed("n_folds", 8),
    "n_folds as fraction": on_seed("n_folds", 9.5),
    "no folds": on_seed("folds", list),
    "folds null": on_seed("folds", None),
    "a bare NaN anywhere": on_seed("wall_time_s", float("nan")),
    "no folds key": without("folds"),
    "no epochs key": without("epochs"),
    "no SROCC key": without("mean_srocc"),
    "fold dropped": drop_fold,
    "fold dropped, statistics mended": again(drop_fold),
    "fold repeated": repeat_fold,
    "fold repeated, statistics mended": again(repeat_fold),
    "fold renamed": on_fold("held_out", "AnotherSource_25fps"),
    "fold without a name": on_fold("held_out", None),
    "fold NaN": on_fold("plcc", float("nan")),
    "fold null": on_fold("plcc", None),
    "fold SROCC NaN": on_fold("srocc", float("nan")),
    "fold raised": on_fold("plcc", lambda value: value + 1e-4),
    "fold above one, mended": again(on_fold("plcc", 1.01)),
    "fold error negative, mended": again(on_fold("rmse", -0.1)),
    "fold poor, mended": again(on_fold("plcc", 0.4)),
    "fold of other rows": on_fold("n_val", lambda value: value + 4),
    "fold of one row": on_fold("n_val", 1),
    "fold without training rows": on_fold("n_train", 0),
    "fold rows moved": on_fold("n_train", lambda value: value - 1),
    "fold rows null": on_fold("n_val", None),
}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(MUTATIONS)), st.integers(0, 4), st.integers(0, 8))
def test_no_single_mutation_is_promoted(
    tmp_path_factory: pytest.TempPathFactory, name: str, seed: int, fold: int
) -> None:
    """There would be one field that a forger or a crash may change without anybody noticing."""
    assert_held(tmp_path_factory.mktemp("mutated"), name, seed, fold)


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_every_kind_of_mutation_is_held(tmp_path: Path, name: str) -> None:
    """One row of the table would never be tried by chance."""
    assert_held(tmp_path, name, 3, 4)


def assert_held(folder: Path, name: str, seed: int, fold: int) -> None:
    documents = shipped()
    MUTATIONS[name](documents, seed, fold)
    document = judged(folder, documents)
    assert (document["verdict"], document["gate"]["passed"]) == ("HOLD", False)
    assert document["reasons"]
    assert write_reported(folder, document).name == "HOLD.json"
