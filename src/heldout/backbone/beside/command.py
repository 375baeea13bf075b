"""Any training code in any language: ``fit: {train: "python train.py ... {train} {model}", predict: "..."}``.

Both commands run in a folder that holds the code that is declared, and nothing else of the study: ``train`` is given
the rows of the training groups as a file, ``predict`` the model and the features of held-out rows, never a target of
theirs.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from pydantic import Field, field_validator

from heldout.backbone.beside.base import MODEL, BesideBackbone, BesideParams, Learnt, copy_plain
from heldout.backbone.beside.carried import Carried, gather
from heldout.backbone.beside.handed import read_answers, with_target, write
from heldout.backbone.beside.placeholders import (
    check_places,
    check_program,
    filled,
    installations,
    places,
    plain,
    runs_python,
    scripts,
    split,
)
from heldout.backbone.beside.running import Bounds, CommandError, run
from heldout.backbone.protocol import ClassScores, FloatArray
from heldout.corpus import Corpus, FeaturesView, TrainView
from heldout.documents.names import OUTPUT_LOG
from heldout.errors import StudyError, UnitError
from heldout.study.spec import BudgetSpec

Name = Literal["train", "predict"]


class Budget(BudgetSpec):
    """What each run of a command may take."""

    disk_mb: int = Field(10_000, ge=1, description="of all that it writes, together")


class CommandParams(BesideParams):
    """The `fit:` block of commands."""

    train: str = Field(description="command that fits: {train} {model}; also {seed} {state} {validation} {weights} ...")
    predict: str = Field(description="command that answers: {model} {features} {predictions}")
    environment: str | None = Field(None, description="requirements.txt beside the study: what must be installed")
    format: Literal["parquet", "csv"] = Field("parquet", description="of the tables that the commands are given")
    classes: list[str] | None = Field(
        None, min_length=2, description="labels in order, where `prediction` is the probability of the second"
    )
    budget: Budget = Field(default_factory=lambda: Budget(), exclude=True, description="of time, memory and disk")

    @field_validator("train", "predict")
    @classmethod
    def _words(cls, value: str) -> str:
        if not split(value):
            raise ValueError("write a program and its arguments, such as python train.py --data {train}")
        return value

    @property
    def commands(self) -> dict[str, str]:
        """Both, by key."""
        return {"train": self.train, "predict": self.predict}


class CommandBackbone(BesideBackbone):
    """Two commands of the user's."""

    name: ClassVar[str] = "command"
    Params = CommandParams
    params: CommandParams

    @property
    def seeded(self) -> bool:  # type: ignore[override]
        """Whether `train` is given the seed."""
        return "seed" in places(self.params.train)

    def gathered(self, folder: Path) -> Carried:
        """Files that the commands name, what Python among them imports from beside them, and what is declared."""
        commands, environment = self.params.commands, self.params.environment
        check_places(commands, self.params.params)
        named = [name for key, text in commands.items() for name in scripts(text, folder, f"fit.{key}")]
        python = [name for name in named if name.endswith(".py")]
        more = [*self.params.code, *([environment] if environment else [])]
        code = gather(folder, [*named, *more], where="fit.code", python=python)
        for key, text in commands.items():
            check_program(text, code, f"fit.{key}")
        self._check_machine(code)
        return code

    def shown(self) -> tuple[Path, ...]:
        """The programs of the commands, with the installations that they lie in."""
        return tuple(each for text in self.params.commands.values() for each in installations(text))

    def packages(self) -> tuple[str, ...]:
        """Installed distributions of what Python among the code imports, and those that `environment` names."""
        found = super().packages()
        known = {canonicalize_name(each) for each in found}
        return (*found, *sorted({each.name for each in self._requirements(self.code)} - known))

    def check(self, corpus: Corpus) -> None:
        """Rows can be written as the study says, and weights reach the command."""
        features, asks = self.select(corpus.features), "weights" in places(self.params.train)
        nested = [name for name, kind in features.schema.items() if kind.is_nested()]
        if nested and self.params.format == "csv":
            what = f"the feature {nested[0]!r} holds lists, which CSV cannot"
            raise StudyError(what, where="fit.format", hint="take `format: parquet`, or choose `features`")
        if corpus.weighted and self.params.weight == "use" and not asks:
            raise StudyError(
                "the corpus has weights, and the command is not given them",
                where="fit.train",
                hint="name {weights} in it, fit every row alike with `fit: {weight: ignore}`, or leave `corpus.weight` "
                "out",
            )
        if asks and not (corpus.weighted and self.params.weight == "use"):
            hint = "name a column as `corpus.weight`, or leave {weights} out"
            raise StudyError("the command asks for weights, and there are none to use", where="fit.train", hint=hint)

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Learnt:
        """Run `train`; what it leaves in its state, or in a model that was begun, is there when it is run again."""
        view, asked = self.params.counted(view), places(self.params.train)
        place, state = workdir.resolve() / MODEL, workdir.resolve() / "state"
        if "state" in asked:  # then a model is whole or not there
            shutil.rmtree(place, ignore_errors=True)
        for folder in (place, state):
            folder.mkdir(parents=True, exist_ok=True)
        with self.room(self.code) as room, tempfile.TemporaryDirectory(prefix="heldout-rows-") as name:
            rows = Path(name).resolve()
            values = self._handed(view, rows, asked)
            values |= {"seed": str(seed), "model": str(place / MODEL), "state": str(state)}
            self._run("train", values, room, self.code, [place, state, rows], workdir / OUTPUT_LOG)
        if not any(each.name.startswith(MODEL) for each in place.iterdir()):
            hint = "write a file or a folder at the place that {model} stands for"
            raise CommandError("the command `train` ended well and wrote no model", where="fit.train", hint=hint)
        return self.learnt(place, view, seed)

    def predict(self, model: Learnt, view: FeaturesView) -> FloatArray | ClassScores:
        """Run `predict`, and read what it wrote."""
        features, suffix = self.select(view.features), self.params.format
        with self.room(model.code) as room, tempfile.TemporaryDirectory(prefix="heldout-rows-") as name:
            rows = Path(name).resolve()
            answers = rows / f"predictions.{suffix}"
            values = {"features": write(features, rows / f"features.{suffix}"), "predictions": str(answers)}
            self._run("predict", values | {"model": str(model.place / MODEL)}, room, model.code, [rows])
            return read_answers(answers, features.height, model.task, self.params.classes)

    def save(self, model: Learnt, folder: Path) -> None:
        """Write the code, and what `train` left."""
        copy_plain(model.place, self.store(model, folder))

    def load(self, folder: Path) -> Learnt:
        """The model stays where it lies, with the code that it is asked with."""
        return self.stored(folder.resolve())

    def _run(
        self, key: Name, values: Mapping[str, str], room: Path, code: Carried, rooms: Sequence[Path],
        log: Path | None = None,
    ) -> None:  # fmt: skip
        text, given = self.params.commands[key], {name: plain(each) for name, each in self.params.params.items()}
        if "params" in places(text):
            path = room.parent / "params.json"
            path.write_text(json.dumps(self.params.params, sort_keys=True))
            given["params"] = str(path)
        budget = self.params.budget
        bounds = Bounds(budget.seconds, budget.memory_mb, budget.disk_mb)
        run(filled(text, given | dict(values), code), key, cwd=room, rooms=[*rooms, room], bounds=bounds, log=log)

    def _handed(self, view: TrainView, folder: Path, asked: frozenset[str]) -> dict[str, str]:
        """Rows to learn from, and what of them the command asks for besides, as files by place."""

        def path(name: str) -> Path:
            return folder / f"{name}.{self.params.format}"

        found = {"train": write(with_target(view, self.select(view.features)), path("train"))}
        if "validation" in asked:
            if view.validation is None:
                what = "the command asks for validation rows, and the split has none"
                hint = "split with groups to validate on, or leave {validation} out"
                raise UnitError(what, where="fit.train", hint=hint)
            held = view.validation
            found["validation"] = write(with_target(held, self.select(held.features)), path("validation"))
        if "weights" in asked:
            found["weights"] = write(pl.DataFrame({"weight": np.asarray(view.weight)}), path("weights"))
        if "groups" in asked:
            found["groups"] = write(pl.DataFrame({"group": view.groups}), path("groups"))
        return found

    def _check_machine(self, code: Carried) -> None:
        """What `environment` asks for is installed, where this Python runs the commands; a budget can be kept."""
        if self.params.budget.memory_mb is not None and sys.platform != "linux":
            what, hint = "a memory budget is kept on Linux only", "leave it out here, or run on Linux"
            raise StudyError(what, where="fit.budget.memory_mb", hint=hint)
        if not any(runs_python(text) for text in self.params.commands.values()):
            return
        for each in self._requirements(code):
            try:
                found = version(each.name)
            except PackageNotFoundError:
                found = ""
            if not found or not each.specifier.contains(found, prereleases=True):
                what = f"the environment asks for {each}, and {found or 'none'} is installed"
                hint = f"pip install -r {self.params.environment}"
                raise StudyError(what, where="fit.environment", hint=hint)

    def _requirements(self, code: Carried) -> Iterator[Requirement]:
        name = self.params.environment
        text = code.files.get(name, b"").decode(errors="replace") if name else ""
        for line in text.splitlines():
            stripped = line.split(" #")[0].split(" --")[0].rstrip("\\").strip()
            if not stripped or stripped.startswith(("#", "-")):
                continue
            try:
                found = Requirement(stripped)
            except InvalidRequirement:
                continue  # an address, or another kind of file: its digest counts all the same
            if found.marker is None or found.marker.evaluate():
                yield found
