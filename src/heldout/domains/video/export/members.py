"""Members of a promoted ensemble as files that others can run: one ONNX and one sidecar each, and one manifest.

Only what was judged may be exported: the verdict must say PROMOTE from our own computation, over the very bytes of the
corpus that the members are now refitted on. All files are made and checked first and written last, the manifest after
all others: a folder with a manifest is a whole export.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heldout.backbone import FitJob
from heldout.corpus import Corpus
from heldout.domains.video.backbone import onnx as onnx_graph
from heldout.domains.video.backbone import parity
from heldout.domains.video.backbone.model import FILE, FRModel
from heldout.domains.video.backbone.parity import TOLERANCE, Parity
from heldout.domains.video.backbone.regressor import FRRegressorBackbone
from heldout.domains.video.export import sidecar
from heldout.errors import HeldoutError, InputError, RefusedError, UnitError
from heldout.evidence import digest, dumps, read_json, sha256_bytes, sha256_file, write_bytes, write_json
from heldout.evidence.provenance import code_digest
from heldout.run.units.unit import stream_seed
from heldout.task import Predictions

PREFIX = "fr_regressor_v2_ensemble_v1"
_FOLD = "full-corpus"  # names the random stream of a refit, beside those of the folds
_COMPARED_ROWS = 20_000


@dataclass(frozen=True)
class ExportedMember:
    """One exported member: its seed, files, digest of the ONNX file, and distance from our own predictions."""

    seed: int
    onnx: Path
    sidecar: Path
    sha256: str
    parity: Parity


def export_members(
    backbone: FRRegressorBackbone,
    corpus: Corpus,
    seeds: Sequence[int],
    verdict: Mapping[str, Any],
    metrics: Mapping[str, Any],
    out: Path,
    *,
    corpus_path: Path,
    workdir: Path,
    provenance: Mapping[str, Any],
    prefix: str = PREFIX,
    predictions: Predictions | None = None,
) -> list[ExportedMember]:
    """Refit each seed on the whole corpus and export it.

    Args:
        backbone: As it was judged.
        corpus: The corpus, as read from ``corpus_path``.
        seeds: Members to export; all of them were judged.
        verdict: The document PROMOTE.json.
        metrics: The document metrics.json.
        out: Folder of the exports; files of the same names are replaced.
        corpus_path: The corpus file, relative or absolute, anywhere.
        workdir: Folder of intermediate state; an export that was killed goes on from it.
        provenance: The ``run_provenance`` block.
        prefix: Id of the ensemble; ``<prefix>_seed<N>`` is the id of a member.
        predictions: The run's held-out predictions, to calibrate intervals on; None exports without intervals.

    Raises:
        RefusedError: Without a PROMOTE that was computed over this corpus and these seeds.
        UnitError: If a graph is invalid or does not answer as our own code does. Nothing is written then.
    """
    _check_id(prefix)
    _refuse_unless_promoted(verdict, backbone, corpus, seeds, corpus_path)
    models = _refit(backbone, corpus, seeds, workdir)
    context = sidecar.Context(
        backbone.params, corpus, corpus_path, verdict, metrics, provenance, prefix, tuple(seeds), predictions
    )
    built = [_member(models[seed], seed, context) for seed in seeds]
    files = {name: data for member in built for name, data in member.files.items()}
    ordered = {seed: models[seed] for seed in seeds}
    proof = parity.build_proof(ordered, corpus.features, corpus.ids)
    files[sidecar.proof_name(prefix)] = proof
    named = [
        sidecar.Member(each.seed, each.sha256, sha256_bytes(files[f"{prefix}_seed{each.seed}.json"])) for each in built
    ]
    proved = sidecar.Proved(sha256_bytes(proof), min(parity.PROOF_ROWS, corpus.manifest.rows))
    manifest = sidecar.ensemble(context, named, list(ordered.values()), _compared(corpus), proved)
    _write_all(out, files, f"{prefix}.json", dumps(manifest))
    return [
        ExportedMember(
            member.seed,
            out / f"{prefix}_seed{member.seed}.onnx",
            out / f"{prefix}_seed{member.seed}.json",
            member.sha256,
            member.parity,
        )
        for member in built
    ]


@dataclass(frozen=True)
class _Built:
    seed: int
    sha256: str
    parity: Parity
    files: Mapping[str, bytes]


def _check_id(prefix: str) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,55}", prefix):
        raise InputError(
            f"{prefix!r} cannot be the id of an ensemble",
            where="prefix",
            hint="use up to 56 lower-case letters, digits, _ and -",
        )


def _refuse_unless_promoted(
    verdict: Mapping[str, Any],
    backbone: FRRegressorBackbone,
    corpus: Corpus,
    seeds: Sequence[int],
    corpus_path: Path,
) -> None:
    smoke = verdict.get("smoke") or backbone.smoke_reason()
    if smoke:
        raise _refused(f"this is a smoke run: {smoke}", "run the study as declared")
    if verdict.get("verdict") != "PROMOTE":
        raise _refused(f"the verdict is {verdict.get('verdict')!r}, not 'PROMOTE'", "run the study until it promotes")
    if verdict.get("evidence") != "computed":
        raise _refused(
            f"the evidence of the verdict is {verdict.get('evidence')!r}, not 'computed'",
            "a reported verdict exports nothing: run the study on the corpus",
        )
    unjudged = sorted(set(seeds) - set(verdict.get("seeds", [])))
    if unjudged or not seeds or len(set(seeds)) != len(seeds):
        what = f"seed {unjudged[0]} was not judged" if unjudged else "there is no seed to export, or one stands twice"
        raise _refused(what, f"judged were: {verdict.get('seeds')}")
    judged = verdict.get("judged", {}).get("corpus_sha256")
    for what, found in (("file", sha256_file(corpus_path)), ("corpus in memory", corpus.manifest.sha256)):
        if found != judged:
            raise _refused(
                f"the verdict judged another corpus: it names {str(judged)[:12]}, the {what} is {found[:12]}",
                "run the study on this corpus, or export with the one that was judged",
            )


def _refused(what: str, hint: str) -> RefusedError:
    return RefusedError(f"no export: {what}", where="PROMOTE.json", hint=hint)


def _refit(backbone: FRRegressorBackbone, corpus: Corpus, seeds: Sequence[int], workdir: Path) -> dict[int, FRModel]:
    """A model for each seed, all trained together; those that an earlier call finished are read again."""
    view = corpus.train_view(np.arange(len(corpus.groups)))
    models: dict[int, FRModel] = {}
    missing: dict[str, int] = {}
    for seed in seeds:
        kept = _finished(workdir / f"seed{seed}", _key(backbone, corpus, seed))
        if kept is None:
            missing[f"seed{seed}"] = seed
        else:
            models[seed] = kept
    jobs = [FitJob(name, view, stream_seed(seed, _FOLD)) for name, seed in missing.items()]
    for job, model in backbone.fit_many(jobs, workdir / "training") if jobs else ():
        seed = missing[job.name]
        folder = workdir / job.name
        backbone.save(model, folder)
        write_json(folder / "member.json", {"key": _key(backbone, corpus, seed), "sha256": sha256_file(folder / FILE)})
        models[seed] = model
    return models


def _key(backbone: FRRegressorBackbone, corpus: Corpus, seed: int) -> str:
    fit = backbone.params.model_dump(mode="json")
    return digest({"fit": fit, "corpus": corpus.manifest.sha256, "seed": seed, "code": code_digest()})


def _finished(folder: Path, key: str) -> FRModel | None:
    """A member of this key that is there and whole."""
    try:
        document = read_json(folder / "member.json")
        if document == {"key": key, "sha256": sha256_file(folder / FILE)}:
            return FRModel.load(folder)
    except (HeldoutError, OSError):
        pass
    return None


def _member(model: FRModel, seed: int, context: sidecar.Context) -> _Built:
    """Graph and sidecar of one member, checked against our own predictions on rows of the corpus."""
    from onnx.checker import ValidationError

    name = f"{context.prefix}_seed{seed}"
    try:
        data = onnx_graph.build(model, name, sidecar.metadata(context, model, seed))
    except ValidationError as error:
        raise UnitError(f"the graph is not valid: {error}", where=name, hint="report this as a defect") from error
    found = parity.compare(data, model, _compared(corpus=context.corpus)[0])
    if not found.relative <= TOLERANCE:
        raise UnitError(
            f"ONNX Runtime answers differently by {found.relative:.2e} (relative), {found.absolute:.2e} VMAF; the "
            f"bound is {TOLERANCE:.0e}",
            where=name,
            hint="nothing was exported; check the versions of onnx and onnxruntime",
        )
    document = sidecar.member(context, model, seed, sha256_bytes(data), found)
    return _Built(seed, sha256_bytes(data), found, {f"{name}.onnx": data, f"{name}.json": dumps(document)})


def _compared(corpus: Corpus) -> tuple[Any, Any]:
    """Features and targets of the rows that are compared: all, or evenly spaced ones of a large corpus."""
    step = max(1, -(-len(corpus.groups) // _COMPARED_ROWS))
    rows = np.arange(0, len(corpus.groups), step)
    return corpus.features[rows], corpus.targets("verify", rows)


def _write_all(out: Path, files: Mapping[str, bytes], manifest: str, document: bytes) -> None:
    """Write every file, the manifest last; on failure none of them stays."""
    (out / manifest).unlink(missing_ok=True)
    try:
        for name, data in files.items():
            write_bytes(out / name, data)
        write_bytes(out / manifest, document)
    except BaseException:
        for name in (*files, manifest):
            (out / name).unlink(missing_ok=True)
        raise
