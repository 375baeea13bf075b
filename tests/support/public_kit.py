"""A clean evaluation in the published format, packages of it, and what must never be in one."""

from __future__ import annotations

import base64
import io
import json
import pickle
import sqlite3
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Files = dict[str, bytes]
CONTRACT: dict[str, Any] = {
    "id": "answers",
    "artifact_contract": {
        "checkpoint_gate": "shape_check",
        "required_eval_files": [
            "metrics.json",
            "predictions.jsonl",
            "predictions.csv",
            "per_class_metrics.csv",
            "confusion_matrix.csv",
            "RUN_REPORT.md",
        ],
        "required_training_files": ["training_metadata.json", "progress.jsonl"],
        "public_package_allowed": [
            "metrics",
            "predictions",
            "confusion matrices",
            "run reports",
            "training metadata",
            "figures",
        ],
        "public_package_forbidden": ["raw MP4", "HDF5", "RRD", "weights", "checkpoints", "archives"],
    },
}


def evaluation() -> Files:
    """What an evaluation leaves that may be published: every file is as a real one would be."""
    rows = [
        {"id": f"kitchen__ep{n}:qa:{n}", "episode_id": f"kitchen__ep{n}", "true_label": "pour", "pred_label": "stir",
         "true_json": {"action": "pour tea/milk", "evidence_window": {"start_frame": n, "end_frame": n + 19}},
         "raw_prediction": '{"action":"stir","objects":["cup","spoon"]}', "is_correct": False, "score": -0.5}
        for n in range(12)
    ]  # fmt: skip
    table = "\n".join(["id,true,pred,score", *(f"{row['id']},pour,stir,-0.5" for row in rows)]) + "\n"
    metrics = {
        "schema": "heldout.embodied-metrics/1",
        "action_accuracy": 0.25,
        "note": "measured and/or recomputed, 3 m/s, 2026/11/21",
        "train_labels_sha256": "9a344de2e8071dfd9f8ff3b21bce226fb5dd8562e6743372601103e41dd61d8f",
        "recall@5": 0.5,
        "weight_decay": 0.01,
    }
    training = {"lora": {"r": 16, "target_modules": ["q_proj", "v_proj"]}, "num_train_samples": 96, "tokens": 4096}
    report = "# Report\n\nSee [the plot](figures/loss.png) and https://example.org/a/b. Ratio x/y, tokens: 12.\n"
    return {
        "metrics.json": json.dumps(metrics).encode(),
        "predictions.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in rows),
        "predictions.csv": table.encode(),
        "per_class_metrics.csv": b"label,support,recall\npour,12,0.0\nstir,0,\n",
        "confusion_matrix.csv": b"true\\pred,pour,stir\npour,0,12\nstir,0,0\n",
        "RUN_REPORT.md": report.encode(),
        "training_metadata.json": json.dumps(training).encode(),
        "figures/loss.png": png(),
        "figures/photo.jpg": jpeg(),
    }


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder of files."""
    for name, data in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def chunk(name: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)


def png(extra: bytes = b"", behind: bytes = b"") -> bytes:
    """A real picture of 4 by 4 pixels, with parts before its end and bytes behind it."""
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", (4).to_bytes(4) * 2 + b"\x08\x00\x00\x00\x00")
    return head + chunk(b"IDAT", zlib.compress(bytes(20))) + extra + chunk(b"IEND", b"") + behind


def jpeg(extra: bytes = b"") -> bytes:
    """A real photograph of 8 by 8 pixels, with segments before its pixels."""
    from matplotlib.image import imsave

    stream = io.BytesIO()
    imsave(stream, np.linspace(0, 1, 64).reshape(8, 8), format="jpg")
    data = stream.getvalue()
    return data[:2] + extra + data[2:]


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2) + data


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    """Weights of a small model."""
    rng = np.random.default_rng(0)
    return {"layer.0.weight": rng.normal(size=(64, 32)).astype(np.float32), "layer.0.bias": np.zeros(64, np.float32)}


def safetensors() -> bytes:
    """Weights, as this product saves them."""
    from safetensors.numpy import save

    return save(arrays())


def npy() -> bytes:
    """An array."""
    stream = io.BytesIO()
    np.save(stream, arrays()["layer.0.weight"])
    return stream.getvalue()


def npz() -> bytes:
    """Several arrays."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays())
    return stream.getvalue()


def zipped(name: str, data: bytes) -> bytes:
    """A ZIP of one file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    """A tar of one file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def torch_file() -> bytes:
    """As torch.save writes it: a ZIP with a pickle in it."""
    return zipped("archive/data.pkl", pickle.dumps({"layer.0.weight": [0.5] * 64}))


def from_file(write_to: Callable[[Path], object], name: str) -> bytes:
    """The bytes of a file that a library can only write to a path."""
    with tempfile.TemporaryDirectory() as folder:
        write_to(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def hdf5() -> bytes:
    """A recording."""
    import h5py

    def to(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["slam/quat_wxyz"] = np.zeros((100, 4))

    return from_file(to, "annotation.hdf5")


def joblib_file(compress: int = 0) -> bytes:
    """As scikit-learn's users save a model."""
    import joblib

    return from_file(lambda path: joblib.dump(arrays(), path, compress=compress), "model.joblib")


def onnx_file() -> bytes:
    """An exported graph."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    data: bytes = helper.make_model(graph).SerializeToString()
    return data


def parquet() -> bytes:
    """A table that no reader of text can judge."""
    import polars as pl

    stream = io.BytesIO()
    pl.DataFrame({"a": [1, 2, 3]}).write_parquet(stream)
    return stream.getvalue()


def sqlite_file() -> bytes:
    """A database."""

    def to(path: Path) -> None:
        with sqlite3.connect(path) as database:
            database.execute("create table t (a)")
        database.close()

    return from_file(to, "a.db")


def mp4() -> bytes:
    """The beginning of a film, and its data."""
    return b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + b"\x00\x00\x10\x00mdat" + bytes(4088)


def encoded(data: bytes, width: int = 0) -> str:
    """Base 64, in lines of a width."""
    text = base64.b64encode(data).decode()
    return "\n".join(text[n : n + width] for n in range(0, len(text), width)) if width else text


def gps() -> bytes:
    """EXIF that says where on earth a photograph was taken."""
    return segment(
        0xE1, b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x88\x25\x00\x04\x00\x00\x00\x01\x00\x00\x00\x1a" + bytes(8)
    )
