"""What is evaluated by what, and what makes two evaluations the same."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.evaluate.predictors import BUILT_IN
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.training.files import folder_digest
from heldout.errors import HeldoutError, InputError, near_miss
from heldout.evidence import read_json
from heldout.evidence.sources import program_digest
from heldout.predict.identity import Identity
from heldout.predict.session import PredictorSpec, Sample
from heldout.study.yaml import parse_scalar

PLAN_SCHEMA = "heldout.evaluation-plan/1"
PLAN_FILE = "plan.json"
BROUGHT_FILE = "brought.json"  # of predictions that somebody brought: by which index they were judged
_PART = "heldout.domains.embodied"
_MODULES = (f"{_PART}.index.source", f"{_PART}.episodes.store")


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated.

    Attributes:
        index: Folder of the window index.
        predictor: A built-in name, or ``module:name``.
        adapter: Folder of the weights, if there are any.
        split: Which windows.
        limit: Only the first so many, before shards are made of them; 0 takes all. A smoke evaluation.
        decoding: How text is made, for predictors that ask; they get it as ``decoding``.
    """

    index: Path
    predictor: str
    adapter: Path | None = None
    split: str = "test"
    limit: int = 0
    decoding: Mapping[str, Any] | None = None

    @property
    def spec(self) -> PredictorSpec:
        """How a worker makes the predictor.

        Raises:
            InputError: If there is none of that name.
        """
        factory = BUILT_IN.get(self.predictor, self.predictor)
        if ":" not in factory:
            hint = near_miss(self.predictor, BUILT_IN, "built in") + "; or module:name"
            raise InputError(f"there is no predictor {self.predictor!r}", where="--predictor", hint=hint)
        options: dict[str, object] = {"index": str(self.index), "adapter": str(self.adapter) if self.adapter else None}
        return PredictorSpec(factory, options | ({"decoding": dict(self.decoding)} if self.decoding else {}))

    def check(self) -> Plan:
        """Return itself: before anything is written that only other options could go on with.

        Raises:
            InputError: If there is no predictor of that name, it asks for no decoding, or not for this one.
            PrerequisiteError: If it cannot be imported.
        """
        if not self.decoding:
            self.spec.takes("decoding")
            return self
        if not self.spec.takes("decoding"):
            hint = "leave --decoding out; qwen3_omni_lora takes mode and max_new_tokens"
            raise InputError(f"the predictor {self.predictor!r} decodes nothing", where="--decoding", hint=hint)
        module, _, name = self.spec.factory.partition(":")
        parse = getattr(getattr(importlib.import_module(module), name), "parse_decoding", dict)
        try:
            parse(self.decoding)
        except (TypeError, ValueError) as error:
            raise InputError(f"no such decoding: {error}", where="--decoding", hint="correct its value") from None
        return self

    def identity(self, source: IndexSource, samples: Sequence[Sample], modules: Sequence[str] = ()) -> Identity:
        """What the predictions are predictions of; a shard's place and the number of workers are no part of it."""
        factory = self.spec.factory
        return Identity(
            adapter={"predictor": factory, "weights": folder_digest(self.adapter) if self.adapter else None},
            dataset=source.sha256,
            split={"split": self.split, "limit": self.limit},
            prompt=source.prompt(samples[0]),
            decoding=dict(self.decoding or {}),
            code=program_digest((factory.partition(":")[0], *_MODULES, *modules), _PART),
        )

    def to_json(self, out: Path, contract: BackboneContract) -> dict[str, object]:
        """The document ``plan.json``; paths relative to its folder."""
        adapter = os.path.relpath(self.adapter, out) if self.adapter else None
        return {
            "schema": PLAN_SCHEMA,
            "backbone": contract.id,
            "index": Path(os.path.relpath(self.index, out)).as_posix(),
            "predictor": self.predictor,
            "adapter": Path(adapter).as_posix() if adapter else None,
            "split": self.split,
            "limit": self.limit,
            "decoding": dict(self.decoding or {}),
        }


def parse_decoding(words: Sequence[str]) -> dict[str, object] | None:
    """Read ``name=value`` words, such as ``max_new_tokens=64``.

    Raises:
        InputError: If one has no value, or a name stands twice.
    """
    found: dict[str, object] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not (name and separator and value):
            hint = "name=value, such as --decoding mode=free --decoding max_new_tokens=64"
            raise InputError(f"{word!r} is no option of a decoding", where="--decoding", hint=hint)
        if name in found:
            raise InputError(f"{name!r} stands twice", where="--decoding", hint="keep one of the two")
        found[name] = parse_scalar(value)
    return found or None


def read_plan(folder: Path) -> tuple[Plan, str]:
    """The plan of a folder, and the backbone's id.

    Raises:
        InputError: If there is none.
    """
    document = read_json(folder / PLAN_FILE)
    if not isinstance(document, dict) or document.get("schema") != PLAN_SCHEMA:
        raise InputError("the folder has no plan", where=str(folder / PLAN_FILE), hint="heldout eval run writes one")
    adapter = folder / document["adapter"] if document["adapter"] else None
    decoding = document["decoding"] or None
    plan = Plan(
        folder / document["index"], document["predictor"], adapter, document["split"], document["limit"], decoding
    )
    return plan, str(document["backbone"])


def index_named(folder: Path) -> Path | None:
    """The folder of the index that an evaluation names, of its own predictions or of brought ones; or None."""
    for name in (PLAN_FILE, BROUGHT_FILE):
        try:
            document = read_json(folder / name)
        except HeldoutError:
            continue
        index = document.get("index") if isinstance(document, dict) else None
        if isinstance(index, str):
            return folder / index
    return None
