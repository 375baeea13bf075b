"""What `heldout init` chooses for a table, and the reason of each choice: it is said, and written into the study."""

from __future__ import annotations

import csv
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from heldout.aside import words_to
from heldout.backbone import Backbone, ClassScores
from heldout.corpus import Corpus
from heldout.corpus.files import Dialect, read_table
from heldout.corpus.kinds import Column, Kind, unit_of
from heldout.corpus.looks import Look, look_at
from heldout.corpus.parts import parts_of
from heldout.corpus.table import TableOptions, targets_of
from heldout.documents.names import OUTPUT_LOG
from heldout.errors import CorpusError, HeldoutError, PrerequisiteError
from heldout.evidence import open_plain
from heldout.task.predictions import equal_predictions

Task = Literal["regression", "classification"]
_LEAVE_ONE_OUT_UP_TO = 30
_LONGEST = 1 << 20  # bytes of a header
_WALKED = 4  # groups, below which no window has a past
_TRIED = 400  # rows on which two seeds are compared
# Error over each held-out group, paired with that of whoever knows nothing.
_GAINS = {"regression": "rmse", "classification": "balanced_accuracy"}
FORESTS: Mapping[str, str] = {
    "regression": "sklearn.ensemble.RandomForestRegressor",
    "classification": "sklearn.ensemble.RandomForestClassifier",
}


@dataclass(frozen=True)
class Asked:
    """What was said on the command line; None where nothing was."""

    group: str
    target: str | Sequence[str]
    weight: str | None = None
    estimator: str | None = None
    task: Task | None = None
    ignore: Sequence[str] = ()
    id: str | None = None
    time: str | None = None
    own: Mapping[str, str] = field(default_factory=dict)  # code beside the study: `factory`, or `train` and `predict`


@dataclass(frozen=True)
class Choices:
    """What was chosen for the columns.

    Attributes:
        options: The `corpus:` block.
        reasons: By what was chosen (a column, or a key of the block), why.
    """

    options: TableOptions
    reasons: Mapping[str, str] = field(default_factory=dict)


def columns_for(table: Path, asked: Asked) -> Choices:
    """The `corpus:` block of a table, with what its columns look like written down.

    Raises:
        HeldoutError: If the table cannot be read, or the estimator does not exist.
    """
    targets = targets_of(asked.target)
    plain = {
        "path": table, "group": asked.group, "target": list(targets), "weight": asked.weight,
        "task": asked.task or task_of(asked.estimator), "id": asked.id, "time": asked.time,
    }  # fmt: skip
    roles = {asked.group, *targets, asked.weight, asked.id, asked.time}
    separator = _separator(table, asked.group)
    texts = (asked.id,) if asked.id else ()
    frame = read_table(table, dialect=Dialect(separator=separator, texts=texts, named=(asked.group,)))
    looks = {column.name: look for column in frame.get_columns() if (look := look_at(column)) is not None}
    reasons: dict[str, str] = {}
    if separator is not None:
        reasons["separator"] = f"fields are separated by {separator!r}"
    sure = {name for name, look in looks.items() if look.comma or (separator == ";" and look.thirds)}
    commas = [name for name in looks if name in sure and name not in asked.ignore]
    points = any(dtype.is_float() for dtype in frame.dtypes)  # both in one table: then it is said column by column
    if commas and not points:
        reasons["decimal"] = f"fractions are written with a comma, such as those of {commas[0]!r}"
    features = {name: look for name, look in looks.items() if name not in roles and name not in asked.ignore}
    ignored = [name for name, look in features.items() if look.ignore]
    kinds: dict[str, Kind | Column] = {name: look.kind for name, look in features.items() if look.kind is not None}
    if points:
        kinds |= {name: Column(kind="number", decimal=",") for name in commas}
        reasons |= dict.fromkeys(commas, "has commas before fractions")
    missing = sorted({word for look in features.values() for word in look.missing})
    reasons |= {name: _reason(look) for name, look in features.items() if look.ignore or look.kind or look.missing}
    options = TableOptions.model_validate(
        plain
        | {"separator": separator}
        | {"ignore": [*asked.ignore, *ignored], "columns": kinds, "missing": missing}
        | ({"decimal": ","} if "decimal" in reasons else {})
    )
    return Choices(options, reasons)


def _reason(look: Look) -> str:
    if look.kind is not None:
        return f"holds {look.kind}s, counted in {unit_of(look.kind)}"
    return f"has {', '.join(map(repr, look.missing))} where values are missing" if look.missing else look.what


def _separator(table: Path, group: str) -> str | None:
    """What separates a CSV whose header names the group only so; None where that is a comma, or no CSV."""
    table = (parts_of(table) or [table])[0]
    if table.suffix.lower() != ".csv" or not table.is_file():
        return None
    with open_plain(table) as stream:
        lines = stream.readline(_LONGEST).decode("utf-8-sig", "replace").splitlines()
    found = next((mark for mark in (",", ";", "\t", "|") if group in _names(lines, mark)), ",")
    return None if found == "," else found


def _names(lines: Sequence[str], mark: str) -> Sequence[str]:
    """Names in the first line; none where it is no CSV, which the reader says in its own words."""
    try:
        return next(csv.reader(lines[:1], delimiter=mark), [])
    except csv.Error:
        return []


def task_of(estimator: str | None) -> Task | None:
    """The task that an estimator is made for; None where none is named, or it does not say."""
    from heldout.backbone.estimators import import_component, is_known

    if estimator is None or not is_known(estimator.rpartition(".")[0]):
        return None
    try:
        cls = import_component(estimator, "--estimator")
    except HeldoutError as error:
        error.where = "--estimator"
        raise
    bases = {base.__name__ for base in cls.__mro__}
    if {"ClassifierMixin", "RegressorMixin"} <= bases:
        return None
    return "classification" if "ClassifierMixin" in bases else "regression" if "RegressorMixin" in bases else None


def estimator_for(asked: Asked, corpus: Corpus) -> str | None:
    """The estimator: the one that was named, a forest where scikit-learn is installed, None for our own ridge.

    Raises:
        PrerequisiteError: If nothing that is installed could learn the target.
    """
    if asked.estimator is not None:
        return asked.estimator
    if find_spec("sklearn") is not None and find_spec("skops") is not None:
        return FORESTS[corpus.task]
    if corpus.task == "regression" and not corpus.missing:
        return None
    what = "a classification" if corpus.task == "classification" else "a table with missing values"
    raise PrerequisiteError(
        f"nothing that is installed learns {what}",
        where="--estimator",
        hint="pip install 'heldout[sklearn]'",
    )


def split_for(corpus: Corpus, column: str) -> tuple[list[str], str]:
    """Lines of the `split:` block, and why it is so.

    Raises:
        CorpusError: If the column of groups holds but one, so that none could be held out.
    """
    manifest = corpus.manifest
    groups = len(manifest.groups)
    if groups == 1:
        raise CorpusError(
            f"the column {column!r} holds one group, {manifest.groups[0].id!r}, in all {manifest.rows} rows",
            where=f"{manifest.path}: column {column}",
            hint="a group is held out and another one learnt from: name in --group a column that tells two or more "
            "apart (subjects, sites, days), or add rows of other groups",
        )
    if corpus.time is not None:
        spans = sorted(each.span.ticks for each in corpus.manifest.groups if each.span is not None)
        if groups >= _WALKED and all(one[1] < other[0] for one, other in pairwise(spans)):
            warmup = -(-groups // 3)
            lines = ["kind: walk-forward", f"warmup: {warmup}", f"window: {max(1, (groups - warmup) // 10)}"]
            return lines, "groups follow each other in time: each is predicted from what was known before it"
        return _by_group(corpus, groups, "groups overlap in time")
    return _by_group(corpus, groups, f"{groups} groups")


def _by_group(corpus: Corpus, groups: int, seen: str) -> tuple[list[str], str]:
    if groups <= _LEAVE_ONE_OUT_UP_TO:
        return ["kind: leave-one-group-out"], f"{seen}: each is held out once"
    if corpus.task == "classification":
        return ["kind: stratified-group-k-fold", "folds: 10"], f"{seen}: ten parts with about the same share of classes"
    return ["kind: group-k-fold", "folds: 10"], f"{seen}: ten parts of about equally many rows"


def gains_for(corpus: Corpus) -> dict[str, str]:
    """The metric of each gain that is asked for, by the id of its rule: over all targets, and of each of several."""
    metric = _GAINS[corpus.task]
    each = {f"gain-{place}": f"{metric}@{name}" for place, name in enumerate(corpus.manifest.outputs, start=1)}
    return {"gain": metric} | each


def seed_matters(backbone: Backbone, corpus: Corpus) -> bool | None:
    """Fit on half of a sample with two seeds and compare what is predicted for the other half.

    Args:
        backbone: Bound to its parameters; it is asked on its short budget.
        corpus: Where the sample is taken from, evenly over its rows.

    Returns:
        None where the backbone cannot be fitted on so few rows.
    """
    if not backbone.seeded:
        return False
    rows = np.unique(np.linspace(0, corpus.manifest.rows - 1, _TRIED).astype(np.int64))
    view, asked = corpus.train_view(rows[::2]), corpus.features_view(rows[1::2])
    quick = backbone.quick()
    answers = []
    with (
        tempfile.TemporaryDirectory(prefix="heldout-seeds-") as name,
        words_to(Path(name) / OUTPUT_LOG),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            for seed in (0, 1):
                found = quick.predict(quick.fit(view, seed, Path(name) / str(seed)), asked)
                values = found.probability if isinstance(found, ClassScores) else found
                answers.append(np.asarray(values, dtype=np.float64))
        except Exception:  # noqa: BLE001 - an estimator may raise anything, such as for a class too few in a sample
            return None
    return answers[0].shape != answers[1].shape or not equal_predictions(*answers)


def numbers_with_gaps(corpus: Corpus) -> list[str]:
    """Numeric features in which values are missing."""
    return [name for name in corpus.missing if corpus.features.schema[name].is_numeric() or _truth(corpus, name)]


def _truth(corpus: Corpus, name: str) -> bool:
    return bool(corpus.features.schema[name] == pl.Boolean)
