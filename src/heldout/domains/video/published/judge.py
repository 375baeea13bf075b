"""Judging a folder of the existing system's ``loso_seed{N}.json`` as it is.

The numbers are someone's report: there are no predictions from which they could be recomputed. So the files are
checked against themselves and each other, the verdict says ``evidence: reported``, and no registry accepts it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heldout.corpus.guards import Finding
from heldout.corpus.guards.finding import FindingBlock
from heldout.documents.names import HOLD_FILE, PROMOTE_FILE
from heldout.domains.video.backbone.published import worst_fold
from heldout.domains.video.backbone.published_gate import (
    ADR,
    DEFAULT_SEEDS,
    MEAN_PLCC,
    PARENT_ADR,
    SEED_MIN,
    SPREAD_MAX,
    Bounds,
    gate_report,
    recommendation,
)
from heldout.domains.video.published.reported_files import SCORES, SeedFile, list_seed_files, read_seed_file
from heldout.domains.video.published.reported_rules import cross_checks, dry_run_of
from heldout.errors import HeldoutError, InputError, RefusedError
from heldout.evidence import provenance, read_json
from heldout.gate import RuleOutcome, verdict_of
from heldout.run.verdict import build_verdict, write_verdict

NOTE = "The evidence is reported: nothing here was recomputed from predictions, and no registry accepts it."
_GATE_RULES = ("mean-plcc", "plcc-spread", "every-seed")


def judge_reported(
    folder: Path,
    *,
    seeds: Sequence[int] | None = None,
    mean_plcc_threshold: float = MEAN_PLCC,
    plcc_spread_max: float = SPREAD_MAX,
    per_seed_min: float = SEED_MIN,
) -> dict[str, object]:
    """Judge the files of a folder; nothing is written.

    Args:
        folder: Holds ``loso_seed{N}.json``.
        seeds: The declared seeds, 0 to 4 by default. A further seed's file lying there is never ignored: leaving
            out a weak seed is how a gate is passed.
        mean_plcc_threshold: The least mean over seeds.
        plcc_spread_max: The largest spread of seeds.
        per_seed_min: The least mean PLCC of each seed.

    Returns:
        The verdict document, with all published fields.

    Raises:
        InputError: If the folder or all files are missing, or one cannot be read as JSON.
    """
    bounds = Bounds(mean_plcc_threshold, plcc_spread_max, per_seed_min).checked()
    asked = _asked(seeds)
    found, strange = list_seed_files(folder)
    foreign = [path.name for seed, path in found.items() if seed not in asked] + strange
    files = [read_seed_file(found[seed], seed) for seed in asked if seed in found]
    if not files:
        others = f"the seeds {', '.join(map(str, found))}" if found else "no loso_seed{N}.json at all"
        raise InputError(
            f"there is no file of the seeds {', '.join(map(str, asked))}",
            where=str(folder),
            hint=f"the folder holds {others}; name the seeds that were trained",
        )
    per_seed = dict.fromkeys(asked) | {file.seed: file.mean_plcc for file in files}
    outcomes = [*cross_checks(files, asked, foreign), *_gate_rules(per_seed, bounds)]
    return _document(folder, files, asked, per_seed, bounds, outcomes, foreign)


def write_reported(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write ``PROMOTE.json`` or ``HOLD.json`` and remove the opposite one, in one step.

    Raises:
        RefusedError: If the folder's verdict was computed from predictions: a report may not replace it.
    """
    for name in (PROMOTE_FILE, HOLD_FILE):
        if _evidence(folder / name) == "computed":
            raise RefusedError(
                "a reported verdict may not replace one that was computed from predictions",
                where=str(folder / name),
                hint="copy the loso_seed{N}.json files to a folder of their own and judge them there",
            )
    return write_verdict(folder, document)


def _asked(seeds: Sequence[int] | None) -> tuple[int, ...]:
    asked = tuple(DEFAULT_SEEDS if seeds is None else seeds)
    if not asked or min(asked) < 0 or len(set(asked)) < len(asked):
        raise InputError(
            "the seeds must be different whole numbers from 0", where=f"seeds {list(asked)}", hint="such as 0,1,2,3,4"
        )
    return tuple(sorted(asked))


def _gate_rules(per_seed: Mapping[int, float | None], bounds: Bounds) -> list[RuleOutcome]:
    """The published three-part gate as rules; a seed without a number makes them UNKNOWN."""
    report = gate_report(per_seed, bounds, "PROMOTE")
    missing = [seed for seed, value in per_seed.items() if value is None]
    why = f"seeds {missing} have no number" if missing else "one seed has no spread"
    below = [seed for seed in report["failing_seeds"] if seed not in missing]
    worst = None if missing else min(value for value in per_seed.values() if value is not None)
    rows = (
        ("mean_plcc", report["mean_plcc"], report["mean_plcc_pass"], "at_least", bounds.mean_plcc_threshold),
        ("plcc_spread", report["plcc_spread"], report["plcc_spread_pass"], "at_most", bounds.plcc_spread_max),
        ("the worst seed's mean_plcc", worst, not below, "at_least", bounds.per_seed_min),
    )
    outcomes = []
    for identifier, (name, observed, holds, relation, bound) in zip(_GATE_RULES, rows, strict=True):
        words = f"{relation} {bound:g}"
        known, sentence = holds, f"{name} {observed:.6f}, {words}" if observed is not None else ""
        if identifier == "every-seed" and below:
            known, sentence = False, f"failing seeds {below}: {words}"
        elif observed is None:
            known, sentence = None, f"{name} cannot be judged: {why}"
        outcomes.append(RuleOutcome.of(identifier, known, observed, words, sentence))
    return outcomes


def _document(
    folder: Path,
    files: Sequence[SeedFile],
    asked: Sequence[int],
    per_seed: Mapping[int, float | None],
    bounds: Bounds,
    outcomes: Sequence[RuleOutcome],
    foreign: Sequence[str],
) -> dict[str, object]:
    verdict = verdict_of(outcomes)
    report = gate_report(per_seed, bounds, verdict)
    others = [
        outcome.sentence
        for outcome in outcomes
        if outcome.outcome == "UNKNOWN" or (outcome.outcome == "FAIL" and outcome.id not in _GATE_RULES)
    ]
    dry_runs = [reason for file in files if (reason := dry_run_of(file)) is not None]
    corpus = _corpus(files)
    core = build_verdict(
        study=folder.resolve().name or "reported",
        variant="reported",
        seeds=asked,
        outcomes=outcomes,
        findings=_findings(folder, foreign, corpus),
        smoke="; ".join(dry_runs) or None,
        judged=_judged(files, corpus),
        provenance=_provenance(folder, files, asked, bounds, verdict),
        evidence="reported",
    )
    return core | {
        "loso_dir": provenance.portable(folder),
        "gate": report,
        "beside": _beside(files),
        "corpus": corpus,
        "recommendation": f"{recommendation(verdict, report, others)} {NOTE}",
        "adr": ADR,
        "parent_adr": PARENT_ADR,
    }


def _corpus(files: Sequence[SeedFile]) -> dict[str, object]:
    """What the files say of their corpus. Its bytes are not here, so it is not ``present``."""
    digests = {file.provenance("inputs", "corpus", "sha256") for file in files}
    paths = {str(file.document.get("corpus")) for file in files}
    agreed = digests.pop() if len(digests) == 1 else None
    return {
        "present": False,
        "corpus_root": provenance.portable(paths.pop()) if len(paths) == 1 else None,
        "sha256": agreed if isinstance(agreed, str) else None,
        "ref_count": len({name for file in files for name in file.by_source}),
        "dis_count": 0,
        "meaning": "as the seeds' files say; sha256 only if all of them name the same one",
    }


def _judged(files: Sequence[SeedFile], corpus: Mapping[str, Any]) -> dict[str, object]:
    """Nothing that an export or a registry could match: only the files that were read, by digest."""
    unknown = dict.fromkeys(
        ("corpus_sha256", "variant_sha256", "split_sha256", "predictions_sha256", "metrics_sha256", "environment")
    )
    return {
        **unknown,
        "corpus_path": corpus["corpus_root"],
        "code_sha256": provenance.code_digest(),
        "files": {file.name: file.sha256 for file in files},
    }


def _findings(folder: Path, foreign: Sequence[str], corpus: Mapping[str, Any]) -> list[FindingBlock]:
    findings = [
        Finding("stale-or-foreign-file", True, f"{name} is no file of the seeds that were asked for", name,
                "remove it, or ask for that seed too")
        for name in foreign
    ]  # fmt: skip
    if all((folder / name).exists() for name in (PROMOTE_FILE, HOLD_FILE)):
        what = f"{PROMOTE_FILE} and {HOLD_FILE} both lay in the folder"
        findings.append(Finding("two-verdicts", False, what, folder.name, "writing this verdict leaves one of them"))
    if corpus["sha256"] is None:
        what = "nothing says by sha256 which corpus was trained on"
        findings.append(Finding("corpus-unnamed", False, what, folder.name, "train with heldout to tie them together"))
    return [finding.to_json() for finding in findings]


def _beside(files: Sequence[SeedFile]) -> dict[str, object]:
    """What the published gate leaves out; MAE and bias are in no published file."""
    blocks = {str(file.seed): {"folds": {fold.held_out or "?": fold.scores for fold in file.folds}} for file in files}
    return {
        "per_seed": {
            str(file.seed): {"srocc": file.numbers["mean_srocc"], "rmse": file.numbers["mean_rmse"]} for file in files
        },
        "worst_fold": {name: worst_fold(name, blocks) for name in SCORES},
        "mae": None,
        "bias": None,
    }


def _provenance(
    folder: Path, files: Sequence[SeedFile], asked: Sequence[int], bounds: Bounds, verdict: str
) -> dict[str, object]:
    args = {
        "corpus_root": None,
        "loso_dir": folder,
        "mean_threshold": bounds.mean_plcc_threshold,
        "plcc_spread_max": bounds.plcc_spread_max,
        "per_seed_min": bounds.per_seed_min,
        "seeds": list(asked),
    }
    inputs = {"loso_dir": folder} | {f"seed{file.seed}": folder / file.name for file in files}
    return provenance.build(args=args, inputs=inputs, outputs={"verdict": f"{verdict}.json"})


def _evidence(path: Path) -> str | None:
    """What an existing verdict rests on; None if there is none or it cannot be read."""
    try:
        document = read_json(path)
    except HeldoutError:
        return None
    return document.get("evidence") if isinstance(document, dict) else None
