"""All guards over one variant of a study, before compute is spent on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from heldout.backbone.asked import asked_of
from heldout.backbone.given import level_of_backbone
from heldout.corpus.guards import TITLES, Finding, GuardResult
from heldout.errors import CorpusError
from heldout.run.apart.foreign import Apart, ReachedError
from heldout.run.asked.gate import examine_model
from heldout.run.fitted_state import guard_fitted, reached_finding
from heldout.run.prepare import Prepared
from heldout.run.resolve import Resolved
from heldout.run.rules import check_gate, check_weights
from heldout.run.units.unit import cached_corpus
from heldout.split import examine_split, split_corpus
from heldout.study import placing

SCHEMA = "heldout.check/1"


@dataclass(frozen=True)
class Checked:
    """What every guard says.

    Attributes:
        study: Name of the study.
        variant: Id of the variant.
        corpus_sha256: Of the corpus; None where it could not be read.
        results: One a guard, in the order of the codes.
    """

    study: str
    variant: str
    corpus_sha256: str | None
    results: tuple[GuardResult, ...]

    @property
    def blocking(self) -> list[Finding]:
        """Findings that forbid a PROMOTE."""
        return [finding for result in self.results for finding in result.findings if finding.blocking]

    def to_json(self) -> dict[str, object]:
        """The results as a document."""
        return {
            "schema": SCHEMA,
            "study": self.study,
            "variant": self.variant,
            "corpus_sha256": self.corpus_sha256,
            "clean": not self.blocking,
            "guards": [result.to_json() for result in self.results],
        }


def check_study(resolved: Resolved, *, fresh: bool = True) -> Checked:
    """Run every guard.

    A corpus or split that is refused with the code of a guard counts as found by it; the guards after it have nothing
    to look at.

    Args:
        resolved: The study with one variant applied.
        fresh: Let the guard over the fitted state fit in fresh processes: slower, and sees what a process keeps.

    Raises:
        HeldoutError: If the study, the corpus or the backbone is wrong in any other way.
    """
    sha256: str | None = None
    try:
        corpus = cached_corpus(resolved.reader)
        sha256 = corpus.manifest.sha256
        with placing(resolved.document):
            split = split_corpus(resolved.splitter, corpus)
            resolved.metrics(corpus.task)
            check_gate(resolved.gate, corpus, resolved.config.get("metrics", ()))
            check_weights(corpus, split, resolved.config.get("metrics", ()))
        results = {result.code: result for result in examine_split(corpus, split, resolved.splitter)}
    except CorpusError as error:
        if error.code not in TITLES:
            raise
        found = Finding(error.code, blocking=True, what=error.what, where=error.where or "", hint=error.hint or "")
        results = {error.code: GuardResult(error.code, (found,))}
    else:
        main = resolved.main
        results["HO-G008"] = guard_fitted(main.backbone, resolved.reader, split, main.seeds[0], fresh=fresh)
    return Checked(resolved.name, resolved.variant, sha256, tuple(_in_order(results)))


def with_model_gate(prepared: Prepared) -> Prepared:
    """The plan of a run with what its checkpoint gate finds; unchanged where models are fitted."""
    asked = asked_of(prepared.resolved.main.backbone)
    if asked is None or level_of_backbone(asked) == "predicted":
        return prepared
    apart = Apart(asked, (*prepared.resolved.reader.kept(), prepared.study))
    try:
        found = examine_model(asked, prepared.corpus, prepared.split, apart)
    except ReachedError as error:
        seen = reached_finding(error, asked, prepared.split.folds[0]).findings
        return replace(prepared, findings=(*prepared.findings, *seen), reached=True)
    return replace(prepared, gate=None if found is None else tuple(found))


def _in_order(results: Mapping[str, GuardResult]) -> list[GuardResult]:
    refused = "the corpus is refused, so there is nothing to look at"
    return [results.get(code, GuardResult(code, not_applicable=refused)) for code in sorted(TITLES)]
