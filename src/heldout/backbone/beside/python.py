"""Any object with ``fit`` and ``predict``, made by a function or class beside the study: ``factory: model.py:make``.

It needs no scikit-learn. How it is stored is its own business if it has ``save(folder)`` and ``load(folder)``; else
skops must be able to hold it, which holds no pickle. Both are looked at before anything is fitted.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from heldout.backbone.beside.base import BesideBackbone, BesideParams, Learnt
from heldout.backbone.beside.carried import Carried, gather
from heldout.backbone.protocol import ClassScores, FloatArray
from heldout.corpus import Corpus, FeaturesView, TrainView
from heldout.errors import HeldoutError, PrerequisiteError, StudyError, UnitError

_SEEDS = ("seed", "random_state")
_ARCHIVE = "state.skops"
_WAYS = "give it `save(folder)` and `load(folder)`, or keep its state in numbers, text, arrays, lists and dicts"


class PythonParams(BesideParams):
    """The `fit:` block of code in Python beside the study."""

    factory: str = Field(description="file:name of a function or class beside the study, such as model.py:make")
    rows: Literal["numpy", "polars", "pandas"] = Field(
        "numpy", description="what `fit` and `predict` are given: a float64 matrix, or a frame with names"
    )
    seed: str | None = Field(None, description="argument that takes the seed; null: `seed` or `random_state`")

    @field_validator("factory")
    @classmethod
    def _file_and_name(cls, value: str) -> str:
        file, colon, name = value.rpartition(":")
        if not colon or not file.endswith(".py") or not name.isidentifier():
            raise ValueError("write the file and the name in it, such as model.py:make")
        return value

    @property
    def file(self) -> str:
        """The file of the factory."""
        return PurePosixPath(self.factory.rpartition(":")[0]).as_posix()

    @property
    def name(self) -> str:
        """Its name in the file."""
        return self.factory.rpartition(":")[2]


class PythonBackbone(BesideBackbone):
    """Wraps whatever the factory makes."""

    name: ClassVar[str] = "python"
    Params = PythonParams
    params: PythonParams

    def gathered(self, folder: Path) -> Carried:
        """The file of the factory, what it imports from beside it, and what the study names."""
        gather(folder, [self.params.file], where="fit.factory")
        named = (self.params.file, *self.params.code)
        return gather(folder, named, where="fit.code", python=[self.params.file])

    @property
    def seeded(self) -> bool:  # type: ignore[override]
        """Whether the factory takes a seed: read from its source, since nothing of it runs here."""
        return _seed_name(self.code, self.params) is not None

    def fit(self, view: TrainView, seed: int, workdir: Path) -> Learnt:
        """Make an object and let it fit; it is handed weights, groups and validation rows if `fit` names them."""
        view = self.params.counted(view)
        model = self._made(self.code, seed)
        found = model.fit(self._rows(view.features), view.target, **self._extra(model, view))
        return self.learnt(found if hasattr(found, "predict") else model, view, seed)

    def predict(self, model: Learnt, view: FeaturesView) -> FloatArray | ClassScores:
        """Numbers of `predict`, or for classes probabilities of `predict_proba`, named by `classes_`."""
        rows = self._rows(view.features)
        if model.task == "regression":
            return np.asarray(model.place.predict(rows), dtype=np.float64).reshape(-1)
        labels = getattr(model.place, "classes_", None)
        if labels is None:
            hint = "set `classes_` in `fit`: the labels, in the order of the columns of `predict_proba`"
            raise UnitError("the model does not say which class a column is", where=self.params.factory, hint=hint)
        values = np.asarray(model.place.predict_proba(rows), dtype=np.float64)
        return ClassScores(tuple(str(each) for each in labels), values)

    def save(self, model: Learnt, folder: Path) -> None:
        """Write the code, and the model as it stores itself, or as a skops archive."""
        target = self.store(model, folder)
        if _stores_itself(model.place):
            model.place.save(target)
        else:
            (target / _ARCHIVE).write_bytes(_archived(model.place, self.params.factory))

    def load(self, folder: Path) -> Learnt:
        """Read what ``save`` wrote; an archive holds classes of the code that lies beside it, and of scikit-learn."""
        stored = self.stored(folder)
        if (stored.place / _ARCHIVE).exists():
            _factory(stored.code, self.params)  # whose classes the archive names
            return stored._replace(place=_read(stored.place / _ARCHIVE, stored.code))
        made = self._made(stored.code, stored.seed)
        found = made.load(stored.place)
        return stored._replace(place=made if found is None else found)

    def check(self, corpus: Corpus) -> None:
        """The factory makes something that fits, answers and can be stored, from columns that are there."""
        features = self.select(corpus.features)
        self._rows(features)
        made = self._made(self.code, 0)
        wanted = ["fit", "predict" if corpus.task == "regression" else "predict_proba"]
        for name in wanted:
            if not callable(getattr(made, name, None)):
                what = f"what {self.params.factory} makes has no `{name}`"
                raise StudyError(what, where="fit.factory", hint=f"a model needs {' and '.join(wanted)}")
        if corpus.weighted and self.params.weight == "use" and "sample_weight" not in _named(made.fit):
            raise StudyError(
                f"what {self.params.factory} makes does not fit by weights: its `fit` takes no `sample_weight`",
                where="fit.factory",
                hint="take one, fit every row alike with `fit: {weight: ignore}`, or leave `corpus.weight` out",
            )
        if not _stores_itself(made):
            self._check_storable(made)

    def _check_storable(self, made: Any) -> None:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / _ARCHIVE
            try:
                path.write_bytes(_archived(made, self.params.factory))
                _read(path, self.code)
            except HeldoutError as error:
                what = f"what {self.params.factory} makes cannot be stored: {error.what}"
                raise StudyError(what, where="fit.factory", hint=_WAYS) from None

    def _made(self, code: Carried, seed: int) -> Any:
        """What the factory makes."""
        factory, name = _factory(code, self.params), _seed_name(code, self.params)
        taken = {} if name is None else {name: seed}
        try:
            return factory(**self.params.params | taken)
        except TypeError as error:
            takes = ", ".join(_named(factory)) or "nothing"
            what = f"{self.params.factory} does not take these arguments: {error}"
            raise StudyError(what, where="fit.params", hint=f"it takes: {takes}") from None

    def _extra(self, model: Any, view: TrainView) -> dict[str, object]:
        """What `fit` asks for by name besides rows and targets."""
        named, validation = _named(model.fit), view.validation
        found: dict[str, object] = {}
        if "sample_weight" in named:
            found["sample_weight"] = view.weight
        if "groups" in named:
            found["groups"] = view.groups
        if "validation" in named:
            found["validation"] = None if validation is None else (self._rows(validation.features), validation.target)
        return found

    def _rows(self, features: Any) -> Any:
        features = self.select(features)
        if self.params.rows == "polars":
            return features
        if self.params.rows == "pandas":
            return _to_pandas(features)
        text = [name for name, kind in features.schema.items() if not (kind.is_numeric() or str(kind) == "Boolean")]
        if text:
            what = f"the feature {text[0]!r} is no number, and a matrix of numbers is asked for"
            hint = "take a frame with names (`rows: polars` or `rows: pandas`), or choose `features`"
            raise StudyError(what, where="fit.rows", hint=hint)
        return features.to_numpy().astype(np.float64)


class _Home:
    """Where the code of this process lies and is imported from: other code is forgotten before it is."""

    folder: tempfile.TemporaryDirectory[str] | None = None
    holds: tuple[Carried, str] | None = None

    @classmethod
    def module(cls, code: Carried, file: str) -> ModuleType:
        """The module of a file, imported once."""
        if cls.holds == (code, file) and Path(file).stem in sys.modules:
            return sys.modules[Path(file).stem]
        before = "" if cls.folder is None else cls.folder.name
        for name, module in [*sys.modules.items()]:
            if before and (getattr(module, "__file__", None) or "").startswith(before):
                del sys.modules[name]
        sys.path[:] = [each for each in sys.path if not before or not each.startswith(before)]
        cls.folder, cls.holds = tempfile.TemporaryDirectory(prefix="heldout-code-", ignore_cleanup_errors=True), None
        path = code.unpack(Path(cls.folder.name)) / file
        sys.path[:0] = dict.fromkeys([str(path.parent), cls.folder.name])
        importlib.invalidate_caches()
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        found = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        cls.holds = (code, file)
        return found


def _factory(code: Carried, params: PythonParams) -> Callable[..., Any]:
    """The function or class, imported from a folder that holds its code and nothing else."""
    if not code.files:
        hint = "bind the backbone to the folder of its study, or to a stored model, which has its code"
        raise PrerequisiteError("the code is not at hand", where="backbone python", hint=hint)
    try:
        module = _Home.module(code, params.file)
    except ImportError as error:
        hint = "install it, or name the file beside the study in `code`: nothing else of that folder is there"
        raise StudyError(f"{params.file} cannot be imported: {error}", where="fit.factory", hint=hint) from None
    found = getattr(module, params.name, None)
    if not callable(found):
        known = [name for name, each in vars(module).items() if callable(each) and not name.startswith("_")]
        hint = f"name a function or class of that file: {', '.join(known) or 'it has none'}"
        raise StudyError(f"there is no {params.name!r} in {params.file}", where="fit.factory", hint=hint)
    return found  # type: ignore[no-any-return]


def _to_pandas(features: Any) -> Any:
    try:
        return features.to_pandas()
    except ImportError as error:
        hint = "pip install pandas pyarrow, or take `rows: polars`"
        raise PrerequisiteError(f"pandas cannot be used: {error}", where="fit.rows", hint=hint) from None


def _seed_name(code: Carried, params: PythonParams) -> str | None:
    """The argument of the factory that takes the seed."""
    if params.seed is not None:
        return params.seed
    known = _arguments(code.files.get(params.file, b""), params.name)
    return next((name for name in _SEEDS if name in known), None)


def _arguments(source: bytes, name: str) -> set[str]:
    """Names of the arguments of a function, or of what a class is made with, as its source says."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _of_function(node)
        if isinstance(node, ast.ClassDef) and node.name == name:
            made = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
            fields = {each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and _is_name(each.target)}  # type: ignore[union-attr]
            return _of_function(made[0]) if made else fields
    return set()


def _of_function(node: ast.FunctionDef) -> set[str]:
    return {each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}


def _is_name(node: ast.expr) -> bool:
    return isinstance(node, ast.Name)


def _named(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _stores_itself(made: Any) -> bool:
    return callable(getattr(made, "save", None)) and callable(getattr(made, "load", None))


def _archived(made: Any, factory: str) -> bytes:
    """The object as a skops archive.

    Raises:
        UnitError: If skops cannot hold it.
    """
    try:
        from heldout.backbone.skops_archive import archive

        return archive(made)
    except ImportError as error:
        what = f"skops is not installed, and the model has no `save` and `load`: {error}"
        raise UnitError(what, where=factory, hint=f"pip install 'heldout[sklearn]', or: {_WAYS}") from None
    except Exception as error:  # noqa: BLE001 - whatever skops says of a state that it cannot hold
        raise UnitError(f"skops cannot hold it: {error}", where=factory, hint=_WAYS) from None


def _read(path: Path, code: Carried) -> Any:
    from heldout.backbone.skops_archive import read_archive

    own = {PurePosixPath(name).parts[0].removesuffix(".py") for name in code.files}
    own |= {PurePosixPath(name).stem for name in code.files if name.endswith(".py")}
    return read_archive(path, lambda top: top == "sklearn" or top in own)
