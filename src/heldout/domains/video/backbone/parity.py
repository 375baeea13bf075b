"""ONNX Runtime against our own code; and the proof of it that travels with an export.

The proof holds real rows and what our own models answer to them. With it anyone can ask the graphs again, offline and
without the corpus: a graph whose weights were changed answers otherwise, whatever digests were mended around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from heldout.backbone import FeaturesView, Served
from heldout.backbone.tensors import Arrays, pack, unpack
from heldout.domains.video.backbone import onnx as onnx_graph
from heldout.domains.video.backbone.features import CODEC_BLOCK, ENCODER_VOCAB, Affine, Float32, Float64, feature_matrix
from heldout.domains.video.backbone.model import FRModel
from heldout.domains.video.backbone.onnx import INPUTS, OUTPUTS
from heldout.domains.video.corpus.rows import FEATURES
from heldout.errors import PrerequisiteError

TOLERANCE = 1e-5
PROOF_SCHEMA = "heldout.video.parity/1"
PROOF_ROWS = 256
_SLOT_ROWS, _PROOF_SLOT_ROWS = 64, 8


class Parity(NamedTuple):
    """How far ONNX Runtime is from our own predictions.

    Attributes:
        relative: Largest ``|score - prediction| / max(|prediction|, scale)``, where the scale is the deviation of the
            predictions, at least 1: float32 rounds a network's sums at their own scale, not at a score's near zero.
        absolute: Largest ``|score - prediction|``, VMAF points.
        rows: Rows that were compared.
    """

    relative: float
    absolute: float
    rows: int


class Proof(NamedTuple):
    """Rows and answers, as stored.

    Attributes:
        sample_ids: Of the first rows, which are rows of the corpus; the others are the same frames as other encodes.
        features: As measured, float64 ``[rows, 6]``.
        block: The raw codec block, float32 ``[rows, 14]``.
        answers: What our own model of each seed answers, float64 ``[rows]``.
    """

    sample_ids: tuple[str, ...]
    features: Float64
    block: Float32
    answers: Mapping[int, Float64]


def open_session(data: bytes) -> Any:
    """An ONNX Runtime session on one thread of the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def score(session: Any, features: Float32, block: Float32) -> Float64:
    """Scores of standardised features and raw block, float64 ``[rows]``."""
    (found,) = session.run(list(OUTPUTS), {INPUTS[0]: features, INPUTS[1]: block})
    return np.asarray(found, dtype=np.float64)


def distance(found: Float64, expected: Float64) -> Parity:
    """How far scores are from predictions; infinitely far if their shapes differ or one is no number."""
    if found.shape != expected.shape or not np.isfinite(found).all() or not np.isfinite(expected).all():
        return Parity(float("inf"), float("inf"), len(expected))
    error = np.abs(found - expected)
    scale = np.maximum(np.abs(expected), max(1.0, float(np.std(expected))))
    return Parity(float(np.max(error / scale)), float(np.max(error)), len(expected))


def as_graph(model: FRModel) -> Served:
    """A member as it is served: its graph, and what ONNX Runtime answers to raw features.

    Raises:
        PrerequisiteError: If onnx or onnxruntime is not installed.
    """
    try:
        data = onnx_graph.build(model, "member", {})
        session = open_session(data)
    except ImportError as error:
        raise PrerequisiteError(
            f"{error.name} is not installed", where="the cost of an exported model", hint="pip install 'heldout[video]'"
        ) from None

    def predict(view: FeaturesView) -> Float64:
        block = model.inputs.raw_block(view.features).astype(np.float32)
        return score(session, model.inputs.standardised(view.features), block)

    return Served("onnx", data, predict)


def compare(data: bytes, model: FRModel, frame: pl.DataFrame) -> Parity:
    """Score real rows with ONNX Runtime and with our own code.

    Some of the rows are scored again as every encoder of the vocabulary, one outside of it, and beyond both ends of
    the quality axis.
    """
    everything = pl.concat([frame, *_other_encodes(frame, _SLOT_ROWS)])
    block = model.inputs.raw_block(everything).astype(np.float32)
    found = score(open_session(data), model.inputs.standardised(everything), block)
    return distance(found, model.answer(everything))


def build_proof(models: Mapping[int, FRModel], frame: pl.DataFrame, ids: pl.Series) -> bytes:
    """The file's bytes.

    Args:
        models: By seed; all of them fitted on the same rows.
        frame: Rows of the corpus, of which some are taken, evenly spaced.
        ids: Their sample ids.
    """
    rows = np.unique(np.linspace(0, frame.height - 1, min(PROOF_ROWS, frame.height)).round().astype(np.int64))
    taken = frame[rows]
    everything = pl.concat([taken, *_other_encodes(taken, _PROOF_SLOT_ROWS)])
    first = next(iter(models.values()))
    tensors: dict[str, NDArray[Any]] = {
        "features": np.ascontiguousarray(feature_matrix(everything)),
        "codec_onehot": first.inputs.raw_block(everything).astype(np.float32),
        **{f"answer.seed{seed}": model.answer(everything) for seed, model in models.items()},
    }
    facts = {
        "schema": PROOF_SCHEMA,
        "sample_ids": ids.gather(rows).to_list(),
        "feature_order": list(FEATURES),
        "codec_block_layout": list(CODEC_BLOCK),
    }
    return pack(tensors, facts)


def read_proof(path: Path) -> Proof:
    """Read the file.

    Raises:
        TamperedError: If it is not what ``build_proof`` makes.
    """
    return unpack(path, "proof of parity", _checked, hint="export again from the run")


def ask(data: bytes, features: Float64, block: Float32, scaler: Affine) -> Float64:
    """What a consumer does with one graph: standardise as the sidecar says, and score."""
    return score(open_session(data), scaler.apply(features).astype(np.float32), block)


def _checked(tensors: Arrays, facts: Mapping[str, Any]) -> Proof:
    features, block = tensors["features"], tensors["codec_onehot"]
    others = {name: values for name, values in tensors.items() if name not in ("features", "codec_onehot")}
    answers = {int(name.removeprefix("answer.seed")): values for name, values in others.items()}
    ids, rows = tuple(str(each) for each in facts["sample_ids"]), len(features)
    if facts["schema"] != PROOF_SCHEMA or tuple(facts["codec_block_layout"]) != CODEC_BLOCK:
        raise ValueError(f"its schema is {facts['schema']!r}, or its vocabulary another")
    if not ids or len(set(ids)) != len(ids) or len(ids) > rows or tuple(facts["feature_order"]) != FEATURES:
        raise ValueError("its rows do not fit their ids")
    shapes = {(rows, len(FEATURES)): features, (rows, len(CODEC_BLOCK)): block}
    if any(values.shape != shape for shape, values in shapes.items()):
        raise ValueError("its inputs have another shape")
    if not answers or any(values.shape != (rows,) or values.dtype != np.float64 for values in answers.values()):
        raise ValueError("its answers have another shape")
    return Proof(ids, features, block, answers)


def _other_encodes(frame: pl.DataFrame, rows: int) -> list[pl.DataFrame]:
    few = frame.gather_every(max(1, frame.height // rows)).head(rows)
    low, high = int(frame["cq"].min()), int(frame["cq"].max())  # type: ignore[arg-type]
    others = [few.with_columns(encoder=pl.lit(name)) for name in ENCODER_VOCAB]
    beyond = [few.with_columns(cq=pl.lit(cq, dtype=frame.schema["cq"])) for cq in (max(low - 10, 0), high + 10)]
    return others + beyond
