"""Rules that decide nothing are refused before anything is computed, with the line where they stand."""

from __future__ import annotations

from collections.abc import Sequence

from heldout.corpus import Corpus
from heldout.errors import StudyError, near_miss
from heldout.gate.bounds import complaint
from heldout.gate.plan import never_judged
from heldout.study import COSTS, Document, GateSpec
from heldout.task import metrics

_MOST_SLICES = 100


def plain_names(gate: GateSpec) -> GateSpec:
    """The gate with every metric under the name that documents have for it: `pearson` and `plcc` are one rule."""
    found = [(rule, metrics.named(rule.metric)) for rule in gate.rules]
    rules = [rule if known is None else rule.model_copy(update={"metric": known.name}) for rule, known in found]
    return gate.model_copy(update={"rules": rules})


def check_bounds(gate: GateSpec, document: Document) -> None:
    """Refuse a bound that every result keeps, that none can keep, or that looks the wrong way.

    Raises:
        StudyError: With the place of the bound.
    """
    for index, rule in enumerate(gate.rules):
        found = complaint(rule)
        if found is not None:
            where = document.where(("gate", "rules", index, found.key))
            raise StudyError(found.what, where=f"{where} (gate.rules.{index}.{found.key})", hint=found.hint)


def check_gate(gate: GateSpec, corpus: Corpus) -> None:
    """Refuse a rule that could never be judged on this corpus.

    Raises:
        StudyError: Whose place is a key of the study.
    """
    known = [*metrics.names(corpus.task), *COSTS, *(["coverage"] if corpus.task == "regression" else [])]
    for index, rule in enumerate(gate.rules):
        if rule.metric not in known:
            plain = [alias for name in known for alias in metrics.METRICS[name].aliases]
            raise StudyError(
                f"rule {rule.id!r}: unknown metric {rule.metric!r} for a {corpus.task} study",
                where=f"gate.rules.{index}.metric",
                hint=near_miss(rule.metric, [*known, *plain]),
            )
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
