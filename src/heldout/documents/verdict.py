"""``PROMOTE.json`` and ``HOLD.json``: what was judged, by which rules, and what came out."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from heldout.documents.base import Document, Open, Part, Sha256, Utc


class RuleEntry(Part):
    """One rule as it was judged."""

    id: str = Field(description="name of the rule")
    outcome: Literal["PASS", "FAIL", "UNKNOWN"]
    observed: int | float | None = Field(description="the number that was judged; null where there is none")
    bound: str = Field(description="the bound, as declared")
    sentence: str = Field(description="the outcome in words")


class FindingEntry(Part):
    """What a guard found in the data."""

    code: str = Field(description="such as HO-G003; each has a page in docs/findings")
    blocking: bool = Field(description="whether it forbids a PROMOTE")
    what: str
    where: str
    hint: str | None


class FitCode(Part):
    """The sources that fit a contender."""

    heldout: Sha256 = Field(description="digest over the modules of heldout that fit it")
    user: dict[str, Sha256] = Field(description="sha256 of each module of the user's own")


class JudgedBlock(Part):
    """What was judged, by digest. Older verdicts name fewer files."""

    corpus_path: str | None = Field(None, description="the corpus file as the study names it")
    corpus_sha256: Sha256 | None = None
    variant_sha256: Sha256 | None = Field(None, description="of what is trained and how it is held out")
    split_sha256: Sha256 | None = None
    model_sha256: Sha256 | None = Field(None, description="of a model from elsewhere: its file, or its folder's files")
    predictions_sha256: Sha256 | None = None
    metrics_sha256: Sha256 | None = None
    code_sha256: Sha256 | None = Field(None, description="over the sources of heldout that a number can depend on")
    fit_code: dict[str, FitCode] | None = Field(None, description="by contender; the variant itself has the empty name")
    user_code: dict[str, Sha256] | None = None
    environment: Sha256 | None = Field(None, description="over the versions of the packages")
    files_sha256: Sha256 | None = Field(None, description="one digest over every other file of the run")
    contract_sha256: Sha256 | None = Field(None, description="of an evaluation: its contract, as all that follows")
    gate_sha256: Sha256 | None = None
    identity: str | None = Field(None, description="of what predictions are predictions of")
    index_sha256: Sha256 | None = None
    windows_sha256: Sha256 | None = None
    truth_sha256: Sha256 | None = None
    train_counts_sha256: Sha256 | None = None
    train_labels_sha256: Sha256 | None = None
    champion_verdict_sha256: Sha256 | None = None
    challenger_verdict_sha256: Sha256 | None = None
    files: Open | None = Field(None, description="of reported numbers: the files that state them, by digest")


class TrialBlock(Part):
    """Where this look stands in the trial ledger."""

    attempt: int = Field(ge=0, description="this variant is the k-th that looked at these groups; 0: nobody counted")
    of: int = Field(ge=0, description="variants that had looked by then, this one included")
    looks: int = Field(ge=0, description="looks in the ledger up to this one")
    ledger_head: Sha256 = Field(description="digest of this look's record")


class PolicyBlock(Part):
    """What was written down of the rules before anybody looked."""

    sha256: Sha256 = Field(description="digest of gate and intervals")
    registered: bool = Field(description="whether these rules may decide")
    registered_at: Utc | None
    amendments: list[str] = Field(description="reasons of every change on these groups")
    rules_sha256: Sha256 | None = None
    registration: Sha256 | None = Field(None, description="digest of the registration's record")
    head: Sha256 | None = Field(None, description="digest of the last registration at that moment")
    against: str | None = Field(None, description="what forbids it, if the rules may not decide")
    notes: list[str] = Field(default_factory=list, description="what needed no reason and is counted, or was noticed")


class RequiredEntry(Part):
    """The verdict of another variant on which this one stands."""

    run: str
    verdict: Literal["PROMOTE", "HOLD"]


class Verdict(Document):
    """A verdict. PROMOTE only if every rule is PASS; one verdict a folder, at every moment."""

    SCHEMA: ClassVar[str] = "heldout.verdict"
    WHERE: ClassVar[str] = "PROMOTE.json or HOLD.json"

    schema_: Literal["heldout.verdict/1"] = Field("heldout.verdict/1", alias="schema")
    schema_version: Literal[1] = 1
    verdict: Literal["PROMOTE", "HOLD"]
    evidence: Literal["computed", "fitted", "asked", "predicted", "reported"] = Field(
        description="how much was seen here; `computed`, as older verdicts say, is `fitted`"
    )
    generated_at_utc: Utc
    study: str
    variant: str
    seeds: list[int]
    rules: list[RuleEntry]
    reasons: list[str] = Field(description="the sentences of the rules that are not PASS")
    findings: list[FindingEntry]
    smoke: str | None = Field(description="why this is a smoke run, which never decides; null: it is none")
    recommendation: str = Field(description="what to do now")
    judged: JudgedBlock
    run_provenance: Open = Field(description="what ran, on what: arguments, code, packages, host, inputs, outputs")
    trial: TrialBlock | None = None
    policy: PolicyBlock | None = None
    required: dict[str, RequiredEntry | None] | None = Field(None, description="by variant that the gate requires")
