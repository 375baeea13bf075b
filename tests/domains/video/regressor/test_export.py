"""Exported members: only after a PROMOTE over this very corpus, whole or not at all, and equal to our own answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heldout.backbone import FeaturesView
from heldout.corpus import Corpus
from heldout.domains.video.backbone.features import ENCODER_VOCAB
from heldout.domains.video.backbone.regressor import FRParams, FRRegressorBackbone
from heldout.domains.video.corpus.rows import FEATURES
from heldout.domains.video.export import members as export
from heldout.domains.video.export.members import ExportedMember, export_members
from heldout.errors import InputError, RefusedError, UnitError
from heldout.evidence import digest, read_json, sha256_file

pytest.importorskip("numba")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

Export = Callable[..., list[ExportedMember]]
NAME = "fr_regressor_v2_ensemble_v1"
PUBLISHED_SIDECAR = {
    *("id", "ensemble_id", "seed", "kind", "codec_aware", "codec_block_layout", "encoder_vocab", "sha256"),
    *("encoder_vocab_version", "feature_order", "feature_mean", "feature_std", "input_names", "output_names", "onnx"),
    *("opset", "corpus", "training_recipe", "gate", "loso_mean_plcc", "notes", "parent_adrs", "run_provenance"),
}
PUBLISHED_MANIFEST = {
    *("id", "kind", "ensemble_size", "members", "feature_order", "feature_mean", "feature_std", "codec_vocab"),
    *("codec_vocab_version", "confidence", "smoke", "eval"),
}
METRICS: dict[str, Any] = {
    "members": {str(seed): {"mean": {"plcc": 0.99 + seed / 1000}} for seed in range(5)},
    "ensemble": {"sigma": {"mean": 0.2, "coverage_95": 0.68}},
}


def verdict_for(path: Path, **changes: Any) -> dict[str, Any]:
    return {
        "schema": "heldout.verdict/1",
        "verdict": "PROMOTE",
        "evidence": "computed",
        "smoke": None,
        "seeds": [0, 1, 2, 3, 4],
        "gate": {"mean_plcc": 0.992, "mean_plcc_threshold": 0.95, "plcc_spread": 0.004, "plcc_spread_max": 0.005}
        | {"per_seed_min": 0.95},
        "judged": {"corpus_sha256": sha256_file(path)},
    } | changes


@pytest.fixture
def path(write_frames: Any) -> Path:
    found: Path = write_frames()
    return found


@pytest.fixture
def run_export(path: Path, read_frames: Any, tmp_path: Path) -> Export:
    """Export two members into ``out``; keywords replace arguments or parameters."""

    def run(seeds: tuple[int, ...] = (0, 1), *, verdict: Any = None, out: str = "out", **changes: Any) -> Any:
        named = {key: changes.pop(key) for key in ("corpus_path", "workdir", "prefix") if key in changes}
        subject = FRRegressorBackbone(FRParams(**({"epochs": 3, "hidden": 16} | changes)))
        return export_members(
            subject,
            read_frames(named.get("corpus_path", path)),
            seeds,
            verdict if verdict is not None else verdict_for(path),
            METRICS,
            tmp_path / out,
            **{
                "corpus_path": path,
                "workdir": tmp_path / f"{out}-work",
                "provenance": {"schema": "ai-run-provenance-v1"},
            }
            | named,
        )

    return run


def scores(onnx_path: Path, corpus: Corpus, rows: slice = slice(None), **replaced: Any) -> Any:
    """What a consumer does: the sidecar alone says how to make the inputs."""
    card = json.loads(onnx_path.with_suffix(".json").read_text())
    frame = corpus.features[rows]
    raw = frame.select(card["feature_order"]).to_numpy()
    features = (raw - card["feature_mean"]) / card["feature_std"]
    names = [replaced.get("encoder", name) for name in frame["encoder"]]
    onehot = np.array([[float(name == slot) for slot in card["encoder_vocab"]] for name in names])
    low, high = card["corpus"]["cq_min"], card["corpus"]["cq_max"]
    crf = (frame["cq"].to_numpy() - low) / (high - low)
    preset = np.full(len(names), replaced.get("preset_norm", 0.5))
    block = np.column_stack([onehot, preset, replaced.get("crf_norm", crf) * np.ones(len(names))])
    session = onnxruntime.InferenceSession(onnx_path.read_bytes(), providers=["CPUExecutionProvider"])
    feed = {"features": features.astype(np.float32), "codec_onehot": block.astype(np.float32)}
    return session.run(card["output_names"], feed)[0]


def test_a_member_answers_as_our_own_model(run_export: Export, corpus: Corpus, tmp_path: Path) -> None:
    """If this failed, the file that is served would be another model than the one that was judged."""
    members = run_export()

    subject = FRRegressorBackbone(FRParams(epochs=3, hidden=16))
    for member in members:
        model = subject.load(tmp_path / "out-work" / f"seed{member.seed}")
        expected = subject.predict(model, FeaturesView(corpus.features))
        found = scores(member.onnx, corpus)
        assert (found.dtype, found.shape) == (np.float32, (960,))
        assert np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected))) <= 1e-5
        assert member.parity.relative <= 1e-5
        assert member.parity.rows > 960


@pytest.mark.parametrize(
    "params",
    [
        {"recipe": "published"},
        {"codec": "blind"},
        {"unseen": "flag"},
        {"depth": 3},
        {"recipe": "published", "codec": "blind"},
    ],
)
def test_every_recipe_exports(run_export: Export, params: dict[str, Any]) -> None:
    """If this failed, a variant could be promoted and then not be served."""
    (member,) = run_export((4,), **params)
    assert member.parity.relative <= 1e-5


def test_the_graph_is_the_published_one(run_export: Export) -> None:
    """If this failed, consumers of the published graphs could not load ours."""
    (plain,) = run_export((0,), recipe="published")
    (coded,) = run_export((0,), out="coded")
    published = "Concat Gemm Div Erf Add Mul Mul Gemm Div Erf Add Mul Mul Gemm Squeeze"

    graph = onnx.load(plain.onnx).graph
    operators = [node.op_type for node in onnx.load(coded.onnx).graph.node]

    assert " ".join(node.op_type for node in graph.node) == published
    assert " ".join(operators) == f"Clip Mul Add MatMul Mul {published}"
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"features": ["batch", 6], "codec_onehot": ["batch", 14], "score": ["batch"]}
    assert [(item.domain, item.version) for item in onnx.load(plain.onnx).opset_import] == [("", 17)]
    onnx.checker.check_model(str(coded.onnx), full_check=True)


def test_defect_21_an_untrained_slot_of_the_graph_answers_without_the_block(run_export: Export, corpus: Corpus) -> None:
    """If this failed, the served model would be off by twenty points for an encoder that it never saw."""
    (member,) = run_export((0,), epochs=60, hidden=64)
    unseen = [name for name in ENCODER_VOCAB if name not in ("libx264", "libx265")]

    answers = [scores(member.onnx, corpus, encoder=name) for name in unseen]
    nobody = scores(member.onnx, corpus, encoder="no slot at all", crf_norm=0.9)

    for found in answers:
        np.testing.assert_array_equal(found, answers[0])
    np.testing.assert_array_equal(nobody, answers[0])
    assert np.abs(answers[0] - corpus.targets("verify")).mean() < 2.0
    assert set(read_json(member.sidecar)["unseen"]["slots"]) == set(unseen)


def test_defect_14_and_19_what_was_constant_or_out_of_range_moves_nothing(run_export: Export, corpus: Corpus) -> None:
    """If this failed, a consumer's other preset or quality range would shift every score."""
    (member,) = run_export((0,))

    np.testing.assert_array_equal(scores(member.onnx, corpus), scores(member.onnx, corpus, preset_norm=0.0))
    ends = [scores(member.onnx, corpus, crf_norm=value) for value in (1.0, 1.7, 0.0, -0.4)]
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[2], ends[3])


def test_defect_32_one_sha256_covers_graph_and_weights(run_export: Export) -> None:
    """If this failed, weights could be changed behind a digest that still fits."""
    (member,) = run_export((0,))
    data = member.onnx.read_bytes()
    proto = onnx.load_from_string(data)

    assert sorted(item.name for item in member.onnx.parent.iterdir()) == sorted(
        [f"{NAME}.json", f"{NAME}_parity.safetensors", f"{NAME}_seed0.json", f"{NAME}_seed0.onnx"]
    )
    assert {item.data_location for item in proto.graph.initializer} == {onnx.TensorProto.DEFAULT}
    for tensor in proto.graph.initializer:
        at = data.find(tensor.raw_data)
        assert at >= 0
        for offset in (0, len(tensor.raw_data) - 1):
            byte = data[at + offset]
            changed = data[: at + offset] + bytes([byte // 2 if byte else 1]) + data[at + offset + 1 :]
            assert hashlib.sha256(changed).hexdigest() != member.sha256
    assert read_json(member.sidecar)["sha256"] == member.sha256 == sha256_file(member.onnx)


def test_the_same_members_give_the_same_bytes(run_export: Export) -> None:
    """If this failed, nobody could check an export by doing it again."""
    first, second = run_export(out="a"), run_export(out="b")

    assert [member.sha256 for member in first] == [member.sha256 for member in second]
    assert first[0].sha256 != first[1].sha256
    assert first[0].sidecar.read_bytes() == second[0].sidecar.read_bytes()


def test_the_sidecar_has_every_published_field(run_export: Export, path: Path) -> None:
    """If this failed, tools that read the published sidecars would break on ours."""
    _, member = run_export()
    card = read_json(member.sidecar)

    assert set(card) >= PUBLISHED_SIDECAR
    assert (card["id"], card["ensemble_id"], card["seed"]) == (f"{NAME}_seed1", NAME, 1)
    assert (card["kind"], card["codec_aware"], card["opset"]) == ("fr", True, 17)
    assert card["feature_order"] == list(FEATURES)
    assert card["encoder_vocab"] == list(ENCODER_VOCAB)
    assert {key: card["corpus"][key] for key in ("sha256", "n_rows", "cq_min", "cq_max")} == {
        "sha256": sha256_file(path),
        "n_rows": 960,
        "cq_min": 19.0,
        "cq_max": 37.0,
    }
    assert card["gate"] == {
        "verdict": "PROMOTE",
        "passed": True,
        "mean_plcc": 0.992,
        "mean_plcc_threshold": 0.95,
        "plcc_spread": 0.004,
        "plcc_spread_max": 0.005,
        "per_seed_min_threshold": 0.95,
        "this_seed_loso_plcc": 0.991,
    }
    recipe = card["training_recipe"]
    assert (recipe["in_features"], recipe["num_codecs"], recipe["fit_set"]) == (6, 14, "full_corpus")
    assert (recipe["epochs"], recipe["optimizer"], recipe["loss"]) == (3, "Adam", "MSE")
    assert card["run_provenance"]["outputs"]["seed1_onnx"] == f"{NAME}_seed1.onnx"


def test_the_graph_says_of_itself_what_it_needs(run_export: Export, path: Path) -> None:
    """If this failed, a graph without its sidecar could not be used or traced."""
    (member,) = run_export((3,))
    card = read_json(member.sidecar)

    props = {item.key: item.value for item in onnx.load(member.onnx).metadata_props}

    assert (props["id"], props["seed"], props["recipe"]) == (f"{NAME}_seed3", "3", "standardised")
    assert (props["corpus_sha256"], props["verdict_sha256"]) == (sha256_file(path), digest(verdict_for(path)))
    for key in ("feature_order", "feature_mean", "feature_std", "codec_block_layout", "encoder_vocab"):
        assert json.loads(props[key]) == card[key]
    assert (json.loads(props["cq_min"]), json.loads(props["cq_max"])) == (19.0, 37.0)


def test_defect_23_the_manifest_is_of_these_very_files(run_export: Export) -> None:
    """If this failed, the ensemble's manifest would name members, vocabularies or scalers that are not shipped."""
    members = run_export((0, 2, 4))
    manifest = read_json(members[0].onnx.parent / f"{NAME}.json")
    card = read_json(members[0].sidecar)

    assert set(manifest) >= PUBLISHED_MANIFEST
    assert manifest["members"] == [
        {"id": member.onnx.stem, "onnx": member.onnx.name, "seed": member.seed, "sha256": sha256_file(member.onnx)}
        | {"sidecar": member.sidecar.name, "sidecar_sha256": sha256_file(member.sidecar)}
        for member in members
    ]
    assert manifest["parity"]["sha256"] == sha256_file(members[0].onnx.parent / manifest["parity"]["file"])
    assert (manifest["kind"], manifest["ensemble_size"], manifest["smoke"]) == ("fr_ensemble", 3, False)
    assert (manifest["feature_mean"], manifest["codec_vocab"]) == (card["feature_mean"], card["encoder_vocab"])
    assert manifest["confidence"]["method"] == "ensemble"
    assert manifest["confidence"]["held_out"] == METRICS["ensemble"]["sigma"]
    assert manifest["eval"]["in_sample_plcc"] > 0.5


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"verdict": "HOLD"}, "the verdict is 'HOLD'"),
        ({"evidence": "reported"}, "the evidence of the verdict is 'reported'"),
        ({"smoke": "1 epoch"}, "smoke run"),
        ({"seeds": [0]}, "seed 1 was not judged"),
        ({"judged": {"corpus_sha256": "0" * 64}}, "another corpus"),
        ({"judged": {"corpus_sha256": None}}, "another corpus"),
        ({"judged": {}}, "another corpus"),
    ],
)
def test_defect_13_without_a_promote_over_this_corpus_nothing_is_exported(
    run_export: Export, path: Path, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    """If this failed, a model could be served that no gate ever judged."""
    with pytest.raises(RefusedError, match=why) as error:
        run_export(verdict=verdict_for(path, **change))

    assert error.value.exit_code == 3
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out-work").exists()


def test_an_empty_verdict_or_no_seed_exports_nothing(run_export: Export, path: Path) -> None:
    """If this failed, a missing verdict would count as one."""
    with pytest.raises(RefusedError, match="not 'PROMOTE'"):
        run_export(verdict={})
    with pytest.raises(RefusedError, match="no seed"):
        run_export((), verdict=verdict_for(path))
    with pytest.raises(RefusedError, match="dry run"):
        run_export(epochs=1)


def test_defect_13_a_corpus_that_changed_after_the_verdict_is_refused(run_export: Export, path: Path) -> None:
    """If this failed, the exported members would be trained on rows that the gate never saw."""
    verdict = verdict_for(path)
    path.write_bytes(path.read_bytes().replace(b'"vmaf": 9', b'"vmaf": 8', 1))

    with pytest.raises(RefusedError, match="another corpus"):
        run_export(verdict=verdict)


def test_defect_2_relative_absolute_and_outside_paths_export_alike(
    run_export: Export, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this failed, the exporter would crash after hours on a path that is perfectly good."""
    nested = tmp_path / "elsewhere" / "deep"
    nested.mkdir(parents=True)
    copy = nested / "frames.jsonl"
    copy.write_bytes(path.read_bytes())
    monkeypatch.chdir(nested)

    shas = {
        run_export((0,), out=f"out{index}", corpus_path=found)[0].sha256
        for index, found in enumerate([path, copy, Path("frames.jsonl"), Path("../../frames.jsonl")])
    }

    assert len(shas) == 1
    assert read_json(tmp_path / "out2" / f"{NAME}_seed0.json")["corpus"]["path"] == "frames.jsonl"


def test_a_member_that_answers_differently_leaves_nothing(
    run_export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this failed, a graph that differs from the judged model would lie in the folder, ready to be served."""
    build = export.onnx_graph.build

    def off_by_a_little(model: Any, name: str, metadata: Any) -> bytes:
        other = model.__class__(**{**model.__dict__, "target_mean": model.target_mean + 0.01 * name.endswith("1")})
        return build(other, name, metadata)

    monkeypatch.setattr(export.onnx_graph, "build", off_by_a_little)

    with pytest.raises(UnitError, match="ONNX Runtime answers differently"):
        run_export()
    assert not (tmp_path / "out").exists()


def test_a_failed_write_leaves_nothing(run_export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If this failed, a full disk would leave an export that lacks members."""
    write = export.write_bytes

    def full_disk(path: Path, data: bytes) -> None:
        if path.name.endswith("seed1.json"):
            raise InputError("cannot write the file: No space left on device")
        write(path, data)

    monkeypatch.setattr(export, "write_bytes", full_disk)

    with pytest.raises(InputError, match="No space left"):
        run_export()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_killed_export_does_not_train_again_what_is_finished(
    run_export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this failed, every retry of an export would train all members again."""
    expected = [member.sha256 for member in run_export()]
    monkeypatch.setattr(FRRegressorBackbone, "fit_many", lambda *_: pytest.fail("trained again"))
    again = [member.sha256 for member in run_export()]
    (tmp_path / "out-work" / "seed0" / "model.safetensors").write_bytes(b"damaged")

    assert again == expected
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        run_export()
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        run_export(lr=1e-3)


@pytest.mark.parametrize("prefix", ["", "../up", "Upper", "a" * 57, "with space"])
def test_an_id_that_is_no_id_is_refused(run_export: Export, prefix: str) -> None:
    """If this failed, files would be written outside the folder, or under ids that no registry accepts."""
    with pytest.raises(InputError, match="cannot be the id"):
        run_export(prefix=prefix)
