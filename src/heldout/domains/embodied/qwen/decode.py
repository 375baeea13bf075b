"""Answers: greedy, free or held to the schema. Held ones are valid by construction; free ones show what was learnt.

An answer that the schema would have allowed token by token is the same with and without the schema, so only the others
are made twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from heldout.domains.embodied.qwen.prompt import answer_schema
from heldout.domains.embodied.qwen.tokens import END
from heldout.domains.embodied.score.answers import strict_problem
from heldout.errors import InputError, PrerequisiteError

MOST_TOKENS = 256
_MOST_LISTS = 200
MODES = ("constrained", "free")


@dataclass(frozen=True)
class Decoding:
    """How text is made of a model.

    Attributes:
        mode: ``constrained`` or ``free``.
        max_new_tokens: Tokens of an answer at most.
    """

    mode: str = "constrained"
    max_new_tokens: int = MOST_TOKENS

    @classmethod
    def parse(cls, options: Mapping[str, Any]) -> Decoding:
        """Read options.

        Raises:
            InputError: If one is unknown or out of range.
        """
        try:
            found = cls(**options)
        except TypeError as error:
            raise InputError(f"no such decoding: {error}", where="decoding", hint="mode, max_new_tokens") from None
        if found.mode not in MODES or found.max_new_tokens < 1:
            raise InputError("no such decoding", where="decoding", hint=f"mode is one of {', '.join(MODES)}")
        return found


class Answer(NamedTuple):
    """What a model says.

    Attributes:
        text: The answer.
        free: What it would have said without the schema.
    """

    text: str
    free: str


@dataclass
class Grammar:
    """What may be answered, for one tokenizer.

    Attributes:
        tokenizer: Of the base.
        options: Labels, by ``action`` and ``subtask``.
        objects: Names that train knows.
        lists: Lists of objects that train knows, most common first.
        spans: Evidence windows that train knows.
    """

    tokenizer: Any
    options: Mapping[str, Sequence[str]]
    objects: Sequence[str]
    lists: Sequence[Sequence[str]]
    spans: Sequence[Sequence[int]]
    _made: dict[str, object] = field(default_factory=dict)

    def matcher(self, *, narrow: bool = False) -> Any:
        """A new matcher; a narrow one allows only lists and spans that train has."""
        guidance = _guidance()
        if not self._made:
            from llguidance.hf import from_tokenizer

            self._made["tokenizer"] = from_tokenizer(self.tokenizer, eos_token=self.stop)
        name = "narrow" if narrow else "wide"
        if name not in self._made:
            schema = answer_schema(self.options, self.objects)
            if narrow:
                self._narrow(schema)
            self._made[name] = guidance.LLMatcher.grammar_from_json_schema(schema)
        matcher = guidance.LLMatcher(self._made["tokenizer"], self._made[name])
        if matcher.is_error():
            raise InputError(f"the schema is no grammar: {matcher.get_error()}", where="decoding", hint="export again")
        return matcher

    def accepts(self, ids: Sequence[int]) -> bool:
        """Whether the schema allows these tokens, and they end the turn where an answer may end."""
        if not ids or ids[-1] != self.stop:
            return False
        matcher, said = self.matcher(), list(ids[:-1])
        return bool(matcher.try_consume_tokens(said) == len(said) and matcher.is_accepting())

    @property
    def stop(self) -> int:
        """The token that ends a turn."""
        found: int = self.tokenizer.convert_tokens_to_ids(END)
        return found

    def is_strict(self, text: str) -> bool:
        """Whether the text is exactly the answer that was asked for."""
        return strict_problem(text, self.options) is None

    def _narrow(self, schema: dict[str, Any]) -> None:
        """What no JSON Schema says in general, that names differ and a span does not end before it starts."""
        spans = [{"end_frame": int(last), "start_frame": int(first)} for first, last in self.spans[:_MOST_LISTS]]
        schema["properties"]["evidence_window"] = {"enum": spans}
        schema["properties"]["objects"] = {"enum": [list(names) for names in self.lists[:_MOST_LISTS]]}


def answer(model: Any, inputs: Mapping[str, Any], grammar: Grammar, decoding: Decoding) -> Answer:
    """Greedy decoding of one prompt.

    Args:
        model: The thinker, wrapped or not.
        inputs: Of one sample, without labels.
        grammar: What may be answered.
        decoding: How.
    """
    free = _generate(model, inputs, grammar, decoding, None)
    said = _text(grammar, free)
    if decoding.mode == "free" or (grammar.accepts(free) and grammar.is_strict(said)):
        return Answer(said, said)
    held = said
    for narrow in (False, True):
        held = _text(grammar, _generate(model, inputs, grammar, decoding, grammar.matcher(narrow=narrow)))
        if grammar.is_strict(held):
            break
    return Answer(held, said)


def _text(grammar: Grammar, ids: Sequence[int]) -> str:
    text: str = grammar.tokenizer.decode(ids, skip_special_tokens=True)
    return text


def _generate(
    model: Any, inputs: Mapping[str, Any], grammar: Grammar, decoding: Decoding, matcher: Any | None
) -> list[int]:
    """New tokens, with the end of the turn if it was reached."""
    import torch

    held = [_Mask(matcher, len(grammar.tokenizer))] if matcher is not None else []
    with torch.no_grad():
        found = model.generate(
            **inputs,
            max_new_tokens=decoding.max_new_tokens,
            do_sample=False,
            num_beams=1,
            eos_token_id=grammar.stop,
            pad_token_id=grammar.tokenizer.pad_token_id,
            logits_processor=held,
        )
    ids: list[int] = found[0, inputs["input_ids"].shape[1] :].tolist()
    return ids


class _Mask:
    """Forbids what the grammar does not allow next."""

    def __init__(self, matcher: Any, vocabulary: int) -> None:
        self._matcher, self._vocabulary, self._seen = matcher, vocabulary, -1

    def __call__(self, ids: Any, scores: Any) -> Any:
        import torch
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

        if self._seen >= 0:
            self._matcher.consume_tokens(ids[0, self._seen :].tolist())
        self._seen = ids.shape[1]
        size = scores.shape[1]
        mask = allocate_token_bitmask(1, -(-max(size, self._vocabulary) // 32) * 32)
        fill_next_token_bitmask(self._matcher, mask, 0)
        allowed = np.unpackbits(mask.view(np.uint8), bitorder="little")[:size].astype(bool)
        return scores.masked_fill(~torch.from_numpy(allowed).to(scores.device), float("-inf"))


def _guidance() -> Any:
    try:
        import llguidance
    except ImportError:
        hint = "pip install 'heldout[embodied]', or decode free"
        raise PrerequisiteError("llguidance is not installed", where="decoding", hint=hint) from None
    return llguidance
