"""What a task is: which targets it takes, which metrics every contender gets, and who else knows nothing.

A corpus says what its targets are, numbers or classes; a task says how predictions of them are scored. Without one that
the study names, numbers are a ``regression`` and classes a ``classification``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from heldout import plugins
from heldout.backbone import FloatArray
from heldout.backbone.probabilities import why_not_probabilities
from heldout.corpus import TargetKind
from heldout.errors import InputError, StudyError
from heldout.task.classification import CLASSIFICATION as OF_CLASSES
from heldout.task.regression import REGRESSION as OF_NUMBERS
from heldout.task.trivial import ALWAYS, NAMES, QUANTILE, Answer

# A contender that knows nothing but the targets of the training rows: called with those that count, sorted (numbers; or
# class numbers), their weights (None: all count alike) and the names of the classes, it answers one number, or a
# probability for each class.
Guess = Callable[[NDArray[Any], FloatArray | None, tuple[str, ...]], float | FloatArray]


@dataclass(frozen=True)
class Task:
    """How predictions of one kind of target are scored. A plug-in offers an instance under ``heldout.tasks``.

    Attributes:
        name: What a study says as ``task:``.
        kind: What its targets are: ``regression``, a number a row; ``classification``, a class a row.
        metrics: Names of what is computed of every contender; the first is the primary one. Each is a built-in metric
            or one that a distribution offers under ``heldout.metrics``.
        guesses: Contenders that know nothing, by what they answer, such as "the geometric mean": they are judged
            besides those of its kind, and a gate that one of them passes is HOLD. What is best of all that know nothing
            by the task's own metrics belongs here.
        wants: What a target must be, in words that follow "wants": "a length of life above 0".
        takes: Which targets are such, bool ``[rows]``; None takes all.
    """

    name: str
    kind: TargetKind
    metrics: tuple[str, ...]
    guesses: Mapping[str, Guess] = field(default_factory=dict)
    wants: str = ""
    takes: Callable[[NDArray[Any]], NDArray[np.bool_]] | None = None

    def refused(self, target: NDArray[Any]) -> int | None:
        """The first row whose target is none of this task; None if there is no such row.

        Raises:
            InputError: If `takes` answers something else than a truth value a row.
        """
        if self.takes is None:
            return None
        taken = np.asarray(_asked(self.takes, f"task {self.name!r}: `takes`", target.copy()))
        if taken.shape != target.shape or taken.dtype != bool:
            raise InputError(
                f"task {self.name!r}: `takes` answers {taken.dtype} {list(taken.shape)} of {len(target)} targets",
                where="task",
                hint="let it answer True or False for each",
            )
        return None if taken.all() else int(np.argmin(taken))

    def answers(self) -> dict[str, Answer]:
        """Its contenders that know nothing, by name, as functions whose answer is one of this kind of target."""
        return {name: _Guarded(f"task {self.name!r}: {name!r}", guess).answer for name, guess in self.guesses.items()}


REGRESSION = Task("regression", "regression", tuple(each.name for each in OF_NUMBERS))
CLASSIFICATION = Task("classification", "classification", tuple(each.name for each in OF_CLASSES))
BUILT_IN = {each.name: each for each in (REGRESSION, CLASSIFICATION)}


def named_task(name: str, *, where: str | None = None) -> Task:
    """The task of this name.

    Raises:
        StudyError: If there is none, or what a plug-in offers under it is no task.
        PrerequisiteError: If it cannot be imported.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    found = plugins.load("tasks", name, where=where)
    wrong = why_no_task(name, found)
    if wrong is not None:
        raise StudyError(f"the plug-in {name!r} is no task: {wrong}", where=where, hint="correct its `Task`")
    assert isinstance(found, Task)
    return found


def why_no_task(name: str, found: object) -> str | None:
    """Why what was imported is no task of this name; None if it is one. Its metrics are not asked for."""
    if not isinstance(found, Task):
        return "it is no heldout.task.Task"
    if found.name != name:
        return f"its own name is {found.name!r}"
    if found.kind not in get_args(TargetKind):
        return f"`kind` is {found.kind!r}, not {' or '.join(get_args(TargetKind))}"
    if not found.metrics:
        return "`metrics` names none, so nothing could be compared"
    if (found.takes is None) != (not found.wants):
        return "`takes` and `wants` are said together, or neither is"
    for guess in found.guesses:
        if guess in NAMES[found.kind] or guess.startswith((ALWAYS, QUANTILE)):
            return f"{guess!r} is the name of a contender of every {found.kind}"
    return None


class _Guarded:
    """Somebody else's contender as it is asked here: it gets copies, and answers what can be scored."""

    def __init__(self, who: str, guess: Guess) -> None:
        self._who, self._guess = who, guess

    def answer(self, truth: NDArray[Any], weight: FloatArray | None, classes: tuple[str, ...]) -> FloatArray:
        """One number ``[1]``, or a probability for each class."""
        weight = None if weight is None else weight.copy()
        answered = _asked(self._guess, self._who, truth.copy(), weight, classes)
        try:
            found = np.atleast_1d(np.asarray(answered, dtype=np.float64))
        except (TypeError, ValueError):
            found = np.zeros(0)
        wanted = len(classes) or 1
        wrong = None if found.shape == (wanted,) else f"it answers {answered!r}, not {_words(classes)}"
        if wrong is None and classes:
            wrong = why_not_probabilities(found[None], classes)
        elif wrong is None and not np.isfinite(found).all():
            wrong = f"it answers {found[0]}"
        if wrong is not None:
            raise InputError(
                f"{self._who}: {wrong}",
                where=f"task, {len(truth)} training rows",
                hint=f"let it answer {_words(classes)}; run the study again, no fit is lost",
            )
        return found


def _words(classes: tuple[str, ...]) -> str:
    return f"{len(classes)} probabilities" if classes else "one finite number"


def _asked(function: Callable[..., Any], who: str, *arguments: Any) -> Any:
    """What a function of a plug-in answers.

    Raises:
        InputError: If it raises anything but an interruption.
    """
    try:
        return function(*arguments)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # one that calls `exit`, too
        raise InputError(
            f"{who} failed: {type(error).__name__}: {error}",
            where="task",
            hint="correct the function; run the study again, no fit is lost",
        ) from error
