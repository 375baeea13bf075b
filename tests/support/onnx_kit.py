"""Small ONNX graphs, written by hand: a line, a logistic curve with labels, and ways to be wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402


def _model(
    nodes: Sequence[object], inputs: Sequence[object], outputs: Sequence[object], weights: Sequence[object]
) -> bytes:
    graph = helper.make_graph(nodes, "small", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def linear_regressor(weights: Sequence[float], intercept: float) -> bytes:
    """``x @ weights + intercept``, of one matrix ``x``."""
    w = numpy_helper.from_array(np.float32(weights).reshape(-1, 1), "w")
    b = numpy_helper.from_array(np.float32([intercept]), "b")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["xw"]), helper.make_node("Add", ["xw", "b"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(weights)])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    return _model(nodes, [x], [y], [w, b])


def by_name(weights: dict[str, float]) -> bytes:
    """The same of a column for each feature, by its name."""
    tensors = [helper.make_tensor(f"w_{name}", TensorProto.FLOAT, [1], [value]) for name, value in weights.items()]
    nodes = [helper.make_node("Mul", [name, f"w_{name}"], [f"p_{name}"]) for name in weights]
    nodes.append(helper.make_node("Sum", [f"p_{name}" for name in weights], ["y"]))
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in weights]
    return _model(nodes, inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])], tensors)


def linear_classifier(weights: Sequence[float], intercept: float, labels: Sequence[str], *, maps: bool = True) -> bytes:
    """Two classes by a logistic curve; probabilities as maps by label, or as a matrix."""
    classify = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        domain="ai.onnx.ml",
        classlabels_strings=list(labels),
        coefficients=[*(-each for each in weights), *weights],
        intercepts=[-intercept, intercept],
        post_transform="SOFTMAX",
    )
    zipped = helper.make_node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_strings=list(labels))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(weights)])
    label = helper.make_tensor_value_info("label", TensorProto.STRING, [None])
    if not maps:
        scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 2])
        return _model([classify], [x], [label, scores], [])
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    value = helper.make_value_info("maps", helper.make_sequence_type_proto(kind))
    return _model([classify, zipped], [x], [label, value], [])


def strange(weights: Sequence[float], kind: str) -> bytes:
    """A linear model that subtracts the mean of its batch (``batch``), or adds what it draws (``draw``)."""
    matrix = numpy_helper.from_array(np.array(weights, dtype=np.float32)[:, None], "W")
    nodes = [helper.make_node("MatMul", ["x", "W"], ["p"])]
    if kind == "batch":
        nodes += [helper.make_node("ReduceMean", ["p"], ["m"], axes=[0], keepdims=1)]
        nodes += [helper.make_node("Sub", ["p", "m"], ["y"])]
    else:
        nodes += [helper.make_node("RandomNormalLike", ["p"], ["m"], scale=0.05)]
        nodes += [helper.make_node("Add", ["p", "m"], ["y"])]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(weights)])
    return _model(nodes, [x], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])], [matrix])
