"""The loss is on the answer alone, measured where the media stand at full length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heldout.domains.embodied.qwen.batch import Dataset, collate
from heldout.domains.embodied.qwen.prompt import target_text
from heldout.domains.embodied.qwen.tokens import END, IGNORED, MEDIA, check_supervision, encode, load_tokenizer
from heldout.errors import InputError

ANSWER = {
    "action": "reach",
    "subtask": "serve",
    "objects": ["cup"],
    "contact": "No",
    "transition": "yes",
    "next_action": "move",
    "evidence_window": {"start_frame": 0, "end_frame": 9},
}


@pytest.fixture(scope="module")
def tokenizer(made: Path) -> Any:
    return load_tokenizer(made / "tiny")


@pytest.mark.parametrize(("video", "audio"), [(0, 0), (36, 0), (0, 13), (36, 13)])
def test_exactly_the_answer_is_supervised(tokenizer: Any, video: int, audio: int) -> None:
    """Most of the loss would be on a constant prompt, and a low loss would mean nothing."""
    target = target_text(ANSWER)
    found = encode(tokenizer, "What happens?", video, audio, target)
    supervised = [label for label in found.labels if label != IGNORED]
    assert f"{target}{END}" == tokenizer.decode(supervised)
    for kind, count in (("video_token", video), ("audio_token", audio)):
        place = tokenizer.convert_tokens_to_ids(MEDIA[kind])
        assert count == found.ids.count(place)
        assert place not in supervised
    assert [IGNORED] * found.prompt == found.labels[: found.prompt]


def test_a_mask_that_is_off_by_the_media_tokens_is_found_by_name(tokenizer: Any) -> None:
    """The published mistake: the prompt is measured with one token a clip, and its end is trained on."""
    target = target_text(ANSWER)
    found = encode(tokenizer, "What happens?", 36, 13, target)
    short = found.prompt - 36 - 13 + 2
    labels = [IGNORED] * short + found.ids[short:]
    with pytest.raises(InputError, match="which is not the answer") as caught:
        check_supervision(tokenizer, labels, target)
    assert "HO-E141" == caught.value.code
    late = [IGNORED] * (found.prompt + 1) + found.ids[found.prompt + 1 :]
    with pytest.raises(InputError, match="which is not the answer"):
        check_supervision(tokenizer, late, target)


@settings(deadline=None, max_examples=40)
@given(st.text(max_size=40).filter(lambda text: "<|" not in text))
def test_any_text_comes_back_from_its_tokens(tokenizer: Any, text: str) -> None:
    """A label with an unusual letter could be neither asked for nor answered."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert text.encode("utf-8", "surrogatepass") == tokenizer.decode(ids).encode("utf-8", "surrogatepass")


def test_the_target_is_canonical(tokenizer: Any) -> None:
    """One answer would have several spellings, and the model would be punished for the others."""
    loud = ANSWER | {"contact": "NO", "action": ' "reach" ', "objects": ["Cup", "cup", *[f"o{i}" for i in range(9)]]}
    text = target_text(loud)
    assert text.startswith('{"action":"reach","contact":"no","evidence_window":{"end_frame":9,"start_frame":0}')
    assert '"objects":["Cup","o0","o1","o2","o3","o4","o5","o6"]' in text


def test_padding_is_neither_seen_nor_supervised(made: Path, tokenizer: Any) -> None:
    """A long sample would change what is learnt from a short one beside it."""
    import torch

    from heldout.domains.embodied.qwen.base import load_base
    from heldout.domains.embodied.qwen.loss import answer_loss

    data = Dataset(made / "data")
    records = data.split("train")
    examples = sorted((data.example(tokenizer, one) for one in records[:6]), key=lambda one: len(one.encoded.ids))
    model = load_base(made / "tiny", "float32").eval().requires_grad_(False)
    pad = tokenizer.pad_token_id
    alone = [float(answer_loss(model, collate([one], pad, "cpu", torch.float32))) for one in examples]
    batch = collate(examples, pad, "cpu", torch.float32)
    assert sum(alone) == pytest.approx(float(answer_loss(model, batch)), rel=1e-4)
    assert float(answer_loss(model, batch, tail=False)) == pytest.approx(float(answer_loss(model, batch)), rel=1e-5)
    theirs = model(**batch).loss * (batch["labels"] != IGNORED).sum()
    assert float(theirs) == pytest.approx(float(answer_loss(model, batch)), rel=1e-4)
