"""What the shut-in process does: check, fit or ask a backbone, and leave a document and files."""

from __future__ import annotations

import os
import pickle
import re
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from heldout.backbone import Backbone, ClassScores, FeaturesView, FitJob
from heldout.corpus import Corpus
from heldout.engine.apart import QUESTION
from heldout.engine.fence import hides
from heldout.engine.zygote import ANSWER
from heldout.errors import HeldoutError
from heldout.evidence import dumps, read_plain
from heldout.evidence.machine import machine_error

VALUES = "values.npy"
_REFUSED = ("ermission denied", "os error 13", "o such file", "os error 2")


@dataclass(frozen=True)
class ToCheck:
    """Whether a backbone could learn from a corpus; of which only names and kinds of columns are shown."""

    backbone: Backbone
    corpus: Corpus


@dataclass(frozen=True)
class ToFit:
    """One model to fit and save.

    Attributes:
        backbone: As the study declares it.
        job: What to fit.
        quick: On a short budget.
        view: Rows to answer from memory, after the fit; None asks for none.
        kept: A folder for state that a killed fit goes on with; None keeps none.
    """

    backbone: Backbone
    job: FitJob
    quick: bool = False
    view: FeaturesView | None = None
    kept: Path | None = None


@dataclass(frozen=True)
class ToAsk:
    """A stored model to ask for these rows: all together, then, where it says so, in two parts."""

    backbone: Backbone
    view: FeaturesView
    parts: bool = False


@dataclass(frozen=True)
class ToTime:
    """A stored model to ask for these rows so many times."""

    backbone: Backbone
    view: FeaturesView
    turns: int


def check(question: Mapping[str, Any], fence: Mapping[str, str]) -> None:
    """Let a backbone complain about parameters and columns."""

    def work(asked: ToCheck) -> dict[str, object]:
        asked.backbone.check(asked.corpus)
        return {"deterministic": bool(asked.backbone.deterministic)}

    do(work, question, fence)


def fit(question: Mapping[str, Any], fence: Mapping[str, str]) -> None:
    """Fit one model, and save it."""

    def work(asked: ToFit) -> dict[str, object]:
        backbone = asked.backbone.quick() if asked.quick else asked.backbone
        scratch, out = asked.kept or Path("scratch").resolve(), Path(question["desk"]) / "out" / "model"
        out.mkdir()
        with warnings.catch_warnings():
            if asked.quick:
                warnings.simplefilter("ignore")  # of a short budget; the fits themselves say theirs
            ((_, model),) = backbone.fit_many([asked.job], scratch)
        backbone.save(model, out)
        if asked.view is None:
            return {}
        return _answer(backbone, model, asked.view, out.parent)

    do(work, question, fence)


def ask(question: Mapping[str, Any], fence: Mapping[str, str]) -> None:
    """Load a stored model, and write down what it answers."""

    def work(asked: ToAsk) -> dict[str, object]:
        out, backbone = Path(question["desk"]) / "out", asked.backbone
        model = backbone.load(Path(question["desk"]) / "in")
        found = _answer(backbone, model, asked.view, out)
        if asked.parts and asked.view.features.height > 1:
            middle = asked.view.features.height // 2
            halves = (asked.view.features[middle:], asked.view.features[:middle])
            last, first = (numbers_of(backbone.predict(model, FeaturesView(half))) for half in halves)
            np.save(out / f"parts-{VALUES}", np.concatenate([first, last]), allow_pickle=False)
        return found

    do(work, question, fence)


def timed(question: Mapping[str, Any], fence: Mapping[str, str]) -> None:
    """Load a stored model, and say how long it takes to answer."""

    def work(asked: ToTime) -> dict[str, object]:
        model = asked.backbone.load(Path(question["desk"]) / "in")
        return {"turns": turns_of(partial(asked.backbone.predict, model), asked.view, asked.turns)}

    do(work, question, fence)


def turns_of(predict: Callable[[FeaturesView], Any], view: FeaturesView, count: int) -> list[float]:
    """Microseconds a row, of each of several turns of predicting all rows, after one that does not count."""
    predict(view)
    turns = []
    for _ in range(count):
        start = time.perf_counter()
        predict(view)
        turns.append((time.perf_counter() - start) / view.features.height * 1e6)
    return turns


def _answer(backbone: Backbone, model: Any, view: FeaturesView, out: Path) -> dict[str, object]:
    predicted = backbone.predict(model, view)
    np.save(out / VALUES, numbers_of(predicted), allow_pickle=False)
    return {
        "classes": [str(each) for each in predicted.classes] if isinstance(predicted, ClassScores) else [],
        "warnings": [str(each) for each in backbone.warnings(view, model)],
    }


def numbers_of(predicted: Any) -> Any:
    """Numbers or probabilities, as one array."""
    return np.asarray(predicted.probability if isinstance(predicted, ClassScores) else predicted, dtype=np.float64)


def do(work: Callable[[Any], Mapping[str, object]], question: Mapping[str, Any], fence: Mapping[str, str]) -> None:
    """Do the work, and leave its answer or its error with the hidden files that Python was asked to open."""
    shown = [*question["readable"], *question["writable"]]
    desk, reached = Path(question["desk"]), _Reached(question["hidden"], str(question["asker"]), shown)
    sys.addaudithook(reached)
    document: dict[str, object]
    try:
        document = {"answer": work(pickle.loads(read_plain(desk / "in" / QUESTION)))}  # noqa: S301 - of the parent
    except HeldoutError as error:
        reached.from_words(f"{error.what}\n{getattr(error, 'words', '')}")
        parts = {"what": error.what, "where": error.where, "hint": error.hint, "code": error.code}
        kind = next(each.__name__ for each in type(error).__mro__ if each.__module__ == HeldoutError.__module__)
        document = {"error": parts | {"kind": kind}}
    except Exception as error:  # noqa: BLE001 - told to the parent, as any failure
        import traceback

        traceback.print_exc()
        reached.from_words(str(error))
        machine = machine_error(error)
        refused = str(error.filename) if isinstance(error, PermissionError) and error.filename else None
        document = {"error": {"what": f"{type(error).__name__}: {error}", "kind": "", "refused": refused}}
        if machine is not None:
            document = {"error": {"what": machine.what, "hint": machine.hint, "kind": type(machine).__name__}}
    document |= {"reached": sorted(reached.found), "fence": dict(fence)}
    (desk / "out" / ANSWER).write_bytes(dumps(document))


class _Reached:
    """An audit hook that notes which hidden files were asked for; a process that hides it is refused all the same."""

    def __init__(self, hidden: Sequence[str], asker: str, shown: Sequence[str] = ()) -> None:
        self._hidden = [os.path.realpath(path) for path in hidden]
        self._shown = [os.path.realpath(path) for path in shown]
        self._asker = asker  # where a relative path would lead, if this process were there
        self.found: set[str] = set()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.listdir") or not isinstance(arguments[0], str | os.PathLike):
            return
        for base in ("", self._asker):
            real = os.path.realpath(os.path.join(base, arguments[0]))  # noqa: PTH118 - of whatever kind it is
            hider = hides(real, self._hidden, self._shown)
            self.found.update([hider] if hider else [])

    def from_words(self, said: str) -> None:
        """Libraries that open files past Python name the file that they were refused."""
        if any(words in said for words in _REFUSED):
            self.found.update(each for each in self._hidden if each in said or _names(said, Path(each).name))


def _names(said: str, name: str) -> bool:
    """Whether a sentence names a file; a folder may be called `s`, and so may be the end of a word."""
    return re.search(rf"(?<![\w.-])(?<!\w['’]){re.escape(name)}(?![\w-])", said) is not None
