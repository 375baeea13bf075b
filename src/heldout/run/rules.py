"""Rules that decide nothing are refused before anything is computed, with the line where they stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import polars as pl

from heldout.corpus import Corpus
from heldout.errors import CorpusError, StudyError, near_miss
from heldout.gate.bounds import complaint
from heldout.gate.plan import never_judged
from heldout.split import Split
from heldout.study import Document, GateSpec, MetricSpec
from heldout.task.classification import OF_A_CLASS
from heldout.task.functions import check_weighing
from heldout.task.metrics import Declared, named

_MOST_SLICES = 100


def plain_names(gate: GateSpec, declared: Declared | None = None) -> GateSpec:
    """The gate with every metric under the name that documents have for it: `pearson` and `plcc` are one rule."""
    found = [(rule, named(rule.metric, declared)) for rule in gate.rules]
    rules = [rule if known is None else rule.model_copy(update={"metric": known.name}) for rule, known in found]
    return gate.model_copy(update={"rules": rules})


def check_bounds(gate: GateSpec, document: Document, declared: Declared | None = None) -> None:
    """Refuse a bound that every result keeps, that none can keep, or that looks the wrong way.

    Raises:
        StudyError: With the place of the bound.
    """
    for index, rule in enumerate(gate.rules):
        with _at(document.where(("gate", "rules", index, "metric"))):
            metric = named(rule.metric, declared)
        found = None if metric is None else complaint(rule, metric)
        if found is not None:
            where = document.where(("gate", "rules", index, found.key))
            raise StudyError(found.what, where=f"{where} (gate.rules.{index}.{found.key})", hint=found.hint)


def check_gate(gate: GateSpec, corpus: Corpus, listed: Sequence[object] = ()) -> None:
    """Refuse a rule that could never be judged on this corpus.

    Raises:
        StudyError: Whose place is a key of the study.
    """
    classes = sorted(set(corpus.targets("guard").tolist())) if corpus.task == "classification" else []
    asked = [(rule.metric, f"rule {rule.id!r}: ", f"gate.rules.{n}.metric") for n, rule in enumerate(gate.rules)]
    asked += [(name, "", f"metrics.{n}") for n, name in enumerate(listed) if isinstance(name, str)]
    outputs = corpus.manifest.outputs
    for metric, who, where in asked:
        _check_output(metric, outputs, who, where)
        family, _, name = metric.partition("@")
        if family in OF_A_CLASS and name and name not in classes:
            raise StudyError(f"{who}the corpus has no class {name!r}", where=where, hint=near_miss(name, classes))
    for index, name in enumerate(gate.slices):
        if name not in corpus.features.columns:
            raise StudyError(
                f"the slice {name!r} is no feature of the corpus",
                where=f"gate.slices.{index}",
                hint=near_miss(name, corpus.features.columns),
            )
        values = corpus.features[name].n_unique()
        if values > _MOST_SLICES:
            raise StudyError(
                f"the slice {name!r} has {values} values",
                where=f"gate.slices.{index}",
                hint=f"declare a column of at most {_MOST_SLICES}: a slice of few rows says nothing",
            )


def _check_output(name: str, outputs: Sequence[str], who: str, where: str) -> None:
    """Refuse a metric of a target that there is not, or of what is not known of several."""
    metric = named(name)
    output = "" if metric is None else metric.output
    if output and not outputs:
        hint = f"write {name.removesuffix(f'@{output}')}, which is of it"
        raise StudyError(f"{who}the corpus has one target, and {name!r} names one of several", where=where, hint=hint)
    if output and output not in outputs:
        raise StudyError(f"{who}the corpus has no target {output!r}", where=where, hint=near_miss(output, outputs))
    if outputs and name == "coverage":
        hint = "write a study for each target, whose intervals are judged"
        raise StudyError(f"{who}the coverage of several targets at once is not computed", where=where, hint=hint)


def check_weights(corpus: Corpus, split: Split, entries: Sequence[object] = ()) -> None:
    """Refuse weights under which something could never be judged or fitted, or that a metric could not count by.

    A group that weighs nothing has no metrics: the worst group, the mean over folds and every gain would be undefined,
    and the verdict HOLD after all the fits.

    Args:
        corpus: Samples.
        split: Who is held out.
        entries: Metrics that the study lists or brings, as in the lock.

    Raises:
        HeldoutError: With the group, the fold or the metric.
    """
    for index, each in enumerate(entries):
        if isinstance(each, Mapping) and "function" in each:
            spec = MetricSpec.model_validate({key: value for key, value in each.items() if key != "code"})
            check_weighing(spec, f"metrics.{index}", weighted=corpus.weighted)
    weight = corpus.weights()
    if weight is None:
        return
    table = corpus.groups.to_frame("group").with_columns(weight=pl.Series(weight)).group_by("group")
    of = dict(table.agg(pl.col("weight").sum()).iter_rows())
    silent = sorted(name for name in split.held_out if not of[name])
    if silent:
        raise CorpusError(
            f"the group {silent[0]!r} is held out, and every row of it has the weight 0",
            where=f"column {corpus.manifest.weight}, {len(silent)} groups",
            hint="take the group out of the table, or give rows of it a weight: what weighs nothing cannot be judged",
        )
    counting = {name for name, total in of.items() if total}
    for fold in split.folds:
        if counting <= set(fold.apart):
            raise CorpusError(
                "every training row of a fold has the weight 0",
                where=f"column {corpus.manifest.weight}, fold {fold.id}",
                hint="hold out fewer groups at a time, or give other groups a weight",
            )


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Give a complaint about a metric's name the line where it stands."""
    try:
        yield
    except StudyError as error:
        error.where = where
        raise


def refuse_never_judged(gate: GateSpec, document: Document, *, groups: int, seeds: Sequence[int], cells: bool) -> None:
    """Refuse a rule that stays UNKNOWN whatever comes out: the run would be HOLD, and its look would be spent.

    Raises:
        StudyError: With the line of the rule.
    """
    for index, rule in enumerate(gate.rules):
        why = never_judged(rule, groups, len(seeds), cells)
        if why is not None:
            raise StudyError(
                f"rule {rule.id!r} can never be judged: {why}",
                where=document.where(("gate", "rules", index)),
                hint="change the rule, or what it needs; `heldout gate plan` asks every rule before a run",
            )
