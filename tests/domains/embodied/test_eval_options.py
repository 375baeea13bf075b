"""What ``heldout eval run`` hands on: how text is made, and runs in a simulator; and what it refuses beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evaluation_kit import make_index
from typer.testing import CliRunner

from heldout.cli.main import build
from heldout.domains.embodied.evaluate.plan import Plan, parse_decoding
from heldout.errors import HeldoutError, InputError, PrerequisiteError
from heldout.evidence import read_json, read_json_lines


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("data"))


def evaluate(index: Path, out: Path, *words: object, predictor: str = "evaluation_kit:Told") -> Any:
    texts = ["eval", "run", index, "--backbone", "qwen3_omni_lora", "--predictor", predictor, "--out", out, *words]
    arguments = [str(word) for word in texts]
    return CliRunner().invoke(build(arguments), arguments, standalone_mode=False)


def test_a_decoding_reaches_the_predictor_and_the_identity(index: Path, tmp_path: Path) -> None:
    """Text would be made in another way than was asked, and resumed as if it were the same."""
    done = evaluate(index, tmp_path / "out", "--split", "val", "--decoding", "words=3")
    assert done.exception is None, done.output
    rows = read_json_lines(tmp_path / "out/predictions.partial.jsonl")[1:]
    assert {3} == {row.get("words", row.get("row", {}).get("words")) for row in rows}
    assert {"words": 3} == read_json(tmp_path / "out/plan.json")["decoding"]
    other = evaluate(index, tmp_path / "out", "--split", "val", "--decoding", "words=4")
    assert isinstance(other.exception, HeldoutError)
    assert "decoding" in str(other.exception)


@pytest.mark.parametrize(
    ("predictor", "words", "message"),
    [
        ("majority", ["--decoding", "mode=free"], "'majority' decodes nothing"),
        ("evaluation_kit:Told", ["--decoding", "lines=3"], "no such decoding: lines"),
        ("evaluation_kit:Told", ["--decoding", "words=many"], "no such decoding: invalid literal"),
        ("evaluation_kit:Told", ["--decoding", "words"], "'words' is no option"),
        ("evaluation_kit:Told", ["--decoding", "words=1", "--decoding", "words=2"], "stands twice"),
        ("nearest", ["--closed-loop", "."], "no rule here asks for closed-loop runs"),
        ("nearest", ["--closed-loop", ".", "--sample-stride", "2"], "a shard is not judged"),
        ("qwen3_omni_lora", ["--decoding", "mode=beam"], "no such decoding"),
        ("qwen3_omni_lora", ["--decoding", "max_new_tokens=many"], "no such decoding"),
    ],
)
def test_what_cannot_be_handed_on_is_refused_before_anything_is_written(
    index: Path, tmp_path: Path, predictor: str, words: list[str], message: str
) -> None:
    """The corrected command would find a folder of another identity, or an option would be ignored in silence."""
    done = evaluate(index, tmp_path / "out", *words, predictor=predictor)
    assert isinstance(done.exception, InputError), done.output
    assert message in done.exception.what
    assert not (tmp_path / "out").exists()


def test_a_predictor_that_is_not_there_is_named(index: Path) -> None:
    """A misspelt module would be found after the folder was begun."""
    with pytest.raises(PrerequisiteError, match="no predictor 'nowhere:Model'"):
        Plan(index, "nowhere:Model").check()
    with pytest.raises(InputError, match="no predictor 'nearst'"):
        Plan(index, "nearst").check()


def test_values_are_read_as_they_are_in_a_study() -> None:
    """A count would arrive as text."""
    assert {"mode": "free", "max_new_tokens": 64} == parse_decoding(["mode=free", "max_new_tokens=64"])
    assert parse_decoding([]) is None
