"""The model to beat: another run's held-out predictions, on the same rows held out the same way.

Here its files are compared with its verdict. Whether that verdict follows from them, and what a registry says of it, is
asked by whoever hands the champion in (``heldout.registry.champion``).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heldout.corpus import CorpusManifest
from heldout.documents.names import CORPUS_FILE
from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json, read_plain, sha256_file, write_bytes, write_json
from heldout.gate.asked import is_gated
from heldout.gate.verdict import level_of
from heldout.gate.verdict_files import read_verdict
from heldout.run.layout import files_digest, run_files
from heldout.split import Split
from heldout.task import Predictions
from heldout.task.predictions import read_predictions
from heldout.task.table import table_in

Opener = Callable[[Path], "Champion"]
ID = "champion"
FOLDER = "champion"


@dataclass(frozen=True)
class Champion:
    """A judged run.

    Attributes:
        folder: Its run directory.
        verdict: Its verdict document.
        served: Where a registry serves it: ``slot``, the ``event`` that put it there and the slot's ``lineage``, the
            digests of all its events; empty where the study names a run directory.
    """

    folder: Path
    verdict: Mapping[str, Any]
    served: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, served: Mapping[str, Any] | None = None) -> Champion:
        """Read the verdict of a run directory, and of where a registry serves it.

        Raises:
            InputError: If there is none, or it was not computed from predictions.
            TamperedError: If a file is not the one that was judged.
        """
        verdict = read_verdict(folder) if folder.is_dir() else None
        if verdict is None or not _comparable(verdict):
            raise InputError(
                "there is no computed verdict to compare with",
                where=str(folder),
                hint="name the directory of a finished run; of a model from elsewhere, one whose checkpoint gate held",
            )
        found = cls(folder, verdict, served or {})
        if sha256_file(found._predictions) != verdict["judged"]["predictions_sha256"]:
            raise TamperedError(
                "the predictions are not those that were judged",
                where=str(found._predictions),
                hint="run its study again",
            )
        if files_digest(run_files(folder)) != verdict["judged"].get("files_sha256"):
            raise TamperedError(
                "the run's files are not those that were judged",
                where=str(folder),
                hint="`heldout verify` names the file; run its study again",
            )
        return found

    @property
    def identity(self) -> dict[str, object]:
        """What it is, for the lock of a study that is to beat it."""
        judged = self.verdict["judged"]
        keys = ("corpus_sha256", "split_sha256", "variant_sha256", "predictions_sha256")
        found = {"run": self.folder.name, "seeds": self.verdict["seeds"], **{key: judged[key] for key in keys}}
        return found | dict(self.served)

    def check(self, corpus: CorpusManifest, split: Split) -> None:
        """Refuse a champion that was scored on other rows.

        Raises:
            InputError: If corpus or split differ: a difference of scores would say nothing.
        """
        differs = self.differs(corpus, split)
        if differs is not None:
            raise InputError(
                f"the champion was scored on {differs}",
                where=str(self.folder),
                hint="run the champion's study on this corpus and split, and name that run",
            )

    def differs(self, corpus: CorpusManifest, split: Split) -> str | None:
        """On what else it was scored, in words; None if on these very rows."""
        judged = self.verdict["judged"]
        theirs = read_json(self.folder / CORPUS_FILE)
        same = {
            "another target": corpus.target == theirs["target"],
            "other weights": corpus.weight == theirs.get("weight"),
            "another corpus": corpus.sha256 == judged["corpus_sha256"],
            "another split": split.is_named(judged["split_sha256"]),
        }
        return next((what for what, is_so in same.items() if not is_so), None)

    def copy_into(self, folder: Path) -> None:
        """Leave what it takes to compare again beside the run that was compared."""
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        write_bytes(folder / FOLDER / self._predictions.name, read_plain(self._predictions))
        write_json(folder / FOLDER / "verdict.json", self.verdict)

    def predictions(self, classes: tuple[str, ...]) -> Predictions:
        """Its held-out predictions."""
        return read_predictions(self._predictions, self.verdict["seeds"], classes)

    @property
    def description(self) -> str:
        """For the table of contenders."""
        return describe(self.identity)

    @property
    def _predictions(self) -> Path:
        return table_in(self.folder)


def _comparable(verdict: Mapping[str, Any]) -> bool:
    """Whether predictions were made here: of models that were fitted, or of one from elsewhere whose gate held."""
    level = level_of(verdict)
    return level in ("fitted", "predicted") or (level == "asked" and is_gated(verdict))


def describe(identity: Mapping[str, Any]) -> str:
    """A champion in one line."""
    return f"the model to beat: run {identity['run']}"


def copied(folder: Path, identity: Mapping[str, Any], classes: tuple[str, ...]) -> Predictions:
    """The champion's predictions as they were copied into a run directory.

    Raises:
        TamperedError: If they are not those that the lock names.
    """
    path = table_in(folder / FOLDER)
    stated = read_json(folder / FOLDER / "verdict.json")["judged"]["predictions_sha256"]
    if not sha256_file(path) == stated == identity["predictions_sha256"]:
        raise TamperedError("the champion's predictions are not those that the study names", where=str(path))
    return read_predictions(path, identity["seeds"], classes)
