"""The documents of a run: what it is, what it read, how it held out, what it fitted, and every file by digest."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from heldout.documents.base import Document, Open, Part, Sha256, Utc
from heldout.documents.verdict import FitCode


class RunDocument(Document):
    """One execution of one variant."""

    SCHEMA: ClassVar[str] = "heldout.run"
    WHERE: ClassVar[str] = "run.json"

    schema_: Literal["heldout.run/1"] = Field("heldout.run/1", alias="schema")
    run: str = Field(description="name of the folder")
    study: str
    variant: str
    variant_sha256: Sha256
    corpus_sha256: Sha256
    split_sha256: Sha256
    code_sha256: Sha256
    fit_code: dict[str, FitCode] | None = Field(None, description="by contender; the variant itself has the empty name")
    packages: dict[str, str] = Field(default_factory=dict, description="versions of what fits the contenders")
    seeds: list[int]
    smoke: str | None
    started_at_utc: Utc


class FileEntry(Part):
    """One file of a run."""

    sha256: Sha256
    bytes: int = Field(ge=0)


class ManifestDocument(Document):
    """Every file of a run by digest."""

    SCHEMA: ClassVar[str] = "heldout.manifest"
    WHERE: ClassVar[str] = "manifest.json"

    schema_: Literal["heldout.manifest/1"] = Field("heldout.manifest/1", alias="schema")
    files: dict[str, FileEntry] = Field(description="by path inside the run")


class UnitDocument(Document):
    """One seed on one fold: what was fitted, with what, and its files by digest."""

    SCHEMA: ClassVar[str] = "heldout.unit"
    WHERE: ClassVar[str] = "fits/seed<N>/<fold>/unit.json"

    schema_: str = Field(alias="schema", pattern=r"^heldout\.unit/\d+$")
    key: Sha256 = Field(description="digest of all that the fit depends on: the same key, the same predictions")
    contender: str
    seed: int
    fold: str
    n_train: int = Field(ge=0, description="training rows; 0 where a model from elsewhere was asked")
    n_test: int = Field(ge=0, description="held-out rows")
    classes: list[str] = Field(description="names of the classes that the model knows; empty for numbers")
    code: FitCode | None = None
    packages: dict[str, str] = Field(default_factory=dict)
    files: dict[str, Sha256]
    warnings: list[str]
    wall_time_s: float
    model_sha256: Sha256 | None = Field(None, description="of the model from elsewhere that was asked")


class CarriedFile(Part):
    """One file of code: as text, or as bytes where it is no text."""

    text: str | None = None
    base64: str | None = None
    executable: bool = False


class CodeDocument(Document):
    """The code from beside the study that fitted a model and that it is asked with, and what the fit was told."""

    SCHEMA: ClassVar[str] = "heldout.code"
    WHERE: ClassVar[str] = "fits/seed<N>/<fold>/code.json"

    schema_: Literal["heldout.code/1"] = Field("heldout.code/1", alias="schema")
    files: dict[str, CarriedFile] = Field(description="by path from the folder of the study")
    task: Literal["regression", "classification"] = Field(description="kind of target that was learnt")
    seed: int = Field(description="what the seed of this fold came to")


class ChoiceDocument(Document):
    """Which candidate a training view chose, and by what."""

    SCHEMA: ClassVar[str] = "heldout.choice"
    WHERE: ClassVar[str] = "fits/seed<N>/<fold>/choice.json"

    schema_: Literal["heldout.choice/1"] = Field("heldout.choice/1", alias="schema")
    chosen: str = Field(description="name of the candidate whose model stands beside")
    scores: dict[str, float | None] = Field(
        description="the metric of each candidate over the rows that inner folds held out; null: undefined"
    )


class ModelEntry(Part):
    """A model from elsewhere, by digest."""

    backbone: str
    sha256: Sha256 = Field(description="of its file, or of the names and digests of its folder's files")
    bytes: int = Field(ge=0)
    files: int = Field(ge=1)
    path: str = Field(description="where it lay, from the folder of the study if it lay there")


class GateFinding(Part):
    """What a checkpoint gate found."""

    code: str
    blocking: bool
    what: str
    where: str
    hint: str


class ModelDocument(Document):
    """The models from elsewhere that a run asked, and what the checkpoint gate found in the variant's own."""

    SCHEMA: ClassVar[str] = "heldout.model"
    WHERE: ClassVar[str] = "model.json"

    schema_: Literal["heldout.model/1"] = Field("heldout.model/1", alias="schema")
    models: dict[str, ModelEntry] = Field(description="by contender; the variant itself has the empty name")
    gate: list[GateFinding] | None = Field(description="null: the backbone has no checkpoint gate")


class GroupEntry(Part):
    """One group of the corpus."""

    id: str
    samples: int = Field(ge=1)
    sha256: str = Field(description="digest of the content of its rows, whatever their order and the group's name")
    path: str | None
    bytes: int | None
    missing: list[str]
    span: Any = Field(None, description="when its samples were taken and their labels known")


class SkippedEntry(Part):
    """A group that was left out, and why."""

    id: str
    reason: str


class CorpusDocument(Document):
    """The corpus by digest, with every group, and every group that was left out."""

    SCHEMA: ClassVar[str] = "heldout.corpus"
    WHERE: ClassVar[str] = "corpus.json"

    schema_: Literal["heldout.corpus/1"] = Field("heldout.corpus/1", alias="schema")
    reader: str
    path: str
    sha256: Sha256
    rows: int
    task: Literal["regression", "classification"]
    target: str = Field(description="its column; of several their names, with commas between")
    features: list[str]
    groups: list[GroupEntry]
    skipped: list[SkippedEntry]
    facts: Open = Field(description="what the reader says besides")
    weight: str | None = Field(None, description="column by which rows count in fits and metrics; null: all alike")
    outputs: list[str] | None = Field(None, description="columns of the targets, where there are several")


class FoldEntry(Part):
    """One fold: its held-out groups. All others train, less those that are named."""

    id: str
    test: list[str]
    val: list[str] | None = Field(None, description="groups that the trainer may validate on, and no verdict sees")
    exceptions: list[str] | None = Field(None, description="groups that are left out altogether, such as purged ones")
    train: list[str] | None = Field(None, description="in documents of version 1")


class SplitDocument(Document):
    """Which groups are held out, fold by fold."""

    SCHEMA: ClassVar[str] = "heldout.split"
    WHERE: ClassVar[str] = "split.json"

    schema_: str = Field(alias="schema", pattern=r"^heldout\.split/\d+$")
    kind: str
    folds: list[FoldEntry]
    repeats: bool | None = Field(None, description="true: a group may be held out by several folds")
    ordered: bool | None = Field(None, description="true: each fold knows more than those before it")
    reads: Literal["targets", "column"] | None = Field(None, description="what the splitter read besides names")
