"""Backbones whose code lies beside the study, not in an installed package.

The code is read once, when the study is: its files are part of what identifies a fit, they are put into the folder
where it runs, and they are stored with each model, so that a run can be verified, served and trained again where the
study is not. It is foreign code: fitted and asked in processes of its own, and of a stranger's run only with
``--trust-code``.
"""

from __future__ import annotations

import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, Field

from heldout.backbone.beside.carried import Carried, read, written
from heldout.backbone.estimators import distributions_of
from heldout.backbone.protocol import Backbone, Contract, WeightedParams
from heldout.corpus import TargetKind, TrainView
from heldout.documents.names import CODE_FILE
from heldout.errors import PrerequisiteError, StudyError, UnitError
from heldout.evidence import write_bytes

MODEL = "model"
_PACKAGES = ("numpy", "polars")


class BesideParams(WeightedParams):
    """Keys that both kinds of code beside a study have."""

    params: dict[str, Any] = Field(default_factory=dict, description="arguments of your code's own")
    code: list[str] = Field(
        default_factory=list,
        description="files and folders beside the study that the code is made of; what the study names already, and "
        "modules beside it that Python imports, come along without",
    )
    features: list[str] | None = Field(None, min_length=1, description="feature columns to use; null: all")
    deterministic: bool = Field(True, description="false: equal fits may differ, and a model may answer otherwise")
    quick: dict[str, Any] = Field(
        default_factory=dict, exclude=True, description="params of short fits, for the checks before the real ones"
    )


class Learnt(NamedTuple):
    """What was fitted.

    Attributes:
        place: A folder with what it consists of, or the object itself.
        code: What it is asked with.
        task: Kind of target that was learnt.
        seed: That it was fitted with.
    """

    place: Any
    code: Carried
    task: TargetKind
    seed: int


class BesideBackbone(Backbone):
    """Code beside a study; a subclass says which files it is made of, and how it is fitted and asked.

    Attributes:
        code: The files; empty where only the parameters are known, as of a lock.
    """

    contract: ClassVar[Contract] = Contract(
        tasks=("regression", "classification"), files=(CODE_FILE, f"{MODEL}/"), weights=True, missing=True
    )
    params: Any

    def __init__(self, params: BaseModel, code: Carried | None = None) -> None:
        """Bind the block, and the code if it is at hand."""
        super().__init__(params)
        self.code = code or Carried()

    @abstractmethod
    def gathered(self, folder: Path) -> Carried:
        """The code that the parameters name, as it lies beside the study.

        Raises:
            StudyError: If it is not there; the place is a key of the block.
        """

    def bound(self, folder: Path) -> Self:
        """This backbone with its code, from the folder of the study."""
        return type(self)(self.params, self.gathered(folder))

    def renewed(self, params: BaseModel) -> Self:
        """The same code under other parameters."""
        return type(self)(params, self.code)

    def of_model(self, folder: Path) -> Self:
        """This backbone with the code that is stored with a model."""
        return type(self)(self.params, read(folder / CODE_FILE)[0])

    @property
    def deterministic(self) -> bool:  # type: ignore[override]
        """As the study says."""
        return bool(self.params.deterministic)

    def quick(self) -> Self:
        """With the parameters of short fits, where the study names some."""
        return self.renewed(self.params.model_copy(update={"params": self.params.params | self.params.quick}))

    def packages(self) -> tuple[str, ...]:
        """Installed distributions of what the code imports."""
        found = {each for module in self.code.top_level() for each in distributions_of(module)}
        return (*_PACKAGES, *sorted(found - {*_PACKAGES}))

    def carries(self) -> Mapping[str, str]:
        """Sha256 of each file of its code."""
        return self.code.digests

    def shown(self) -> tuple[Path, ...]:
        """Places outside of Python that its processes must read, such as other programs."""
        return ()

    def select(self, features: Any) -> Any:
        """The columns that the study wants."""
        names = self.params.features
        missing = [] if names is None else [name for name in names if name not in features.columns]
        if missing:
            what, hint = f"the corpus has no feature {missing[0]!r}", f"its features: {', '.join(features.columns)}"
            raise StudyError(what, where="fit.features", hint=hint)
        return features if names is None else features.select(names)

    def learnt(self, place: Any, view: TrainView, seed: int) -> Learnt:
        """What was fitted on a view, with its code."""
        return Learnt(place, self.code, view.task, seed if self.seeded else 0)

    @contextmanager
    def room(self, code: Carried) -> Iterator[Path]:
        """A folder with the code in it, for as long as the block lasts.

        Raises:
            PrerequisiteError: If the code is not at hand.
        """
        if not code.files:
            hint = "bind the backbone to the folder of its study, or to a stored model, which has its code"
            raise PrerequisiteError("the code is not at hand", where=f"backbone {self.name}", hint=hint)
        with tempfile.TemporaryDirectory(prefix="heldout-code-", ignore_cleanup_errors=True) as name:
            yield code.unpack(Path(name).resolve() / "code")

    def store(self, model: Learnt, folder: Path) -> Path:
        """Write the code beside a model that is about to be saved; the folder for the model itself."""
        write_bytes(folder / CODE_FILE, written(model.code, model.task, model.seed))
        target = folder / MODEL
        target.mkdir(parents=True)
        return target

    def stored(self, folder: Path) -> Learnt:
        """What a folder holds: code, and where the model lies."""
        code, document = read(folder / CODE_FILE)
        return Learnt(folder / MODEL, code, document.task, document.seed)


def copy_plain(source: Path, target: Path) -> None:
    """Copy a tree of plain files.

    Raises:
        UnitError: If there is nothing, or a link, a pipe or a device.
    """
    count = 0
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            hint = "leave plain files and folders behind: a model is moved and kept by them"
            raise UnitError("the model holds something that is no plain file", where=path.name, hint=hint)
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            count += 1
    if not count:
        raise UnitError("the fit left no model", where=source.name, hint="write it to the place that it is given")
