"""A first study for a table: commented, runnable as it is, and honest about what is a guess."""

from __future__ import annotations

import json
from pathlib import Path

from heldout.corpus import Corpus
from heldout.corpus.table import TableOptions, TableReader
from heldout.errors import HeldoutError, InputError
from heldout.evidence import write_text
from heldout.evidence.overwriting import refuse_overwriting
from heldout.run.seeded import seed_matters

_LEAVE_ONE_OUT_UP_TO = 30
_ESTIMATORS = {
    "regression": "sklearn.ensemble.RandomForestRegressor",
    "classification": "sklearn.ensemble.RandomForestClassifier",
}
_BASELINES = {
    "regression": ("mean", "sklearn.dummy.DummyRegressor"),
    "classification": ("majority", "sklearn.dummy.DummyClassifier"),
}
_OF_SEVERAL_SEEDS = "worst-member"
_RULES = {
    "regression": [
        ("pearson", "metric: pearson, over: pooled, at_least: 0.5", "correlation over all held-out rows"),
        (
            _OF_SEVERAL_SEEDS,
            "metric: pearson, scope: members, over: pooled, statistic: min, at_least: 0.5",
            "and by each seed",
        ),
    ],
    "classification": [
        ("balanced-accuracy", "metric: balanced_accuracy, over: pooled, at_least: 0.8", "over all held-out rows"),
        (
            _OF_SEVERAL_SEEDS,
            "metric: balanced_accuracy, scope: members, over: pooled, statistic: min, at_least: 0.75",
            "and by each seed",
        ),
    ],
}


def write_starter(
    table: Path, out: Path, *, group: str, target: str, estimator: str | None = None, force: bool = False
) -> None:
    """Write a study for a table after reading the table as the study would.

    Args:
        table: The table.
        out: Where to write the study.
        group: Column to hold out by.
        target: Column to predict.
        estimator: Import path; a random forest of the right kind by default.
        force: Replace an existing file.

    Raises:
        InputError: If ``out`` exists, or the table does not have what was named.
        HeldoutError: If there is no such estimator.
    """
    if out.exists() and not force:
        raise InputError("the study exists already", where=str(out), hint="choose another --out, or --force")
    refuse_overwriting(out, "study", b"study:", b'"study"')
    corpus = TableReader(TableOptions(path=table, group=group, target=target)).read()
    write_text(out, _text(table, out, corpus, estimator))


def _text(table: Path, out: Path, corpus: Corpus, estimator: str | None) -> str:
    manifest = corpus.manifest
    groups = len(manifest.groups)
    baseline, dummy = _BASELINES[manifest.task]
    split = "kind: leave-one-group-out" if groups <= _LEAVE_ONE_OUT_UP_TO else "kind: group-k-fold\n  folds: 10"
    seeded = estimator is None or _seeded(estimator, corpus)
    wanted = [rule for rule in _RULES[manifest.task] if seeded or rule[0] != _OF_SEVERAL_SEEDS]
    rules = "\n".join(f"    - {{id: {name}, {rule}}}  # {why}" for name, rule, why in wanted)
    seeds = (
        "seeds: [0, 1, 2]" if seeded else "seeds: [0]   # nothing is drawn in this estimator: every seed is one model"
    )
    return f"""\
# A study of {table.name}: {manifest.rows} rows, {groups} groups, {len(manifest.features)} features.
# Check it with `heldout run {out.name} --dry-run`, run it with `heldout run {out.name}`.
# Schema for editors: `heldout study schema > study.schema.json`.
# yaml-language-server: $schema=study.schema.json
study: {_slug(table.stem)}

corpus:
  reader: table
  path: {_quoted(_relative(table, out))}
  group: {_quoted(corpus.groups.name)}   # never straddles training and test
  target: {_quoted(manifest.target)}
  task: {manifest.task}
  # The features; a column that would not be known at prediction time does not belong here.
  features:
{_feature_lines(corpus)}

split:
  {split}

backbone: sklearn
fit:
  estimator: {estimator or _ESTIMATORS[manifest.task]}
  params: {{}}

{seeds}

# A contender that knows nothing: whoever cannot beat it has learnt nothing.
baselines:
  - id: {baseline}
    description: predicts the {baseline} of the training rows
    backbone: sklearn
    fit: {{estimator: {dummy}}}

# PROMOTE means that every rule passes. These bounds are a guess: set your own before you look at results. The first run
# registers them, and every run is a look, `--set` included; to change a rule afterwards give the reason with
# `heldout gate amend {out.name} --reason "..."`.
gate:
  min_groups: 3
  rules:
{rules}
"""


def _seeded(estimator: str, corpus: Corpus) -> bool:
    """Whether a seed changes anything in an estimator that was named on the command line."""
    from heldout.backbone.estimators import takes_seed
    from heldout.backbone.sklearn import SklearnBackbone, SklearnParams

    try:
        found = seed_matters(SklearnBackbone(SklearnParams(estimator=estimator)), corpus)
        return takes_seed(estimator) if found is None else found
    except HeldoutError as error:
        error.where = "--estimator"
        raise


def _feature_lines(corpus: Corpus) -> str:
    lines = []
    for name, dtype in corpus.features.schema.items():
        note = "" if dtype.is_numeric() else "   # text: one-hot encoded"
        lines.append(f"    - {_quoted(name)}{note}")
    return "\n".join(lines)


def _relative(table: Path, out: Path) -> str:
    """The table's path as seen from the study's folder."""
    resolved, home = table.resolve(), out.resolve().parent
    return str(resolved.relative_to(home)) if resolved.is_relative_to(home) else str(resolved)


def _quoted(text: str) -> str:
    """A YAML scalar: plain where that is safe, else double-quoted (JSON strings are YAML)."""
    safe = text.replace("_", "").replace("-", "").replace(".", "").replace("/", "").isalnum() and text[0].isalpha()
    return text if safe and text.lower() not in {"true", "false", "null"} else json.dumps(text, ensure_ascii=False)


def _slug(text: str) -> str:
    slug = "".join(char if char.isascii() and char.isalnum() else "-" for char in text.lower()).strip("-")
    return slug[:64] or "study"
