"""The gate's plan of a prepared run."""

from __future__ import annotations

from typing import TypedDict

from heldout.corpus.guards.finding import FindingBlock
from heldout.gate.plan import POWER, RulePlanBlock, plan_gate
from heldout.ledger.history import tried_elsewhere
from heldout.ledger.policy import may_decide
from heldout.ledger.trials import Ledger
from heldout.run.prepare import Prepared

SCHEMA = "heldout.gate-plan/1"


class GatePlan(TypedDict):
    """The plan as a document."""

    schema: str
    study: str
    variant: str
    attempt: int
    power: float
    rules: list[RulePlanBlock]
    findings: list[FindingBlock]
    registered: bool | None
    registration: str
    can_promote: bool


def run_plan(prepared: Prepared) -> dict[str, object]:
    """What a run would do, without doing it: units, findings, and whether its rules may decide."""
    ground = may_decide(list(prepared.books.known()), prepared.declared)
    return prepared.summary() | {"registration": ground.sentence}


def gate_plan(prepared: Prepared) -> GatePlan:
    """Whether each rule can pass on these groups and seeds, and whether this policy may decide."""
    resolved, study = prepared.resolved, prepared.study
    known, declared = list(prepared.books.known()), prepared.declared
    elsewhere = tried_elsewhere(known, declared.groups, prepared.identity)
    attempt = 1 + elsewhere
    if study.is_dir():
        with Ledger(study) as ledger:
            attempt = ledger.attempt(prepared.identity, elsewhere)
    rules = plan_gate(
        resolved.gate,
        resolved.spec.bootstrap,
        groups=len(prepared.split.held_out),
        seeds=resolved.main.seeds,
        cells=prepared.corpus.cells is not None,
        attempt=attempt,
    )
    ground = may_decide(known, declared)
    can = all(rule.can_pass for rule in rules) and not prepared.blocking and resolved.smoke is None
    return {
        "schema": SCHEMA,
        "study": resolved.name,
        "variant": resolved.variant,
        "attempt": attempt,
        "power": POWER,
        "rules": [rule.to_json() for rule in rules],
        "findings": [finding.to_json() for finding in prepared.findings],
        "registered": None if ground.why == "first" else ground.why is not None,
        "registration": ground.sentence,
        "can_promote": can and ground.why is not None,
    }
