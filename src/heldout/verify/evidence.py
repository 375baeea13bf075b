"""A run directory, read strictly and once; every document as the typed object that the run made it from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import TypeAdapter

from heldout.backbone import FloatArray
from heldout.corpus import CorpusManifest
from heldout.documents.names import (
    CORPUS_FILE,
    HOLD_FILE,
    LOCK_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    PROMOTE_FILE,
    RUN_FILE,
    SPLIT_FILE,
    UNIT_FILE,
    UNIT_PREDICTIONS,
)
from heldout.errors import InputError
from heldout.evidence import digest, plain_path, read_json, sha256_file
from heldout.gate.verdict_files import refuse_newer
from heldout.run.layout import RunFolder
from heldout.run.metrics import task_of
from heldout.run.resolve import read_lock
from heldout.run.units.unit import OLDER as OLDER_UNIT
from heldout.split import Fold, Split, Splitter, load_splitter, read_split
from heldout.study import BootstrapSpec, GateSpec
from heldout.task import Predictions, Task, read_predictions
from heldout.task.table import read_table, table_in

Json = Mapping[str, Any]
_FINISH = "run the study to its end: `heldout run`"


@dataclass(frozen=True)
class StoredUnit:
    """One fit as it lies in the run: its document and its predictions of the held-out rows."""

    folder: Path
    document: Json
    prediction: FloatArray


@dataclass(frozen=True)
class RunEvidence:
    """The documents of one run directory. Reading never writes.

    Attributes:
        folder: The run directory.
        verdict_file: The one verdict file in it.
        corpus_path: The corpus file, if there is one to compare with.
        with_models: Whether the fits' models lie in the run; of what is published they do not.
    """

    with_models: ClassVar[bool] = True
    folder: Path
    verdict_file: Path
    corpus_path: Path | None = None

    @classmethod
    def open(cls, path: Path, corpus: Path | None = None) -> RunEvidence:
        """Find the run that a path names.

        Raises:
            InputError: If there is no run, it was not judged, or its evidence is incomplete: INVALID.
        """
        folder = path.parent if path.name in (PROMOTE_FILE, HOLD_FILE) else path
        if not folder.is_dir() or not (folder / RUN_FILE).exists():
            raise _invalid("this is no run directory", path, "name a folder such as runs/<study>/<run>")
        there = [folder / name for name in (PROMOTE_FILE, HOLD_FILE) if (folder / name).exists()]
        if not there:
            raise _invalid("the run has no verdict", folder, _FINISH)
        if not (folder / MANIFEST_FILE).exists():
            raise _invalid(f"the evidence is incomplete: there is no {MANIFEST_FILE}", folder, _FINISH)
        named = path if path in there else there[0]
        found = cls(folder, named, corpus)
        found._refuse_incomplete()
        return found

    def inside(self, where: str | None) -> str | None:
        """A place as it may be shown: relative to the run directory."""
        return where.replace(f"{self.folder}/", "") if where else None

    @cached_property
    def verdict(self) -> Json:
        """The verdict document."""
        return self._document(self.verdict_file.name)

    @cached_property
    def manifest(self) -> Json:
        """``manifest.json``."""
        return self._document(MANIFEST_FILE)

    @cached_property
    def run(self) -> Json:
        """``run.json``."""
        return self._document(RUN_FILE)

    @cached_property
    def metrics(self) -> Json:
        """``metrics.json``."""
        return self._document(METRICS_FILE)

    @cached_property
    def lock(self) -> Json:
        """The resolved configuration.

        Raises:
            InputError: If the file is not exactly what a run writes.
        """
        return read_lock(self.folder / LOCK_FILE)

    @cached_property
    def gate(self) -> GateSpec:
        """The policy."""
        return GateSpec.model_validate(self.lock["gate"])

    @cached_property
    def task(self) -> Task | None:
        """How predictions are scored, as the run had it; None: as those of its kind of target.

        Raises:
            PrerequisiteError: If a plug-in brings the task, and not the same one here.
        """
        return task_of(self.lock)

    @cached_property
    def bootstrap(self) -> BootstrapSpec:
        """How the intervals were made."""
        return BootstrapSpec.model_validate(self.lock["bootstrap"])

    @cached_property
    def splitter(self) -> Splitter:
        """How groups were held out."""
        return load_splitter(self.lock["split"])

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Declared seeds."""
        return tuple(int(seed) for seed in self.lock["seeds"])

    @cached_property
    def corpus(self) -> CorpusManifest:
        """``corpus.json``."""
        document = dict(self._document(CORPUS_FILE))
        document.pop("schema")
        return TypeAdapter(CorpusManifest).validate_python(document)

    @cached_property
    def split(self) -> Split:
        """``split.json``."""
        return read_split(self._document(SPLIT_FILE), [group.id for group in self.corpus.groups])

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Classes as the run counted them: those of the target and those that any model knows."""
        if self.corpus.task == "regression":
            return ()
        targets = read_table(table_in(self.folder))["target"]
        known = [unit.document["classes"] for unit in self.units("").values()]
        return tuple(sorted(set(targets.cast(str).to_list()).union(*known)))

    @cached_property
    def predictions(self) -> Predictions:
        """Of every held-out row."""
        return read_predictions(table_in(self.folder), self.seeds, self.classes)

    def units(self, contender: str) -> dict[tuple[int, str], StoredUnit]:
        """Every fit of the variant (``""``) or of a baseline that lies in the run, by seed and fold."""
        return self._units[contender]

    @property
    def contenders(self) -> dict[str, tuple[str, Json, tuple[int, ...]]]:
        """Backbone, ``fit:`` block and seeds of the variant (``""``) and of each baseline."""
        found = {"": (self.lock["backbone"], self.lock["fit"], self.seeds)}
        return found | {each["id"]: (each["backbone"], each["fit"], self.seeds[:1]) for each in self.lock["baselines"]}

    def unit_key(self, contender: str, seed: int, fold: Fold, schema: str) -> str:
        """The key that a fit must have: as the run computed it, from the documents alone.

        Args:
            contender: ``""`` for the variant, or a baseline.
            seed: Of the fit.
            fold: Of the fit.
            schema: Of its ``unit.json``, which says what goes into a key.
        """
        backbone, fit, _ = self.contenders[contender]
        named = fold.to_json()
        if schema == OLDER_UNIT:
            named = {"id": fold.id, "train": fold.train(self.split.groups), "test": fold.test}
        return digest(
            {
                "schema": schema,
                "backbone": backbone,
                "fit": fit,
                "corpus": {"sha256": self.corpus.sha256, "options": self.lock["corpus"]},
                "seed": seed,
                "fold": named,
                "code": self._code_of(contender),
            }
        )

    def _code_of(self, contender: str) -> str:
        """Digest of the code that fitted a contender; older runs name all sources of heldout."""
        judged = self.verdict["judged"]
        if "fit_code" not in judged:
            return str(judged["code_sha256"])
        return digest(judged["fit_code"][contender])

    @property
    def models(self) -> Json:
        """By contender, what is known of its model from elsewhere; empty where all are fitted."""
        found: Json = self.lock.get("models", {})
        return found

    @cached_property
    def n_train(self) -> dict[str, int]:
        """Training rows of each fold, from the split and the sizes of the groups."""
        samples = {group.id: group.samples for group in self.corpus.groups}
        return {f.id: self.corpus.rows - sum(samples[name] for name in f.apart) for f in self.split.folds}

    @cached_property
    def verdict_sha256(self) -> str:
        """Digest of the verdict file."""
        return sha256_file(self.verdict_file)

    @cached_property
    def _units(self) -> dict[str, dict[tuple[int, str], StoredUnit]]:
        run = RunFolder(self.folder)
        found: dict[str, dict[tuple[int, str], StoredUnit]] = {}
        for name, (_, _, seeds) in self.contenders.items():
            folders = {(s, f.id): run.unit(s, f.id, name or None) for s in seeds for f in self.split.folds}
            found[name] = {key: _stored(path) for key, path in folders.items() if (path / UNIT_FILE).exists()}
        return found

    def _refuse_incomplete(self) -> None:
        """A verdict that names no files was written by a run that failed, or by no run at all."""
        try:
            verdict = self.verdict
        except InputError:
            return  # a damaged verdict is a broken link, and is named as such
        refuse_newer(verdict, self.verdict_file)
        judged = verdict.get("judged")
        if not isinstance(judged, dict) or not judged.get("files_sha256"):
            raise _invalid("the verdict does not name the files that it judged", self.verdict_file, _FINISH)

    def _document(self, name: str) -> Json:
        document = read_json(self.folder / name, links=False)
        if not isinstance(document, dict):
            raise InputError("the document is not an object", where=str(self.folder / name))
        return document


def _stored(folder: Path) -> StoredUnit:
    from safetensors.numpy import load_file

    document = read_json(folder / UNIT_FILE)
    return StoredUnit(
        folder, document, load_file(plain_path(folder / UNIT_PREDICTIONS))["prediction"].astype(np.float64)
    )


def _invalid(what: str, where: Path, hint: str) -> InputError:
    return InputError(f"INVALID: {what}", where=str(where), hint=hint)
