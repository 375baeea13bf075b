"""A Llama that sees: the clip stands in the prompt as vectors that a small encoder makes of its patches.

The language model is transformers' own class with its own names, so that pretrained weights fill it and PEFT adapts it
as any Llama. The tokenizer knows media tokens that the language model has no embedding for: each place of such a token
takes the next vector of the clip. It can never say one, for its output layer ends with its own vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM

from heldout.domains.embodied.qwen.settings import MERGE, PATCH, TEMPORAL
from heldout.errors import InputError

PREFIX = "prefix"
_PATCH_VALUES = 3 * TEMPORAL * PATCH**2
_OCTAVES = 4  # of the sines that say where a patch is


class PrefixConfig(LlamaConfig):  # type: ignore[misc]
    """Of the language model, and of what sees.

    Attributes:
        prefix_width: Of the picture encoder.
        prefix_depth: Its layers.
        prefix_heads: Its attention heads.
    """

    model_type = "heldout_prefix_llama"
    prefix_width: int = 128
    prefix_depth: int = 2
    prefix_heads: int = 4


class VisualPrefix(nn.Module):  # type: ignore[misc]
    """From patches to vectors of the language model's width: one for a block of 2 x 2, and two that enclose a clip."""

    def __init__(self, config: PrefixConfig) -> None:
        super().__init__()
        width, hidden = config.prefix_width, config.hidden_size
        self.patch = nn.Linear(_PATCH_VALUES, width)
        self.place = nn.Linear(3 * 2 * _OCTAVES, width)
        layer = nn.TransformerEncoderLayer(
            width, config.prefix_heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, config.prefix_depth, enable_nested_tensor=False)
        self.projector = nn.Sequential(
            nn.LayerNorm(MERGE**2 * width), nn.Linear(MERGE**2 * width, hidden), nn.GELU(), nn.Linear(hidden, hidden)
        )
        self.norm = nn.LayerNorm(hidden)
        self.marks = nn.Embedding(2, hidden)

    def forward(self, patches: Tensor, grids: Tensor, seconds: Tensor) -> Tensor:
        """Vectors of all clips, one after another.

        Args:
            patches: ``[t * h * w, 1536]`` of all clips, blocks of 2 x 2 patches together.
            grids: ``[clips, 3]``: t, h, w in patches.
            seconds: ``[clips]``: of one temporal patch.

        Returns:
            ``[sum of t * h * w / 4 + 2, hidden]``.
        """
        sizes = [int(size) for size in grids.prod(dim=1)]
        found = []
        for clip, grid, step in zip(patches.split(sizes), grids.tolist(), seconds.tolist(), strict=True):
            seen = self.patch(clip) + self.place(_places(grid, step).to(clip))
            merged = self.layers(seen[None])[0].reshape(len(clip) // MERGE**2, -1)
            found += [self.marks.weight[:1], self.norm(self.projector(merged)), self.marks.weight[1:]]
        return torch.cat(found)


class PrefixLlama(LlamaForCausalLM):  # type: ignore[misc]
    """A Llama with a visual prefix; media come under the names that the Qwen3-Omni thinker gives them."""

    config_class = PrefixConfig
    trained_whole = (PREFIX,)
    """Modules that an adapter holds as they are: a random encoder has no base to be adapted."""

    def __init__(self, config: PrefixConfig) -> None:
        super().__init__(config)
        self.prefix = VisualPrefix(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        video_grid_thw: Tensor | None = None,
        video_second_per_grid: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """As a Llama, after the clip has taken its places.

        Raises:
            InputError: If the prompt has more or fewer places than the clip has vectors.
        """
        if input_ids is not None and inputs_embeds is None:
            seen = None
            if pixel_values_videos is not None:
                seen = self.prefix(pixel_values_videos, video_grid_thw, video_second_per_grid)
            inputs_embeds, input_ids = self._embed(input_ids, seen), None
        return super().forward(input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds, **kwargs)

    # transformers reads the name of ``kwargs``: with another one it refuses the arguments of ``forward``.
    def prepare_inputs_for_generation(self, *args: Any, is_first_iteration: bool = False, **kwargs: Any) -> Any:
        """The clip is seen once; later steps remember it."""
        inputs = super().prepare_inputs_for_generation(*args, is_first_iteration=is_first_iteration, **kwargs)
        if not is_first_iteration and kwargs.get("use_cache", True):
            inputs["pixel_values_videos"] = None
        return inputs

    def _embed(self, ids: Tensor, seen: Tensor | None) -> Tensor:
        size = self.config.vocab_size
        foreign = ids >= size
        places, given = int(foreign.sum()), 0 if seen is None else len(seen)
        if places != given:
            raise InputError(
                f"the prompt has {places} places for the clip, which has {given} vectors",
                where="prompt",
                hint="this base sees one clip a prompt and hears nothing: export with --no-audio",
            )
        words: Tensor = self.get_input_embeddings()(ids.masked_fill(foreign, 0))
        return words if seen is None else words.masked_scatter(foreign[..., None], seen.to(words))


AutoConfig.register(PrefixConfig.model_type, PrefixConfig, exist_ok=True)


def _places(grid: Sequence[int], seconds: float) -> Tensor:
    """Sines of when and where each patch is, in the order of the patches: seconds, then shares of height and width."""
    t, h, w = grid
    axes = (torch.arange(t) * seconds, (torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w)
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    blocks = points.reshape(t, h // MERGE, MERGE, w // MERGE, MERGE, 3).transpose(2, 3).reshape(-1, 3)
    angles = blocks[:, :, None] * torch.pi * 2.0 ** torch.arange(_OCTAVES)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).reshape(len(blocks), -1)
