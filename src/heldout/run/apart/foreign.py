"""Backbones of which some code is foreign: fitted and asked one by one, each in a fresh process that is shut in.

Foreign is whatever is neither heldout's own nor of scikit-learn, XGBoost, LightGBM or CatBoost. Such a process is given
a train view, or a stored model and features; it sees no corpus, no run and no other fold, and nothing that it leaves
behind is found by the next one. What is judged is what the stored model answers there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from heldout import errors
from heldout.backbone import Backbone, ClassScores, FeaturesView, FitJob, FloatArray
from heldout.backbone.beside.base import BesideBackbone
from heldout.backbone.code import files_of
from heldout.backbone.estimators import is_known
from heldout.corpus import Corpus, Sealed
from heldout.engine.apart import Answered, Shown, asked, copy_files
from heldout.errors import HeldoutError, UnitError
from heldout.evidence import plain_path
from heldout.plugins import refuse_untrusted_code
from heldout.run.apart.child import VALUES, ToAsk, ToCheck, ToFit, ToTime

_HINT = "such code is given what `fit` and `predict` are given, its sources, and installed packages; nothing else"


class ReachedError(UnitError):
    """Foreign code asked for a file that was kept from it: the corpus, or the runs."""

    code = "HO-E310"


class _SaidError(Exception):
    """What a process printed before it failed: its traceback, for the log of the unit."""


class Answer(NamedTuple):
    """What a stored model answered.

    Attributes:
        predicted: Its predictions.
        parts: Those for the same rows in two parts; None if nobody asked.
        warnings: What a reader must know.
        fence: What held the process.
    """

    predicted: FloatArray | ClassScores
    parts: FloatArray | None
    warnings: list[str]
    fence: Mapping[str, str]


@dataclass(frozen=True)
class Apart:
    """A backbone with foreign code, asked in processes of their own.

    Attributes:
        backbone: Bound to its parameters.
        hidden: What its processes may not see: the corpus, the runs.
    """

    backbone: Backbone
    hidden: tuple[Path, ...]

    def check(self, corpus: Corpus) -> None:
        """Complain about what no fold of this corpus could be fitted with."""
        with self._asked("check", ToCheck(self.backbone, _emptied(corpus))):
            pass

    def fit(self, job: FitJob, folder: Path, kept: Path | None = None, log: Path | None = None) -> None:
        """Fit one model, and put what was saved into a folder.

        Args:
            job: What to fit.
            folder: Gets what was saved.
            kept: A folder for state of the fit, which a killed one goes on with; it is this unit's alone.
            log: Gets what is printed.
        """
        kept = None if kept is None else kept.resolve()
        question, writable = ToFit(self.backbone, job, kept=kept), () if kept is None else (kept,)
        function = "heldout.run.apart.child:fit"
        with self.asked(function, question, rows=job.view.features, writable=writable, log=log) as found:
            _bring(found.out / "model", folder)

    def try_out(self, job: FitJob, folder: Path, view: FeaturesView) -> Answer:
        """Fit one model on a short budget, put it into a folder, and say what it answers from memory."""
        with self._asked("fit", ToFit(self.backbone, job, quick=True, view=view), rows=view.features) as found:
            _bring(found.out / "model", folder)
            return self._answer(found)

    def ask(self, folder: Path, view: FeaturesView, *, parts: bool = False, log: Path | None = None) -> Answer:
        """What the model in a folder answers; a log gets what is printed."""
        with self._asked("ask", ToAsk(self.backbone, view, parts), folder, view.features, log) as found:
            return self._answer(found)

    def turns(self, folder: Path, view: FeaturesView, count: int) -> list[float]:
        """Microseconds a row that the model in a folder takes, each of several times."""
        with self._asked("timed", ToTime(self.backbone, view, count), folder, view.features) as found:
            return [float(each) for each in found.document["answer"]["turns"]]

    def _answer(self, found: Answered) -> Answer:
        values, halves = array_of(found.out / VALUES), found.out / f"parts-{VALUES}"
        document = found.document["answer"]
        classes = tuple(str(each) for each in document["classes"])
        fence = {str(key): str(value) for key, value in found.document["fence"].items()}
        return Answer(
            ClassScores(classes, values) if classes else values,
            array_of(halves) if halves.exists() else None,
            [str(each) for each in document["warnings"]],
            weakened(fence) if isinstance(self.backbone, BesideBackbone) else fence,
        )

    def _asked(
        self,
        what: str,
        argument: object,
        files: Path | None = None,
        rows: pl.DataFrame | None = None,
        log: Path | None = None,
    ) -> _Asking:
        return self.asked(f"heldout.run.apart.child:{what}", argument, files=files, rows=rows, log=log)

    def asked(
        self,
        function: str,
        argument: object,
        *,
        files: Path | None = None,
        rows: pl.DataFrame | None = None,
        shown: Sequence[Path] = (),
        writable: tuple[Path, ...] = (),
        log: Path | None = None,
    ) -> _Asking:
        """Put a question to the code; files that the rows name are shown to it, and what else is given.

        Raises:
            PrerequisiteError: If a stranger's document brought the code, and nobody vouches for it.
        """
        programs: tuple[Path, ...] = ()
        if isinstance(self.backbone, BesideBackbone):
            refuse_untrusted_code(f"backbone {self.backbone.name}")
            # A folder around the data is no installation, whatever lies in its `bin`.
            around = [path.resolve() for path in self.hidden]
            programs = tuple(
                each for each in self.backbone.shown() if not any(path.is_relative_to(each) for path in around)
            )
        sources = files_of(self.backbone)
        named = [] if rows is None else list(_named_in(rows))
        open_to = Shown(
            (*sources, *named, *programs, *shown), self.hidden, tuple(sorted({*_folders(sources)})), writable
        )
        return _Asking(asked(function, argument, shown=open_to, files=files, log=log))


def weakened(fence: Mapping[str, str]) -> dict[str, str]:
    """What held a program that may be no Python: what Python itself refuses does not hold it."""
    return {key: "none" if value == "python" else value for key, value in fence.items()}


class _Asking:
    """A question whose error is raised here."""

    def __init__(self, question: Any) -> None:
        self._question = question

    def __enter__(self) -> Answered:
        found: Answered = self._question.__enter__()
        try:
            _raise(found)
        except BaseException:
            self._question.__exit__(None, None, None)
            raise
        return found

    def __exit__(self, *raised: object) -> None:
        self._question.__exit__(*raised)


def is_foreign(backbone: Backbone) -> bool:
    """Whether some of its code is neither heldout's own nor of a library that is known."""
    if isinstance(backbone, BesideBackbone):
        return True
    names = (type(backbone).__module__, *backbone.sources())
    return not all(name.partition(".")[0] == "heldout" or is_known(name) for name in names)


def _raise(found: Answered) -> None:
    """Raise what the process says went wrong, in this process' own classes."""
    error, reached = found.document.get("error"), found.document.get("reached")
    if reached:
        raise ReachedError(
            f"the model's code opens {Path(str(reached[0])).name}, where the held-out rows are, or what they gave",
            where=str(reached[0]),
            hint=_HINT,
        )
    if error is None:
        return
    what, kind = str(error["what"]), getattr(errors, str(error["kind"]), None)
    if isinstance(kind, type) and issubclass(kind, HeldoutError):
        said = _SaidError(found.words) if found.words else None
        raise kind(what, where=error.get("where"), hint=error.get("hint"), code=error.get("code")) from said
    if error.get("refused"):
        what = f"the model's code was kept from {error['refused']}"
        raise UnitError(what, where=error["refused"], hint=_HINT)
    hint = _HINT if "ermission denied" in what else "correct it, and run the study again"
    raise UnitError(what, where="the model's code", hint=hint) from _SaidError(found.words)


def _bring(source: Path, folder: Path) -> None:
    """Copy plain files out of the desk; links and devices stay."""
    folder.mkdir(parents=True, exist_ok=True)
    copy_files(source, folder)


def array_of(path: Path) -> FloatArray:
    """The numbers that such a process left.

    Raises:
        UnitError: If it left none.
    """
    if path.is_symlink() or not path.is_file():
        raise UnitError("there are no predictions", where="the model's code", hint="correct `predict`")
    return np.asarray(np.load(plain_path(path), allow_pickle=False), dtype=np.float64)


def _emptied(corpus: Corpus) -> Corpus:
    """The corpus without its rows."""
    return replace(
        corpus,
        ids=corpus.ids.clear(),
        groups=corpus.groups.clear(),
        cells=None,
        time=None,
        prints=None,
        aside=None,
        features=corpus.features.clear(),
        truth=Sealed(),
        weight=None,
    )


def _named_in(rows: pl.DataFrame) -> Iterator[Path]:
    """Files that the rows name, such as pictures: a model of them has to open them."""
    for name, dtype in rows.schema.items():
        values = rows[name].unique().drop_nulls().to_list() if dtype == pl.String else []
        if values and _is_file(values[0]):
            yield from (Path(value) for value in values if _is_file(value))


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_absolute() and Path(value).is_file()
    except (OSError, ValueError):
        return False


def _folders(sources: Sequence[Path]) -> Iterator[Path]:
    """Where Python looks for these modules: their folders, up to the outermost package's."""
    for path in sources:
        folder = path.parent
        yield folder
        while (folder / "__init__.py").exists():
            folder = folder.parent
            yield folder
