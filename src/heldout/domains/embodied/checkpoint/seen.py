"""A checkpoint as a gate looks at it, and what the gate found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from heldout.corpus.guards import Finding
from heldout.corpus.guards.finding import FindingBlock
from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.contract.file_schemas import Breach, breaches_of_file
from heldout.errors import HeldoutError
from heldout.evidence import read_json

SCHEMA = "heldout.checkpoint/1"


@dataclass(frozen=True)
class Checkpoint:
    """What a gate looks at.

    Attributes:
        folder: Weights and their configuration.
        contract: Of the backbone.
        training: Folder of the training's own files; the checkpoint's by default.
        base: Folder of the base model, where it is at hand.
        manifest: Episode manifest, where it is at hand.
    """

    folder: Path
    contract: BackboneContract
    training: Path | None = None
    base: Path | None = None
    manifest: Path | None = None

    def find(self, name: str) -> Path | None:
        """A file of the checkpoint or of its training; ``*`` may stand in the name."""
        for folder in (self.folder, self.training):
            if folder is not None:
                found = sorted(path for path in folder.glob(name) if path.is_file())
                if found:
                    return found[0]
        return None

    def breaches(self) -> list[Breach]:
        """Where a required file of the training does not keep its schema."""
        config = self.contract.config
        found = [(name, self.find(name)) for name in self.contract.artifacts["required_training_files"]]
        return [one for name, path in found if path is not None for one in breaches_of_file(config, name, path)]

    def document(self, name: str) -> Mapping[str, Any] | None:
        """A JSON object of the checkpoint; None if it is not there or is no object."""
        path = self.find(name)
        if path is None:
            return None
        try:
            value = read_json(path)
        except HeldoutError:
            return None
        return value if isinstance(value, dict) else None


class Checked(TypedDict):
    """What a gate found, as a document."""

    schema: str
    backbone: str
    gate: str
    status: str
    checks: dict[str, str]
    findings: list[FindingBlock]
    report: Mapping[str, object]


@dataclass
class Verdict:
    """What a gate found, and what it saw."""

    findings: list[Finding] = field(default_factory=list)
    checks: dict[str, str] = field(default_factory=dict)
    report: dict[str, object] = field(default_factory=dict)

    def check(self, name: str, code: str, problems: list[str], hint: str, *, where: str = "") -> None:
        """Note a check by name: PASS without problems, FAIL with them."""
        self.checks[name] = "FAIL" if problems else "PASS"
        if problems:
            shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
            self.findings.append(Finding(code, blocking=True, what=f"{name}: {shown}", where=where or name, hint=hint))

    def unseen(self, name: str, code: str, why: str, hint: str) -> None:
        """Note a check that could not be made."""
        self.checks[name] = "NOT CHECKED"
        self.findings.append(Finding(code, blocking=True, what=f"{name}: not checked, {why}", where=name, hint=hint))

    def to_json(self, checkpoint: Checkpoint) -> Checked:
        """The document."""
        return {
            "schema": SCHEMA,
            "backbone": checkpoint.contract.id,
            "gate": checkpoint.contract.artifacts["checkpoint_gate"],
            "status": "fail" if self.findings else "pass",
            "checks": self.checks,
            "findings": [finding.to_json() for finding in self.findings],
            "report": self.report,
        }


Gate = Callable[[Checkpoint, Verdict], None]
