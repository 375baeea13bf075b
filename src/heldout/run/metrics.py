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
from heldout.errors import HeldoutError, PrerequisiteError, StudyError, near_miss
from heldout.evidence import digest
from heldout.study import Document, GateSpec, MetricSpec, StudySpec, placing
from heldout.task.functions import declared_metric, function_module
from heldout.task.metric import Kind, Metric
from heldout.task.metrics import BUILT_IN, OF_MODELS, RESERVED, known_names, named, table_of, usable

Entry = str | dict[str, Any]
_AS_IMPORTED = "__heldout_sha256__"  # digest of a module's sources when this process first met it


def entries_of(spec: StudySpec, gate: GateSpec, document: Document) -> list[Entry]:
    """What the study asks for besides built-in metrics of its rules, as it stands in the lock; often nothing.

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
    for rule in gate.rules:
        if rule.metric not in found and rule.metric not in BUILT_IN and rule.metric in plugins.names("metrics"):
            found[rule.metric] = _of_plugin(rule.metric)
    return list(found.values())


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


def _of_plugin(name: str) -> dict[str, Any]:
    module = plugins.module_of("metrics", name)
    return {"name": name, "plugin": module, "version": plugins.version_of("metrics", name), "code": _code(module)}


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


def declared_of(entries: Iterable[Entry], task: Kind | None = None) -> dict[str, Metric]:
    """The metrics of the entries that are no built-in ones, by name.

    Args:
        entries: Of ``entries_of``.
        task: Kind of target; None where it is not known yet.

    Raises:
        HeldoutError: If one cannot be loaded here, or is not trusted.
    """
    return {str(each["name"]): _loaded(each, task) for each in entries if not isinstance(each, str)}


def _loaded(entry: Mapping[str, Any], task: Kind | None) -> Metric:
    if "function" in entry:
        return declared_metric(MetricSpec.model_validate({k: v for k, v in entry.items() if k != "code"}), task)
    found = named(str(entry["name"]))
    if found is None:
        raise PrerequisiteError(
            f"no plug-in offers the metric {entry['name']!r} here", where=str(entry["plugin"]), hint="install it"
        )
    return found


def known_here(entries: Iterable[Entry], task: Kind) -> tuple[list[Entry], dict[str, str]]:
    """Of a run's entries those that can be computed here as the run did, and by name why the others cannot."""
    found: list[Entry] = []
    lacking: dict[str, str] = {}
    for each in entries:
        try:
            if not isinstance(each, str):
                _refuse_others(each)
                _loaded(each, task)
            found.append(each)
        except (PrerequisiteError, StudyError) as error:
            lacking[str(each["name"]) if isinstance(each, Mapping) else each] = error.what
    return found, lacking


def _refuse_others(entry: Mapping[str, Any]) -> None:
    """Refuse to compute with other code than the run had."""
    module = function_module(str(entry["function"])) if "function" in entry else str(entry["plugin"])
    if "plugin" in entry:
        if entry["name"] not in plugins.names("metrics"):
            raise PrerequisiteError(f"no plug-in offers the metric {entry['name']!r} here", where=module)
        here = plugins.version_of("metrics", str(entry["name"]))
        if here != entry.get("version"):
            raise PrerequisiteError(
                f"metric {entry['name']!r} is of {here} here, not {entry.get('version')}", where=module
            )
    if _code(module) != entry["code"]:
        raise PrerequisiteError(f"the code of metric {entry['name']!r} is not the one that the run had", where=module)


def metrics_of(gate: GateSpec, entries: Sequence[Entry], task: Kind) -> tuple[Metric, ...]:
    """The metrics that are computed of every contender, the primary one first.

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
    return table_of(task, [name for name, _, _ in asked], declared)
