"""A regressor as one ONNX file, built node by node: weights inside, the same bytes for the same model.

Inputs and output are the published ones: ``features`` (six, already standardised with the sidecar's mean and
deviation), ``codec_onehot`` (the raw block of fourteen), ``score`` (VMAF points, one a row). What the standardised
recipe does with the block is in the graph: clip to 0..1, centre, and a gate that zeroes the block of an encoder
without training rows. The target's scale is folded into the last layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from heldout import __version__
from heldout.domains.video.backbone.features import CODEC_BLOCK, Coding, Float32
from heldout.domains.video.backbone.model import FRModel
from heldout.domains.video.corpus.rows import FEATURES

OPSET, IR_VERSION = 17, 8
INPUTS, OUTPUTS = ("features", "codec_onehot"), ("score",)
# What a graph is made of; whoever checks one lets nothing else pass.
OPERATORS = frozenset(("Add", "Clip", "Concat", "Div", "Erf", "Gemm", "MatMul", "Mul", "Squeeze"))


def build(model: FRModel, name: str, metadata: Mapping[str, str]) -> bytes:
    """The file's bytes.

    Raises:
        onnx.checker.ValidationError: If the graph is not valid ONNX.
    """
    import onnx
    from onnx import TensorProto, helper

    graph = _Graph()
    joined = graph.node("Concat", [INPUTS[0], _block(graph, model)], "input", axis=1)
    score = _layers(graph, model, joined)
    graph.node("Squeeze", [score, graph.constant("score_axis", np.array([1], dtype=np.int64))], OUTPUTS[0])
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            name,
            [
                helper.make_tensor_value_info(INPUTS[0], TensorProto.FLOAT, ["batch", len(FEATURES)]),
                helper.make_tensor_value_info(INPUTS[1], TensorProto.FLOAT, ["batch", len(CODEC_BLOCK)]),
            ],
            [helper.make_tensor_value_info(OUTPUTS[0], TensorProto.FLOAT, ["batch"])],
            initializer=graph.initializers,
        ),
        producer_name="heldout",
        producer_version=__version__,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    helper.set_model_props(proto, dict(sorted(metadata.items())))
    onnx.checker.check_model(proto, full_check=True)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


class _Graph:
    """Nodes and constants in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], name=f"{operator}:{output}", **attributes))
        return output

    def constant(self, name: str, values: Any) -> str:
        from onnx import numpy_helper

        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def number(self, name: str, value: float) -> str:
        return self.constant(name, np.array(value, dtype=np.float32))


def _block(graph: _Graph, model: FRModel) -> str:
    """From the raw block to the coded one."""
    coding = model.inputs.coding
    if coding is None or model.codec == "blind":
        return INPUTS[1]
    return _coded_block(graph, coding)


def _coded_block(graph: _Graph, coding: Coding) -> str:
    scale, offset, gate = (values.astype(np.float32) for values in coding)
    ends = [graph.number("codec_low", 0.0), graph.number("codec_high", 1.0)]
    clipped = graph.node("Clip", [INPUTS[1], *ends], "codec_clipped")
    scaled = graph.node("Mul", [clipped, graph.constant("codec_scale", scale)], "codec_scaled")
    centred = graph.node("Add", [scaled, graph.constant("codec_offset", offset)], "codec_centred")
    known = graph.node("MatMul", [INPUTS[1], graph.constant("codec_gate", gate[:, None])], "codec_known")
    return graph.node("Mul", [centred, known], "codec")


def _layers(graph: _Graph, model: FRModel, previous: str) -> str:
    layers = model.weights.layers
    half, one, root = graph.number("half", 0.5), graph.number("one", 1.0), graph.number("root_two", math.sqrt(2.0))
    for index, (weight, bias) in enumerate(_folded(model)):
        parts = [graph.constant(f"net.{index}.weight", weight.T), graph.constant(f"net.{index}.bias", bias)]
        linear = graph.node("Gemm", [previous, *parts], f"linear_{index}", transB=1)
        if index == len(layers) - 1:
            return linear
        inner = graph.node("Div", [linear, root], f"inner_{index}")
        error = graph.node("Add", [graph.node("Erf", [inner], f"erf_{index}"), one], f"plus_{index}")
        previous = graph.node("Mul", [graph.node("Mul", [linear, error], f"double_{index}"), half], f"gelu_{index}")
    raise AssertionError


def _folded(model: FRModel) -> list[tuple[Float32, Float32]]:
    """Weights ``[in, out]`` and biases: room for the block if the model is blind, and the target's scale at the end."""
    layers = [(layer.W, layer.b) for layer in model.weights.layers]
    first, bias = layers[0]
    missing = len(FEATURES) + len(CODEC_BLOCK) - first.shape[0]
    layers[0] = (np.concatenate([first, np.zeros((missing, first.shape[1]), dtype=np.float32)]), bias)
    last, bias = layers[-1]
    scaled = last.astype(np.float64) * model.target_std
    shifted = bias.astype(np.float64) * model.target_std + model.target_mean
    layers[-1] = (scaled.astype(np.float32), shifted.astype(np.float32))
    return layers
