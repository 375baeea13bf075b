"""What one rule says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["PASS", "FAIL", "UNKNOWN"]


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

    def to_json(self) -> dict[str, Any]:
        """The outcome as a document."""
        return asdict(self)
