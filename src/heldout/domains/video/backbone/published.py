"""The published files of a video run: ``loso_seed{N}.json`` and the fields that its verdict carries.

Every published key is there with its published meaning, in strict JSON. Three meanings are made honest: the corpus
digest covers the bytes of the file that was trained on (not names and sizes of some folder), SROCC shares ranks
among ties, and a fold without a number makes its mean, min and max null instead of leaving the mean quietly.
Beside the PLCC that the gate judges stand the metrics that it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heldout.backbone import Judged
from heldout.domains.video.backbone.features import CODEC_BLOCK, ENCODER_VOCAB_VERSION
from heldout.domains.video.backbone.published_gate import (
    ADR,
    PARENT_ADR,
    Bounds,
    gate_report,
    recommendation,
)
from heldout.evidence.provenance import portable
from heldout.task.metrics import BUILT_IN

LOSO_SCHEMA = "heldout.loso/1"
_RECIPE = ("epochs", "batch_size", "lr", "weight_decay")
_BESIDE = ("srocc", "rmse", "mae", "bias")
_CORPUS_MEANING = "sha256 is of the corpus file's bytes; ref_count counts sources, dis_count encodes, yuv_count both"


def published_files(judged: Judged) -> dict[str, object]:
    """``loso_seed{N}.json`` of every declared seed that was evaluated: file name to document."""
    return {
        f"loso_seed{seed}.json": _loso(judged, seed)
        for seed in judged.config["seeds"]
        if str(seed) in judged.metrics["members"]
    }


def published_verdict_fields(judged: Judged) -> dict[str, object]:
    """The published fields of ``PROMOTE.json`` and ``HOLD.json``, from the core's verdict and the metrics."""
    verdict = str(judged.verdict["verdict"])
    rules = judged.config["gate"]["rules"]
    report = gate_report(_per_seed(judged), _bounds(rules), verdict)
    published = {rule["id"] for rule in rules if _part(rule)}
    others = [
        rule["sentence"]
        for rule in judged.verdict["rules"]
        if rule["outcome"] != "PASS" and (rule["id"] not in published or rule["outcome"] == "UNKNOWN")
    ]
    return {
        "schema_version": 1,
        "verdict": verdict,
        "seeds": list(judged.config["seeds"]),
        "loso_dir": portable(judged.folder),
        "gate": report,
        "beside": _beside(judged),
        "corpus": _corpus(judged),
        "recommendation": recommendation(verdict, report, others),
        "adr": ADR,
        "parent_adr": PARENT_ADR,
    }


def _loso(judged: Judged, seed: int) -> dict[str, object]:
    block, fit = judged.metrics["members"][str(seed)], judged.config["fit"]
    name = f"loso_seed{seed}.json"
    document = {
        "schema": LOSO_SCHEMA,
        "seed": seed,
        "corpus": portable(judged.corpus_path),
        "n_folds": len(block["folds"]),
        "folds": [_fold(held_out, fold) for held_out, fold in sorted(block["folds"].items())],
        "mean_plcc": block["mean"]["plcc"],
        "std_plcc": block["std"]["plcc"],
        "min_plcc": block["min"]["plcc"],
        "max_plcc": block["max"]["plcc"],
        "mean_srocc": block["mean"]["srocc"],
        "mean_rmse": block["mean"]["rmse"],
        "num_codecs": 0 if fit.get("codec") == "blind" else len(CODEC_BLOCK),
        "encoder_vocab_version": ENCODER_VOCAB_VERSION,
        "wall_time_s": judged.wall_time_s.get(seed),
        "run_provenance": _provenance(judged, seed, name),
    }
    document |= {key: fit[key] for key in (*_RECIPE, "recipe", "codec") if key in fit}
    return document | ({"note": "dry-run", "smoke": judged.smoke} if judged.smoke else {})


def _fold(held_out: str, fold: Mapping[str, Any]) -> dict[str, object]:
    scores = {name: fold[name] for name in ("plcc", *_BESIDE)}
    return {"held_out": held_out, "n_train": fold["n_train"], "n_val": fold["rows"]} | scores


def _provenance(judged: Judged, seed: int, name: str) -> dict[str, object]:
    """The run's block, narrowed to one seed: the `fit:` block as arguments and the file itself as target."""
    block = dict(judged.provenance)
    block["args"] = {**block.get("args", {}), **judged.config["fit"], "seed": seed}
    block["outputs"] = {"report_target": f"{portable(judged.folder)}/{name}"}
    return block


def _per_seed(judged: Judged) -> dict[int, float | None]:
    members = judged.metrics["members"]
    return {seed: members[str(seed)]["mean"]["plcc"] if str(seed) in members else None for seed in _seeds(judged)}


def _seeds(judged: Judged) -> Sequence[int]:
    return [int(seed) for seed in judged.config["seeds"]]


def _part(rule: Mapping[str, Any]) -> str | None:
    """Which part of the published gate a declared rule is; None if it is another rule."""
    if (rule["metric"], rule.get("scope", "ensemble"), rule.get("over", "folds")) != ("plcc", "members", "folds"):
        return None
    parts = {
        ("mean", "at_least"): "mean_plcc_threshold",
        ("spread", "at_most"): "plcc_spread_max",
        ("min", "at_least"): "per_seed_min",
    }
    bound = "at_least" if rule.get("at_least") is not None else "at_most"
    return parts.get((str(rule.get("statistic")), bound))


def _bounds(rules: Sequence[Mapping[str, Any]]) -> Bounds:
    """The bounds that the study declares; of two rules for one part the stricter counts."""
    found: dict[str, float | None] = dict.fromkeys(vars(Bounds()), None)
    for rule in rules:
        part = _part(rule)
        if part is None:
            continue
        known = found[part]
        value = float(rule["at_most"] if part == "plcc_spread_max" else rule["at_least"])
        stricter = min if part == "plcc_spread_max" else max
        found[part] = value if known is None else stricter(known, value)
    return Bounds(**found)


def _beside(judged: Judged) -> dict[str, object]:
    """What the published gate leaves out: the ensemble's other metrics, and each metric's worst fold of any seed."""
    members = judged.metrics["members"]
    return {
        "ensemble": {name: judged.metrics["ensemble"]["mean"][name] for name in ("plcc", *_BESIDE)},
        "per_seed": {seed: {name: block["mean"][name] for name in _BESIDE} for seed, block in sorted(members.items())},
        "worst_fold": {name: worst_fold(name, members) for name in ("plcc", *_BESIDE)},
        "intervals": judged.metrics["ensemble"].get("intervals", {}),
        "sigma": judged.metrics["ensemble"].get("sigma"),
    }


def worst_fold(name: str, members: Mapping[str, Mapping[str, Any]]) -> dict[str, object] | None:
    """Seed, fold and value of the worst fold of any seed; one without a number is worse than any number."""
    values = {
        (seed, held_out): fold[name] for seed, block in members.items() for held_out, fold in block["folds"].items()
    }
    worst: tuple[str, str] | None = None
    for key, value in sorted(values.items()):
        if value is None:
            return {"seed": int(key[0]), "held_out": key[1], "value": None}
        if worst is None or BUILT_IN[name].is_better(values[worst], value):
            worst = key
    return worst and {"seed": int(worst[0]), "held_out": worst[1], "value": values[worst]}


def _corpus(judged: Judged) -> dict[str, object]:
    manifest = judged.manifest
    references = len(manifest.facts.get("frames", manifest.groups))
    encodes = manifest.facts.get("cells", judged.metrics["ensemble"].get("within_cell", {}).get("cells", 0))
    count = encodes if isinstance(encodes, int) else len(encodes)
    return {
        "present": True,
        "corpus_root": portable(judged.corpus_path.parent),
        "file": judged.corpus_path.name,
        "sha256": manifest.facts.get("file_sha256", manifest.sha256),
        "ref_count": references,
        "dis_count": count,
        "yuv_count": references + count,
        "meaning": _CORPUS_MEANING,
    }
