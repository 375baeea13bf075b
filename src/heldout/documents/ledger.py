"""The ledgers of a study: every look at held-out truth, and what was written down before it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from heldout.documents.base import Document, Open, Part, Sha256, Utc


class Primary(Part):
    """The ensemble's primary metric, pooled."""

    metric: str | None = Field(None, description="its name; the looks of evaluations say `name`")
    name: str | None = None
    value: float | None


class LookRecord(Document):
    """One look at held-out truth: a line of the trial ledger, which names the line before it."""

    SCHEMA: ClassVar[str] = "heldout.trial"
    WHERE: ClassVar[str] = "trials.jsonl, a line each"

    schema_: str = Field(alias="schema", pattern=r"^heldout\.trial/\d+$")
    prev: Sha256 = Field(description="digest of the line before")
    ts: Utc
    run: str
    variant: str
    variant_sha256: Sha256
    corpus_sha256: Sha256
    split_sha256: Sha256 | Literal[""] = Field(description="empty for an index of windows, whose split is its own")
    gate_sha256: Sha256
    seeds: list[int]
    smoke: str | None
    outcome: Literal["PROMOTE", "HOLD", "FAILED", "OPENED"] = Field(
        description="OPENED: targets were about to be read; the next line of this run says what came of it"
    )
    primary: Primary | None
    metrics_sha256: Sha256 | None
    groups_sha256: Sha256 | None = Field(None, description="names the document of the groups that were scored")
    rules_sha256: Sha256 | None = Field(None, description="names the rules that the study declared")
    policies_head: Sha256 | None = None
    axes: list[Sha256] | None = Field(None, description="how each variant of the study cuts and holds out")
    axis: Sha256 | None = Field(None, description="that of them along which this look was taken")
    elsewhere: int | None = Field(None, description="variants of other studies that had looked at these groups")
    user_code_sha256: Sha256 | None = None
    evidence_sha256: Sha256 | None = Field(None, description="of the predictions that were scored")
    opened: dict[str, int] | None = Field(
        None, description="of an opening: groups whose targets were read, by purpose: score, guard, split, validation"
    )


class RegistrationRecord(Document):
    """Rules as they were written down: a line of the registrations, which names the line before it."""

    SCHEMA: ClassVar[str] = "heldout.policy"
    WHERE: ClassVar[str] = "policies.jsonl, a line each"

    schema_: str = Field(alias="schema", pattern=r"^heldout\.policy/\d+$")
    prev: Sha256
    ts: Utc
    why: Literal["first", "same", "stricter", "moved", "amended"] | None = None
    reason: str | None = Field(None, description="of an amendment")
    moved: str | None = Field(None, description="how a registry moved the champion")
    corpus_sha256: Sha256
    split_sha256: Sha256 | Literal[""] | None = None
    policy_sha256: Sha256
    rules_sha256: Sha256 | None = None
    groups_sha256: Sha256 | None = None
    axes: list[Sha256] | None = None
    axis: Sha256 | None = Field(None, description="that of them whose groups these are")
    looks: int = Field(description="looks by then")
    ledger_head: Sha256


class RulesDocument(Document):
    """The rules, the split and the yardsticks of a study, kept once under their digest."""

    SCHEMA: ClassVar[str] = "heldout.rules"
    WHERE: ClassVar[str] = "looks/<sha256>.json"

    schema_: Literal["heldout.rules/1"] = Field("heldout.rules/1", alias="schema")
    gate: Open
    bootstrap: Open
    split: Open
    yardsticks: Open = Field(description="what gains are measured against: baselines, the champion")
    metrics: Open | None = Field(None, description="metrics of the rules that are no built-in ones")
    weight: Any = Field(None, description="column by which rows count; null: all alike")
    task: Open | None = Field(None, description="the task of a plug-in, by which predictions are scored")
    held_out: Open | None = Field(
        None, description="by digest of a model from elsewhere: how it is known that it never saw these groups"
    )
