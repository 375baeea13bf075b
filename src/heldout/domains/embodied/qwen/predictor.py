"""The predictor that ``heldout eval run`` drives: an adapter on its base, one window at a time.

Windows come from the index, through the encoder that wrote the data set's clips, so that a model is asked about what
it was trained on. Each is decoded by itself: what stands beside it in a batch cannot change an answer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from heldout.domains.embodied.index.shape import Record
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.qwen.adapter import CONFIG_FILE, METADATA_FILE
from heldout.domains.embodied.qwen.base import ENVIRONMENT, ORIGIN_FILE, find_base, load_base
from heldout.domains.embodied.qwen.batch import make_example, question
from heldout.domains.embodied.qwen.clip import as_seen
from heldout.domains.embodied.qwen.decode import Decoding, Grammar, answer
from heldout.domains.embodied.qwen.quiet import quiet
from heldout.domains.embodied.qwen.settings import read_export
from heldout.domains.embodied.qwen.tokens import load_tokenizer
from heldout.domains.embodied.qwen.windows import Viewer
from heldout.domains.embodied.training.files import folder_digest
from heldout.errors import InputError, PrerequisiteError, TamperedError
from heldout.evidence import read_json
from heldout.predict.session import Sample


class Omni:
    """A trained adapter, or a whole model of a first stage."""

    batch = 4
    parse_decoding = staticmethod(Decoding.parse)

    def __init__(self, index: str, adapter: str | None = None, decoding: Mapping[str, Any] | None = None) -> None:
        """Load base and adapter.

        Args:
            index: Folder of the window index.
            adapter: Folder that a training wrote.
            decoding: See ``Decoding``.

        Raises:
            InputError: If there is no adapter.
            TamperedError: If the base is not the one that the adapter was trained on.
        """
        if adapter is None:
            raise InputError("no adapter is named", where="--adapter", hint="the folder that the training wrote")
        folder = Path(adapter)
        self._source = IndexSource(Path(index))
        self._decoding = Decoding.parse(decoding or {})
        self.settings, document = read_export(folder)
        self.viewer = Viewer.read(folder)
        self.model, base = load_trained(folder)
        self.tokenizer = load_tokenizer(base)
        self.grammar = Grammar(
            self.tokenizer, self.viewer.labels, document["objects"], document["object_lists"], document["spans"]
        )

    def predict(self, samples: Sequence[Sample]) -> list[Mapping[str, Any]]:
        """The answer of each window; ``free_prediction`` is what was said without the schema."""
        return [self._row(record) for record in self._source.records(samples)]

    def _row(self, record: Record) -> dict[str, str]:
        view = self.viewer.view(record, self._source.folder)
        frames = as_seen(view.frames, self.settings)
        sound = view.sound.astype("float32") / 32768 if view.sound is not None else None
        example = make_example(self.tokenizer, view.text, frames, view.seconds, sound, None)
        inputs = question(example, self.tokenizer.pad_token_id, self.model.device, self.model.dtype)
        said = answer(self.model, inputs, self.grammar, self._decoding)
        return {"raw_prediction": said.text, "free_prediction": said.free}


def load_trained(folder: Path) -> tuple[Any, Path]:
    """The model that a training left, ready to answer, and the folder of its base.

    Raises:
        PrerequisiteError: If there is none, or its base is not at hand.
        TamperedError: If the base is another one.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    if (folder / ORIGIN_FILE).is_file():
        return load_base(folder, _dtype(device)).to(device).eval(), folder
    if not (folder / CONFIG_FILE).is_file():
        raise PrerequisiteError("there is no adapter", where=str(folder), hint="heldout embodied qwen train writes one")
    metadata = read_json(folder / METADATA_FILE)
    base = base_of(folder, metadata)
    from peft import PeftModel

    model = load_base(base, _dtype(device))
    with quiet():
        adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    return adapted.to(device).eval(), base


def base_of(folder: Path, metadata: Mapping[str, Any]) -> Path:
    """The base of an adapter: where it was trained, else that of the published environment variable, by digest.

    Raises:
        PrerequisiteError: If neither is there.
        TamperedError: If it is another one.
    """
    told = (folder / str(metadata["base_path"])).resolve()
    named = Path(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else None
    base = find_base(told if (told / "config.json").is_file() else named)
    if folder_digest(base) != metadata["base_model_sha256"]:
        raise TamperedError(
            "the base is not the one that the adapter was trained on",
            where=str(base),
            hint=f"put the right one there, or name it by {ENVIRONMENT}",
            code="HO-G127",
        )
    return base


def _dtype(device: str) -> str:
    return "bfloat16" if device == "cuda" else "float32"
