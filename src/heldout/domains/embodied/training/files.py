"""What every trainer here leaves: progress as it goes, a checkpoint that appears whole, and the same bytes each time.

::

    <out>/progress.jsonl             one event a line, appended over all starts
    <out>/training_metadata.json     written last
    <out>/checkpoint/                weights, configuration, probe; ``checkpoint_manifest.json`` names each by sha256

A training is minutes long, so a killed one starts again from its seed; until then ``checkpoint/`` is not there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from heldout.errors import InputError, PrerequisiteError, RefusedError
from heldout.evidence import (
    JsonLines,
    alone,
    digest,
    dumps,
    file_entry,
    flush_folder,
    published_event,
    read_json,
    sha256_file,
    write_bytes,
)
from heldout.evidence import write_json as write_document

CHECKPOINT, PROGRESS_FILE, METADATA_FILE = "checkpoint", "progress.jsonl", "training_metadata.json"
MANIFEST_FILE, WEIGHTS_FILE, PROBE_FILE = "checkpoint_manifest.json", "model.safetensors", "probe.safetensors"
MANIFEST_SCHEMA = "heldout.checkpoint-manifest/1"
Arrays = Mapping[str, NDArray[Any]]
Tell = Callable[..., None]


class Epoch(TypedDict):
    """What a training says of itself now and then."""

    epoch: float
    train_loss: float
    val_loss: float | None
    global_step: int


class Metadata(TypedDict):
    """``training_metadata.json``."""

    schema: str
    backbone: str
    model_id: str
    history: Sequence[Epoch]
    fitted_on: list[str]
    num_train_samples: NotRequired[int]
    num_val_samples: NotRequired[int]
    num_processes: NotRequired[int]
    options: NotRequired[object]
    index_sha256: NotRequired[str]
    dataset_jsonl: NotRequired[str]
    dataset_sha256: NotRequired[str]
    best_epoch: NotRequired[float]
    trained: NotRequired[bool]
    base_sha256: NotRequired[str]
    key: NotRequired[str]
    run_id: NotRequired[str]
    checkpoint_dir: NotRequired[str]


class Made(NamedTuple):
    """What a trainer hands over.

    Attributes:
        files: Of the checkpoint, by name.
        told: What else its manifest says.
        metadata: Of the training.
    """

    files: Mapping[str, bytes]
    told: Mapping[str, object]
    metadata: Metadata


Body = Callable[[Tell], Made]


def run_training(out: Path, key: str, body: Body) -> Metadata:
    """Train into a folder, or find that it was done.

    Args:
        out: Folder of the training.
        key: Digest of everything that decides the weights.
        body: Given ``tell(event, **facts)``; trains.

    Returns:
        ``training_metadata.json``.

    Raises:
        RefusedError: If the folder holds a training of something else.
        StaleError: If another process trains there.
    """
    with alone(out, "trains there", lock=".training.lock"):
        done = _finished(out, key)
        return done if done is not None else _train(out, key, body)


def _finished(out: Path, key: str) -> Metadata | None:
    if not (out / METADATA_FILE).is_file():
        return None
    document: Metadata = read_json(out / METADATA_FILE)
    if document.get("key") != key:
        raise RefusedError(
            "the folder holds a training of other data, options or code", where=str(out), hint="choose another --out"
        )
    whole = (out / CHECKPOINT / MANIFEST_FILE).is_file()
    return document if whole and not unlike_manifest(out / CHECKPOINT) else None


def _train(out: Path, key: str, body: Body) -> Metadata:
    with JsonLines(out / PROGRESS_FILE) as progress:

        def tell(event: str, **facts: Any) -> None:
            progress.append(published_event(event, facts))

        tell("setup_done", run_id=out.resolve().name, key=key)
        try:
            made = body(tell)
        except Exception as error:
            tell("failed", error=f"{type(error).__name__}: {error}".splitlines()[0])
            raise
        tell("save_start", checkpoint_dir=CHECKPOINT)
        _save(out / CHECKPOINT, made.files, {**made.told, "key": key})
        document: Metadata = {**made.metadata, "key": key, "run_id": out.resolve().name, "checkpoint_dir": CHECKPOINT}
        write_document(out / METADATA_FILE, document)
        tell("complete", checkpoint_dir=CHECKPOINT)
    return document


def _save(folder: Path, files: Mapping[str, bytes], told: Mapping[str, object]) -> None:
    """Put a whole checkpoint in the place of none, or of a half one."""
    work = folder.with_name(f".{folder.name}.partial")
    for stray in (work, folder):
        shutil.rmtree(stray, ignore_errors=True)
    named = {}
    for name, data in sorted(files.items()):
        write_bytes(work / name, data)
        named[name] = file_entry(data)
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


def json_bytes(document: Mapping[str, object]) -> bytes:
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
