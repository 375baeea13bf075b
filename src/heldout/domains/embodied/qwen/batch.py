"""Examples of a data set as tensors: read once, kept as bytes of pixels, collated with padding on the right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from heldout.domains.embodied.episodes.media import read_sound
from heldout.domains.embodied.qwen.clip import Patches, Pixels, patchify, read_clip
from heldout.domains.embodied.qwen.export import DATASET_FILE, MANIFEST_FILE
from heldout.domains.embodied.qwen.settings import TEMPORAL
from heldout.domains.embodied.qwen.sound import Mel, mel
from heldout.domains.embodied.qwen.tokens import IGNORED, Encoded, encode
from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json, read_json_lines, sha256_file

if TYPE_CHECKING:
    from heldout.domains.embodied.qwen.state import Tensors

_KEPT = 4096  # clips whose pixels stay in memory


class Example(NamedTuple):
    """One encoded sample.

    Attributes:
        encoded: Ids and labels.
        patches: Of the clip; None without one.
        seconds: Of one temporal patch.
        sound: Mel features; None without sound.
    """

    encoded: Encoded
    patches: Patches | None
    seconds: float
    sound: Mel | None


class Dataset:
    """A ``dataset.jsonl`` that is the one its manifest names.

    Attributes:
        folder: Of the file.
        manifest: ``dataset_manifest.json``.
        sha256: Of the file.
        records: All of them, in order.
    """

    def __init__(self, path: Path) -> None:
        """Read the records; media are read when they are asked for.

        Raises:
            InputError: If there is none.
            TamperedError: If it is not the one that its manifest names.
        """
        path = path / DATASET_FILE if path.is_dir() else path
        if not path.is_file():
            hint = "heldout embodied qwen export writes one"
            raise InputError("there is no data set", where=str(path), hint=hint)
        self.folder, self.path = path.parent, path
        self.manifest: Mapping[str, Any] = read_json(self.folder / MANIFEST_FILE)
        self.sha256 = sha256_file(path)
        if self.sha256 != self.manifest.get("dataset_sha256"):
            hint = "export it again"
            raise TamperedError("the data set is not the one that its manifest names", where=str(path), hint=hint)
        self.records = read_json_lines(path)
        self._clips: dict[str, Pixels] = {}

    def split(self, name: str, most: int = 0) -> list[Mapping[str, Any]]:
        """Records of a split that have answers; with ``most`` the first so many."""
        found: list[Mapping[str, Any]] = [
            record for record in self.records if record["split"] == name and not record.get("sealed")
        ]
        return found[:most] if most else found

    def texts(self, split: str = "train") -> Iterator[str]:
        """Every text of the conversations of a split."""
        for record in self.split(split):
            for message in record["messages"]:
                yield from (part["text"] for part in message["content"] if part["type"] == "text")

    def example(self, tokenizer: Any, record: Mapping[str, Any], *, answer: bool = True) -> Example:
        """Encode one record, with its answer or without it."""
        user = next(message for message in record["messages"] if message["role"] == "user")
        text = next(part["text"] for part in user["content"] if part["type"] == "text")
        said = [message for message in record["messages"] if message["role"] == "assistant"]
        if answer and not said:
            raise InputError("the record has no answer", where=str(record["id"]), hint="train on train windows")
        target = said[0]["content"][0]["text"] if answer else None
        media = record["media"]
        frames = self._clip(media["mosaic_video_path"]) if media["mosaic_video_path"] else None
        sound = read_sound(self.folder / media["audio_path"]) if media["audio_path"] else None
        return make_example(tokenizer, text, frames, float(media["context_seconds"]), sound, target)

    def _clip(self, name: str) -> Pixels:
        if name not in self._clips:
            if len(self._clips) >= _KEPT:
                self._clips.clear()
            self._clips[name] = read_clip(self.folder / name)
        return self._clips[name]


def make_example(
    tokenizer: Any, text: str, frames: Pixels | None, seconds: float, sound: Any, target: str | None
) -> Example:
    """Encode a conversation about a clip and a sound.

    Args:
        tokenizer: Of the base.
        text: The user's.
        frames: RGB of the clip, or None.
        seconds: Length of the context.
        sound: Samples at 16 kHz, float in -1 .. 1, or None.
        target: The answer; None to ask for it.
    """
    patches = patchify(frames) if frames is not None and len(frames) else None
    heard = mel(np.asarray(sound, np.float32)) if sound is not None else None
    grid_seconds = seconds / len(frames) * TEMPORAL if patches is not None and frames is not None else 0.0
    places = (patches.tokens if patches else 0, heard.tokens if heard else 0)
    return Example(encode(tokenizer, text, *places, target), patches, grid_seconds, heard)


def collate(examples: Sequence[Example], pad: int, device: Any, dtype: Any) -> Tensors:
    """Tensors of a batch, padded on the right, under the names of the thinker's arguments, with ``labels``."""
    import torch

    longest = max(len(one.encoded.ids) for one in examples)
    ids = torch.full((len(examples), longest), pad, dtype=torch.long)
    labels = torch.full((len(examples), longest), IGNORED, dtype=torch.long)
    mask = torch.zeros((len(examples), longest), dtype=torch.long)
    for row, one in enumerate(examples):
        size = len(one.encoded.ids)
        ids[row, :size] = torch.tensor(one.encoded.ids)
        labels[row, :size] = torch.tensor(one.encoded.labels)
        mask[row, :size] = 1
    batch: Tensors = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    clips = [one for one in examples if one.patches is not None]
    if clips:
        batch["pixel_values_videos"] = torch.cat([torch.from_numpy(_patches(one).values) for one in clips]).to(dtype)
        batch["video_grid_thw"] = torch.tensor([_patches(one).grid for one in clips], dtype=torch.long)
        batch["video_second_per_grid"] = torch.tensor([one.seconds for one in clips], dtype=torch.float32)
    sounds = [one.sound for one in examples if one.sound is not None]
    if sounds:
        most = max(sound.values.shape[1] for sound in sounds)
        features = torch.zeros((len(sounds), sounds[0].values.shape[0], most))
        heard = torch.zeros((len(sounds), most), dtype=torch.long)
        for row, sound in enumerate(sounds):
            features[row, :, : sound.values.shape[1]] = torch.from_numpy(sound.values)
            heard[row, : sound.values.shape[1]] = 1
        batch["input_features"], batch["feature_attention_mask"] = features.to(dtype), heard
    return {name: value.to(device) for name, value in batch.items()}


def question(example: Example, pad: int, device: Any, dtype: Any) -> Tensors:
    """Tensors of one sample that is to be answered: as ``collate``, without labels."""
    inputs = collate([example], pad, device, dtype)
    inputs.pop("labels")
    return inputs


def epoch_order(ids: Sequence[str], seed: int, epoch: int) -> list[int]:
    """Places in the order of an epoch: a function of seed, epoch and ids, so that a counter can find its place."""
    keys = [hashlib.sha256(f"{seed}:{epoch}:{name}".encode()).digest() for name in ids]
    return sorted(range(len(ids)), key=lambda place: keys[place])


def _patches(example: Example) -> Patches:
    assert example.patches is not None
    return example.patches
