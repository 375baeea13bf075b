"""The study of predictions from elsewhere: what `heldout judge` was told, as a file that `heldout run` runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl

from heldout.corpus import TargetKind
from heldout.corpus.table import TableOptions, TableReader, targets_of
from heldout.errors import InputError, StudyError, near_miss
from heldout.evidence import read_plain, write_text
from heldout.predicted.arrays import is_array
from heldout.predicted.columns import make_ledger
from heldout.predicted.files import (
    Model,
    Said,
    Table,
    check_column,
    model_of,
    read_file,
    read_tables,
    said_by,
    slug,
    table_of_array,
    truth_of,
)
from heldout.predicted.logs import ID, TARGET
from heldout.run.resolve import lock_yaml
from heldout.study import NOTHING, load_yaml
from heldout.task.metric import Metric, Rows
from heldout.task.metrics import known_names, named, usable

LEDGER = "heldout-runs"
_FOLDS = 10
_RULES = ("gate", "metrics", "bootstrap", "task")  # what a study may say of how predictions are judged
_HEAD = "# Written by heldout, and written anew at each call. Copy it to change it.\n"
_HEADS = (_HEAD, "# Written by `heldout judge`, and written anew at each call. Copy it to change it.\n")


@dataclass(frozen=True)
class Question:
    """What somebody wants to know of predictions.

    Attributes:
        files: Of truth and predictions; none where the files of the models say all.
        group: Column that tells groups apart.
        target: Column of the truth; several: of each target; None: that of a log.
        prediction: The model that is judged: its name, or ``NAME=FILE``.
        against: The one that it shall replace, said alike; None: only rules decide.
        metrics: Names of metrics; the first decides where there are no rules.
        rules: A study file whose rules judge; None: the gain over the other must lie above zero.
        id: Column of sample ids; needed where rows stand in several files.
        weight: Column of weights.
        task: What the target is; None: by its values, as in a table.
        held_out: How it is known that the model never saw these groups, in words.
        trained_on: Or the ``corpus.json`` of what it was trained on.
        name: Of the study; None: that of the file with the truth.
    """

    files: Sequence[Path]
    group: str
    target: str | Sequence[str] | None
    prediction: str
    against: str | None = None
    metrics: Sequence[str] = ()
    rules: Path | None = None
    id: str | None = None
    weight: str | None = None
    task: str | None = None
    held_out: str | None = None
    trained_on: Path | None = None
    name: str | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """Columns of the truth."""
        return targets_of(self.target) if self.target else ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The same where there are several; empty for one."""
        return self.targets if len(self.targets) > 1 else ()


def first_file(question: Question) -> Path:
    """The first file that is named, beside which runs lie by default.

    Raises:
        InputError: If none is.
    """
    said = [question.prediction, *([] if question.against is None else [question.against])]
    models = [model.file for each in said if (model := model_of(each, ())).file is not None]
    found = next((Path(each) for each in (*question.files, *models) if each is not None), None)
    if found is None:
        hint = "name the files of truth and predictions, or --prediction NAME=FILE"
        raise InputError("no file is named", where="FILES", hint=hint)
    return found


def write_study(question: Question, ledger: Path) -> Path:
    """Write the study into the folder of runs, and answer its path.

    Raises:
        HeldoutError: If files do not fit together, or nothing would decide.
    """
    question, truth, both = _found(question)
    kind, classes = _target(question, truth)
    ours, theirs = both[0], (both[1] if len(both) > 1 else None)
    if theirs is not None and theirs.table.frame.equals(ours.table.frame) and {*theirs.columns} & {*ours.columns}:
        raise InputError("a model is compared with itself", where="--against", hint="name the other one")
    if theirs is not None and len(theirs.columns) > 1:
        raise InputError(
            f"{theirs.name!r} has {len(theirs.columns)} seeds, and what is beaten is one model",
            where="--against",
            hint="name the column of one of its seeds, or write their mean into a column",
        )
    if question.rules is None and theirs is None:
        raise InputError(
            "nothing decides: there is neither another model nor a rule",
            where="--against, --rules",
            hint="name the model that it shall replace, or a study file with `gate.rules`",
        )
    if question.id is None and any(each.table is not truth and each.table.ids for each in both):
        raise InputError(
            "rows of several files are found by their ids, and no column of ids is named",
            where="--id",
            hint="name the column of sample ids that the files share",
        )
    return write_down(_document(question, truth, ours, theirs, kind, classes, ledger), ledger)


def _found(question: Question) -> tuple[Question, Table, list[Said]]:
    """What is asked, with the columns that a log names; the truth, and where each model's predictions stand."""
    tables = read_tables([Path(path) for path in question.files], question.id)
    columns = {column for table in tables for column in table.frame.columns}
    options = {"--prediction": question.prediction, "--against": question.against}
    models = {option: model_of(said, columns) for option, said in options.items() if said is not None}
    own: dict[str, Table] = {}
    for option, model in models.items():
        if model.file is not None and not is_array(model.file):
            own[option] = _table_of(model, model.file, tables, question.id)
            tables += [] if own[option] in tables else [own[option]]
    question = _with_names(question, tables)
    truth = truth_of(tables, question.group, question.targets)
    both = []
    for option, model in models.items():
        if option in own:
            whose = model if own[option].task is None else Model(model.name, model.file)  # a log's score is read by now
            both.append(said_by(whose, [own[option]], option, question.outputs))
        elif model.file is not None:
            classes = _target(question, truth)[1]
            table = table_of_array(model, truth, question.id, classes, question.outputs)
            both.append(said_by(Model(model.name), [table], option, question.outputs))
        else:
            both.append(said_by(model, tables, option, question.outputs))
    return question, truth, both


def _table_of(model: Model, file: Path, tables: Sequence[Table], id_column: str | None) -> Table:
    """The table of a model's file, which may have been read; of a log another score is another table."""
    place = file.resolve()
    read = next((each for each in tables if each.task is None and each.path.resolve() == place), None)
    return read or read_file(file, id_column, model.column)


def _with_names(question: Question, tables: Sequence[Table]) -> Question:
    """The question, with the columns of ids and targets that a log has.

    Raises:
        InputError: If there is no log, and nobody names the target.
    """
    if any(table.task is not None for table in tables):
        return replace(question, id=question.id or ID, target=question.targets or TARGET)
    if not question.targets:
        what = "no column of the truth is named"
        raise InputError(what, where="--target", hint="name it; logs of evaluations alone say it themselves")
    return question


def write_down(study: Mapping[str, Any], ledger: Path) -> Path:
    """Write a study into the folder of runs, and answer its path.

    Raises:
        InputError: If a file of the user's own has its name.
    """
    path = ledger / f"{study['study']}.yaml"
    make_ledger(ledger)
    refuse_foreign(path)
    write_text(path, _HEAD + lock_yaml(dict(study)))
    return path


def refuse_foreign(path: Path) -> None:
    """Refuse to write over a study of somebody's own.

    Raises:
        InputError: If what lies there was not written here.
    """
    if path.exists() and not read_plain(path).decode("utf-8", "replace").startswith(_HEADS):
        what = "a file of yours has the name of the study that is written here"
        raise InputError(what, where=str(path), hint="move it, or name another --ledger")


def _document(
    question: Question,
    truth: Table,
    ours: Said,
    theirs: Said | None,
    kind: TargetKind,
    classes: list[str],
    ledger: Path,
) -> dict[str, Any]:
    told = told_rules(question.rules)
    both = [ours, *([] if theirs is None else [theirs])]
    groups = truth.frame[question.group].n_unique()
    if groups < 2:
        raise InputError(
            "there is one group, and nothing can be held out of it",
            where=f"{truth.path}: column {question.group}",
            hint="name the column of subjects, sites or days",
        )
    found: dict[str, Any] = {
        "study": question.name or truth.name,
        "description": f"predictions of {ours.name}" + ("" if theirs is None else f", against {theirs.name}"),
        "corpus": _corpus(question, truth, both, kind, ledger),
        "split": {"kind": "group-k-fold", "folds": min(_FOLDS, groups)},
        "backbone": "predictions",
        "fit": _fit(question, ours, truth, classes, ledger) | _held_out(question, ledger),
        "seeds": list(range(len(ours.columns))),
        "baselines": [],
    }
    if theirs is not None:
        fit = _fit(question, theirs, truth, classes, ledger)
        found["baselines"] = [
            {"id": slug(theirs.name), "description": f"predictions of {theirs.name}", "backbone": "predictions"}
            | {"fit": fit}
        ]
    metrics = [metric_of(name, kind) for name in question.metrics] or _ordinary(both, kind)
    if "gate" not in told:
        assert theirs is not None
        found["gate"] = {"rules": gain_rules(metrics[0], {"better": slug(theirs.name)}, classes, question.outputs)}
    found |= told
    listed = [*told.get("metrics", []), *(metric.name for metric in metrics)]
    found["metrics"] = [each for index, each in enumerate(listed) if each not in listed[:index]]
    return found


def _corpus(question: Question, truth: Table, both: Sequence[Said], kind: TargetKind, ledger: Path) -> dict[str, Any]:
    said = sorted({name for each in both if each.table is truth for name in each.taken})
    roles = {question.group, *question.targets, question.id, question.weight}
    wrong = next((name for name in said if name in roles), None)
    if wrong is not None:
        raise InputError(
            f"column {wrong!r} is two things at once: predictions, and what they are judged by",
            where=f"{truth.path}: column {wrong}",
            hint="name the column of the predictions",
        )
    found: dict[str, Any] = {
        "reader": "table",
        "path": _from(ledger, truth.place(ledger)),
        "group": question.group,
        "target": list(question.outputs) or question.targets[0],
        "features": [],
        "task": kind,
    }
    named = {"id": question.id, "weight": question.weight, "said": said or None}
    return found | {key: value for key, value in named.items() if value is not None}


def _fit(question: Question, said: Said, truth: Table, classes: list[str], ledger: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"model": _from(ledger, said.table.place(ledger)), "columns": list(said.columns)}
    if question.id is not None:
        check_column(question.id, said.table)
        found["id"] = question.id
    if question.outputs:
        found["outputs"] = list(question.outputs)
    if {*question.targets} <= {*said.table.frame.columns} and said.table is not truth:
        found["target"] = list(question.outputs) or question.targets[0]
    if len(classes) == 2 and said.table.frame.schema.get(said.columns[0], pl.String).is_float():
        found["classes"] = classes
    return found


def _held_out(question: Question, ledger: Path) -> dict[str, Any]:
    if question.held_out is not None and question.trained_on is not None:
        raise InputError(
            "it is said twice how the groups were held out", where="--held-out, --trained-on", hint="say one"
        )
    if question.held_out is not None:
        return {"held_out": {"says": question.held_out}}
    if question.trained_on is not None:
        return {"held_out": {"trained_on": _from(ledger, Path(question.trained_on))}}
    return {}


def _target(question: Question, truth: Table) -> tuple[TargetKind, list[str]]:
    """What the target is, and the names of its classes, sorted; none of numbers."""
    check_task(question.task, "--task")
    return target_of(truth.frame.select(question.targets), truth.path, question.group, question.task)


def target_of(columns: pl.DataFrame, path: Path, group: str, task: str | None) -> tuple[TargetKind, list[str]]:
    """What columns of a table are as targets, and the names of the classes; none of numbers.

    Classes are in the order of scikit-learn's ``classes_``: numbers by size, text by name.

    Args:
        columns: The targets, one or several.
        path: Of the table, for a complaint.
        group: The column of groups.
        task: What it is said to be; None: by its values.

    Raises:
        HeldoutError: If it is no target of that kind.
    """
    options = {"path": path, "group": group, "target": columns.columns, "features": []}
    reader = TableReader(TableOptions.model_validate(options | ({"task": task} if task else {})))
    kind, _ = reader.targets_in(columns)
    return kind, columns.to_series().unique().drop_nulls().sort().cast(
        pl.String
    ).to_list() if kind == "classification" else []


def check_task(task: str | None, where: str) -> None:
    """Refuse a kind of target that there is not; None is left to the values.

    Raises:
        InputError: If it is none.
    """
    if task is not None and task not in get_args(TargetKind):
        raise InputError(f"the target is no {task!r}", where=where, hint=f"write {' or '.join(get_args(TargetKind))}")


def _ordinary(both: Sequence[Said], kind: TargetKind) -> list[Metric]:
    """The metric that decides where nobody names one: a loss that is defined of any group.

    Labels have no probabilities: beside them nobody is judged by any.
    """
    if kind == "regression":
        return [metric_of("rmse", kind)]
    return [metric_of("accuracy" if any(_are_labels(each) for each in both) else "log_loss", kind)]


def _are_labels(said: Said) -> bool:
    if any(name not in said.columns for name in said.taken):
        return False  # columns of probabilities, by class
    return any(not said.table.frame.schema[name].is_float() for name in said.columns)


def metric_of(name: str, kind: TargetKind, where: str = "--metric") -> Metric:
    """The metric of this name.

    Raises:
        InputError: If there is none, or none of such a target.
    """
    found = named(name)
    if found is None or not usable(found, kind):
        raise InputError(
            f"there is no metric {name!r} of a {kind}", where=where, hint=near_miss(name, known_names(kind))
        )
    return found


def gain_rules(
    metric: Metric, others: Mapping[str, str], classes: list[str], outputs: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """More than the others, and more than knowing nothing: a poor old model is beaten by chance.

    Over groups, or over all rows where a group may leave the metric undefined. Of several targets over all together,
    and of each: a mean over them tells most of the one whose unit is smallest.

    Args:
        metric: What decides.
        others: Contenders, by the id of the rule over them.
        classes: Of the target; none of numbers.
        outputs: Names of several targets.
    """
    over = {} if _of_any_group(metric, classes) else {"over": "pooled"}
    rivals = {**others, "informed": NOTHING}
    asked = {"": metric.name} | {f"-{place}": f"{metric.name}@{name}" for place, name in enumerate(outputs, start=1)}
    return [
        {"id": f"{name}{end}", "metric": each, "against": rival, "above": 0} | over
        for name, rival in rivals.items()
        for end, each in asked.items()
    ]


def _of_any_group(metric: Metric, classes: list[str]) -> bool:
    """Whether the metric of one row is a number, whatever its target: then no group is without one."""
    if not classes:
        return bool(np.isfinite(metric.score(Rows(np.array([1.0]), np.array([2.0])))))
    said = np.full((1, len(classes)), 1 / len(classes))
    rows = (Rows(np.array([code]), said, tuple(classes)) for code in range(len(classes)))
    return all(np.isfinite(metric.score(each)) for each in rows)


def told_rules(path: Path | None) -> dict[str, Any]:
    """What a study file says of how predictions are judged."""
    if path is None:
        return {}
    value = load_yaml(Path(path)).value
    found = {key: value[key] for key in _RULES if key in value} if isinstance(value, Mapping) else {}
    if not isinstance(found.get("metrics", []), list):
        raise StudyError("`metrics` is no list", where=f"{path}: metrics", hint="write [r2, mae]")
    if not (isinstance(found.get("gate"), Mapping) and found["gate"].get("rules")):
        raise StudyError("the file has no rules", where=f"{path}: gate.rules", hint="declare them as in any study")
    return found


def _from(folder: Path, path: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
