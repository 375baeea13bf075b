"""Evaluations: predictions that were scored and judged, verified from their own folder or from a package of it.

How metrics follow from predictions, only a domain knows. The ``schema`` of ``metrics.json`` names a plug-in of the
group ``heldout.verifiers``: ``heldout.embodied-metrics/1`` is checked by the one named ``heldout.embodied-metrics``, a
tuple of ``Check`` that look at an ``EvaluationEvidence``. Its link with the id ``rules`` judges the metrics again; what
comes before and after (one verdict, its files, the verdict of its rules) is the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from heldout import plugins
from heldout.documents.names import HOLD_FILE, METRICS_FILE, PROMOTE_FILE, RUN_FILE
from heldout.errors import HeldoutError, InputError, PrerequisiteError
from heldout.evidence import read_json, sha256_file
from heldout.gate.outcome import RuleOutcome
from heldout.gate.verdict import SCHEMA as VERDICT_SCHEMA
from heldout.gate.verdict import recommend, recommend_evaluation, verdict_of
from heldout.gate.verdict_files import read_verdict, refuse_newer
from heldout.verify.chain import BrokenError, Check, Link, MetricState, NotCheckedError, Verification, walk
from heldout.verify.exports import VERIFIERS

RECORD_FILE = "evaluation.json"
COMPARISON_FILE = "comparison.json"
_VERDICTS = (PROMOTE_FILE, HOLD_FILE)
_ABOUT = frozenset(("schema", "backbone", "evidence", "fields"))  # of metrics.json: what is no metric itself


@dataclass(frozen=True)
class EvaluationEvidence:
    """The files of one evaluation, read strictly; never written.

    Attributes:
        folder: Where they lie.
        originals: Of files that were published with other bytes: sha256 of those that the evaluation wrote, by name.
        published: Whether these are the files of a package: what is missing there may have been withheld.
    """

    folder: Path
    originals: Mapping[str, str] = field(default_factory=dict)
    published: bool = False

    @cached_property
    def metrics(self) -> Mapping[str, Any]:
        """``metrics.json``."""
        return self.document(METRICS_FILE)

    @cached_property
    def verdict_file(self) -> Path:
        """The verdict's file.

        Raises:
            NotCheckedError: If there is none.
        """
        there = [self.folder / name for name in _VERDICTS if (self.folder / name).is_file()]
        if not there:
            raise NotCheckedError("the verdict is not published" if self.published else "there is no verdict")
        return there[0]

    @property
    def has_verdict(self) -> bool:
        """Whether there is a verdict."""
        return any(self.has(name) for name in _VERDICTS)

    @cached_property
    def verdict(self) -> Mapping[str, Any]:
        """The verdict document."""
        return self.document(self.verdict_file.name)

    @cached_property
    def record(self) -> Mapping[str, Any]:
        """``evaluation.json``: what was evaluated, and which files came of it."""
        return self.document(RECORD_FILE)

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.folder / name).is_file()

    def changed(self, name: str) -> bool:
        """Whether a file was published with private names taken out: digests of what is in it are others now."""
        return name in self.originals

    def path(self, name: str) -> Path:
        """The path of a file.

        Raises:
            NotCheckedError: If it is not there.
        """
        if not self.has(name):
            raise NotCheckedError(f"{name} is not {'published' if self.published else 'there'}")
        return self.folder / name

    def document(self, name: str) -> Mapping[str, Any]:
        """A document.

        Raises:
            NotCheckedError: If it is not there.
            BrokenError: If it is no object.
        """
        document = read_json(self.path(name))
        if not isinstance(document, dict):
            raise BrokenError("the document is not an object", name)
        return document

    def sha256(self, name: str) -> str:
        """Digest of a file as the evaluation wrote it."""
        return self.originals.get(name) or sha256_file(self.path(name))

    def inside(self, where: str | None) -> str | None:
        """A place as it may be shown: relative to the evaluation."""
        return where.replace(f"{self.folder}/", "") if where else None

    def metric_names(self) -> list[str]:
        """Every number and count that ``metrics.json`` states, by the name at its top."""
        evidence = self.metrics.get("evidence")
        return sorted({*self.metrics, *(evidence if isinstance(evidence, dict) else ())} - _ABOUT)

    def attested(self, why: str) -> tuple[MetricState, ...]:
        """All metrics, none of them recomputed."""
        return tuple(MetricState(name, "attested", why) for name in self.metric_names())


@dataclass(frozen=True)
class EvaluationVerification(Verification):
    """The chain of an evaluation."""

    @property
    def left_open(self) -> str:
        """What these links cannot show."""
        return (
            "The files agree with each other. To rule out that all of them were replaced, compare the verdict's sha256 "
            "above with one that you received separately." + self._not_recomputed
        )

    def to_json(self) -> dict[str, object]:
        """The verification as a document; it names an evaluation, and no run."""
        return super().to_json() | {"run": None, "evaluation": self.folder.resolve().name}


def evaluation_folder(path: Path) -> Path | None:
    """The evaluation that a path names: its folder, its verdict or its metrics; None if it names none.

    Raises:
        InputError: If it names a comparison of two.
    """
    folder = path.parent if path.name in (*_VERDICTS, METRICS_FILE, RECORD_FILE, COMPARISON_FILE) else path
    if (folder / COMPARISON_FILE).is_file() and not (folder / METRICS_FILE).is_file():
        raise InputError(
            "this is a comparison of two evaluations, and holds neither of them",
            where=str(folder),
            hint="verify both evaluations, then compare them again: heldout eval compare CHALLENGER CHAMPION",
        )
    if not folder.is_dir() or (folder / RUN_FILE).exists():
        return None
    return folder if (folder / RECORD_FILE).is_file() or _verifier_of(folder) else None


def verify_evaluation(folder: Path) -> EvaluationVerification:
    """Recompute everything that the verdict of an evaluation rests on, from its files alone.

    Raises:
        InputError: If it was not judged: INVALID.
        PrerequisiteError: If its metrics cannot be recomputed here.
    """
    evidence = EvaluationEvidence(folder)
    if not evidence.has_verdict:
        raise InputError("the evaluation has no verdict", where=str(folder), hint="score it: heldout eval score --out")
    file = evidence.verdict_file
    try:
        verdict = evidence.verdict
    except (HeldoutError, BrokenError):
        verdict = {}  # a damaged verdict is a broken link, and is named as such
    refuse_newer(verdict, file)
    found = EvaluationVerification(folder, file.stem, sha256_file(file), walk(checks_of(evidence), evidence))
    lacking = next((link for link in found.links if link.id == "metrics" and link.state == "NOT CHECKED"), None)
    if lacking is not None and found.holds:
        what = f"the link {lacking.title!r} cannot be checked here: {lacking.what}"
        raise PrerequisiteError(what, where=str(folder), hint="evaluate again, or install what scored it")
    return found


def checks_of(evidence: EvaluationEvidence) -> tuple[Check, ...]:
    """The links of an evaluation: those of all, and between them those of its domain."""
    name = _verifier_of(evidence.folder)
    try:
        domain: Sequence[Check] = plugins.load(VERIFIERS, name) if name else (_UNKNOWN,)
    except PrerequisiteError as error:
        domain = (_unknown(error.what),)
    return (*_BEFORE, *domain, *_AFTER)


def links_of_evaluation(evidence: EvaluationEvidence) -> tuple[Link, ...]:
    """Look at every link."""
    return walk(checks_of(evidence), evidence)


def check_verdict_file(evidence: EvaluationEvidence) -> str:
    """There is one verdict, it says what its name says, and of what it was made."""
    name = evidence.verdict_file.name
    document = read_verdict(evidence.folder) or {}
    if document.get("schema") != VERDICT_SCHEMA or document.get("schema_version") != 1:
        raise BrokenError(f"the schema is {document.get('schema')!r}", name)
    if document["evidence"] not in ("computed", "predicted", "reported"):
        raise BrokenError(f"the evidence is {document['evidence']!r}", f"{name}: evidence")
    told = "of its own predictions" if document["evidence"] == "computed" else "of predictions that were brought"
    return f"{name} is the only verdict, given {told}"


def check_record(evidence: EvaluationEvidence) -> str:
    """Every file that ``evaluation.json`` names is there, as the evaluation wrote it."""
    outputs: Mapping[str, str] = evidence.record["outputs"]
    if evidence.verdict["evidence"] != "computed":
        what = f"the evidence is {evidence.verdict['evidence']!r}; {RECORD_FILE} is of predictions of its own"
        raise BrokenError(what, f"{evidence.verdict_file.name}: evidence")
    there = [name for name in outputs if evidence.has(name)]
    for name, sha256 in sorted(outputs.items()):
        if not evidence.has(name) and not evidence.published:
            raise BrokenError("the file is missing", name)
        if evidence.has(name) and evidence.sha256(name) != sha256:
            raise BrokenError(f"the file is not the one that {RECORD_FILE} names", name)
    if evidence.record["verdict"] != evidence.verdict["verdict"]:
        raise BrokenError(f"it says {evidence.record['verdict']!r}", f"{RECORD_FILE}: verdict")
    left = f"; {len(outputs) - len(there)} more are not published" if evidence.published else ""
    return f"{len(there)} files as the evaluation wrote them{left}"


def check_verdict(evidence: EvaluationEvidence) -> str:
    """PROMOTE only if every rule is PASS; reasons, smoke mark and recommendation are the rules'."""
    document, where = evidence.verdict, evidence.verdict_file.name
    expected = verdict_of([RuleOutcome(**rule) for rule in document["rules"]])
    if document["verdict"] != expected:
        raise BrokenError(f"the verdict is {document['verdict']}, the rules say {expected}", f"{where}: verdict")
    if document["smoke"] != evidence.metrics["smoke"]:
        what = f"the verdict says {document['smoke']!r}, the metrics {evidence.metrics['smoke']!r}"
        raise BrokenError(what, f"{where}: smoke")
    reasons = [rule["sentence"] for rule in document["rules"] if rule["outcome"] != "PASS"]
    if document["reasons"] != reasons:
        raise BrokenError("the reasons are not those of the rules", f"{where}: reasons")
    # Older verdicts recommend what is said of runs.
    known = [advice(expected, reasons, document["smoke"]) for advice in (recommend_evaluation, recommend)]
    if document["recommendation"] not in known:
        raise BrokenError("the recommendation is not that of the rules", f"{where}: recommendation")
    return f"{expected} follows from the rules"


def _verifier_of(folder: Path) -> str | None:
    """Name of the plug-in that knows these metrics."""
    try:
        document = read_json(folder / METRICS_FILE)
    except HeldoutError:
        return None
    name = str(document.get("schema") if isinstance(document, dict) else None).rpartition("/")[0]
    return name if name in plugins.names(VERIFIERS) else None


def _unknown(why: str) -> Check:
    def look(evidence: EvaluationEvidence) -> str:
        raise NotCheckedError(why, evidence.attested(why))

    return Check("metrics", "predictions → metrics", look)


def _of_no_plugin(evidence: EvaluationEvidence) -> str:
    why = f"no installed plug-in recomputes metrics of the schema {evidence.metrics.get('schema')!r}"
    raise NotCheckedError(why, evidence.attested(why))


_UNKNOWN = Check("metrics", "predictions → metrics", _of_no_plugin)
_BEFORE = (
    Check("verdict-file", "one verdict", check_verdict_file),
    Check("files", "evaluation → every file", check_record, ("verdict-file",)),
)
_AFTER = (Check("verdict", "rules → verdict", check_verdict, ("verdict-file",)),)
