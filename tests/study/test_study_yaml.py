"""The YAML that a study is written in: what people expect of it, and the place of every complaint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heldout.errors import StudyError
from heldout.study import load_yaml
from heldout.study.yaml import parse_scalar


def parse(folder: Path, text: str | bytes) -> Any:
    path = folder / "study.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_yaml(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5e-4", 5e-4),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("true", True),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("0x1F", "0x1F"),
        ("'5'", "5"),
        ("Ünïcode", "Ünïcode"),
    ],
)
def test_a_scalar_is_what_a_reader_takes_it_for(tmp_path: Path, text: str, expected: Any) -> None:
    """YAML 1.1 would make `5e-4` text, `no` false, `12:30` 750: a learning rate or a group name would change."""
    found = parse(tmp_path, f"key: {text}\n").value["key"]
    assert (type(expected), expected) == (type(found), found)


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("study: a\ncorpus:\n  path: x\n  path: y\n", "4:3", "'path' appears twice"),
        ("a: &x 1\nb: *x\n", "1:4", "anchors and aliases"),
        ("a: [1, *x]\n", "1:8", "anchors and aliases"),
        ("fit:\n  x: !!int '3'\n", "2:6", "tag"),
        ("fit: !!set {x: 1}\n", "1:6", "tag"),
        ("fit: !!python/object/apply:os.getcwd []\n", "1:6", "tag"),
        ("? [a]\n: 1\n", "1:3", "plain text"),
        ("a: 1\nb: [1, 2\n", "3:1", "not YAML"),
        ("a:\tb: c\n", "1:3", "not YAML"),
        ("a: 1\n---\nb: 2\n", "2:1", "not YAML"),
        ("fit:\n  rate: 1e999\n", "2:9", "too large"),
        (f"fit: {{n: {'9' * 5000}}}\n", "1:10", "too large"),
    ],
)
def test_what_is_ambiguous_is_refused_with_its_place(tmp_path: Path, text: str, place: str, what: str) -> None:
    """A key that is written twice would win or lose by accident, and nobody would find the line."""
    with pytest.raises(StudyError, match=what) as caught:
        parse(tmp_path, text)
    assert f"{tmp_path / 'study.yaml'}:{place}" == caught.value.where
    assert caught.value.hint


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"study: \xe9\n", "not UTF-8"),
        (b"a: \x00b\n", "not YAML"),
        (b"[" * 3_000, "nested too deeply|not YAML"),
    ],
)
def test_bytes_that_are_no_yaml_are_refused_and_not_a_crash(tmp_path: Path, data: bytes, what: str) -> None:
    """A traceback would stand where a sentence should."""
    with pytest.raises(StudyError, match=what):
        parse(tmp_path, data)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A typing slip in the path would end in a traceback."""
    with pytest.raises(StudyError, match="cannot read the study") as caught:
        load_yaml(tmp_path / "stduy.yaml")
    assert (str(tmp_path / "stduy.yaml"), 2) == (caught.value.where, caught.value.exit_code)


def test_a_byte_order_mark_does_not_become_part_of_the_first_key(tmp_path: Path) -> None:
    """A study saved on Windows would have no `study:` key."""
    assert {"study": "a"} == parse(tmp_path, "\ufeffstudy: a\n").value


def test_every_key_has_its_place(tmp_path: Path) -> None:
    """Complaints would point at the top of the file, or at the line before."""
    document = parse(tmp_path, "a: 1\nblock:\n  inner:\n    - id: x\n      value: 2\n")
    name = str(tmp_path / "study.yaml")
    assert f"{name}:5:7" == document.where(("block", "inner", 0, "value"))
    assert f"{name}:4:7" == document.where(("block", "inner", 0)), "a list item stands where its value starts"
    assert f"{name}:4:7" == document.where(("block", "inner", 0, "missing")), "a missing key stands in its block"
    assert f"{name}:1:1" == document.where(("nowhere",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5", 5), ("[0, 1]", [0, 1]), ("{a: 5e-4}", {"a": 5e-4}), ("", None), ("no", "no"), ("a b", "a b")],
)
def test_an_override_is_read_as_the_file_is(text: str, expected: Any) -> None:
    """`--set fit.rate=5e-4` would set text where the file sets a number."""
    assert expected == parse_scalar(text)


@pytest.mark.parametrize("text", ["[1", "{a: 1, a: 2}", "&x 1", "1\n---\n2"])
def test_an_override_that_is_no_value_is_refused(text: str) -> None:
    """Half of a list would be trained with."""
    with pytest.raises(StudyError) as caught:
        parse_scalar(text)
    assert (caught.value.where or "").startswith("--set")


@pytest.mark.parametrize("text", ["study: x\n\tcorpus: {}\n", "corpus:\n\tpath: rows.csv\n"])
def test_a_tab_is_called_a_tab(tmp_path: Path, text: str) -> None:
    """What cannot be seen would be looked for."""
    with pytest.raises(StudyError) as caught:
        parse(tmp_path, text)
    assert "indent with spaces: YAML takes no tabs" == caught.value.hint
