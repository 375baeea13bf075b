"""Diffusers' own Cosmos 3 pipeline, with tiny random weights, behind the interface of a world model.

Runs where Diffusers is installed. What it holds is that the road is there: loading, continuing a clip, measuring it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dynamics_kit import make_index, make_pairs

from heldout.domains.embodied.episodes.observed import opened
from heldout.domains.embodied.world.cosmos import Generation, base_digest, load_pipeline, make_checkpoint
from heldout.domains.embodied.world.features import window_features
from heldout.domains.embodied.world.load import load_model
from heldout.evidence import read_json

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.slow
_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for part in m['content'] %}{{ part['text'] }}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        ["user assistant"], trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=special)
    )
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = _CHAT
    return made


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as Diffusers writes it."""
    import torch

    torch.manual_seed(0)
    words = tokenizer()
    vae = diffusers.AutoencoderKLWan(
        base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )
    transformer = diffusers.Cosmos3OmniTransformer(
        dtype="float32",
        head_dim=16,
        hidden_size=32,
        intermediate_size=64,
        latent_channel=16,
        num_attention_heads=2,
        num_hidden_layers=1,
        num_key_value_heads=2,
        patch_latent_dim=64,
        vocab_size=len(words),
        rope_axes_dim=(2, 3, 3),
    )
    scheduler = diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    pipeline = diffusers.Cosmos3OmniPipeline(transformer, words, vae, scheduler, enable_safety_checker=False)
    pipeline.save_pretrained(tmp_path / "base")
    monkeypatch.setenv("COSMOS_MODEL_DIR", str(tmp_path / "base"))
    return tmp_path / "base"


def test_a_clip_is_continued_and_measured_and_a_window_has_one_future(base: Path, tmp_path: Path) -> None:
    """The road to the large weights would be found broken on the day that somebody has them."""
    pairs = make_pairs(make_index(tmp_path, 6), tmp_path / "pairs")
    make_checkpoint(pairs, tmp_path / "run", Generation(32, 32, 5, 2, 7, "float32", "cpu"))
    folder = tmp_path / "run/checkpoint"
    assert base_digest(base) == read_json(folder / "model_config.json")["generation"]["base_sha256"]
    model = load_model(folder)
    episode = opened(next((tmp_path / "store").glob("*/*")).resolve())
    present = window_features(episode, model.spec, 10, 19)
    future = model.future(episode, 10, 19, 10)
    assert present.shape == future.shape
    assert np.isfinite(future).all()
    pictures = model.spec.picture_width * len(model.spec.cameras)
    assert np.array_equal(present[:-pictures], future[:-pictures])  # what no picture says is repeated
    assert not np.array_equal(present[-pictures:], future[-pictures:])
    assert np.array_equal(future, model.future(episode, 10, 19, 10))


def test_weights_are_loaded_in_the_type_that_was_asked(base: Path, recwarn: pytest.WarningsRecorder) -> None:
    """A version that does not know the option would load them in float32, in twice the memory, and say nothing."""
    import torch

    pipeline = load_pipeline(Generation(dtype="bfloat16", device="cpu"), base_digest(base))
    assert torch.bfloat16 == pipeline.transformer.dtype
    assert [] == [str(one.message) for one in recwarn if "torch_dtype" in str(one.message)]
