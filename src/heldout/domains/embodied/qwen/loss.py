"""The loss: cross entropy of the answer's tokens, with the output layer on as few positions as that needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from heldout.domains.embodied.qwen.tokens import IGNORED


def answer_loss(model: Any, batch: Mapping[str, Any], *, tail: bool = True) -> Any:
    """Sum of the cross entropy over supervised tokens.

    Args:
        model: The thinker, wrapped or not.
        batch: With ``labels``.
        tail: Whether the output layer sees only the positions from the first one that predicts an answer.
    """
    import torch

    labels = batch["labels"]
    supervised = (labels != IGNORED).any(dim=0).nonzero()
    first = max(0, int(supervised[0]) - 1) if tail else 0
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    with _from(model, first):
        logits = model(**inputs, use_cache=False).logits
    wanted = labels[:, first + 1 :]
    said = logits[:, :-1].float()
    return torch.nn.functional.cross_entropy(
        said.reshape(-1, said.shape[-1]), wanted.reshape(-1), ignore_index=IGNORED, reduction="sum"
    )


@contextmanager
def _from(model: Any, first: int) -> Iterator[None]:
    """Let the output layer see positions from ``first`` on. A hook, for it works under every wrapper."""
    heads = [module for name, module in model.named_modules() if name == "lm_head" or name.endswith(".lm_head")]
    hook = heads[0].register_forward_pre_hook(lambda _, inputs: (inputs[0][:, first:],))
    try:
        yield
    finally:
        hook.remove()
