"""Windows while they are scored: answers opened for a stated purpose, rules registered before, the look counted after.

Predictions that were made here and predictions that somebody brought are scored in the same way. Windows of validation
are open, and promote nothing: no book is kept of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.evaluate.books import AMEND, books_of, rules_of
from heldout.domains.embodied.index.known import Truth, known_episodes
from heldout.domains.embodied.index.names import SEALED
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.rules import policy_sha256
from heldout.domains.embodied.score.score import Scored
from heldout.errors import HeldoutError
from heldout.evidence import digest, dumps, sha256_bytes
from heldout.evidence import provenance as made
from heldout.gate import Policy
from heldout.gate.integrity import pre_registered
from heldout.gate.outcome import RuleOutcome
from heldout.gate.verdict import recommend_evaluation
from heldout.ledger.books import Sitting
from heldout.ledger.history import Groups
from heldout.ledger.policy import Declared
from heldout.ledger.trials import OPENED, Ledger, Look
from heldout.predict.session import Sample
from heldout.run.verdict import build_verdict


@dataclass(frozen=True)
class Windows:
    """What is scored.

    Attributes:
        source: The index.
        contract: By which they are judged.
        split: Which windows.
        samples: Those that are predicted.
        smoke: Why this is a smoke evaluation, if it is one.
    """

    source: IndexSource
    contract: BackboneContract
    split: str
    samples: Sequence[Sample]
    smoke: str | None = None

    def look(self, run: str, variant: str, variant_sha256: str) -> Look:
        """A look at them of which nothing has come yet."""
        return Look(
            run=run,
            variant=variant,
            variant_sha256=variant_sha256,
            corpus_sha256=self.source.sha256,
            split_sha256=digest([self.split, [sample.id for sample in self.samples]]),
            gate_sha256=policy_sha256(self.contract.config["primary_metrics"]),
            seeds=(),
            smoke=self.smoke,
            outcome=OPENED,
            primary=None,
            metrics_sha256=None,
        )


@dataclass(frozen=True)
class Opened:
    """Answers that were opened, and the sitting that they were opened for.

    Attributes:
        answers: What is true, by window.
        sitting: None of windows that are not sealed, or that no index knows.
    """

    answers: Truth
    sitting: Sitting | None = None

    @classmethod
    def of(
        cls, held: Ledger, windows: Windows, look: Look, *, asked: Sequence[Sample], purpose: str, near: Path
    ) -> Opened:
        """Open the answers and register the rules.

        Args:
            held: The trial ledger of the index.
            windows: What is scored.
            look: Of ``windows.look``.
            asked: Windows whose answers are needed.
            purpose: Who looks and why.
            near: Folder of other evaluations.

        Raises:
            TamperedError: If the books do not hold; nothing is opened then.
        """
        source, split = windows.source, windows.split
        books = books_of(source, windows.contract, near)
        if split not in SEALED:
            return cls(source.answers(split, asked, purpose))
        list(books.known())
        answers = source.answers(split, source.samples(split), purpose, books.head)
        episodes = {sample.group for sample in windows.samples}
        declared = Declared(rules_of(windows.contract), Groups(*known_episodes(source, split, answers, episodes)))
        return cls(answers, Sitting.begin(held, books, declared, look))

    def scored(self, score: Callable[[], Scored]) -> Scored:
        """What a scoring gives, with what the books say as a rule; one that fails is a look too."""
        try:
            found = score()
        except HeldoutError:
            if self.sitting is not None:
                self.sitting.count("FAILED")
            raise
        if self.sitting is None:
            return found
        rule = registered_rule(self.sitting.policy, self.sitting.look.smoke)
        return replace(found, rules=[*found.rules, rule])

    def judged(self, verdict: Mapping[str, Any], scored: Scored) -> dict[str, Any]:
        """A verdict with its look counted."""
        if self.sitting is None:
            return dict(verdict)
        evidence = scored.metrics["evidence"]
        first = next((key for key in scored.contract.config["primary_metrics"] if key in evidence), None)
        primary = {"name": first, "value": evidence[first]["value"]} if first else None
        return {**verdict, **self.sitting.count(verdict["verdict"], primary, sha256_bytes(dumps(scored.metrics)))}


def verdict_document(scored: Scored, judged: Mapping[str, Any], *, evidence: Any = "computed") -> dict[str, Any]:
    """The verdict: PROMOTE only if every rule is PASS."""
    metrics = scored.metrics
    return build_verdict(
        study=f"embodied-{scored.contract.id}",
        variant=str(scored.facts.get("predictor") or scored.contract.id),
        outcomes=scored.rules,
        smoke=metrics["smoke"],
        judged=dict(judged)
        | {
            "metrics_sha256": sha256_bytes(dumps(metrics)),
            "train_labels_sha256": scored.train.sha256,
            "train_counts_sha256": sha256_bytes(dumps(scored.train.to_json())),
            "windows_sha256": windows_sha256(scored.rows),
            "contract_sha256": digest(scored.contract.config),
            "gate_sha256": policy_sha256(scored.contract.config["primary_metrics"]),
        },
        provenance=made.build(args={}, inputs={}, outputs={}),
        evidence=evidence,
        advice=recommend_evaluation,
    )


def windows_sha256(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which windows of which episodes were judged, in their order, by digest."""
    return digest([[str(row["id"]), str(row["episode_id"])] for row in rows])


def amend(index: Path, contract: BackboneContract, reason: str) -> Policy:
    """Register the rules of a contract that changed after a look, with the reason. Answers are opened, not scored.

    Raises:
        InputError: Without a reason, or if nobody looked at the windows of test by other rules.
    """
    source = IndexSource(index)
    books = books_of(source, contract)
    list(books.known())
    samples = source.samples("test")
    answers = source.answers("test", samples, f"amendment of the rules of {contract.id}", books.head)
    groups = Groups(*known_episodes(source, "test", answers))
    return books.amend(Declared(rules_of(contract), groups), reason)


def registered_rule(policy: Policy, smoke: str | None) -> RuleOutcome:
    """The rule ``pre-registered`` of an evaluation."""
    quick = None if smoke is None else "a smoke evaluation registers no rules: evaluate all windows"
    return pre_registered(policy, AMEND, quick)
