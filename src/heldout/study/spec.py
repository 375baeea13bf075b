"""The typed model of ``study.yaml``: what is trained, on what, held out how, judged by which rules."""

from __future__ import annotations

import datetime as dt
import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

# What a model costs, measured on a fitted one: bytes of its files, microseconds a predicted row.
COSTS = ("model_bytes", "latency_us")
EMBARGO = r"^[0-9]+(\.[0-9]+)?(s|m|h|d|w)$"
DEFAULT_SPLITTER = "leave-one-group-out"
FOREIGN_SPLITTER = "class"  # the one behind every kind that is an import path
BASE = "base"
NOTHING = "trivial"  # in a rule's `against`: whoever knows nothing, by the contender over which least is gained
SLUG = r"^[a-z0-9][a-z0-9_-]{0,63}$"


class Spec(BaseModel):
    """Base of every block: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _no_repeats(items: list[Any]) -> list[Any]:
    repeated = sorted({item for item in items if items.count(item) > 1})
    if repeated:
        raise ValueError(f"{repeated[0]!r} appears twice")
    return items


class SplitSpec(Spec):
    """What every `split:` block says; the block of a splitter adds its own keys."""

    kind: str = Field(
        DEFAULT_SPLITTER,
        description="name of a splitter, or the import path of a class with scikit-learn's `split(X, y, groups)`",
    )
    shared_rows: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of its rows that a group may have in common with another, up to rounding (HO-G003); 1: all",
    )
    crossed: list[str] | None = Field(
        None,
        min_length=1,
        description="columns whose levels may stand in several groups, because the same ones will be met in use "
        "(HO-G010): a product that every shop sells",
    )
    embargo: Annotated[float, Field(ge=0)] | Annotated[str, Field(pattern=EMBARGO)] | None = Field(
        None,
        description="time between training and held-out groups (HO-G007; needs `corpus.time`): a number in the units "
        "of a numeric column, or such as 12h or 3d for dates; 0: they may not overlap; null, in a split in time: as "
        "long as a label looks ahead",
    )


class RuleSpec(Spec):
    """One gate rule: a statistic of a metric, and the bound that it must keep."""

    id: Annotated[str, Field(pattern=SLUG)] = Field(description="name of the rule in the verdict")
    metric: str = Field(
        description="pearson, rmse, mae, r2, accuracy, macro_f1, roc_auc, recall@CLASS, ... (docs/metrics.md), "
        "or one that `metrics` declares"
    )
    scope: Literal["ensemble", "members"] = Field(
        "ensemble", description="ensemble: the mean of all seeds' predictions; members: each seed's model by itself"
    )
    over: Literal["folds", "pooled", "cells", "within_cell", "worst_group", "worst_slice"] = Field(
        "folds", description="folds: the mean over folds; worst_group: the worst group; worst_slice: of `slice`"
    )
    slice: str | None = Field(None, description="one of gate.slices (with over: worst_slice)")
    against: str | None = Field(
        None,
        description="a baseline's id, `champion`, or `trivial` (whoever knows nothing): the bound is on the gain over "
        "it, and the lower end of its paired interval over groups must keep the bound; with over: pooled, of the "
        "metric over all rows, whole groups drawn",
    )
    level: float | None = Field(None, gt=0, lt=1, description="nominal level (with metric: coverage)")
    interval: Literal["absolute", "normalised", "seeds"] | None = Field(
        None, description="which interval (with metric: coverage); seeds: mean +- 1.96 sigma, at level 0.95 only"
    )
    statistic: Literal["mean", "min", "max", "spread"] | None = Field(
        None, description="over the members: their mean, min, max, or spread = max - min"
    )
    at_least: float | None = None
    at_most: float | None = None
    relative: Literal[True] | None = Field(
        None,
        description="with against and over: pooled: the bound is a share of the other's own value, so that "
        "at_least: -0.02 lets 2 % of it be lost",
    )
    above: float | None = Field(None, description="with against: the gain lies above it; a copy of the other has none")
    why: str | None = Field(
        None, description="reason of a bound against the metric's direction, such as a correlation too good to be true"
    )

    @model_validator(mode="after")
    def _one_bound(self) -> RuleSpec:
        if sum(bound is not None for bound in (self.at_least, self.at_most, self.above)) != 1:
            raise ValueError("a rule needs exactly one of `at_least` and `at_most`, or `above` with `against`")
        if self.above is not None and self.against is None:
            raise ValueError("`above` bounds a gain: name the other one as `against`, or write `at_least`")
        if (self.scope == "members") != (self.statistic is not None):
            raise ValueError("`statistic` belongs to the scope `members`, and is needed there")
        if self.why is not None and len(self.why.split()) < 2:
            raise ValueError("`why` is a reason in words: say in a sentence what the bound is for")
        return self

    @model_validator(mode="after")
    def _fields_fit_the_kind(self) -> RuleSpec:
        if (self.over == "worst_slice") != (self.slice is not None):
            raise ValueError("`slice` belongs to `over: worst_slice`, and is needed there")
        if self.against is not None and (self.at_most is not None or self.scope != "ensemble"):
            raise ValueError("`against` takes the ensemble's gain: give `at_least` or `above`, and no scope")
        if self.against is not None and self.over not in {"folds", "pooled"}:
            raise ValueError("`against` takes the gain over groups, or with `over: pooled` that of all rows together")
        if self.relative and (self.against in (None, NOTHING) or self.over != "pooled"):
            raise ValueError(
                "`relative` is a share of what a baseline or the champion scores over all rows: give `over: pooled`"
            )
        if self.against is not None and self.metric == "bias":
            raise ValueError("a bias has no better direction: use abs_bias with `against`")
        if (self.metric == "coverage") != (self.level is not None):
            raise ValueError("`level` belongs to the metric `coverage`, and is needed there")
        if self.interval is not None and self.metric != "coverage":
            raise ValueError("`interval` belongs to the metric `coverage`")
        special = self.metric in {"coverage", *COSTS}
        if special and (self.scope != "ensemble" or self.over not in {"folds", "worst_group"} or self.against):
            raise ValueError(f"the metric {self.metric!r} is the ensemble's: leave out scope and against")
        return self

    @property
    def bound(self) -> tuple[str, float]:
        """Key and number of the bound."""
        found = {"at_least": self.at_least, "above": self.above, "at_most": self.at_most}
        return next((key, value) for key, value in found.items() if value is not None)


class MetricSpec(Spec):
    """A metric to compute: one that there is, by its name alone, or any function of truth and prediction."""

    name: str = Field(min_length=1, description="name in rules and tables, such as r2; of a function, one of your own")
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*[.:][A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        None,
        description="module:function, such as sklearn.metrics.fbeta_score; called with truth and prediction",
    )
    better: Literal["higher", "lower", "near zero"] | None = Field(
        None, description="the direction in which a value is better (with function, and needed there)"
    )
    needs: Literal["value", "label", "probability"] | None = Field(
        None, description="what the function is called with; null: the value, or for classes the predicted label"
    )
    params: dict[str, Any] = Field(default_factory=dict, description="its other arguments, such as {beta: 2}")
    range: tuple[float | None, float | None] | None = Field(
        None, description="least and largest value that can come out; a rule that every value passes is refused"
    )
    guess: float | None = Field(
        None, description="what a contender that knows nothing gets where the metric is undefined of it, such as 0"
    )
    label: str | None = Field(None, min_length=1, description="column head; null: the name")
    unit: str | None = Field("", description="its unit; null: that of the target; empty: none")

    @model_validator(mode="before")
    @classmethod
    def _a_name_alone(cls, raw: Any) -> Any:
        return {"name": raw} if isinstance(raw, str) else raw

    @model_validator(mode="after")
    def _a_function_says_its_direction(self) -> MetricSpec:
        if self.function is None and self.model_fields_set - {"name", "function"}:
            raise ValueError("only a `function` takes more than a name")
        if self.function is not None and self.better is None:
            raise ValueError("say in which direction it is better: add `better: higher` or `better: lower`")
        if self.function is not None and not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", self.name):
            raise ValueError("the name of a function's metric is small letters, digits and _, such as f2")
        low, high = self.range or (None, None)
        if low is not None and high is not None and low >= high:
            raise ValueError("`range` is the least and the largest value, such as [0, 1]")
        return self


class GateSpec(Spec):
    """The policy by which a run is judged. PROMOTE means that every rule is PASS."""

    rules: list[RuleSpec] = Field(default_factory=list)
    min_groups: int = Field(3, ge=2, description="fewer held-out groups than this prove nothing")
    min_seeds: int = Field(1, ge=1, description="fewer seeds than this prove nothing")
    requires: Annotated[list[str], AfterValidator(_no_repeats)] = Field(
        default_factory=list,
        description="variants of this study whose own newest run over the same corpus file must be PROMOTE",
    )
    slices: Annotated[list[str], AfterValidator(_no_repeats)] = Field(
        default_factory=list, description="feature columns by whose values the ensemble is scored too"
    )
    max_attempts: int | None = Field(
        None,
        ge=1,
        description="variants that may look at held-out rows; a later one can never PROMOTE",
    )
    correct_for_attempts: Literal["none", "bonferroni"] = Field(
        "none",
        description="bonferroni: the k-th variant that looked must keep the bound with an interval of level "
        "1 - (1 - level) / (k (k + 1)), which over any number of them errs as often as one (rules with `against`)",
    )

    @model_validator(mode="after")
    def _unique_ids(self) -> GateSpec:
        _no_repeats([rule.id for rule in self.rules])
        unknown = sorted({rule.slice for rule in self.rules if rule.slice} - set(self.slices))
        if unknown:
            raise ValueError(f"the slice {unknown[0]!r} is not declared in `gate.slices`")
        return self


class BudgetSpec(Spec):
    """What one training process of a variant may take; it is ended when it takes more."""

    seconds: float | None = Field(None, gt=0, description="wall-clock time; null: no limit")
    memory_mb: int | None = Field(None, ge=64, description="memory of the process and its children; null: no limit")


class VariantSpec(Spec):
    """A declared overlay over the base configuration, or over that of its parent.

    Only what ``set`` adds up to identifies the variant; everything else is about it and may be edited at will.
    """

    id: Annotated[str, Field(pattern=SLUG)]
    description: str = ""
    hypothesis: str = ""
    owner: str | None = Field(None, min_length=1, description="who answers for it")
    parent: Annotated[str, Field(pattern=SLUG)] = Field(
        BASE, description="variant whose overrides apply before these; `base` for none"
    )
    status: Literal["active", "paused", "retired"] = Field(
        "active", description="active: trained with the others; paused: not for now; retired: no more"
    )
    retired_on: dt.date | None = Field(None, description="date of a retirement")
    retired_because: str | None = Field(None, min_length=1, description="reason of a retirement")
    priority: int = Field(0, description="higher goes first among variants that have waited equally long")
    budget: BudgetSpec = Field(default_factory=lambda: BudgetSpec())
    set: dict[str, Any] = Field(min_length=1, description="dotted keys and their values, such as `fit.epochs: 60`")

    @model_validator(mode="after")
    def _retired_with_date_and_reason(self) -> VariantSpec:
        told = (self.retired_on is not None, self.retired_because is not None)
        if self.status == "retired" and told != (True, True):
            raise ValueError("a retired variant says when and why: add `retired_on` and `retired_because`")
        if self.status != "retired" and told != (False, False):
            raise ValueError(f"`retired_on` and `retired_because` mean nothing with `status: {self.status}`")
        return self


class BaselineSpec(Spec):
    """A cheap contender for the same table."""

    id: Annotated[str, Field(pattern=SLUG)]
    description: str = ""
    backbone: str
    fit: dict[str, Any] = Field(default_factory=dict)


_FitKey = Annotated[str, Field(pattern=r"^fit(\.\w+)+$")]
_MOST_CANDIDATES = 1000


class SelectSpec(Spec):
    """A choice that is made inside each training view, and judged with it."""

    among: Annotated[list[str], AfterValidator(_no_repeats)] | None = Field(
        None, min_length=2, description="variants of this study to choose among; `base` is the study without any"
    )
    space: dict[_FitKey, Annotated[list[Any], Field(min_length=1)]] | None = Field(
        None,
        min_length=1,
        description="or: values of dotted keys, such as {fit.params.alpha: [0.1, 1, 10]}, in all combinations",
    )
    inner: dict[str, Any] | None = Field(
        None, description="how groups of the training view are held out in turn; null: group-k-fold with 3 folds"
    )
    metric: str | None = Field(None, description="what decides there; null: rmse, of classes log_loss")

    @model_validator(mode="after")
    def _one_of_both(self) -> SelectSpec:
        if (self.among is None) == (self.space is None):
            raise ValueError("name what is chosen among: `among` variants, or the values of a `space`")
        if self.space is not None and not 2 <= math.prod(len(each) for each in self.space.values()) <= _MOST_CANDIDATES:
            raise ValueError(f"`space` has from 2 to {_MOST_CANDIDATES} combinations")
        return self


class BootstrapSpec(Spec):
    """Interval by bootstrap over groups."""

    level: float = Field(0.95, gt=0, lt=1)
    draws: int = Field(2000, ge=100, le=100_000)
    seed: int = Field(0, ge=0)


AS_GIVEN = "as_given"


def _listed(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """The seeds; none of them where each ``random_state`` is as given."""
    return [] if value == AS_GIVEN else check(value)


def _or_as_given(schema: dict[str, Any]) -> None:
    """Let the schema take the word, too; of a list it says which item is wrong."""
    of_lists = {key: schema.pop(key) for key in ("type", "items", "minItems")}
    schema |= {"if": {"type": "string"}, "then": {"const": AS_GIVEN}, "else": of_lists}


Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**31)]],
    AfterValidator(_no_repeats),
    Field(min_length=1),
    WrapValidator(_listed),
]


class StudySpec(Spec):
    """The whole study."""

    study: Annotated[str, Field(pattern=SLUG)] = Field(description="name of the study, and of its folder under `runs`")
    description: str = ""
    corpus: dict[str, Any] = Field(description="`reader:` and that reader's options")
    task: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="how predictions are scored: name of a task of a plug-in; null: regression where the target is a "
        "number, classification where it is a class",
    )
    split: dict[str, Any] = Field(default_factory=dict, description="`kind:` and that splitter's options")
    backbone: str = Field(description="name of a backbone: sklearn, fr_regressor, or one of a plug-in")
    fit: dict[str, Any] = Field(default_factory=dict, description="the backbone's own parameters")
    select: SelectSpec | None = Field(
        None,
        description="the study is a choice among its variants, or over a grid, made in each fold on training groups, "
        "and judged with the fit",
    )
    seeds: Seeds = Field(
        default_factory=lambda: [0, 1, 2, 3, 4],
        description="each fits every fold once, from a stream of its own; as_given: one fit a fold, with each "
        "`random_state` that stands in `fit.params`",
        json_schema_extra=_or_as_given,
    )
    variants: list[VariantSpec] = Field(default_factory=list)
    baselines: list[BaselineSpec] | None = Field(None, description="null: the backbone's own; []: none")
    champion: Path | None = Field(
        None,
        description="run directory of the model to beat, relative to the study; same corpus and split",
    )
    gate: GateSpec = Field(default_factory=lambda: GateSpec())
    metrics: list[MetricSpec] = Field(
        default_factory=list,
        description="metrics to compute besides the ordinary ones and those that rules name: names such as r2, or "
        "functions of others, such as {name: f2, function: sklearn.metrics.fbeta_score, better: higher, params: ...}",
    )
    bootstrap: BootstrapSpec = Field(default_factory=lambda: BootstrapSpec())
    runs: Path = Field(Path("runs"), description="folder of run directories, relative to the working folder")

    @property
    def fits(self) -> list[int]:
        """Numbers of the fits of a fold: the seeds; 0 alone where they are as given, and nothing is drawn from it."""
        return self.seeds or [0]

    @model_validator(mode="after")
    def _unique_variants(self) -> StudySpec:
        _no_repeats([variant.id for variant in self.variants])
        if any(variant.id == BASE for variant in self.variants):
            raise ValueError("`base` names the study without any variant; choose another id")
        return self

    @model_validator(mode="after")
    def _parents_lead_to_the_base(self) -> StudySpec:
        parents = {variant.id: variant.parent for variant in self.variants}
        for start in parents:
            line = [start]
            while line[-1] != BASE:
                parent = parents[line[-1]]
                if parent != BASE and parent not in parents:
                    raise ValueError(f"the parent {parent!r} of the variant {line[-1]!r} is not declared")
                if parent in line:
                    raise ValueError(f"the variant {parent!r} descends from itself: {' < '.join([*line, parent])}")
                line.append(parent)
        return self
