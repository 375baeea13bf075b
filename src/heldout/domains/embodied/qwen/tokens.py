"""Text and media as token ids, with the loss on the answer alone.

The published trainer measured the prompt before the media tokens were expanded and so trained on the end of every
prompt. Here ids are built expanded, the mask is the length of what stands before the answer, and what is supervised is
decoded again and must be the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from heldout.domains.embodied.qwen.prompt import SYSTEM
from heldout.errors import InputError

IGNORED = -100
START, END = "<|im_start|>", "<|im_end|>"
PAD = "<|endoftext|>"
_OFTEN = 64  # that the words of the template become tokens
# By the attribute that transformers' processor looks for: the published tokens.
MEDIA = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "audio_token": "<|audio_pad|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
    "audio_bos_token": "<|audio_start|>",
    "audio_eos_token": "<|audio_end|>",
}


class Encoded(NamedTuple):
    """Ids of a prompt, and of prompt and answer; labels are ``-100`` but on the answer and its end."""

    ids: list[int]
    labels: list[int]
    prompt: int


def train_tokenizer(texts: Iterable[str], size: int) -> Any:
    """A byte-level BPE tokenizer with the published special tokens.

    Args:
        texts: Of train windows, and of nothing else: words of test episodes would be a look at them.
        size: Of the vocabulary.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, START, END, *MEDIA.values()]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    roles = [f"{role}\n" for role in ("system", "user", "assistant")]
    tokenizer.train_from_iterator([*roles * _OFTEN, *texts], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=MEDIA,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a base model.

    Raises:
        InputError: If it lacks a token that a prompt is made of.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    known = tokenizer.get_vocab()
    lacking = [token for token in (START, END, *MEDIA.values()) if token not in known]
    if lacking:
        hint = "a base of the Qwen3-Omni family, or one that heldout made"
        raise InputError(f"the tokenizer has no {', '.join(lacking)}", where=str(folder), hint=hint)
    return tokenizer


def encode(tokenizer: Any, text: str, video: int, audio: int, target: str | None) -> Encoded:
    """A conversation as ids: system, media, text, and the answer if there is one.

    Args:
        tokenizer: Of the base.
        text: The user's.
        video: Places of the clip; 0 without one.
        audio: Places of the sound; 0 without one.
        target: The answer; None to ask for it.

    Raises:
        InputError: If the supervised ids do not decode to the answer.
    """
    ids = _ids(tokenizer, f"{START}system\n{SYSTEM}{END}\n{START}user\n")
    for count, names in ((video, ("vision_bos", "video", "vision_eos")), (audio, ("audio_bos", "audio", "audio_eos"))):
        if count:
            first, middle, last = (tokenizer.convert_tokens_to_ids(MEDIA[f"{name}_token"]) for name in names)
            ids += [first, *[middle] * count, last]
    ids += _ids(tokenizer, f"{text}{END}\n{START}assistant\n")
    prompt = len(ids)
    if target is None:
        return Encoded(ids, [IGNORED] * prompt, prompt)
    answer = _ids(tokenizer, f"{target}{END}")
    found = Encoded(ids + answer, [IGNORED] * prompt + answer, prompt)
    check_supervision(tokenizer, found.labels, target)
    return found


def check_supervision(tokenizer: Any, labels: Sequence[int], target: str) -> None:
    """See that the loss is on the answer, the whole answer and nothing else.

    Raises:
        InputError: If the supervised ids decode to anything else.
    """
    said = tokenizer.decode([label for label in labels if label != IGNORED], skip_special_tokens=False)
    if said != f"{target}{END}":
        raise InputError(
            f"the loss is on {_short(said)}, which is not the answer {_short(target)}",
            where="prompt mask",
            hint="the mask is measured on ids in which the media stand at full length",
            code="HO-E141",
        )


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else f"{text[:60]} ... {text[-60:]}")
