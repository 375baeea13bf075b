"""The study of ``heldout demo embodied``: one corpus, one split, families of backbones, variants of them.

Every block holds the options of a function that stands elsewhere, under their own names; an unknown one is an error
with its place in the file.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from heldout.errors import StudyError, near_miss
from heldout.study import Document, Spec, load_yaml, set_dotted, validate
from heldout.study.spec import SLUG

DEFAULT = Path(__file__).with_name("demo_study.yaml")
FamilyName = Literal["qwen3_omni_lora", "cosmos_world_model", "policy_vla_branch"]
Block = dict[str, Any]
OptionsT = TypeVar("OptionsT")


class CorpusSpec(Spec):
    """Simulated episodes."""

    tasks: int = Field(12, ge=1, description="the first so many tasks")
    seeds: int = Field(12, ge=1, description="episodes of each")
    simulate: Block = Field(default_factory=dict, description="cameras, size, every, max_steps, noise")


class FamilySpec(Spec):
    """What the variants of one backbone share; each block holds options of the function of that name."""

    headline: str = Field(description="metric of the table at the end")
    export: Block = Field(default_factory=dict)
    base: Block = Field(default_factory=dict, description="size of the tiny base (qwen3_omni_lora)")
    first_stage: Block = Field(default_factory=dict, description="how it is trained (qwen3_omni_lora)")
    train: Block = Field(default_factory=dict)
    rollout: Block = Field(default_factory=dict, description="runs in the simulator (policy_vla_branch)")


class DemoVariant(Spec):
    """One model that is trained and judged."""

    id: Annotated[str, Field(pattern=SLUG)]
    family: FamilyName
    description: str = ""
    hypothesis: str = ""
    set: Block = Field(default_factory=dict, description="dotted keys of its family, such as train.epochs")


class EmbodiedStudy(Spec):
    """The whole study."""

    study: Annotated[str, Field(pattern=SLUG)]
    description: str = ""
    corpus: CorpusSpec = Field(default_factory=lambda: CorpusSpec())
    select: Block = Field(default_factory=dict, description="rules of the selection and the split")
    windows: Block = Field(default_factory=dict, description="how windows are cut")
    smoke_windows: int = Field(8, ge=1)
    families: dict[FamilyName, FamilySpec]
    variants: list[DemoVariant] = Field(min_length=1)
    small: Block = Field(default_factory=dict, description="dotted keys that --small sets")

    @model_validator(mode="after")
    def _every_family_is_there(self) -> EmbodiedStudy:
        names = [variant.id for variant in self.variants]
        for variant in self.variants:
            if variant.family not in self.families:
                raise ValueError(f"the variant {variant.id!r} needs the family {variant.family!r}")
            if names.count(variant.id) > 1:
                raise ValueError(f"{variant.id!r} appears twice")
        return self


@dataclass(frozen=True)
class DemoStudy:
    """A study as it will be run.

    Attributes:
        document: The file with the place of every key.
        spec: The typed study.
    """

    document: Document
    spec: EmbodiedStudy

    def variants(self, names: Sequence[str] = ()) -> list[tuple[DemoVariant, FamilySpec]]:
        """Those that are named, or all, each with its family's settings under its own.

        Raises:
            StudyError: If there is no such variant, or what it sets does not fit.
        """
        known = [variant.id for variant in self.spec.variants]
        for name in names:
            if name not in known:
                raise StudyError(f"no variant {name!r}", where="--variant", hint=near_miss(name, known, "declared"))
        return [
            (variant, self._family(place, variant))
            for place, variant in enumerate(self.spec.variants)
            if not names or variant.id in names
        ]

    def _family(self, place: int, variant: DemoVariant) -> FamilySpec:
        raw = self.spec.families[variant.family].model_dump()
        for key, value in variant.set.items():
            set_dotted(raw, key, value, where=self.document.where(("variants", place, "set", key)))
        return validate(FamilySpec, raw, self.document, ("variants", place, "set"))


def load_demo_study(
    path: Path | None = None, *, small: bool = False, sets: Mapping[str, Any] | None = None
) -> DemoStudy:
    """Read a study and apply what the command line changes.

    Args:
        path: The file; the one that comes with the product by default.
        small: Apply its block ``small``.
        sets: Dotted keys and their values, applied last.

    Raises:
        StudyError: With file, line, column and a near-miss hint.
    """
    document = load_yaml(path or DEFAULT)
    if not isinstance(document.value, dict):
        raise StudyError("the study is not a mapping", where=str(document.path), hint="start from the shipped one")
    raw = copy.deepcopy(document.value)
    spec = validate(EmbodiedStudy, raw, document)
    changes = (dict(spec.small) if small else {}) | dict(sets or {})
    for key, value in changes.items():
        set_dotted(raw, key, value, where=key)
    overridden = frozenset(tuple(key.split(".")) for key in changes)
    document = replace(document, overridden=overridden)
    return DemoStudy(document, validate(EmbodiedStudy, raw, document) if changes else spec)


def shortcuts(tasks: int | None, seeds: int | None, steps: int | None) -> dict[str, object]:
    """What the short options of the command line set, by dotted key."""
    found = {"corpus.tasks": tasks, "corpus.seeds": seeds, "families.policy_vla_branch.train.steps": steps}
    for stage in ("first_stage", "train"):
        found[f"families.qwen3_omni_lora.{stage}.max_train_steps"] = steps
    return {key: value for key, value in found.items() if value is not None}


def options(kind: type[OptionsT], values: Mapping[str, Any], where: str) -> OptionsT:
    """Typed options of a function, from a block.

    Args:
        kind: A dataclass.
        values: By field; what is left out has its default.
        where: The block, for complaints.

    Raises:
        StudyError: If a name is unknown or a value does not fit.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise StudyError(f"unknown key `{where}.{name}`", where=where, hint=near_miss(name, known, "known here"))
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in (where, *first["loc"]))
        raise StudyError(f"`{name}`: {first['msg']}", where=where, hint="correct that value") from None
