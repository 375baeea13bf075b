"""The base model: full weights from a local folder, or a tiny thinker of the same classes, made from configuration.

Another kind of base that takes the same inputs (``KINDS``) is trained, gated and asked on the same road.

The tiny one is random until a first stage trains all of it on train windows; its tokenizer knows the words of train
windows alone. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from heldout.domains.embodied.qwen.quiet import quiet
from heldout.domains.embodied.qwen.shape import Base
from heldout.domains.embodied.qwen.tokens import MEDIA, train_tokenizer
from heldout.domains.embodied.training.files import folder_digest
from heldout.errors import InputError, PrerequisiteError
from heldout.evidence import read_json, write_json

ENVIRONMENT = "MODEL_DIR"
PUBLISHED_ID = "Qwen/Qwen3-Omni-30B-A3B-Instruct"
TINY_ID = "heldout/tiny-qwen3-omni"
ORIGIN_FILE = "heldout_base.json"
SCHEMA = "heldout.qwen-base/1"
THINKER, OMNI = "qwen3_omni_moe_thinker", "qwen3_omni_moe"


class Kind(NamedTuple):
    """A kind of base.

    Attributes:
        backbone: Id of the contract that an adapter on it keeps.
        model: ``module:name`` of its class.
        model_id: Of a folder that does not name one.
        hears: Whether sound is an input.
    """

    backbone: str
    model: str
    model_id: str
    hears: bool


_OMNI = Kind("qwen3_omni_lora", "transformers:Qwen3OmniMoeThinkerForConditionalGeneration", PUBLISHED_ID, hears=True)
# By ``model_type`` of a base's configuration.
KINDS = {
    THINKER: _OMNI,
    OMNI: _OMNI,
    "heldout_prefix_llama": Kind(
        "smollm2_prefix_lora",
        "heldout.domains.embodied.smollm2.model:PrefixLlama",
        "a Llama with a visual prefix",
        hears=False,
    ),
}


@dataclass(frozen=True)
class TinySize:
    """Of the tiny thinker. Everything else follows the published configuration.

    Attributes:
        width: Of the language model and of what the towers give it.
        layers: Of the language model.
        experts: Of each layer; two of them are used by a token.
        tower: Width of the vision and the audio tower.
        depth: Layers of the vision tower.
        vocabulary: Tokens at most.
    """

    width: int = 128
    layers: int = 2
    experts: int = 4
    tower: int = 64
    depth: int = 2
    vocabulary: int = 1024


def make_tiny(folder: Path, texts: Iterable[str], size: TinySize | None = None, *, seed: int = 7) -> Path:
    """Make a random thinker and its tokenizer, and save both.

    Args:
        folder: New folder.
        texts: Of train windows.
        size: Of the model.
        seed: Of its weights.

    Raises:
        InputError: If the folder holds something.
    """
    import torch
    from transformers import Qwen3OmniMoeThinkerForConditionalGeneration

    size = size or TinySize()
    if folder.exists() and any(folder.iterdir()):
        raise InputError("the folder is not empty", where=str(folder), hint="choose another one")
    tokenizer = train_tokenizer(texts, size.vocabulary)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Qwen3OmniMoeThinkerForConditionalGeneration(_configuration(size, tokenizer))
    save_base(folder, model, tokenizer, {"model_id": TINY_ID, "size": asdict(size), "seed": seed, "stages": []})
    return folder


def save_base(
    folder: Path, model: Any, tokenizer: Any, origin: Mapping[str, Any], state: Mapping[str, Any] | None = None
) -> None:
    """Save a thinker under the names that its modules have at run time, with what is known of its origin."""
    folder.mkdir(parents=True, exist_ok=True)
    # In the published files experts are apart and the language model has another prefix. Under their own names a gate
    # can find every module of the base in the file.
    with quiet():
        model.save_pretrained(str(folder), state_dict=state, save_original_format=False)
    tokenizer.save_pretrained(str(folder))
    write_json(folder / ORIGIN_FILE, {"schema": SCHEMA, **origin})


def find_base(folder: Path | None, environment: str = ENVIRONMENT) -> Path:
    """The folder of the base: the one that is named, else that of the published environment variable.

    Raises:
        PrerequisiteError: If none is named or it holds no model.
    """
    named = folder or (Path(os.environ[environment]) if os.environ.get(environment) else None)
    if named is None:
        raise PrerequisiteError(
            "no base model is named",
            where="--model-id",
            hint=f"heldout embodied qwen base makes a tiny one; {environment} names a folder of full weights",
        )
    if not (named / "config.json").is_file():
        raise PrerequisiteError("there is no base model", where=str(named), hint="a folder with config.json")
    return named


def kind_of(folder: Path) -> Kind:
    """What kind of base a folder holds.

    Raises:
        InputError: If it is of no known kind.
    """
    name = read_json(folder / "config.json").get("model_type")
    if name not in KINDS:
        raise InputError(f"the base is of type {name!r}", where=str(folder), hint=f"one of {', '.join(KINDS)}")
    return KINDS[name]


def load_base(folder: Path, dtype: str, *, device_map: str | None = None) -> Any:
    """The model of a folder.

    Args:
        folder: With safetensors weights.
        dtype: ``float32`` or ``bfloat16``.
        device_map: ``auto`` spreads the model over all accelerators of one process.

    Raises:
        InputError: If it is of another family, or its weights do not fill the model.
    """
    import torch

    kind, name = kind_of(folder), read_json(folder / "config.json")["model_type"]
    module, _, cls = kind.model.partition(":")
    with quiet():
        model, report = getattr(importlib.import_module(module), cls).from_pretrained(
            str(folder),
            dtype=getattr(torch, dtype),
            device_map=device_map,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **({"config": _thinker_config(folder)} if name == OMNI else {}),
        )
    missing = sorted(report["missing_keys"])
    if missing:
        what = f"{len(missing)} tensors of the model are in no file, such as {missing[0]}"
        raise InputError(what, where=str(folder), hint="fetch the base again")
    model.config.use_cache = True
    return model


def describe(folder: Path) -> Base:
    """The base in a folder."""
    kind = kind_of(folder)
    origin = read_json(folder / ORIGIN_FILE) if (folder / ORIGIN_FILE).is_file() else {}
    return {
        "model_id": origin.get("model_id", kind.model_id),
        "backbone": kind.backbone,
        "hears": kind.hears,
        "sha256": folder_digest(folder),
        "stages": list(origin.get("stages", [])),
        "origin": origin,
    }


def _thinker_config(folder: Path) -> Any:
    import transformers

    return transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True).thinker_config


def _configuration(size: TinySize, tokenizer: Any) -> Any:
    from transformers import Qwen3OmniMoeThinkerConfig

    heads = 4
    dim = size.width // heads
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in MEDIA.items()}
    tower = {"num_attention_heads": heads}
    third = dim // 2 // 3
    audio = {
        "num_mel_bins": 128,
        "encoder_layers": 1,
        "encoder_attention_heads": heads,
        "encoder_ffn_dim": 2 * size.tower,
        "d_model": size.tower,
        "output_dim": size.width,
        "downsample_hidden_size": 32,
    }
    vision = {
        "depth": size.depth,
        "hidden_size": size.tower,
        "intermediate_size": 2 * size.tower,
        "num_heads": tower["num_attention_heads"],
        "out_hidden_size": size.width,
        "num_position_embeddings": 256,
        "deepstack_visual_indexes": [0],
    }
    text = {
        "vocab_size": -(-len(tokenizer) // 8) * 8,
        "hidden_size": size.width,
        "intermediate_size": 2 * size.width,
        "num_hidden_layers": size.layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 2,
        "head_dim": dim,
        "num_experts": size.experts,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": size.width // 2,
        "max_position_embeddings": 8192,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_interleaved": True,
            "mrope_section": [dim // 2 - 2 * third, third, third],
        },
    }
    return Qwen3OmniMoeThinkerConfig(
        audio_config=audio,
        vision_config=vision,
        text_config=text,
        audio_token_id=ids["audio_token"],
        image_token_id=ids["image_token"],
        video_token_id=ids["video_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
        audio_start_token_id=ids["audio_bos_token"],
        audio_end_token_id=ids["audio_eos_token"],
    )
