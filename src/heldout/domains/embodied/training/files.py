"""What every trainer here leaves: progress as it goes, a checkpoint that appears whole, and the same bytes each time.

::

    <out>/progress.jsonl             one event a line, appended over all starts
    <out>/training_metadata.json     written last
    <out>/checkpoint/                weights, configuration, probe; ``checkpoint_manifest.json`` names each by sha256

A training is minutes long, so a killed one starts again from its seed; until then ``checkpoint/`` is not there.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from heldout.errors import InputError, PrerequisiteError, RefusedError, StaleError
from heldout.evidence import JsonLines, digest, dumps, flush_folder, read_json, sha256_bytes, sha256_file, write_bytes
from heldout.evidence import write_json as write_document

CHECKPOINT, PROGRESS_FILE, METADATA_FILE = "checkpoint", "progress.jsonl", "training_metadata.json"
MANIFEST_FILE, WEIGHTS_FILE, PROBE_FILE = "checkpoint_manifest.json", "model.safetensors", "probe.safetensors"
MANIFEST_SCHEMA = "heldout.checkpoint-manifest/1"
Arrays = Mapping[str, NDArray[Any]]
Tell = Callable[..., None]
Body = Callable[[Tell], tuple[Mapping[str, bytes], Mapping[str, Any], Mapping[str, Any]]]


def run_training(out: Path, key: str, body: Body) -> dict[str, Any]:
    """Train into a folder, or find that it was done.

    Args:
        out: Folder of the training.
        key: Digest of everything that decides the weights.
        body: Given ``tell(event, **facts)``; returns the files of the checkpoint, what else its manifest says, and the
            training's metadata.

    Returns:
        ``training_metadata.json``.

    Raises:
        RefusedError: If the folder holds a training of something else.
        StaleError: If another process trains there.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".training.lock", timeout=0):
            done = _finished(out, key)
            return done if done is not None else _train(out, key, body)
    except Timeout:
        raise StaleError("another process trains there", where=str(out), hint="wait for it, or end it") from None


def _finished(out: Path, key: str) -> dict[str, Any] | None:
    if not (out / METADATA_FILE).is_file():
        return None
    document: dict[str, Any] = read_json(out / METADATA_FILE)
    if document.get("key") != key:
        raise RefusedError(
            "the folder holds a training of other data, options or code", where=str(out), hint="choose another --out"
        )
    whole = (out / CHECKPOINT / MANIFEST_FILE).is_file()
    return document if whole and not unlike_manifest(out / CHECKPOINT) else None


def _train(out: Path, key: str, body: Body) -> dict[str, Any]:
    with JsonLines(out / PROGRESS_FILE) as progress:

        def tell(event: str, **facts: Any) -> None:
            stamp = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
            progress.append({"event": event, "time": stamp} | facts)

        tell("setup_done", run_id=out.resolve().name, key=key)
        try:
            files, told, metadata = body(tell)
        except Exception as error:
            tell("failed", error=f"{type(error).__name__}: {error}".splitlines()[0])
            raise
        tell("save_start", checkpoint_dir=CHECKPOINT)
        _save(out / CHECKPOINT, files, dict(told) | {"key": key})
        document = dict(metadata) | {"key": key, "run_id": out.resolve().name, "checkpoint_dir": CHECKPOINT}
        write_document(out / METADATA_FILE, document)
        tell("complete", checkpoint_dir=CHECKPOINT)
    return document


def _save(folder: Path, files: Mapping[str, bytes], told: Mapping[str, Any]) -> None:
    """Put a whole checkpoint in the place of none, or of a half one."""
    work = folder.with_name(f".{folder.name}.partial")
    for stray in (work, folder):
        shutil.rmtree(stray, ignore_errors=True)
    named = {}
    for name, data in sorted(files.items()):
        write_bytes(work / name, data)
        named[name] = {"sha256": sha256_bytes(data), "bytes": len(data)}
    write_document(work / MANIFEST_FILE, {"schema": MANIFEST_SCHEMA, "files": named, **told})
    work.rename(folder)
    flush_folder(folder.parent)


def unlike_manifest(folder: Path) -> list[str]:
    """Files of a checkpoint that are not those that its manifest names."""
    named = read_json(folder / MANIFEST_FILE)["files"]
    return [
        name
        for name, facts in sorted(named.items())
        if not (folder / name).is_file() or sha256_file(folder / name) != facts["sha256"]
    ]


def deterministic_torch(seed: int) -> Any:
    """Torch, seeded, on one thread: the same weights for the same seed on this kind of machine.

    Raises:
        PrerequisiteError: If it is not installed.
    """
    try:
        import torch
    except ImportError:
        hint = "pip install 'heldout[embodied]'"
        raise PrerequisiteError("torch is not installed", where="torch", hint=hint) from None
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)
    return torch


def checkpoint_folder(adapter: Path | None) -> Path:
    """The folder of a checkpoint; that of its training will do.

    Raises:
        InputError: If none is given.
    """
    if adapter is None:
        raise InputError("no checkpoint is given", where="--adapter", hint="the folder that the training left")
    return adapter / CHECKPOINT if (adapter / CHECKPOINT).is_dir() else adapter


def tensors_of(module: Any) -> dict[str, NDArray[Any]]:
    """Weights of a torch module, by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in sorted(module.state_dict().items())}


def safetensors_bytes(arrays: Arrays) -> bytes:
    """A safetensors file; the same arrays give the same bytes."""
    from safetensors.numpy import save

    data: bytes = save({name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)})
    return data


def load_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a safetensors file."""
    from heldout.domains.embodied.training.tensors import read_tensors

    return {tensor.name: tensor.array() for tensor in read_tensors(path)}


def probe_bytes(inputs: Arrays, outputs: Arrays) -> bytes:
    """``probe.safetensors``: inputs, and what the model in memory says of them."""
    return safetensors_bytes(dict(inputs) | {f"output.{name}": value for name, value in outputs.items()})


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """A JSON document as it stands in a file."""
    return dumps(dict(document))


def folder_digest(folder: Path) -> str:
    """Digest of the files of a folder, by name.

    Raises:
        InputError: If there is no file.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if not paths:
        raise InputError("the adapter has no files", where=str(folder), hint="check --adapter")
    return digest({path.relative_to(folder).as_posix(): sha256_file(path) for path in paths})
