"""An ONNX graph as a saved model: read from its bytes alone, with one thread, its inputs by name or as one matrix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from heldout.backbone.protocol import FloatArray
from heldout.errors import InputError, PrerequisiteError, StudyError
from heldout.evidence import read_plain

if TYPE_CHECKING:
    import polars as pl

OUTSIDE, OPERATORS = "HO-M004", "HO-M005"
_HINT = "pip install 'heldout[onnx]'"
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_DROPPING = 2  # the input of Dropout that makes it drop
_MOST = 2 << 30  # what one file of protobuf can hold
_LABELS = ("classlabels_strings", "classlabels_string", "classlabels_int64s", "classlabels_ints")


class Graph(NamedTuple):
    """A graph in memory.

    Attributes:
        session: Of ONNX Runtime.
        labels: Of its probabilities, as an operator of the graph names them; empty where none does.
    """

    session: Any
    labels: tuple[str, ...]

    @classmethod
    def load(cls, path: Path) -> Graph:
        """Read a graph; weights in other files are not looked for.

        Raises:
            PrerequisiteError: If ONNX Runtime is not installed.
            InputError: If it is no graph that can be run.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise PrerequisiteError(
                f"ONNX Runtime is not installed: {error}", where="onnxruntime", hint=_HINT
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        data = read_plain(path, most=_MOST)
        try:
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - its errors have no class in common
            what = f"ONNX Runtime cannot run it: {str(error).splitlines()[0][:200]}"
            raise InputError(what, where=str(path), hint="export the model again, as one file") from None
        return cls(session, _labels(data))

    @property
    def wants(self) -> Sequence[str]:
        """Names of its inputs, where it takes a feature each."""
        inputs = self.session.get_inputs()
        return [each.name for each in inputs] if len(inputs) > 1 else []

    @property
    def width(self) -> int | None:
        """Columns of its one matrix; None where it does not say."""
        inputs = self.session.get_inputs()
        return _columns(inputs[0]) if len(inputs) == 1 else len(inputs)

    def answer(self, features: pl.DataFrame) -> tuple[tuple[str, ...], FloatArray]:
        """Labels (empty for numbers) and what it answers."""
        return _read(self.session.run(None, self._given(features)), self.labels)

    def _given(self, features: pl.DataFrame) -> dict[str, object]:
        inputs = self.session.get_inputs()
        if not self.wants:
            values = numbers(features).astype(_type(inputs[0]))
            return {inputs[0].name: values if len(inputs[0].shape) > 1 else values.reshape(-1)}
        given = {}
        for each in inputs:
            column = features[each.name]
            kind = _type(each)
            values = column.cast(str).fill_null("").to_numpy() if kind is np.object_ else numbers(column.to_frame())
            values = values.astype(kind)
            given[each.name] = values.reshape(-1, 1) if len(each.shape) > 1 else values.reshape(-1)
        return given


def numbers(features: pl.DataFrame) -> FloatArray:
    """One matrix, a column a feature.

    Raises:
        StudyError: If a feature is no number.
    """
    words = [name for name, dtype in features.schema.items() if not (dtype.is_numeric() or str(dtype) == "Boolean")]
    if words:
        hint = "save a model that has names of features and takes text, or choose others: `fit.features`"
        raise StudyError(f"the model takes numbers, and {words[0]!r} is none", where="fit.features", hint=hint)
    return np.ascontiguousarray(features.to_numpy(), dtype=np.float64)


def objections(path: Path) -> Iterator[tuple[str, str, str]]:
    """Code, sentence and hint of everything that speaks against a graph before it is run.

    Raises:
        PrerequisiteError: If the package that reads graphs is not installed.
    """
    try:
        import onnx
        from onnx.external_data_helper import uses_external_data
    except ImportError as error:
        raise PrerequisiteError(f"onnx is not installed: {error}", where="onnx", hint=_HINT) from None
    model = onnx.load_model_from_string(read_plain(path, most=_MOST))
    nodes = list(_nodes(model))
    outside = [each.name for each in _tensors(model, nodes) if uses_external_data(each)]
    if outside:
        what = f"the weights {outside[0]!r} lie in another file, which the digest of this one does not hold"
        yield OUTSIDE, what, "export it as one file: save_as_external_data=False"
    known = {"": onnx.defs.onnx_opset_version(), "ai.onnx.ml": onnx.defs.onnx_ml_opset_version()}
    imported = [*model.opset_import, *(each for function in model.functions for each in function.opset_import)]
    unknown = {each.domain for each in (*imported, *nodes)} - {*_DOMAINS}
    for each in sorted(unknown):
        yield (
            OPERATORS,
            f"the graph has operators of {each!r}, which are of no standard",
            "export it with standard operators",
        )
    for each in imported:
        newest = known.get("" if each.domain == "ai.onnx" else each.domain)
        if newest is not None and each.version > newest:
            what = f"the graph is of opset {each.version}, known here are those up to {newest}"
            yield OPERATORS, what, "upgrade onnx and onnxruntime, or export for an older opset"
    for each in sorted({each.op_type for each in nodes if _is_random(each)}):
        what = f"the operator {each} answers by chance: the same row gets another answer each time"
        yield OPERATORS, what, "export the model as it answers, not as it is trained, without random operators"


def _is_random(node: Any) -> bool:
    drops = node.op_type == "Dropout" and len(node.input) > _DROPPING and bool(node.input[_DROPPING])
    return drops or node.op_type in _RANDOM


def _nodes(model: Any) -> Iterator[Any]:
    """Every operator, those of functions and of graphs inside it too."""
    waiting = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(inner for graph in _graphs(node) for inner in graph.node)


def _graphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        yield from [attribute.g] if attribute.HasField("g") else []
        yield from attribute.graphs


def _tensors(model: Any, nodes: Sequence[Any]) -> Iterator[Any]:
    """Every tensor that a model holds."""
    attributes = [each for node in nodes for each in node.attribute]
    attributes += [each for function in model.functions for each in function.attribute_proto]
    sparse = [each for attribute in attributes for each in (*attribute.sparse_tensors, attribute.sparse_tensor)]
    for graph in (model.graph, *(each for node in nodes for each in _graphs(node))):
        yield from graph.initializer
        sparse.extend(graph.sparse_initializer)
    for attribute in attributes:
        yield attribute.t
        yield from attribute.tensors
    for each in sparse:
        yield from (each.values, each.indices)


def _labels(data: bytes) -> tuple[str, ...]:
    """The labels that the last operator with labels names; empty without one, or where nobody can read them."""
    try:
        import onnx
    except ImportError:
        return ()
    found: tuple[str, ...] = ()
    for node in onnx.load_model_from_string(data).graph.node:
        for attribute in node.attribute:
            if attribute.name in _LABELS:
                words = [each.decode("utf-8", "replace") for each in attribute.strings]
                found = tuple(words or (str(each) for each in attribute.ints)) or found
    return found


def _read(outputs: Sequence[Any], labels: tuple[str, ...]) -> tuple[tuple[str, ...], FloatArray]:
    """Probabilities as maps by label, or as a matrix; else the numbers of the first output."""
    for each in outputs:
        if isinstance(each, list) and each and isinstance(each[0], dict):
            keys = list(each[0])
            rows = [[row[key] for key in keys] for row in each]
            return tuple(str(key) for key in keys), np.asarray(rows, dtype=np.float64)
    arrays = [np.asarray(each) for each in outputs]
    floats = [each for each in arrays if np.issubdtype(each.dtype, np.floating)]
    if not floats:
        raise StudyError("the graph answers no numbers", where="fit.model", hint="export one whose output are numbers")
    wide = [each for each in floats if each.ndim == 2 and each.shape[1] > 1]
    if wide:
        return labels, wide[0].astype(np.float64)
    return (), floats[0].astype(np.float64)


def _columns(given: Any) -> int | None:
    """Columns of an input; 1 of a vector, None where the graph leaves it open."""
    last = given.shape[-1] if len(given.shape) > 1 else 1
    return last if isinstance(last, int) else None


def _type(given: Any) -> Any:
    found = _TYPES.get(given.type)
    if found is None:
        hint = "export it with inputs of numbers or text"
        raise StudyError(f"the graph takes {given.type}, which no feature is", where="fit.model", hint=hint)
    return found
