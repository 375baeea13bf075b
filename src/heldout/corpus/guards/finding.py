"""What a guard says: a finding with a code that never changes its meaning, or why it has nothing to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

State = Literal["OK", "FOUND", "NOT APPLICABLE"]
TITLES = {
    "HO-G001": "a group in two parts",
    "HO-G002": "one content under two groups",
    "HO-G003": "near-duplicates across groups",
    "HO-G004": "duplicate sample ids",
    "HO-G005": "the target among the features",
    "HO-G006": "features that never change",
    "HO-G007": "times closer than the embargo",
    "HO-G008": "held-out rows in what is fitted",
    "HO-G009": "one group that is nearly everything",
    "HO-G010": "a subject that stands in several groups",
    "HO-G011": "a feature made from the groups' targets",
    "HO-G012": "a feature that counts the rows",
    "HO-G013": "one feature that orders the target",
    "HO-G014": "rows copied inside a group",
    "HO-G015": "labels that are no classes",
    "HO-G016": "columns that are not what they look like",
}


class FindingBlock(TypedDict):
    """A finding in a document."""

    code: str
    blocking: bool
    what: str
    where: str
    hint: str


@dataclass(frozen=True)
class Finding:
    """What a guard found.

    Attributes:
        code: Stable identifier.
        blocking: Whether the verdict must be HOLD.
        what: The sentence for people.
        where: Groups, columns or ids.
        hint: How to mend it.
    """

    code: str
    blocking: bool
    what: str
    where: str
    hint: str

    def to_json(self) -> FindingBlock:
        """The finding as a document."""
        return {
            "code": self.code,
            "blocking": self.blocking,
            "what": self.what,
            "where": self.where,
            "hint": self.hint,
        }


@dataclass(frozen=True)
class GuardResult:
    """What one guard says of one study.

    Attributes:
        code: Of the guard.
        findings: What it found.
        not_applicable: Why it has nothing to look at; None where it looked.
    """

    code: str
    findings: tuple[Finding, ...] = ()
    not_applicable: str | None = None

    @property
    def state(self) -> State:
        """FOUND goes before NOT APPLICABLE."""
        if self.findings:
            return "FOUND"
        return "OK" if self.not_applicable is None else "NOT APPLICABLE"

    @property
    def title(self) -> str:
        """What the guard looks for."""
        return TITLES[self.code]

    def to_json(self) -> dict[str, object]:
        """The result as a document."""
        found = [finding.to_json() for finding in self.findings]
        words = {"code": self.code, "title": self.title, "state": self.state}
        return words | {"not_applicable": self.not_applicable, "findings": found}


def findings_of(results: Sequence[GuardResult]) -> list[Finding]:
    """All findings, in the order of the guards."""
    return [finding for result in results for finding in result.findings]
