"""What a skops archive may make: data, and instances of classes of packages that are known, and nothing by a call.

skops makes whatever is named and trusted, functions and their calls included, and a function of scikit-learn that runs
a program is as good as any code. So every part of ``schema.json`` is looked at before a single one is made: by its
kind, by the module that it names, and by what stands there.
"""

from __future__ import annotations

import inspect
import io
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from zipfile import ZipFile

from heldout.errors import PrerequisiteError, TamperedError

_SCHEMA = "schema.json"
_LOCAL = b"PK\x03\x04"  # the first bytes of a file in a zip archive
_HINT = "do not load it; train again"
# Modules of packages that are known and are no part of any model: they write files and start programs.
_NO_MODELS = frozenset({"_testing", "testing", "tests", "datasets", "externals", "_mocking", "conftest", "__main__"})
# Kinds that make one thing each, whatever they name.
_DATA = frozenset(
    {
        "BytearrayNode",
        "BytesNode",
        "CachedNode",
        "DTypeNode",
        "DefaultDictNode",
        "JsonNode",
        "MaskedArrayNode",
        "SliceNode",
        "SparseMatrixNode",
    }
)
# Kinds that call what they name: nothing but what skops names itself.
_CALLED = frozenset({"FunctionNode", "LossNode", "NdArrayNode", "RandomGeneratorNode", "RandomStateNode", "TypeNode"})
_CONTAINERS: Mapping[str, type] = {"DictNode": dict, "ListNode": list, "SetNode": set, "TupleNode": tuple}
_INSTANCES = frozenset({"ObjectNode", "TreeNode"})
_KINDS = _DATA | _CALLED | _INSTANCES | frozenset(_CONTAINERS)
_PLAIN = frozenset(
    {"builtins.dict", "builtins.list", "builtins.set", "builtins.tuple", "collections.OrderedDict"}
)  # fmt: skip
_OF_CLASSES = """accuracy_score balanced_accuracy_score brier_score_loss d2_brier_score d2_log_loss_score f1_score
jaccard_score log_loss matthews_corrcoef precision_score recall_score"""
_OF_NUMBERS = """d2_absolute_error_score explained_variance_score max_error mean_absolute_error
mean_absolute_percentage_error mean_gamma_deviance mean_poisson_deviance mean_squared_error mean_squared_log_error
median_absolute_error r2_score root_mean_squared_error root_mean_squared_log_error"""
# What honest estimators name besides classes and ufuncs: numbers in, numbers out, and only while they are fitted.
_FUNCTIONS = frozenset(
    {
        *(
            f"sklearn.feature_selection._univariate_selection.{name}"
            for name in ("chi2", "f_classif", "f_oneway", "f_regression", "r_regression")
        ),
        *(f"sklearn.feature_selection._mutual_info.mutual_info_{name}" for name in ("classif", "regression")),
        *(f"sklearn.metrics._classification.{name}" for name in _OF_CLASSES.split()),
        *(f"sklearn.metrics._ranking.{name}" for name in ("average_precision_score", "roc_auc_score")),
        "sklearn.metrics._ranking.top_k_accuracy_score",
        *(f"sklearn.metrics._regression.{name}" for name in _OF_NUMBERS.split()),
        *(f"sklearn.metrics._scorer.{name}_likelihood_ratio" for name in ("negative", "positive")),
    }
)


def refuse_kinds(data: bytes, where: str) -> None:
    """An archive begins with its first byte, and has no part of a kind that no model needs.

    What stands before it could be another model, of another form.

    Raises:
        TamperedError: If something stands before it, or a part is of another kind.
        BadZipFile: If it is no archive.
    """
    with ZipFile(io.BytesIO(data)) as source:
        first = min((each.header_offset for each in source.infolist()), default=0)
    if first or not data.startswith(_LOCAL):
        what = "the model file holds something else before its archive begins"
        raise TamperedError(what, where=where, hint="save the model again, as an archive and nothing else")
    for node in _nodes(_schema(data)):
        if node["__loader__"] not in _KINDS:
            what = f"the model file names {_path(node)} as a {node['__loader__']}, which no model needs"
            raise TamperedError(what, where=where, hint=_HINT)


def refuse_names(data: bytes, named: Collection[str], mine: Callable[[str], bool], where: str) -> None:
    """Every part of an archive of such kinds is data, or an instance of a class of a known package.

    Args:
        data: The archive.
        named: What skops does not trust by itself, as it says.
        mine: Whether classes of a top-level module may be in it.
        where: Of the archive, for a complaint.

    Raises:
        PrerequisiteError: If the package of a class is not installed.
        TamperedError: If there is anything else in it. Nothing was made then.
    """
    admitted = set()
    for node in _nodes(_schema(data)):
        why = _why_not(node, named, mine)
        if why is not None:
            raise TamperedError(f"the model file names {why}", where=where, hint=_HINT)
        admitted.add(_path(node))
    foreign = sorted(set(named) - admitted)
    if foreign:
        raise TamperedError(f"the model file names the type {foreign[0]}", where=where, hint=_HINT)


def _schema(data: bytes) -> Any:
    with ZipFile(io.BytesIO(data)) as source:
        return json.loads(source.read(_SCHEMA))


def _nodes(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Whatever could be taken for a part, wherever it stands."""
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if isinstance(found.get("__loader__"), str):
                yield found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _path(node: Mapping[str, Any]) -> str:
    return f"{node.get('__module__')}.{node.get('__class__')}"


def _why_not(node: Mapping[str, Any], named: Collection[str], mine: Callable[[str], bool]) -> str | None:
    """What is wrong with a part, in words; None if nothing is."""
    kind, path = node["__loader__"], _path(node)
    if kind in _DATA:
        return None
    if kind in _CALLED:
        known = path not in named or (kind == "FunctionNode" and path in _FUNCTIONS)
        plain = kind == "TypeNode" and path in _PLAIN
        # The oldest format keeps the name of a function in its content.
        hidden = kind == "FunctionNode" and "content" in node
        return None if (known or plain) and not hidden else f"{path}, which would be called ({kind})"
    if kind in _CONTAINERS and path in _PLAIN:
        return None
    found = _class_of(node, mine)
    if found is None or not issubclass(found, _CONTAINERS.get(kind, object)):
        return f"the type {path}" if found is None else f"{path} as a {kind}"
    return None


def _class_of(node: Mapping[str, Any], mine: Callable[[str], bool]) -> type | None:
    """The class that a part names; None if none stands there, or none of a package that is known."""
    module, name = node.get("__module__"), node.get("__class__")
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    top = module.partition(".")[0]
    if not top or not mine(top) or _NO_MODELS & {*module.split(".")}:
        return None
    if top not in sys.modules and find_spec(top) is None:
        hint = f"install the package that the model was trained with: pip install {top}"
        raise PrerequisiteError(f"the model is of {top}, which is not installed", where=top, hint=hint)
    try:
        found = getattr(import_module(module), name, None)
    except Exception:  # noqa: BLE001 - whatever a module raises, it gives no class
        return None
    if not inspect.isclass(found):
        return None
    home = str(found.__module__).split(".")  # it may be another package's, and only be used there
    return found if mine(home[0]) and not _NO_MODELS & {*home} else None
