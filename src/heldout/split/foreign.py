"""Splitters that others wrote: any class with scikit-learn's ``split(X, y, groups)``, by its import path.

It is asked about groups as if each were one sample, so it cannot put a group on both sides of a fold; what it answers
is checked all the same, and asked for twice.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import islice
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from heldout.corpus import GroupRecord
from heldout.errors import CorpusError, HeldoutError, PrerequisiteError, StudyError
from heldout.plugins import refuse_uninstalled, refuse_untrusted
from heldout.split.fold import Fold, Reads
from heldout.split.splitter import Splitter
from heldout.study import SplitSpec

_MOST_FOLDS = 100_000
_UNEVEN = 10  # times that a group may be held out more often than another: each time its rows count
_OF_SKLEARN = "sklearn.model_selection"
Places = tuple[NDArray[np.int64], NDArray[np.int64]]


class ForeignParams(SplitSpec):
    """The `split:` block of a class."""

    kind: str = Field(
        pattern=r"^[A-Za-z_][\w.]*[.:][A-Za-z_]\w*$",
        description="import path of the class, such as sklearn.model_selection.GroupShuffleSplit or my_code:BySite",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="the class's own arguments")


class ForeignSplitter(Splitter):
    """Asks a class: ``X`` holds the sizes of the groups, ``y`` the commonest class or the mean target, in order.

    Groups are in order of time where all of them have times, else of their names.
    """

    kind: ClassVar[str] = "class"
    Params = ForeignParams
    params: ForeignParams
    repeats: ClassVar[bool] = True
    reads: ClassVar[Reads | None] = "targets"

    def sources(self) -> tuple[str, ...]:
        """The module of the class."""
        return (self._path[0],)

    @property
    def _path(self) -> tuple[str, str]:
        """Module and name of the class."""
        module, _, name = self.params.kind.replace(":", ".").rpartition(".")
        return module, name

    def folds(self, groups: Sequence[GroupRecord]) -> Iterator[Fold]:
        """Those that the class answers, numbered."""
        ordered = sorted(groups, key=_place)
        found = self._asked(ordered)
        times = np.bincount(np.concatenate([test for test, _ in found]))
        often, seldom = int(times.max()), int(times[times > 0].min())
        if often > _UNEVEN * seldom:
            raise CorpusError(
                f"{self.params.kind} holds the group {ordered[int(times.argmax())].id!r} out {often} times and others "
                f"{seldom} times: its rows would count so much more",
                where="split",
                hint="hold groups out about equally often, as `kind: repeated` does",
            )
        width = len(str(len(found) - 1))
        for number, (test, rest) in enumerate(found):
            yield Fold(f"fold{number:0{width}d}", _names(ordered, test), exceptions=_names(ordered, rest))

    def _asked(self, groups: Sequence[GroupRecord]) -> list[Places]:
        """Of each fold the groups that it tests and those that it leaves out, as numbers, ascending."""
        sizes = np.array([[float(group.samples)] for group in groups])
        labels = np.array([_label(group) for group in groups])
        names = np.array([group.id for group in groups])
        splitter, found = self._made(), []
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The groups parameter is ignored")  # each sample is a group
                for number, (train, test) in enumerate(islice(splitter.split(sizes, labels, names), _MOST_FOLDS + 1)):
                    found.append(self._checked(number, np.asarray(train), np.asarray(test), len(groups)))
        except (HeldoutError, KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:  # one that calls `exit`, too
            raise CorpusError(
                f"{self.params.kind} cannot split {len(groups)} groups: {type(error).__name__}: {error}",
                where="split",
                hint="change its `params`; `kind: stratified-group-k-fold` balances classes, and bins of a number",
            ) from error
        if not 0 < len(found) <= _MOST_FOLDS:
            count = f"more than {_MOST_FOLDS}" if found else "no"
            raise CorpusError(f"{self.params.kind} gives {count} folds", where="split", hint="change its `params`")
        return found

    def _checked(self, number: int, train: NDArray[Any], test: NDArray[Any], groups: int) -> Places:
        wrong, seen = None, np.zeros(groups, dtype=np.int64)
        for name, part in (("training", train), ("test", test)):
            if part.ndim != 1 or not len(part):
                wrong = f"has no {name} groups"
            elif part.dtype.kind not in "iu" or part.min() < 0 or part.max() >= groups:
                wrong = f"names {name} groups that are none"
            else:
                times = np.bincount(part, minlength=groups)
                wrong = f"names a {name} group twice" if times.max() > 1 else wrong
                seen += times
            if wrong is not None:
                break
        if wrong is not None or seen.max() > 1:
            raise CorpusError(
                f"fold {number} of {self.params.kind} {wrong or 'has a group on both sides'}",
                where="split",
                hint="`split` yields numbers of the groups that train, and of others that are tested",
            )
        return np.sort(test), np.flatnonzero(seen == 0)

    def _made(self) -> Any:
        """An instance of the class.

        Raises:
            PrerequisiteError: If it cannot be imported, or is a stranger's while documents are read.
            StudyError: If there is none of that name, or it does not take these arguments.
        """
        path, (module, name) = self.params.kind, self._path
        if module != _OF_SKLEARN:  # any other class may do anything with arguments that a sender chose
            refuse_untrusted(module)
        refuse_uninstalled(module)
        try:
            cls = getattr(import_module(module), name)
        except AttributeError:
            raise _no_splitter(path, f"there is no {name!r} in {module!r}") from None
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:  # noqa: BLE001 - one that calls `exit` as it is imported, too
            raise PrerequisiteError(
                f"cannot import {path!r}: {type(error).__name__}: {error}",
                where="split.kind",
                hint="install its package, or correct the path",
            ) from None
        if not inspect.isclass(cls) or not callable(getattr(cls, "split", None)):
            raise _no_splitter(path, f"{path!r} is no splitter")
        try:
            return cls(**self.params.params)
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:  # noqa: BLE001 - one that calls `exit`, too
            hint = "give the arguments that the class takes"
            raise StudyError(f"{path} refuses its arguments: {error}", where="split.params", hint=hint) from None


def _no_splitter(path: str, what: str) -> StudyError:
    hint = "name a class with `split(X, y, groups)`, such as sklearn.model_selection.GroupShuffleSplit"
    return StudyError(what, where="split.kind", hint=hint)


def _place(group: GroupRecord) -> tuple[float, str]:
    return (0.0 if group.span is None else group.span.ticks[0], group.id)


def _label(group: GroupRecord) -> str | float:
    """The commonest class, the first by name of several; or the mean target."""
    if np.asarray(group.targets).dtype.kind == "f":
        return float(np.mean(group.targets))
    counts = group.counts
    return min(counts, key=lambda name: (-counts[name], name))


def _names(groups: Sequence[GroupRecord], places: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(sorted(groups[place].id for place in places.tolist()))
