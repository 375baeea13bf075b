"""A corpus: samples with ids, groups and features, the manifest that says what they are, and one door to the targets.

Ids, groups and features are light: a sample of a film or an episode names its file. Rows are chosen by the groups that
they are of, and views are copies of them: what is not in a view cannot be reached from it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.corpus.manifest import MISSING, CorpusManifest, TargetKind
from heldout.corpus.truth import Alone, Purpose, Sealed, Truth
from heldout.corpus.views import FeaturesView, TrainView


@dataclass(frozen=True)
class Corpus:
    """Samples, in the order of the file.

    Attributes:
        ids: Unique sample ids, str.
        groups: Group of each sample, str.
        cells: Cluster of each sample inside its group (a clip's one encode), str; None where there are none.
        features: One row a sample; the only thing that ``predict`` sees.
        truth: The targets, for this class alone; everybody else asks ``targets`` and says why.
        manifest: What this corpus is, by digest.
        time: When each sample was taken: Float64, or Datetime in UTC; None where nobody said.
        prints: Perceptual hashes of each group's media, uint64 in order (see ``corpus.guards.prints``); None without.
        aside: Columns that are neither features nor anything else named: for guards only; None where there are none.
        weight: How much each row counts, float64 ``[rows]``; None where all count alike.
        idle: Words that were declared to stand for gaps, and stand nowhere: for guards only.
        opened: By purpose, the groups whose targets were read.
    """

    ids: pl.Series
    groups: pl.Series
    cells: pl.Series | None
    features: pl.DataFrame
    truth: Truth
    manifest: CorpusManifest
    time: pl.Series | None = None
    prints: Mapping[str, NDArray[np.uint64]] | None = None
    aside: pl.DataFrame | None = None
    weight: NDArray[np.float64] | None = None
    idle: tuple[str, ...] = ()
    opened: dict[Purpose, frozenset[str]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def task(self) -> TargetKind:
        """Regression or classification."""
        return self.manifest.task

    @property
    def weighted(self) -> bool:
        """Whether rows count by a weight; it is known of a sealed corpus too, whose weights are not."""
        return self.manifest.weight is not None

    @property
    def missing(self) -> Mapping[str, int]:
        """By feature, how many of its values are missing; known of a corpus without rows too."""
        found: Mapping[str, int] = self.manifest.facts.get(MISSING, {})
        return found

    def weights(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64] | None:
        """How much some rows count, float64 ``[rows]``, in their order; all rows by default. None: all alike."""
        return self.weight if self.weight is None or rows is None else self.weight[rows]

    def targets(self, purpose: Purpose, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Targets of some rows, in their order; of all rows by default. That they were read is written down.

        Args:
            purpose: Why they are read. Training rows are no purpose: ``train_view`` hands them out.
            rows: Row numbers.

        Returns:
            float64 of shape ``[rows]`` for regression, ``[rows, outputs]`` of several targets, str for classification.
        """
        known = self.opened.get(purpose, frozenset())
        if len(known) < len(self.manifest.groups):
            names = self.groups if rows is None else self.groups.gather(rows)
            self.opened[purpose] = known | frozenset(names.unique().to_list())
        return self.truth.at(rows, purpose)

    def by_output(self) -> tuple[Corpus, ...]:
        """This corpus with each of its targets alone, in order: for whoever looks at one; itself where there is one."""
        names = self.manifest.outputs
        return tuple(
            replace(self, truth=Alone(self.truth, place), manifest=replace(self.manifest, target=name, outputs=()))
            for place, name in enumerate(names)
        ) or (self,)

    def train_view(self, rows: NDArray[np.int64], validation: TrainView | None = None) -> TrainView:
        """Rows to learn from, copied out of the corpus."""
        target = self.truth.at(rows, "train")
        return TrainView(
            features=self.features[rows],
            # Text is as wide as the longest label at hand: the width of a held-out one must not show.
            target=target if self.task == "regression" else np.array(target.tolist(), dtype=str),
            groups=self.groups.gather(rows).to_numpy().astype(str),
            task=self.task,
            validation=validation,
            weight=self.weights(rows),
            target_name=self.manifest.target,
        )

    def validation_view(self, groups: Iterable[str]) -> TrainView:
        """Rows to stop or choose by: no verdict sees them, and that they were read is written down."""
        rows = self.rows_of(groups)
        self.targets("validation", rows)
        return self.train_view(rows)

    def features_view(self, rows: NDArray[np.int64]) -> FeaturesView:
        """Rows to predict, without targets."""
        return FeaturesView(self.features[rows])

    def sealed(self) -> Corpus:
        """This corpus without its targets, for code that must not see them; a weight may tell one, so it has none."""
        return replace(self, truth=Sealed(), weight=None, opened={})

    def unopened(self) -> Corpus:
        """This corpus, of whose targets nobody has read any yet."""
        return replace(self, truth=self.truth.unopened(), opened={})

    def locked_groups(self) -> frozenset[str]:
        """Groups with rows that nobody may train on."""
        locked = self.truth.locked()
        return frozenset() if locked is None else frozenset(self.groups.filter(pl.Series(locked)).unique().to_list())

    def rows_of(self, groups: Iterable[str]) -> NDArray[np.int64]:
        """Row numbers of the samples in any of these groups, ascending; the cost is that of those rows."""
        number, order, starts = self._places
        wanted = {number[name] for name in groups if name in number}
        parts = [order[starts[place] : starts[place + 1]] for place in wanted]
        return np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)

    def rows_but(self, groups: Iterable[str]) -> NDArray[np.int64]:
        """Row numbers of the samples in all other groups, ascending."""
        rest = np.ones(len(self.groups), dtype=bool)
        rest[self.rows_of(groups)] = False
        return np.flatnonzero(rest)

    @functools.cached_property
    def _places(self) -> tuple[dict[str, int], NDArray[np.int64], NDArray[np.int64]]:
        """A number for each group, all rows by group, and where each group begins among them.

        Whole rows of names are compared once, not once a fold.
        """
        names = self.groups.unique(maintain_order=True)
        codes = self.groups.replace_strict(names, np.arange(len(names)), return_dtype=pl.Int64).to_numpy()
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
        return {name: number for number, name in enumerate(names)}, order, starts
