"""One scoring of windows: answers opened for a stated purpose, rules registered before, the look counted after.

Predictions that were made here and predictions that somebody brought are scored in the same way. Windows of validation
are open, and promote nothing: no book is kept of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.evaluate.books import AMEND, Books, books_of, declared_of, episodes_of, groups_of
from heldout.domains.embodied.index.names import SEALED
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.rules import policy_sha256
from heldout.domains.embodied.score.score import Scored
from heldout.evidence import digest, dumps, sha256_bytes
from heldout.gate import Policy
from heldout.gate.integrity import pre_registered
from heldout.gate.outcome import RuleOutcome
from heldout.ledger.policy import Declared
from heldout.ledger.trials import Ledger, Look, Outcome
from heldout.predict.session import Sample

Truth = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Sitting:
    """Windows while they are scored.

    Attributes:
        held: The trial ledger of the index, so that no look can come in between.
        source: The index.
        contract: By which they are judged.
        split: Which windows.
        samples: Those that are predicted.
        smoke: Why this is a smoke evaluation, if it is one.
        answers: What is true, by window.
        books: Of the index.
        declared: Rules and episodes; None of windows that are not sealed.
        policy: What the books say of them.
    """

    held: Ledger
    source: IndexSource
    contract: BackboneContract
    split: str
    samples: Sequence[Sample]
    smoke: str | None
    answers: Truth
    books: Books
    declared: Declared | None = None
    policy: Policy | None = None

    @classmethod
    def begin(
        cls,
        held: Ledger,
        source: IndexSource,
        contract: BackboneContract,
        split: str,
        samples: Sequence[Sample],
        *,
        asked: Sequence[Sample],
        purpose: str,
        near: Path | None,
        smoke: str | None = None,
    ) -> Sitting:
        """Open the answers and register the rules.

        Args:
            held: The trial ledger of the index.
            source: The index.
            contract: By which the windows are judged.
            split: Which windows.
            samples: Those that are predicted.
            asked: Those whose answers are needed.
            purpose: Who looks and why.
            near: Folder of other evaluations.
            smoke: Why this is a smoke evaluation, if it is one.

        Raises:
            TamperedError: If the books do not hold; nothing is opened then.
        """
        books = books_of(source, contract, near)
        if split not in SEALED:
            return cls(held, source, contract, split, samples, smoke, source.answers(split, asked, purpose), books)
        list(books.known())
        answers = source.answers(split, source.samples(split), purpose, books.head)
        groups = groups_of(source, split, answers, episodes_of(samples))
        declared = declared_of(contract, groups)
        policy = books.register(held, declared, smoke=smoke is not None)
        return cls(held, source, contract, split, samples, smoke, answers, books, declared, policy)

    def rules(self) -> list[RuleOutcome]:
        """What the books say as a rule; none of windows that are not sealed."""
        return [] if self.policy is None else [registered_rule(self.policy, self.smoke)]

    def count(
        self, run: str, variant: str, variant_sha256: str, scored: Scored | None, outcome: Outcome
    ) -> dict[str, Any]:
        """Count the look; the blocks ``trial`` and ``policy`` of its verdict."""
        if self.declared is None or self.policy is None:
            return {}
        primary = self.contract.config["primary_metrics"]
        evidence = scored.metrics["evidence"] if scored else {}
        first = next((key for key in primary if key in evidence), None)
        look = Look(
            run=run,
            variant=variant,
            variant_sha256=variant_sha256,
            corpus_sha256=self.source.sha256,
            split_sha256=digest([self.split, [sample.id for sample in self.samples]]),
            gate_sha256=policy_sha256(primary),
            seeds=(),
            smoke=self.smoke,
            outcome=outcome,
            primary={"name": first, "value": evidence[first]["value"]} if first else None,
            metrics_sha256=sha256_bytes(dumps(scored.metrics)) if scored else None,
        )
        trial = self.books.record(self.held, look, self.declared, self.policy)
        return {"trial": trial.to_json(), "policy": self.policy.to_json()}


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
    return books.amend(declared_of(contract, groups_of(source, "test", answers)), reason)


def registered_rule(policy: Policy, smoke: str | None) -> RuleOutcome:
    """The rule ``pre-registered`` of an evaluation."""
    quick = smoke is not None and policy.against is None
    return pre_registered(
        policy, AMEND, "a smoke evaluation registers no rules: evaluate all windows" if quick else None
    )
