"""From metrics to the verdict document, and the look into the trial ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from heldout.backbone import Judged
from heldout.backbone.given import level_of_backbone
from heldout.corpus.parts import is_pattern
from heldout.documents.names import METRICS_FILE, SIGNATURE_FILE, UNIT_FILE
from heldout.documents.names import UNIT_PREDICTIONS as PREDICTIONS
from heldout.evidence import digest, read_json, sha256_file, write_json
from heldout.evidence import provenance as provenance_of
from heldout.gate import Facts, Policy, judge
from heldout.gate.asked import attested_of
from heldout.gate.verdict import recommend_asked
from heldout.ledger import targets
from heldout.ledger.declaration import axis_of, with_code
from heldout.ledger.history import tried_elsewhere
from heldout.ledger.policy import policy_of
from heldout.ledger.trials import OPENED, Ledger, Look, Outcome
from heldout.run.asked.model_file import read_model
from heldout.run.costs import read_costs
from heldout.run.layout import files_digest, run_files, write_manifest
from heldout.run.prepare import Prepared
from heldout.run.required import required_verdicts
from heldout.run.stored import read_stored
from heldout.run.verdict import build_verdict, write_verdict
from heldout.task.table import table_in


def register_policy(prepared: Prepared) -> None:
    """Write rules, split and yardsticks down before anything is fitted; a smoke run registers nothing."""
    with Ledger(prepared.study) as ledger:
        ledger.attempt(prepared.identity)  # a ledger that cannot be read is found before compute is spent
        prepared.books.register(ledger, prepared.declared, smoke=prepared.resolved.smoke is not None)


NOTHING: Mapping[str, Any] = {"members": {}, "ensemble": {}, "undefined": []}  # metrics of a run that fitted nothing


def open_targets(prepared: Prepared) -> None:
    """Write down that these groups are about to be scored, and whose targets were read before: nobody looks unseen."""
    with Ledger(prepared.study) as ledger:
        known = list(prepared.books.known())
        elsewhere = tried_elsewhere(known, prepared.declared.groups, prepared.identity)
        ledger.open(_opening(prepared, known[0].policies_head, elsewhere))


def judge_run(prepared: Prepared, metrics: Mapping[str, Any], wall_times: Mapping[int, float]) -> dict[str, Any]:
    """Judge, and write the look into the study's trial ledger."""
    with Ledger(prepared.study) as ledger:
        known, declared = list(prepared.books.known()), prepared.declared
        policy = policy_of(known, declared)
        required = required_verdicts(prepared)
        elsewhere = tried_elsewhere(known, declared.groups, prepared.identity)
        attempt = ledger.attempt(prepared.identity, elsewhere)
        document = _document(prepared, metrics, wall_times, attempt, policy, required)
        trial = ledger.record(_trial(prepared, document["verdict"], metrics, policy, elsewhere))
        return document | {"trial": trial.to_json(), "policy": policy.to_json(), "required": required}


def _document(
    prepared: Prepared,
    metrics: Mapping[str, Any],
    wall_times: Mapping[int, float],
    attempt: int,
    policy: Policy,
    required: Mapping[str, Mapping[str, str] | None],
) -> dict[str, Any]:
    resolved, folder = prepared.resolved, prepared.folder
    units = prepared.main.units
    facts = Facts(
        seeds=resolved.main.seeds,
        folds=[fold.id for fold in prepared.split.folds],
        units=frozenset((unit.seed, unit.fold.id) for unit in units),
        foreign=folder.foreign_seeds(resolved.main.seeds),
        groups=len(prepared.split.held_out),
        smoke=resolved.smoke,
        blocking=prepared.blocking,
        reported=[finding.code for finding in prepared.findings if not finding.blocking],
        attempt=attempt,
        policy=policy,
        required={name: found["verdict"] if found else None for name, found in required.items()},
        costs=read_costs(folder.path),
        stored=read_stored(folder.path) if metrics["ensemble"] else None,
        model=read_model(folder.path, resolved.config, prepared.split.held_out),
    )
    outcomes = judge(metrics, resolved.gate, facts)
    backbone = resolved.main.backbone
    provenance = provenance_of.build(
        args={"study": resolved.name, "variant": resolved.variant, "seeds": list(resolved.main.seeds)},
        inputs={"corpus": resolved.corpus_path.parent if is_pattern(resolved.corpus_path) else resolved.corpus_path},
        outputs={"run": folder.path.name},
        device=backbone.device(),
    )
    core = build_verdict(
        study=resolved.name,
        variant=resolved.variant,
        seeds=resolved.main.seeds,
        outcomes=outcomes,
        findings=[finding.to_json() for finding in prepared.findings],
        smoke=resolved.smoke,
        judged=_judged_digests(prepared),
        provenance=provenance,
        evidence=level_of_backbone(backbone),
        advice=None if backbone.fits else partial(recommend_asked, attested_of(outcomes)),
    )
    if not metrics["ensemble"]:
        return core
    context = Judged(
        folder=folder.path,
        corpus_path=resolved.corpus_path,
        manifest=prepared.corpus.manifest,
        config=resolved.config,
        metrics=metrics,
        verdict=core,
        wall_time_s=wall_times,
        smoke=resolved.smoke,
        provenance=provenance,
    )
    for name, value in backbone.published_files(context).items():
        write_json(folder.file(name), value)
    published = dict(backbone.published_verdict_fields(context))
    # The published wording of the recommendation is a field that people grep for; nothing else may be replaced.
    return published | core | {key: published[key] for key in ("recommendation",) if key in published}


def _trial(prepared: Prepared, outcome: Outcome, metrics: Mapping[str, Any], policy: Policy, elsewhere: int) -> Look:
    """This look, as the ledger records it."""
    look = replace(_opening(prepared, policy.head, elsewhere), opened=None)
    if not metrics["ensemble"]:  # nothing was fitted: no truth was looked at
        return replace(look, outcome="FAILED", groups_sha256=None, axes=None, axis=None, evidence_sha256=None)
    name = metrics["primary"]
    return replace(
        look,
        outcome=outcome,
        primary={"metric": name, "value": metrics["ensemble"]["pooled"][name]},
        metrics_sha256=sha256_file(prepared.folder.file(METRICS_FILE)),
    )


def _opening(prepared: Prepared, policies_head: str | None, elsewhere: int) -> Look:
    """A look whose outcome nobody knows yet."""
    resolved, folder = prepared.resolved, prepared.folder
    declared = None if resolved.declared is None else with_code(resolved.declared, prepared.fit_code)
    return Look(
        run=folder.path.name,
        variant=resolved.variant,
        variant_sha256=resolved.sha256,
        corpus_sha256=prepared.corpus.manifest.sha256,
        split_sha256=prepared.split.sha256,
        gate_sha256=digest(resolved.config["gate"]),
        seeds=resolved.main.seeds,
        smoke=resolved.smoke,
        outcome=OPENED,
        primary=None,
        metrics_sha256=None,
        groups_sha256=targets.store(prepared.study, prepared.looked),
        rules_sha256=None if declared is None else targets.store(prepared.study, declared),
        policies_head=policies_head,
        axes=resolved.axes,
        axis=axis_of(resolved.config),
        elsewhere=elsewhere or None,
        user_code_sha256=prepared.identity[3],
        older_split_sha256=prepared.older_split,
        evidence_sha256=_evidence(prepared),
        opened=prepared.opened,
    )


def _evidence(prepared: Prepared) -> str:
    """Digest of the predictions of every unit, as its document names them."""
    documents = ((unit, unit.folder / UNIT_FILE) for unit in prepared.main.units)
    return digest([(unit.key, read_json(path)["files"][PREDICTIONS]) for unit, path in documents if path.exists()])


def _judged_digests(prepared: Prepared) -> dict[str, object]:
    folder, resolved = prepared.folder, prepared.resolved
    files = {"predictions": table_in(folder.path), "metrics": folder.file(METRICS_FILE)}
    return {
        "corpus_path": provenance_of.portable(resolved.corpus_path),
        "corpus_sha256": prepared.corpus.manifest.sha256,
        "variant_sha256": resolved.sha256,
        "split_sha256": prepared.split.sha256,
        **({"model_sha256": resolved.config["models"][""]["sha256"]} if not resolved.main.backbone.fits else {}),
        **{f"{label}_sha256": sha256_file(path) if path.exists() else None for label, path in files.items()},
        "code_sha256": provenance_of.code_digest(),
        "fit_code": prepared.fit_code,
        "user_code": prepared.user_code,
        "environment": digest(provenance_of.package_versions()),
    }


def sealed(folder: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict with one digest over every other file of the run, written down, and the manifest after it.

    The report is one of these files, so a verdict is sealed when everything else is there.
    """
    (folder / SIGNATURE_FILE).unlink(missing_ok=True)
    judged = dict(document["judged"]) | {"files_sha256": files_digest(run_files(folder))}
    verdict = dict(document) | {"judged": judged}
    write_verdict(folder, verdict)
    write_manifest(folder)
    return verdict


def wall_times(documents: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Seconds of fitting, by seed."""
    times: dict[int, float] = {}
    for document in documents:
        times[document["seed"]] = round(times.get(document["seed"], 0.0) + document["wall_time_s"], 3)
    return times
