"""A first study for a table: commented, runnable as it is, and honest about what is a guess."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from heldout.backbone import Backbone
from heldout.corpus import Corpus
from heldout.corpus.guards.names import check_names
from heldout.corpus.kinds import Column, Kind
from heldout.corpus.table import TableReader
from heldout.errors import HeldoutError, InputError
from heldout.evidence import dumps, write_bytes, write_text
from heldout.evidence.overwriting import refuse_overwriting
from heldout.run.begin.choices import (
    Asked,
    Choices,
    columns_for,
    estimator_for,
    numbers_with_gaps,
    seed_matters,
    split_for,
)

SCHEMA_FILE = "study.schema.json"
# Error over each held-out group, paired with that of whoever knows nothing.
_GAINS = {"regression": "rmse", "classification": "balanced_accuracy"}


class Starter(NamedTuple):
    """What was written: the study, and what was chosen in sentences."""

    study: Path
    said: tuple[str, ...]


class _Fit(NamedTuple):
    """How the first model is fitted: lines of the study, and whether a seed changes anything."""

    lines: tuple[str, ...]
    seeded: bool
    said: str
    beside: bool = False  # code of the user's own, which gets the table as it is


def write_starter(table: Path, out: Path, asked: Asked, *, force: bool = False) -> Starter:
    """What was chosen, after writing a study for a table, and its schema beside it.

    Args:
        table: The table; it is read as the study would read it.
        out: Where to write the study.
        asked: What was said on the command line.
        force: Replace an existing file.

    Raises:
        InputError: If ``out`` exists, or the table does not have what was named.
        HeldoutError: If there is no such estimator, or it could not be fitted to this table.
    """
    if out.exists() and not force:
        raise InputError("the study exists already", where=str(out), hint="choose another --out, or --force")
    refuse_overwriting(out, "study", b"study:", b'"study"')
    chosen = columns_for(table, asked)
    corpus = TableReader(chosen.options).read()
    lines, why = split_for(corpus, asked.group)
    fit = _fit(asked, corpus, out.parent)
    said = [_task_said(corpus, asked), f"split: {lines[0].removeprefix('kind: ')}, {why}", fit.said]
    said += [
        reason if name in ("decimal", "separator") else f"column {name!r} {reason}"
        for name, reason in chosen.reasons.items()
    ]
    said += [found.what for found in check_names(corpus).findings]
    write_text(out, _text(table, out, chosen, corpus, lines, why, fit))
    _write_schema(out.parent / SCHEMA_FILE)
    return Starter(out, tuple(said))


def _write_schema(path: Path) -> None:
    """The schema that the study's first line points to; one that is there stays."""
    from heldout.study.schema import study_schema

    if not path.exists():
        write_bytes(path, dumps(study_schema()))


def _fit(asked: Asked, corpus: Corpus, folder: Path) -> _Fit:
    """The `backbone:` and `fit:` blocks, checked as the study would check them."""
    if asked.own:
        return _fit_beside(_beside(asked.own, folder))
    from heldout.backbone.gaps import takes_gaps
    from heldout.backbone.sklearn import SklearnBackbone, SklearnParams

    estimator = estimator_for(asked, corpus)
    if estimator is None:
        lines = ("backbone: ridge   # scikit-learn is not installed: `pip install 'heldout[sklearn]'` for more",)
        return _Fit(lines, False, "backbone: ridge, for scikit-learn is not installed")
    try:
        gaps = numbers_with_gaps(corpus)
        backbone = SklearnBackbone(SklearnParams(estimator=estimator))
        keeps = bool(gaps) and _known(estimator) and takes_gaps(backbone.build(seed=0))
        missing = None if not gaps else "keep" if keeps else "impute"
        backbone = SklearnBackbone(SklearnParams(estimator=estimator, missing=missing))
        if _known(estimator):
            backbone.check(corpus.sealed())
        seeded = _seeded(backbone, estimator, corpus)
    except HeldoutError as error:
        error.where = "--estimator"
        raise
    fit: tuple[str, ...] = ("backbone: sklearn", "fit:", f"  estimator: {estimator}", "  params: {}")
    if missing is not None:
        how = (
            "the estimator takes missing numbers as they are"
            if keeps
            else "filled with the median of the training rows, fold by fold: held-out rows have no part in it"
        )
        fit += (f"  missing: {missing}   # {', '.join(gaps[:3])}{', ...' if len(gaps) > 3 else ''}: {how}",)
    name = estimator.rpartition(".")[2]
    return _Fit(fit, seeded, f"estimator: {name}" + (f", missing numbers: {missing}" if missing else ""))


def _beside(own: Mapping[str, str], folder: Path) -> Backbone:
    """Code beside the study that is about to be written.

    Raises:
        HeldoutError: If it is not there, or the commands are none; the place is the option.
    """
    from heldout.run.resolve import load_backbone

    if ("factory" in own) == bool({"train", "predict"} & {*own}) or len({"train", "predict"} & {*own}) == 1:
        what, hint = "the code is named by half", "give --factory, or --train and --predict together"
        raise InputError(what, where="--factory, --train, --predict", hint=hint)
    try:
        return load_backbone("python" if "factory" in own else "command", own).bound(folder)
    except HeldoutError as error:
        error.where = f"--{(error.where or 'fit').removeprefix('fit.').partition('.')[0]}"
        raise


def _fit_beside(backbone: Backbone) -> _Fit:
    told = backbone.params.model_dump(mode="json", exclude_unset=True)
    lines = [f"  {key}: {value if value == {} else _quoted(str(value))}" for key, value in told.items()]
    said = f"backbone: {backbone.name}, code beside the study"
    return _Fit((f"backbone: {backbone.name}", "fit:", *lines), backbone.seeded, said, beside=True)


def _known(estimator: str) -> bool:
    from heldout.backbone.estimators import is_known

    return is_known(estimator.rpartition(".")[0])


def _seeded(backbone: object, estimator: str, corpus: Corpus) -> bool:
    """Whether a seed changes anything; a class of the user's own is not asked here, where it would see all rows."""
    from heldout.backbone.estimators import takes_seed
    from heldout.backbone.sklearn import SklearnBackbone

    assert isinstance(backbone, SklearnBackbone)
    if not _known(estimator):
        return True
    if not takes_seed(estimator):
        return False
    found = seed_matters(backbone, corpus)
    return True if found is None else found


def _task_said(corpus: Corpus, asked: Asked) -> str:
    """The task, and what it follows from."""
    if asked.task is not None:
        return f"task: {corpus.task}"
    if asked.estimator is not None and _known(asked.estimator):
        return f"task: {corpus.task}, for that is what {asked.estimator.rpartition('.')[2]} is"
    kind = "numbers" if corpus.task == "regression" else "labels, or at most 20 whole numbers"
    holds = "hold" if corpus.manifest.outputs else "holds"
    return f"task: {corpus.task}, for {corpus.manifest.target!r} {holds} {kind}; --task says otherwise"


def _text(table: Path, out: Path, chosen: Choices, corpus: Corpus, split: list[str], why: str, fit: _Fit) -> str:
    manifest = corpus.manifest
    seeds = "[0, 1, 2]" if fit.seeded else "[0]   # nothing is drawn in this estimator: every seed is one model"
    metric = _GAINS[manifest.task]
    each = [(f"gain-{place}", f"{metric}@{name}") for place, name in enumerate(manifest.outputs, start=1)]
    rules = "\n".join(
        f"    - {{id: {name}, metric: {_quoted(asked)}, above: 0, against: trivial}}"
        for name, asked in [("gain", metric), *each]
    )
    return f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
# A study of {table.name}: {manifest.rows} rows, {len(manifest.groups)} groups, {len(manifest.features)} features.
# Check it with `heldout run {out.name} --dry-run`, run it with `heldout run {out.name}`.
study: {_slug(table.stem)}

corpus:
{_corpus_lines(table, out, chosen, corpus, fit)}

# {why[0].upper() + why[1:]}.
split:
{chr(10).join("  " + line for line in split)}

{chr(10).join(fit.lines)}

seeds: {seeds}

# PROMOTE means that every rule passes: here, that the model is better than whoever knows nothing (the mean, the
# majority, chance) by more than luck. Write down how good it has to be before you look at results: the first run
# registers the rules, and every run is a look, `--set` included. To change a rule afterwards, give the reason with
# `heldout gate amend {out.name} --reason "..."`.
gate:
  min_groups: 3
  rules:
    # The lower end of the interval of what is gained, over groups.
{rules}
"""


def _corpus_lines(table: Path, out: Path, chosen: Choices, corpus: Corpus, fit: _Fit) -> str:
    options, manifest = chosen.options, corpus.manifest
    lines = [
        "reader: table",
        f"path: {_quoted(_relative(table, out))}",
        f"group: {_quoted(options.group)}   # never straddles training and test",
        f"target: {_names(options.targets)}",
        *(
            [f"weight: {_quoted(options.weight)}   # how much a row counts, in fits and metrics"]
            if options.weight
            else []
        ),
        *([f"id: {_quoted(options.id)}"] if options.id else []),
        *([f"time: {_quoted(options.time)}"] if options.time else []),
        f"task: {manifest.task}",
        *([f"separator: {json.dumps(options.separator)}"] if options.separator else []),
        *(['decimal: ","'] if options.decimal == "," else []),
        *(
            [f"missing: {json.dumps(options.missing, ensure_ascii=False)}   # words that stand for a gap"]
            if options.missing
            else []
        ),
    ]
    if options.ignore:
        lines.append("ignore:")
        lines += [f"  - {_quoted(name)}{_note(chosen.reasons.get(name))}" for name in options.ignore]
    if options.columns:
        lines.append("columns:")
        lines += [
            f"  {_quoted(name)}: {_kind(kind)}{_note(chosen.reasons.get(name))}"
            for name, kind in options.columns.items()
        ]
    lines += ["# The features; a column that would not be known at prediction time does not belong here.", "features:"]
    lines += [
        f"  - {_quoted(name)}{_note(None if fit.beside else _feature_note(name, corpus))}"
        for name in corpus.features.columns
    ]
    return "\n".join(f"  {line}" for line in lines)


def _feature_note(name: str, corpus: Corpus) -> str | None:
    dtype, gaps = corpus.features.schema[name], corpus.missing.get(name)
    words = [] if dtype.is_numeric() else ["one column a level"]
    if gaps:
        words.append(f"{gaps} values are missing" + ("" if dtype.is_numeric() else ", a level of its own"))
    return ", ".join(words) or None


def _kind(kind: Kind | Column) -> str:
    """A kind as YAML: a word, or a mapping in one line."""
    return kind if isinstance(kind, str) else json.dumps(kind.model_dump(exclude_defaults=True), ensure_ascii=False)


def _names(columns: Sequence[str]) -> str:
    """One column, or several in a list."""
    names = [_quoted(each) for each in columns]
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _note(reason: str | None) -> str:
    return f"   # {' '.join(reason.split())}" if reason else ""


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
