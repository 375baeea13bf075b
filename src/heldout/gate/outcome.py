"""What one rule says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

Outcome = Literal["PASS", "FAIL", "UNKNOWN"]


class RuleBlock(TypedDict):
    """A rule in a document."""

    id: str
    outcome: Outcome
    observed: float | None
    bound: str
    sentence: str


@dataclass(frozen=True)
class RuleOutcome:
    """What one rule says.

    Attributes:
        id: Name of the rule.
        outcome: PASS, FAIL, or UNKNOWN where it cannot be judged.
        observed: The number that was judged; None where there is none.
        bound: The bound, as declared.
        sentence: For people.
    """

    id: str
    outcome: Outcome
    observed: float | None
    bound: str
    sentence: str

    @classmethod
    def of(cls, identifier: str, holds: object, observed: float | None, bound: str, sentence: str) -> RuleOutcome:
        """The outcome of something that holds or not; UNKNOWN where nobody knows, which is None."""
        outcome: Outcome = "UNKNOWN" if holds is None else "PASS" if holds else "FAIL"
        return cls(identifier, outcome, observed, bound, sentence)

    def to_json(self) -> RuleBlock:
        """The outcome as a document."""
        return {
            "id": self.id,
            "outcome": self.outcome,
            "observed": self.observed,
            "bound": self.bound,
            "sentence": self.sentence,
        }
