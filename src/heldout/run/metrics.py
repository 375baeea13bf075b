"""Which metrics a study computes: the ordinary ones, those of its rules, and those that it lists or declares.

What a study brings itself is part of what it declares: function, direction, arguments, and the sources of code that is
the user's own. Who changes them after a look changed the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from heldout import plugins
from heldout.backbone.code import user_modules
from heldout.errors import HeldoutError, PrerequisiteError, StudyError, near_miss
from heldout.evidence import digest
from heldout.study import Document, GateSpec, MetricSpec, StudySpec, placing
from heldout.task.functions import declared_metric, function_module
from heldout.task.metric import Kind, Metric
from heldout.task.metrics import BUILT_IN, known_names, named, table_of

Entry = str | dict[str, Any]


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
        declared_metric(each)
        block = each.model_dump(mode="json", exclude_defaults=True)
        return each.name, block | {"code": _code(function_module(each.function))}
    metric = named(each.name)
    if metric is None:
        known = [*known_names("regression"), *known_names("classification")]
        raise StudyError(f"there is no metric {each.name!r}", hint=near_miss(each.name, known))
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
    return {"name": name, "plugin": module, "code": _code(module)}


def _code(module: str) -> str | None:
    """Digest of the user's own sources behind a metric; None where all of it is installed."""
    own = user_modules(module)
    return digest(own) if own else None


def declared_of(entries: Iterable[Entry], task: Kind | None = None) -> dict[str, Metric]:
    """The metrics of the entries that are no built-in ones, by name.

    Args:
        entries: Of ``entries_of``.
        task: Kind of target; None where it is not known yet.

    Raises:
        HeldoutError: If one cannot be loaded here, or is not trusted.
    """
    found = {}
    for each in entries:
        if isinstance(each, Mapping) and "function" in each:
            metric = declared_metric(MetricSpec.model_validate({k: v for k, v in each.items() if k != "code"}), task)
            found[metric.name] = metric
        elif isinstance(each, Mapping):
            plugged = named(str(each["name"]))
            assert plugged is not None
            found[plugged.name] = plugged
    return found


def refuse_other_code(entries: Iterable[Entry]) -> None:
    """Refuse to recompute with other sources than those that the run had.

    Raises:
        PrerequisiteError: If the user's own code behind a metric is not what it was.
    """
    for each in entries:
        if isinstance(each, str):
            continue
        module = function_module(str(each["function"])) if "function" in each else str(each["plugin"])
        if _code(module) != each["code"]:
            raise PrerequisiteError(
                f"the code of metric {each['name']!r} is not the one that the run had",
                where=module,
                hint="check that version out to verify the numbers",
            )


def metrics_of(gate: GateSpec, entries: Sequence[Entry], task: Kind) -> tuple[Metric, ...]:
    """The metrics that are computed of every contender, the primary one first.

    Raises:
        StudyError: If a rule names none of such a study; the place is a key of the study.
    """
    declared = declared_of(entries, task)
    for index, rule in enumerate(gate.rules):
        try:
            table_of(task, [rule.metric], declared)
        except StudyError as error:
            raise StudyError(
                f"rule {rule.id!r}: {error.what}", where=f"gate.rules.{index}.metric", hint=error.hint
            ) from None
    asked = [rule.metric for rule in gate.rules] + [each for each in entries if isinstance(each, str)]
    return table_of(task, asked, declared)
