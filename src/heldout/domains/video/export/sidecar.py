"""Documents beside the exported graphs: a sidecar for each member, and the manifest of the ensemble.

Every published field is there with its published meaning; what was missing (how the target is scaled, which encoders
were never seen, how far ONNX Runtime is off, what verdict allowed this) stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from heldout.corpus import Corpus
from heldout.domains.video.backbone.features import CODEC_BLOCK, ENCODER_VOCAB, ENCODER_VOCAB_VERSION, Float64
from heldout.domains.video.backbone.model import FRModel
from heldout.domains.video.backbone.onnx import INPUTS, OPSET, OUTPUTS
from heldout.domains.video.backbone.parity import TOLERANCE, Parity
from heldout.domains.video.corpus.rows import FEATURES
from heldout.domains.video.export.confidence import calibration, confidence
from heldout.evidence import canonical, digest
from heldout.evidence.provenance import plain, portable
from heldout.task import Predictions

if TYPE_CHECKING:
    import polars as pl

    from heldout.domains.video.backbone.regressor import FRParams

MEMBER_SCHEMA = "heldout.video.sidecar/1"
ENSEMBLE_SCHEMA = "heldout.video.ensemble/1"
_DECISIONS = ("ADR-0303", "ADR-0309", "ADR-0319", "ADR-0321")  # as the published sidecars name them
PARITY_OF = "max |score - prediction| / max(1, |prediction|, deviation of the predictions)"
# What a verdict judged, and an export of it may be checked against.
JUDGED = ("corpus_sha256", "variant_sha256", "split_sha256", "predictions_sha256", "metrics_sha256", "code_sha256")
_CONTENT = "content_sha256"


class Context(NamedTuple):
    """What all members of an export share.

    Attributes:
        predictions: The run's held-out predictions, to calibrate intervals on; None without.
    """

    params: FRParams
    corpus: Corpus
    corpus_path: Path
    verdict: Mapping[str, Any]
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    prefix: str
    seeds: tuple[int, ...]
    predictions: Predictions | None = None


def metadata(context: Context, model: FRModel, seed: int) -> dict[str, str]:
    """The graph's own ``metadata_props``: enough to use it without the sidecar."""
    inputs = model.inputs
    facts = {
        "seed": seed,
        "feature_order": FEATURES,
        "feature_mean": inputs.features.mean.tolist(),
        "feature_std": inputs.features.std.tolist(),
        "codec_block_layout": CODEC_BLOCK,
        "encoder_vocab": ENCODER_VOCAB,
        "encoder_vocab_version": ENCODER_VOCAB_VERSION,
        "unseen_slots": inputs.unseen_slots,
        "cq_min": inputs.cq_min,
        "cq_max": inputs.cq_max,
    }
    return {
        "id": f"{context.prefix}_seed{seed}",
        "recipe": model.recipe,
        "corpus_sha256": context.corpus.manifest.sha256,
        "verdict_sha256": digest(context.verdict),
    } | {key: canonical(value).decode() for key, value in facts.items()}


class Member(NamedTuple):
    """An exported member, as the manifest names it."""

    seed: int
    sha256: str
    sidecar_sha256: str


class Proved(NamedTuple):
    """The proof of parity, as the manifest names it."""

    sha256: str
    rows: int


def member(context: Context, model: FRModel, seed: int, sha256: str, parity: Parity) -> dict[str, object]:
    """The sidecar of one member."""
    inputs, name = model.inputs, f"{context.prefix}_seed{seed}"
    document = {
        "schema": MEMBER_SCHEMA,
        "id": name,
        "ensemble_id": context.prefix,
        "seed": seed,
        "kind": "fr",
        "codec_aware": model.codec == "aware",
        "codec_block_layout": list(CODEC_BLOCK),
        "encoder_vocab": list(ENCODER_VOCAB),
        "encoder_vocab_version": ENCODER_VOCAB_VERSION,
        "feature_order": list(FEATURES),
        "feature_mean": inputs.features.mean.tolist(),
        "feature_std": inputs.features.std.tolist(),
        "input_names": list(INPUTS),
        "output_names": list(OUTPUTS),
        "onnx": f"{name}.onnx",
        "opset": OPSET,
        "sha256": sha256,
        "corpus": _corpus(context, model),
        "training_recipe": recipe(context.params),
        "gate": gate_block(context.verdict, context.metrics, seed),
        "loso_mean_plcc": gate_block(context.verdict, context.metrics, seed)["mean_plcc"],
        "confidence": confidence(context.metrics, context.predictions, context.seeds),
        "notes": _notes(context, model, seed),
        "parent_adrs": list(_DECISIONS),
        "target_scaling": {"mean": model.target_mean, "std": model.target_std, "in_graph": True},
        "unseen": _unseen(context, model),
        "parity": {"tolerance": TOLERANCE, "of": PARITY_OF, **parity._asdict()},
        "verdict_sha256": digest(context.verdict),
        "run_provenance": _provenance(context),
    }
    return dict(plain(document))


def ensemble(
    context: Context,
    members: Sequence[Member],
    models: Sequence[FRModel],
    rows: tuple[pl.DataFrame, Float64],
    proved: Proved,
) -> dict[str, object]:
    """The manifest: every file by digest, shared inputs, how to make an interval and how much to trust it."""
    model, block = models[0], confidence(context.metrics, context.predictions, context.seeds)
    calibrated = calibration(block, context.predictions)
    document = {
        "schema": ENSEMBLE_SCHEMA,
        "id": context.prefix,
        "kind": "fr_ensemble",
        "ensemble_size": len(members),
        "members": [_named(context.prefix, each) for each in members],
        "parity": {"file": proof_name(context.prefix), "tolerance": TOLERANCE, "of": PARITY_OF, **proved._asdict()},
        "feature_order": list(FEATURES),
        "feature_mean": model.inputs.features.mean.tolist(),
        "feature_std": model.inputs.features.std.tolist(),
        "codec_vocab": list(ENCODER_VOCAB),
        "codec_vocab_version": ENCODER_VOCAB_VERSION,
        "codec_block_layout": list(CODEC_BLOCK),
        "encoders": dict(model.inputs.encoders),
        "unseen": _unseen(context, model),
        "confidence": block,
        "smoke": False,
        "eval": _in_sample(models, *rows) | ({"calibration": calibrated} if calibrated else {}),
        "corpus": _corpus(context, model),
        "judged": {key: context.verdict["judged"].get(key) for key in JUDGED},
        "verdict_sha256": digest(context.verdict),
        "run_provenance": _provenance(context),
    }
    found = dict(plain(document))
    return found | {_CONTENT: content_sha256(found)}


def content_sha256(document: Mapping[str, Any]) -> str:
    """Digest of a manifest without the field that holds it: a slip of one byte shows."""
    return digest({key: value for key, value in document.items() if key != _CONTENT})


def proof_name(prefix: str) -> str:
    """Name of the file that holds the proof of parity."""
    return f"{prefix}_parity.safetensors"


def _named(prefix: str, each: Member) -> dict[str, object]:
    name = f"{prefix}_seed{each.seed}"
    return {
        "id": name,
        "onnx": f"{name}.onnx",
        "seed": each.seed,
        "sha256": each.sha256,
        "sidecar": f"{name}.json",
        "sidecar_sha256": each.sidecar_sha256,
    }


def _in_sample(models: Sequence[FRModel], frame: pl.DataFrame, target: Float64) -> dict[str, object]:
    """On rows that the members were trained on: says that they work, not how well."""
    from heldout.task.metrics import regression

    answers = np.stack([model.answer(frame) for model in models])
    found = regression(target, answers.mean(axis=0))
    sigma = float(np.std(answers, axis=0, ddof=1).mean()) if len(models) > 1 else None
    return {
        "in_sample_plcc": found["plcc"],
        "in_sample_rmse": found["rmse"],
        "mean_sigma_train": sigma,
        "rows": len(target),
    }


def _corpus(context: Context, model: FRModel) -> dict[str, object]:
    manifest = context.corpus.manifest
    return {
        "path": portable(context.corpus_path),
        "sha256": manifest.sha256,
        "n_rows": manifest.rows,
        "cq_min": model.inputs.cq_min,
        "cq_max": model.inputs.cq_max,
        "groups": {group.id: group.sha256 for group in manifest.groups},
    }


def recipe(params: FRParams) -> dict[str, object]:
    """The published block: how a member was trained."""
    kept = ("hidden", "depth", "dropout", "epochs", "batch_size", "lr", "weight_decay", "recipe", "encoder_dropout")
    return {key: getattr(params, key) for key in kept} | {
        "in_features": len(FEATURES),
        "num_codecs": len(CODEC_BLOCK),
        "optimizer": "Adam",
        "loss": "MSE",
        "fit_set": "full_corpus",
        "scaler": "fit_on_full_corpus",
    }


def gate_block(verdict: Mapping[str, Any], metrics: Mapping[str, Any], seed: int) -> dict[str, object]:
    """The published block ``gate`` of a member, from verdict and metrics alone."""
    report, members = _report(verdict, metrics), metrics.get("members", {})
    return {
        "verdict": verdict["verdict"],
        "passed": verdict["verdict"] == "PROMOTE",
        "mean_plcc": report["mean_plcc"],
        "mean_plcc_threshold": report["mean_plcc_threshold"],
        "plcc_spread": report["plcc_spread"],
        "plcc_spread_max": report["plcc_spread_max"],
        "per_seed_min_threshold": report["per_seed_min"],
        "this_seed_loso_plcc": members.get(str(seed), {}).get("mean", {}).get("plcc"),
    }


def _report(verdict: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, object]:
    """The published report of the gate; its numbers from the metrics where the verdict carries none."""
    report = dict(verdict.get("gate") or {})
    means = [block["mean"]["plcc"] for _, block in sorted(metrics.get("members", {}).items())]
    if means and None not in means:
        report.setdefault("mean_plcc", sum(means) / len(means))
        report.setdefault("plcc_spread", max(means) - min(means))
    keys = ("mean_plcc", "mean_plcc_threshold", "plcc_spread", "plcc_spread_max", "per_seed_min")
    return {key: report.get(key) for key in keys}


def _unseen(context: Context, model: FRModel) -> dict[str, object]:
    if model.codec == "blind":
        return {"slots": [], "policy": "blind", "answer": "the graph ignores the codec block"}
    answer = "the codec block is taken as zero: a codec-blind prediction"
    if model.inputs.coding is None:
        answer = "from a slot that was never trained: do not use it"
    elif context.params.unseen == "flag":
        answer = "as an average encoder at that quality point"
    return {"slots": list(model.inputs.unseen_slots), "policy": context.params.unseen, "answer": answer}


def _notes(context: Context, model: FRModel, seed: int) -> str:
    seen = ", ".join(model.inputs.seen) or "no encoder of the vocabulary"
    return (
        f"Member {seed} of {context.prefix}: six standardised libvmaf features and the codec block to VMAF points, "
        f"refitted on all {context.corpus.manifest.rows} rows after a verdict of PROMOTE over held-out sources. "
        f"Trained on {seen}. The target is a known function of the six features."
    )


def _provenance(context: Context) -> dict[str, object]:
    outputs: dict[str, str | None] = {
        "registry": None,
        "ensemble": f"{context.prefix}.json",
        "parity": proof_name(context.prefix),
    }
    for seed in context.seeds:
        outputs[f"seed{seed}_onnx"] = f"{context.prefix}_seed{seed}.onnx"
        outputs[f"seed{seed}_sidecar"] = f"{context.prefix}_seed{seed}.json"
    return dict(context.provenance) | {"outputs": outputs}
