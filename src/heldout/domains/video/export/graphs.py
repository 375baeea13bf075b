"""An exported graph, checked before anything runs it: valid, whole in one file, and what its sidecar says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout.domains.video.backbone.features import CODEC_BLOCK
from heldout.domains.video.backbone.onnx import INPUTS, IR_VERSION, OPERATORS, OPSET, OUTPUTS
from heldout.domains.video.corpus.rows import FEATURES
from heldout.errors import HeldoutError, PrerequisiteError
from heldout.evidence import loads, read_plain
from heldout.verify.chain import BrokenError
from heldout.verify.differences import first_difference

_SHAPES = {INPUTS[0]: ["batch", len(FEATURES)], INPUTS[1]: ["batch", len(CODEC_BLOCK)], OUTPUTS[0]: ["batch"]}
# Facts of the graph's own metadata that stand in the sidecar under the same name.
_ALIKE = ("seed", "feature_order", "feature_mean", "feature_std", "codec_block_layout", "encoder_vocab")


def check(path: Path, card: Mapping[str, Any]) -> None:
    """Check one graph against its sidecar.

    Raises:
        BrokenError: At the first thing that is not as it should be.
        PrerequisiteError: If onnx is not installed.
    """
    model = _parsed(path)
    _check_whole(model, path.name)
    _check_interface(model, path.name)
    _check_metadata(model, card, path.name)


def _parsed(path: Path) -> Any:
    try:
        import onnx
    except ImportError:
        raise PrerequisiteError("onnx is not installed", where="onnx", hint="pip install 'heldout[video]'") from None
    try:
        model = onnx.load_from_string(read_plain(path))
    except Exception as error:  # noqa: BLE001 - a protobuf parser raises its own, by version
        raise BrokenError(f"this is no ONNX file: {type(error).__name__}", path.name) from None
    if model.SerializeToString(deterministic=True) != read_plain(path):
        raise BrokenError("the file holds more than its graph", path.name)
    return model


def _check_whole(model: Any, name: str) -> None:
    """All weights inside, no operator, function or version but those of the exporter, and valid."""
    import onnx

    constants = [attribute.t for node in model.graph.node for attribute in node.attribute]
    tensors = [*model.graph.initializer, *constants]
    if any(tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        raise BrokenError("weights lie outside the file, so its sha256 does not cover them", name)
    versions = [(each.domain, each.version) for each in model.opset_import]
    if versions != [("", OPSET)] or model.ir_version != IR_VERSION:
        raise BrokenError(f"the opset is {versions}, not [('', {OPSET})], or the format another", name)
    others = sorted({node.op_type for node in model.graph.node if node.domain or node.op_type not in OPERATORS})
    if others or model.functions or model.graph.sparse_initializer:
        raise BrokenError(f"the graph has parts that the exporter does not write: {', '.join(others)}", name)
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # noqa: BLE001 - ValidationError and InferenceError share no base
        raise BrokenError(f"the graph is not valid: {str(error).splitlines()[0][:200]}", name) from None


def _check_interface(model: Any, name: str) -> None:
    import onnx

    if ([each.name for each in model.graph.input], [each.name for each in model.graph.output]) != (
        list(INPUTS),
        list(OUTPUTS),
    ):
        raise BrokenError("the inputs or outputs are others", name)
    for each in (*model.graph.input, *model.graph.output):
        kind = each.type.tensor_type
        shape = [dim.dim_param or dim.dim_value for dim in kind.shape.dim]
        if kind.elem_type != onnx.TensorProto.FLOAT or shape != _SHAPES[each.name]:
            raise BrokenError(f"{each.name} has the shape {shape} or another type", name)


def _check_metadata(model: Any, card: Mapping[str, Any], name: str) -> None:
    """What the graph says of itself is what the sidecar says of it."""
    props = {each.key: each.value for each in model.metadata_props}
    expected: dict[str, object] = {key: card[key] for key in _ALIKE}
    expected |= {"encoder_vocab_version": card["encoder_vocab_version"], "unseen_slots": _unseen(card, props)}
    expected |= {key: card["corpus"][key] for key in ("cq_min", "cq_max")}
    texts = {"id": card["id"], "corpus_sha256": card["corpus"]["sha256"], "verdict_sha256": card["verdict_sha256"]}
    try:
        found = {key: loads(props[key], where=key) for key in expected} | {key: props[key] for key in texts}
    except (KeyError, HeldoutError) as error:
        raise BrokenError(f"the graph does not say what it is: {error}", name) from None
    place = first_difference(expected | texts, found)
    if place is not None:
        raise BrokenError(
            "the graph says of itself otherwise than its sidecar: it is another model", f"{name}: {place}"
        )


def _unseen(card: Mapping[str, Any], props: Mapping[str, str]) -> Any:
    """The slots as the sidecar has them; a codec-blind member's sidecar names none."""
    if card["unseen"]["policy"] == "blind":
        return loads(props["unseen_slots"], where="unseen_slots")
    return card["unseen"]["slots"]
