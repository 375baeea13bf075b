"""What a splitter is: a plug-in that says which groups each fold holds out.

A newcomer writes a class attribute or two and one method, and names the class as an entry point
``heldout.splitters``::

    class BySite(Splitter):
        kind = "by-site"
        Params = BySiteParams          # a frozen pydantic model on `SplitSpec`: the `split:` block of a study

        def folds(self, groups): ...   # -> Fold(id, test), in order; all other groups train

Folds are a function of the block and the groups alone: the same folds each time, whatever the order of groups.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from heldout import plugins
from heldout.corpus import Corpus, CorpusManifest, GroupRecord
from heldout.errors import CorpusError, HeldoutError, near_miss
from heldout.split.fold import Fold, Reads, Split
from heldout.study import DEFAULT_SPLITTER, FOREIGN_SPLITTER, Document, SplitSpec, validate


class Splitter(ABC):
    """One way to hold groups out. Instances hold only their parameters, and may be sent to other processes."""

    kind: ClassVar[str]
    Params: ClassVar[type[SplitSpec]]
    repeats: ClassVar[bool] = False  # True: a group may be held out by several folds, and is scored in each
    ordered: ClassVar[bool] = False  # True: each fold knows more than those before it; the last predicts what is new
    reads: ClassVar[Reads | None] = None  # what each record holds besides name, size and span

    def __init__(self, params: Any) -> None:
        """Bind the validated ``split:`` block."""
        self.params = params

    @abstractmethod
    def folds(self, groups: Sequence[GroupRecord]) -> Iterator[Fold]:
        """The folds, in order.

        Raises:
            CorpusError: If these groups cannot be held out so; its place is a key of the block, such as `split.folds`.
        """

    def sources(self) -> tuple[str, ...]:
        """Modules that decide the folds; the lock names those of the user's own by digest, as part of the rules."""
        return (type(self).__module__,)

    @property
    def column(self) -> str | None:
        """The column that it reads, which is no feature; None where it reads none."""
        return None


def load_splitter(block: Mapping[str, Any], document: Document | None = None) -> Splitter:
    """The splitter that a ``split:`` block names, bound to it.

    Args:
        block: Of a study, or of its lock, which names the code of a splitter of the user's own as well.
        document: The study, for the place of a complaint.

    Raises:
        StudyError: If there is none of that name, or the block does not fit it.
    """
    place = document or Document(Path("study"), {}, {})
    kind = str(block.get("kind", DEFAULT_SPLITTER))
    name = FOREIGN_SPLITTER if "." in kind or ":" in kind else kind
    cls: type[Splitter] = plugins.load("splitters", name, where=place.where(("split", "kind")))
    told = {key: value for key, value in block.items() if key != "code" or document is not None}
    return cls(validate(cls.Params, told, place, ("split",)))


def split_corpus(splitter: Splitter, corpus: Corpus | CorpusManifest) -> Split:
    """The folds of a corpus; its manifest is enough for a splitter that reads nothing else.

    Raises:
        CorpusError: If it cannot be split so.
    """
    if isinstance(corpus, CorpusManifest):
        return split_groups(splitter, corpus.groups)
    match splitter.reads:
        case "targets":
            if corpus.manifest.outputs:
                raise CorpusError(
                    f"{splitter.params.kind} reads one target, and the corpus has {len(corpus.manifest.outputs)}",
                    where="split.kind",
                    hint="choose a split that reads none, such as `split: {kind: group-k-fold}`",
                )
            return split_groups(splitter, with_targets(corpus.manifest.groups, corpus.groups, corpus.targets("split")))
        case "column":
            return split_groups(splitter, _with_levels(splitter, corpus))
        case None:
            return split_groups(splitter, corpus.manifest.groups)


def split_groups(splitter: Splitter, groups: Sequence[GroupRecord]) -> Split:
    """The folds of some groups, checked."""
    names = tuple(sorted(group.id for group in groups))
    if len(names) < 2:
        raise CorpusError(
            f"{len(names)} groups cannot be split into training and test",
            where="split",
            hint="add groups, or name a finer group column",
        )
    kind, facts = str(splitter.params.kind), {"repeats": splitter.repeats, "ordered": splitter.ordered}
    found, again = _asked(splitter, groups), _asked(splitter, groups)
    if found != again:
        raise CorpusError(
            f"{kind} gives other folds each time",
            where="split",
            hint="seed what is drawn, such as `params: {random_state: 0}`: a split that changes cannot be verified",
        )
    return Split(kind, found, names, **facts, reads=splitter.reads)


def _asked(splitter: Splitter, groups: Sequence[GroupRecord]) -> tuple[Fold, ...]:
    """The folds, each part sorted.

    Raises:
        CorpusError: If there is none, or code of somebody else fails.
    """
    try:
        found = tuple(
            Fold(fold.id, *(tuple(sorted(part)) for part in (fold.test, fold.val, fold.exceptions)))
            for fold in splitter.folds(groups)
        )
    except (HeldoutError, KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # one that calls `exit`, too
        raise CorpusError(
            f"{splitter.params.kind} cannot split {len(groups)} groups: {type(error).__name__}: {error}",
            where="split",
            hint="correct the splitter, or what it is given",
        ) from error
    if not found or not all(isinstance(fold.id, str) for fold in found):
        what = "gives no fold" if not found else "gives folds whose names are no texts"
        raise CorpusError(f"{splitter.params.kind} {what}", where="split", hint="yield Fold(id, test) at least once")
    return found


def with_targets(groups: Sequence[GroupRecord], names: pl.Series, target: Any) -> list[GroupRecord]:
    """The groups with their targets, sorted: the order of rows says nothing.

    Args:
        groups: Of a corpus.
        names: Group of each row.
        target: Target of each row.
    """
    table = pl.DataFrame({"group": names, "target": pl.Series(target)}).sort("group", "target")
    found = {str(key[0]): part["target"].to_numpy() for key, part in table.partition_by("group", as_dict=True).items()}
    return [replace(group, targets=found.get(group.id, np.zeros(0))) for group in groups]


def _with_levels(splitter: Splitter, corpus: Corpus) -> list[GroupRecord]:
    name, aside = str(splitter.column), corpus.aside
    if aside is None or name not in aside.columns:
        raise CorpusError(
            f"the corpus has no column {name!r}",
            where="split.column",
            hint=near_miss(name, [] if aside is None else aside.columns, "its columns that are no features"),
        )
    levels = aside[name].cast(pl.String)
    if levels.is_null().any() or (levels.str.strip_chars() == "").any():
        raise CorpusError(
            f"the column {name!r} does not say of every row where it belongs",
            where="split.column",
            hint="write a part or the name of a fold into each row",
        )
    table = pl.DataFrame({"group": corpus.groups, "level": levels}).unique().sort("group", "level")
    found: dict[str, list[str]] = {}
    for group, level in table.iter_rows():
        found.setdefault(group, []).append(level)
    return [replace(group, levels=tuple(found.get(group.id, ()))) for group in corpus.manifest.groups]
