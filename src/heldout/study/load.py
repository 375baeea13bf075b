"""From a study file to a typed study, with overlays applied and every complaint placed in the file."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from heldout.errors import HeldoutError, StudyError, near_miss
from heldout.evidence.secrets import is_secret, without_passwords
from heldout.study.own_seeds import with_own_seeds
from heldout.study.spec import BASE, StudySpec, VariantSpec
from heldout.study.yaml import Document, KeyPath, load_yaml, parse_scalar

ModelT = TypeVar("ModelT", bound=BaseModel)
# A place that is a key of the study and no file.
_KEY = re.compile(r"(task|split|select|backbone|fit|seeds|gate|bootstrap|variants|baselines|metrics)(\.\w+)*")


@dataclass(frozen=True)
class StudyFile:
    """A study as written, before any variant is chosen.

    Attributes:
        document: The YAML file with the place of every key.
        spec: The typed study.
        overrides: What ``--set`` changed, by dotted key; a run with overrides is a smoke run.
    """

    document: Document
    spec: StudySpec
    overrides: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """Folder of the file: relative paths in the study start here."""
        return self.document.path.resolve().parent

    def variant(self, variant_id: str) -> StudySpec:
        """The study with one variant's overlay applied, after those of its ancestors; ``base`` is the study itself.

        Raises:
            StudyError: If there is no such variant, an overlay does not fit, or sets what stands there already.
        """
        if variant_id == BASE:
            return with_own_seeds(self.spec)
        raw = copy.deepcopy(self.document.value)
        marks: dict[KeyPath, tuple[int, int]] = {}
        for index, variant in self.lineage(variant_id):
            prefix: KeyPath = ("variants", index, "set")
            marks[()] = self.document.marks[prefix]
            for key, value in variant.set.items():
                where = self.document.where((*prefix, key))
                found = get_dotted(raw, key, default=...)
                if (type(found), found) == (type(value), value):  # 1 is no true
                    raise StudyError(
                        f"`{key}` of the variant {variant.id!r} changes nothing: {variant.parent!r} says so already",
                        where=where,
                        hint="leave it out: an override that changes nothing makes no other model",
                    )
                set_dotted(raw, key, value, where=where)
                marks[tuple(key.split("."))] = self.document.marks.get((*prefix, key), marks[()])
        for key, value in self.overrides.items():
            set_dotted(raw, key, value, where=f"--set {key}")
        place = Document(self.document.path, raw, marks, self.document.overridden)
        return with_own_seeds(validate(StudySpec, raw, place))

    def with_value(self, key: str, value: Any) -> StudyFile:
        """The study with one more override, a value as it is and no text of YAML."""
        overrides, raw = {**self.overrides, key: value}, copy.deepcopy(self.document.value)
        for each, said in overrides.items():
            set_dotted(raw, each, said, where=f"--set {each}")
        document = replace(self.document, overridden=frozenset(tuple(each.split(".")) for each in overrides))
        return StudyFile(document, validate(StudySpec, raw, document), overrides)

    def document_of(self, variant_id: str) -> Document:
        """The file with the place of every key as a variant reads it: what its overlays set stands there."""
        marks = dict(self.document.marks)
        for index, variant in self.lineage(variant_id):
            prefix: KeyPath = ("variants", index, "set")
            for key in variant.set:
                path, place = tuple(key.split(".")), (*prefix, key)
                marks = {known: mark for known, mark in marks.items() if known[: len(path)] != path}
                for known, mark in self.document.marks.items():
                    if known[: len(place)] == place:
                        marks[(*path, *known[len(place) :])] = mark
        return replace(self.document, marks=marks)

    def lineage(self, variant_id: str) -> list[tuple[int, VariantSpec]]:
        """The variant behind its ancestors, the oldest first, each with its place among the declared ones."""
        found = []
        while variant_id != BASE:
            index, variant = self._find(variant_id)
            found.append((index, variant))
            variant_id = variant.parent
        return found[::-1]

    def _find(self, variant_id: str) -> tuple[int, VariantSpec]:
        for index, variant in enumerate(self.spec.variants):
            if variant.id == variant_id:
                return index, variant
        known = [BASE, *(variant.id for variant in self.spec.variants)]
        raise StudyError(
            f"the study has no variant {variant_id!r}",
            where=self.document.where(("variants",)),
            hint=near_miss(variant_id, known, "declared"),
        )


def load_study(path: Path, sets: Sequence[str] = ()) -> StudyFile:
    """Read ``study.yaml`` and apply ``--set key=value`` overrides.

    Raises:
        StudyError: With file, line, column and a near-miss hint.
    """
    document = load_yaml(path)
    if not isinstance(document.value, dict):
        raise StudyError("the study is not a mapping", where=str(path), hint="start from `heldout init`")
    raw = copy.deepcopy(document.value)
    overrides = {}
    for text in sets:
        key, separator, value = text.partition("=")
        if not separator:
            raise StudyError(f"`--set {text}` has no value", where="--set", hint="write --set fit.epochs=5")
        overrides[key] = parse_scalar(value)
        if get_dotted(raw, key, default=...) == overrides[key]:
            raise StudyError(
                f"`--set {without_passwords(text)}` changes nothing: the study says so already",
                where=f"--set {key}",
                hint="leave it out",
            )
        set_dotted(raw, key, overrides[key], where=f"--set {key}")
    document = replace(document, overridden=frozenset(tuple(key.split(".")) for key in overrides))
    return StudyFile(document, validate(StudySpec, raw, document), overrides)


def validate(model: type[ModelT], raw: Any, document: Document, prefix: KeyPath = ()) -> ModelT:
    """Validate a block against its typed model.

    Raises:
        StudyError: The first complaint, with its place and, for an unknown key, the nearest known one.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise _complaint(error, model, document, prefix) from None


@contextmanager
def placing(document: Document, prefix: KeyPath = ()) -> Iterator[None]:
    """Give every error whose place is a key of the study, such as ``fit.params``, the line where that key stands.

    Args:
        document: The study.
        prefix: Of the block that the keys are meant in, such as that of a baseline.
    """
    try:
        yield
    except HeldoutError as error:
        if _KEY.fullmatch(error.where or ""):
            named = tuple(int(part) if part.isdigit() else part for part in str(error.where).split("."))
            keys: KeyPath = (*prefix, *named)
            error.where = f"{document.where(keys)} ({'.'.join(map(str, keys))})"
        raise


def set_dotted(raw: dict[str, Any], dotted: str, value: Any, *, where: str) -> None:
    """Set ``a.b.c`` in nested mappings, creating blocks on the way."""
    *parents, last = dotted.split(".")
    block: Any = raw
    for part in parents:
        block = block.setdefault(part, {}) if isinstance(block, dict) else None
    if not isinstance(block, dict) or not last:
        raise StudyError(f"`{dotted}` does not name a key of a block", where=where, hint="use a key such as fit.epochs")
    block[last] = copy.deepcopy(value)  # a later key may write inside this block


def get_dotted(raw: Mapping[str, Any], dotted: str, default: Any = None) -> Any:
    """Value at ``a.b.c``, or the default where there is none."""
    block: Any = raw
    for part in dotted.split("."):
        if not isinstance(block, Mapping) or part not in block:
            return default
        block = block[part]
    return block


def _complaint(error: ValidationError, model: type[BaseModel], document: Document, prefix: KeyPath) -> StudyError:
    # A misspelt key is both unknown and missing under its right name: the first says more.
    first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    keys: KeyPath = (*prefix, *first["loc"])
    name = ".".join(str(key) for key in keys) or "the study"
    others = error.error_count() - 1
    more = f" ({others} more after this one)" if others else ""
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"][:-1])
        hint = near_miss(str(keys[-1]), known, "known here")
        return StudyError(f"unknown key `{name}`{more}", where=document.where(keys), hint=hint)
    if first["type"] == "missing":
        return StudyError(f"`{name}` is missing{more}", where=document.where(keys), hint=f"add `{keys[-1]}:` there")
    message = first["msg"].removeprefix("Value error, ")
    given = f", not {first['input']!r}" if isinstance(first["input"], str | int | float | bool) else ""
    if given and is_secret(name, first["input"]):
        given = ""
    return StudyError(f"`{name}`: {message}{given}{more}", where=document.where(keys), hint="correct that value")


def _known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Field names of the model that stands at ``loc`` below ``model``."""
    current: Any = model
    for part in loc:
        if isinstance(part, int):
            continue
        field = current.model_fields.get(part) if isinstance(current, type) and issubclass(current, BaseModel) else None
        current = _inner_model(field.annotation) if field else None
    return sorted(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _inner_model(inner)
        if found is not None:
            return found
    return None
