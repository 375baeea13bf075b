"""A first study for a table: commented, runnable as it is, and honest about what is a guess."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from heldout.backbone import Backbone
from heldout.corpus import Corpus
from heldout.corpus.guards.names import check_names
from heldout.corpus.table import TableReader
from heldout.errors import HeldoutError, InputError
from heldout.evidence import dumps, write_bytes, write_text
from heldout.evidence.overwriting import refuse_overwriting
from heldout.run.begin.choices import (
    Asked,
    columns_for,
    estimator_for,
    numbers_with_gaps,
    seed_matters,
    split_for,
)
from heldout.run.begin.text import SCHEMA_FILE, Fit, quoted, study_text


class Starter(NamedTuple):
    """What was written: the study, and what was chosen in sentences."""

    study: Path
    said: tuple[str, ...]


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
    write_text(out, study_text(table, out, chosen, corpus, lines, why, fit))
    _write_schema(out.parent / SCHEMA_FILE)
    return Starter(out, tuple(said))


def _write_schema(path: Path) -> None:
    """The schema that the study's first line points to; one that is there stays."""
    from heldout.study.schema import study_schema

    if not path.exists():
        write_bytes(path, dumps(study_schema()))


def _fit(asked: Asked, corpus: Corpus, folder: Path) -> Fit:
    """The `backbone:` and `fit:` blocks, checked as the study would check them."""
    if asked.own:
        return _fit_beside(_beside(asked.own, folder))
    from heldout.backbone.gaps import takes_gaps
    from heldout.backbone.sklearn import SklearnBackbone, SklearnParams

    estimator = estimator_for(asked, corpus)
    if estimator is None:
        lines = ("backbone: ridge   # scikit-learn is not installed: `pip install 'heldout[sklearn]'` for more",)
        return Fit(lines, False, "backbone: ridge, for scikit-learn is not installed")
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
    return Fit(fit, seeded, f"estimator: {name}" + (f", missing numbers: {missing}" if missing else ""))


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


def _fit_beside(backbone: Backbone) -> Fit:
    told = backbone.params.model_dump(mode="json", exclude_unset=True)
    lines = [f"  {key}: {value if value == {} else quoted(str(value))}" for key, value in told.items()]
    said = f"backbone: {backbone.name}, code beside the study"
    return Fit((f"backbone: {backbone.name}", "fit:", *lines), backbone.seeded, said, beside=True)


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
