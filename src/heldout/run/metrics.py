"""Which metrics a study computes: the ordinary ones, those of its rules, and those that it lists or declares.

What a study brings itself is part of what it declares: function, direction, arguments, and the sources of code that is
the user's own. Who changes them after a look changed the rules.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from heldout import plugins
from heldout.backbone.code import own_code
from heldout.backbone.sklearn import PROBABILITY_HINT
from heldout.corpus import TargetKind
from heldout.errors import HeldoutError, PrerequisiteError, StudyError, near_miss
from heldout.evidence import digest
from heldout.study import Document, GateSpec, MetricSpec, StudySpec, placing
from heldout.task.functions import declared_metric, function_module
from heldout.task.metric import Metric
from heldout.task.metrics import BUILT_IN, DEFAULTS, OF_MODELS, RESERVED, known_names, named, table_of, usable
from heldout.task.task import BUILT_IN as OUR_TASKS
from heldout.task.task import Task, named_task

Entry = str | dict[str, Any]
_AS_IMPORTED = "__heldout_sha256__"  # digest of a module's sources when this process first met it


def entries_of(spec: StudySpec, gate: GateSpec, document: Document, task: Task | None = None) -> list[Entry]:
    """What the study asks for besides built-in metrics of its rules, as it stands in the lock; often nothing.

    Args:
        spec: The study.
        gate: Its rules.
        document: Its file, for the place of a complaint.
        task: The one that it names; metrics of plug-ins that the task lists are asked for too.

    Raises:
        StudyError: If a name is given twice or taken, or there is no such metric or function.
    """
    found: dict[str, Entry] = {}
    for index, each in enumerate(spec.metrics):
        with placing(document), _at(f"metrics.{index}"):
            name, entry = _entry(each)
            if name in found or (each.function is not None and _is_taken(name)):
                raise StudyError(
                    f"two metrics are named {name!r}", where=f"metrics.{index}", hint="choose another name"
                )
        found[name] = entry
    for name in (*(() if task is None else task.metrics), *(rule.metric for rule in gate.rules)):
        if name not in found and name not in BUILT_IN and name in plugins.names("metrics"):
            found[name] = _of_plugin(name)
    return list(found.values())


def task_entry(name: str) -> dict[str, Any] | None:
    """What the lock says of a task that a plug-in brings: where its code is; None of one of heldout's own."""
    return None if name in OUR_TASKS else _of_plugin(name, "tasks")


def task_of(config: Mapping[str, Any]) -> Task | None:
    """The task that a lock names, as the run had it; None where it is that of the kind of target.

    Raises:
        PrerequisiteError: If it is not installed here, or is not the one that the run had.
    """
    entry = config.get("task")
    if entry is None:
        return None
    _refuse_other(entry, "tasks")
    try:
        return named_task(str(entry["name"]), where="task")
    except StudyError as error:  # two distributions have the name, or what is installed is none
        raise PrerequisiteError(error.what, where=error.where, hint=error.hint) from None


def _entry(each: MetricSpec) -> tuple[str, Entry]:
    if each.function is not None:
        if each.name in RESERVED:
            raise StudyError(f"{each.name!r} stands beside metrics in documents", hint="choose another name")
        declared_metric(each)
        block = each.model_dump(mode="json", exclude_defaults=True)
        return each.name, block | {"code": _code(function_module(each.function))}
    metric = named(each.name)
    if metric is None:
        known = [*known_names("regression"), *known_names("classification")]
        raise StudyError(f"there is no metric {each.name!r}", hint=near_miss(each.name, known))
    if metric in OF_MODELS:
        raise StudyError(f"{metric.name!r} is measured where a rule asks for it", hint="ask for it in `gate.rules`")
    return metric.name, _of_plugin(metric.name) if metric.name in plugins.names("metrics") else metric.name


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Say which of the metrics a complaint is about."""
    try:
        yield
    except HeldoutError as error:
        error.where = where
        raise


def _is_taken(name: str) -> bool:
    return named(name) is not None


def _of_plugin(name: str, kind: str = "metrics") -> dict[str, object]:
    module = plugins.module_of(kind, name)
    return {"name": name, "plugin": module, "version": plugins.version_of(kind, name), "code": _code(module)}


def _code(module: str) -> str | None:
    """Digest of the user's own sources behind a metric; None where all of it is installed.

    Raises:
        PrerequisiteError: If they were edited since this process imported them.
    """
    own = own_code([module])
    found = digest(own) if own else None
    loaded = sys.modules.get(module)
    if loaded is not None and vars(loaded).setdefault(_AS_IMPORTED, found) != found:
        raise PrerequisiteError(
            f"{module!r} was edited since it was imported",
            where="metrics",
            hint="start Python again: it keeps the old one",
        )
    return found


def declared_of(entries: Iterable[Entry], task: TargetKind | None = None) -> dict[str, Metric]:
    """The metrics of the entries that are no built-in ones, by name.

    Args:
        entries: Of ``entries_of``.
        task: TargetKind of target; None where it is not known yet.

    Raises:
        HeldoutError: If one cannot be loaded here, or is not trusted.
    """
    return {str(each["name"]): _loaded(each, task) for each in entries if not isinstance(each, str)}


def _loaded(entry: Mapping[str, Any], task: TargetKind | None) -> Metric:
    if "function" in entry:
        return declared_metric(MetricSpec.model_validate({k: v for k, v in entry.items() if k != "code"}), task)
    found = named(str(entry["name"]))
    if found is None:
        raise PrerequisiteError(
            f"no plug-in offers the metric {entry['name']!r} here", where=str(entry["plugin"]), hint="install it"
        )
    return found


def known_here(entries: Iterable[Entry], task: TargetKind) -> tuple[list[Entry], dict[str, str]]:
    """Of a run's entries those that can be computed here as the run did, and by name why the others cannot."""
    found: list[Entry] = []
    lacking: dict[str, str] = {}
    for each in entries:
        try:
            if not isinstance(each, str):
                _refuse_other(each)
                _loaded(each, task)
            found.append(each)
        except (PrerequisiteError, StudyError) as error:
            lacking[str(each["name"]) if isinstance(each, Mapping) else each] = error.what
    return found, lacking


def _refuse_other(entry: Mapping[str, Any], kind: str = "metrics") -> None:
    """Refuse to compute with other code than the run had."""
    what, name = kind.removesuffix("s"), entry["name"]
    module = function_module(str(entry["function"])) if "function" in entry else str(entry["plugin"])
    if "plugin" in entry:
        if name not in plugins.names(kind):
            raise PrerequisiteError(f"no plug-in offers the {what} {name!r} here", where=module, hint="install it")
        here = plugins.version_of(kind, str(name))
        if here != entry.get("version"):
            raise PrerequisiteError(f"{what} {name!r} is of {here} here, not {entry.get('version')}", where=module)
    if _code(module) != entry["code"]:
        raise PrerequisiteError(f"the code of {what} {name!r} is not the one that the run had", where=module)


def metrics_of(
    gate: GateSpec,
    entries: Sequence[Entry],
    task: TargetKind,
    scored_as: Task | None = None,
    labels: Mapping[str, str] | None = None,
) -> tuple[Metric, ...]:
    """The metrics that are computed of every contender, the primary one first.

    Args:
        gate: Rules of the study.
        entries: Of ``entries_of``.
        task: Kind of target.
        scored_as: The task that the study names.
        labels: By contender, the estimators that say labels and no probabilities: nobody is judged by any then.

    Raises:
        StudyError: If a rule or the study names none of such a study; the place is a key of the study.
    """
    declared = declared_of(entries, task)
    for index, metric in enumerate(declared.values()):
        if not usable(metric, task):
            raise StudyError(
                f"metric {metric.name!r} needs a {metric.needs}, which a {task} study does not predict",
                where=f"metrics.{index}",
                hint="change what it `needs`, or leave it out",
            )
    asked = [(rule.metric, f"rule {rule.id!r}: ", f"gate.rules.{n}.metric") for n, rule in enumerate(gate.rules)]
    asked += [(each, "", f"metrics.{n}") for n, each in enumerate(entries) if isinstance(each, str)]
    for name, who, where in asked:
        try:
            table_of(task, [name], declared)
        except StudyError as error:
            raise StudyError(f"{who}{error.what}", where=where, hint=error.hint) from None
    ordinary = list(DEFAULTS[task]) if scored_as is None else _listed(scored_as, declared)
    if labels and task == "classification":
        ordinary = [each for each in ordinary if each.needs != "probability"]
        asked += [(name, "", "metrics") for name in declared]
        _refuse_probabilities(asked, declared, labels)
    return table_of(task, [name for name, _, _ in asked], declared, ordinary)


def _refuse_probabilities(
    asked: Iterable[tuple[str, str, str]], declared: Mapping[str, Metric], labels: Mapping[str, str]
) -> None:
    """Refuse to judge by probabilities where somebody in the table says none.

    Raises:
        StudyError: With the first metric of probabilities that a rule or the study names.
    """
    contender, estimator = next(iter(sorted(labels.items())))
    for name, who, where in asked:
        metric = named(name, declared)
        if metric is not None and metric.needs == "probability":
            whose = f" of {contender!r}" if contender else ""
            mend = PROBABILITY_HINT % estimator if "." in estimator else "bring the probabilities of each model"
            raise StudyError(
                f"{who}{metric.name} is of probabilities, and {estimator}{whose} says labels alone",
                where=where,
                hint=f"{mend}; or judge by accuracy, macro_f1 or mcc",
            )


def _listed(task: Task, declared: Mapping[str, Metric]) -> list[Metric]:
    """The metrics that a task lists.

    Raises:
        StudyError: If there is none of a name, it is measured on models, or needs what the task does not predict.
    """
    found = {name: named(name, declared) for name in task.metrics}
    for name, metric in found.items():
        if metric is None or metric in OF_MODELS or not usable(metric, task.kind):
            why = "that there is not" if metric is None else f"that says nothing of a {task.kind} target"
            raise StudyError(
                f"the task {task.name!r} lists a metric {name!r} {why}",
                where="task",
                hint="offer the metric under `heldout.metrics`, or correct the task",
            )
    return [metric for metric in found.values() if metric is not None]
