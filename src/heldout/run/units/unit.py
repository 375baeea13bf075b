"""A unit of work: one seed on one fold. The same key gives the same predictions, anywhere."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heldout.backbone import FeaturesView, FitJob, TrainView
from heldout.backbone.code import Code
from heldout.backbone.environment import environment
from heldout.corpus import Corpus, Reader
from heldout.corpus.parts import is_pattern, parts_of
from heldout.documents.names import safe_name
from heldout.evidence import digest
from heldout.run.units.contender import Contender
from heldout.split import Fold

SCHEMA = "heldout.unit/2"
OLDER = "heldout.unit/1"  # whose keys hold the names of all training groups


@dataclass(frozen=True)
class Work:
    """What to fit.

    Attributes:
        contender: Id of the variant or baseline.
        seed: Declared seed.
        fold: Groups that are held out, and by that which train.
        key: Digest of everything that is asked for: backbone, parameters, corpus, fold, seed, code.
        packages: Versions of what it is fitted with, besides our own sources.
        code: What fits it.
    """

    contender: str
    seed: int
    fold: Fold
    key: str
    packages: Mapping[str, str] = field(default_factory=dict)
    code: Code = field(default_factory=lambda: Code(""))

    @property
    def name(self) -> str:
        """For messages and progress."""
        return f"{self.contender}/seed{self.seed}/{self.fold.id}"


@dataclass(frozen=True)
class Unit(Work):
    """Work with its place in a run: the folder of its model, its predictions and ``unit.json``."""

    folder: Path = field(kw_only=True)

    @property
    def work(self) -> Work:
        """What a worker is told of it."""
        return Work(self.contender, self.seed, self.fold, self.key, self.packages, self.code)


def make_unit(
    contender: Contender, seed: int, fold: Fold, corpus: Corpus, corpus_options: Any, folder: Path, code: Code
) -> Unit:
    """Describe a unit and compute its key."""
    key = digest(
        {
            "schema": SCHEMA,
            "backbone": contender.backbone.name,
            "fit": contender.fit,
            "corpus": {"sha256": corpus.manifest.sha256, "options": corpus_options},
            "seed": seed,
            "fold": fold.to_json(),
            "code": code.sha256,
        }
    )
    return Unit(contender.id, seed, fold, key, environment(contender.backbone), code, folder=folder)


def stream_seed(seed: int, fold: str) -> int:
    """Seed of the one random stream of (seed, fold), in 0 .. 2**32 - 1. No two folds share a stream."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x00{fold}".encode()).digest()[:4], "big")


def train_view(corpus: Corpus, fold: Fold) -> TrainView:
    """The rows of a fold's training groups, copied out of the corpus: the held-out rows are not in it."""
    validation = corpus.validation_view(fold.val) if fold.val else None
    return corpus.train_view(corpus.rows_but(fold.apart), validation)


def test_view(corpus: Corpus, fold: Fold) -> FeaturesView:
    """Features of a fold's held-out rows, without targets."""
    return corpus.features_view(corpus.rows_of(fold.test))


def fit_job(work: Work, corpus: Corpus) -> FitJob:
    """The job that a backbone's ``fit_many`` takes."""
    name = f"seed{work.seed}/{safe_name(work.fold.id)}"
    return FitJob(name, train_view(corpus, work.fold), stream_seed(work.seed, work.fold.id))


def cached_corpus(reader: Reader) -> Corpus:
    """The reader's corpus, read once a process unless its files change."""
    path = reader.options.path
    files = parts_of(path) if is_pattern(path) else [path]
    parts = sorted(path.rglob("*")) if path.is_dir() else files or []  # a folder is as old as the files in it
    stamps = [(str(each), each.stat()) for each in parts if each.exists()]
    stamp = tuple((name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in stamps)
    return _cached(type(reader), reader.options.model_dump_json(), stamp)


@functools.lru_cache(maxsize=1)
def _cached(cls: type[Reader], options: str, stamp: object) -> Corpus:
    return cls(cls.Options.model_validate_json(options)).read()
