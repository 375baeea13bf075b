"""A tiny random Llama with a visual prefix, and data without sound for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen_kit import SMALL

from heldout.domains.embodied.qwen.batch import Dataset
from heldout.domains.embodied.qwen.export import export
from heldout.domains.embodied.qwen.tokens import END, PAD, START
from heldout.domains.embodied.smollm2.base import join


def make_prefix_data(index: Path, folder: Path) -> Path:
    """Return ``folder``, which then holds ``data`` and ``base``."""
    export(index, folder / "data", replace(SMALL, audio=False))
    tokenizer = chat_tokenizer(list(Dataset(folder / "data").texts()))
    join(folder / "base", small_llama(len(tokenizer)), tokenizer, {"model_id": "tiny"}, **SIZE)
    return folder


SIZE = {"prefix_width": 32, "prefix_depth": 1, "prefix_heads": 2}


def small_llama(vocabulary: int, layers: int = 2) -> Any:
    """Random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
        )
    )


def chat_tokenizer(texts: list[str]) -> Any:
    """Byte-level BPE that knows turns and no media, as that of SmolLM2."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = [PAD, START, END]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)
