"""What a study's run on this machine has come to: found by study, variant, corpus and code, and verified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heldout.api import Study
from heldout.errors import InputError
from heldout.gate.verdict_files import read_verdict
from heldout.plugins import trusting_code
from heldout.verify import Verification, verify_run
from heldout.verify.evidence import RunEvidence


@dataclass(frozen=True)
class Result:
    """A run that was judged.

    Attributes:
        run: Its run directory.
        corpus: The corpus file of the study.
        evidence: Its documents.
    """

    run: Path
    corpus: Path
    evidence: RunEvidence

    @property
    def verdict(self) -> str:
        """``PROMOTE`` or ``HOLD``."""
        return str(self.evidence.verdict["verdict"])

    def verify(self) -> Verification:
        """Recompute its evidence, and compare it with the corpus."""
        with trusting_code():  # it is the operator's own run
            return verify_run(self.run, corpus=self.corpus)


def find_result(path: Path, variant: str = "base", runs: Path | None = None) -> Result:
    """The run that a study file or a run directory names.

    Raises:
        InputError: If it was not judged yet, or its fits failed.
    """
    if path.is_dir():
        evidence = RunEvidence.open(path)
        return Result(path, Path(str(evidence.verdict["judged"]["corpus_path"])).expanduser(), evidence)
    prepared = Study.load(path).prepare(variant, runs=runs)
    folder = prepared.folder.path
    if not folder.is_dir() or read_verdict(folder) is None:
        raise InputError(
            f"the variant {variant!r} was not judged yet on this corpus and code",
            where=str(path),
            hint=f"heldout run {path.name} --variant {variant}; in a kit: 03-train-loso.sh",
        )
    return Result(folder, prepared.resolved.corpus_path, RunEvidence.open(folder))
