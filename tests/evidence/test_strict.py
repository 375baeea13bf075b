"""Strict JSON: what one reader accepts every reader accepts, and what was written is what is read."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.errors import InputError
from heldout.evidence import canonical, digest, dumps, finite_or_none, loads, read_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=25,
)

REFUSED = {
    "byte-order mark": (b'\xef\xbb\xbf{"a": 1}', "byte-order mark"),
    "byte-order mark as text": ("\ufeff{}".encode("utf-16"), "not UTF-8"),
    "UTF-16": ('{"a": 1}'.encode("utf-16-le"), "not JSON"),
    "Latin-1": (b'{"a": "caf\xe9"}', "byte 10 is not UTF-8"),
    "empty": (b"", "not JSON"),
    "cut off": (b'{"a": 1', "not JSON"),
    "two values": (b"{} {}", "not JSON: Extra data"),
    "NULs behind": (b'{"a": 1}\x00\x00', "not JSON"),
    "only NULs": (b"\x00" * 64, "not JSON"),
    "NUL inside text": (b'{"a": "b\x00c"}', "not JSON"),
    "duplicate key": (b'{"a": 1, "b": {"c": 1, "c": 2}}', "key 'c' appears twice"),
    "duplicate key by escape": (b'{"a": 1, "\\u0061": 2}', "key 'a' appears twice"),
    "NaN": (b'{"a": NaN}', "NaN is not a JSON number"),
    "Infinity": (b"[Infinity]", "Infinity is not a JSON number"),
    "-Infinity": (b"[-Infinity]", "-Infinity is not a JSON number"),
    "overflow": (b"[1e999]", "1e999 overflows"),
    "overflow below": (b"[-1e999]", "-1e999 overflows"),
    "overflow in disguise": (b"[" + b"9" * 400 + b".0]", "overflows"),
    "too many digits": (b"[" + b"9" * 5000 + b"]", "not strict JSON"),
    "deep nesting": (b"[" * 100_000 + b"]" * 100_000, "nested more than 128 levels"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested more than 128 levels"),
    "half a surrogate pair": (b'["\\ud800"]', "half of a surrogate pair"),
    "half a pair as key": (b'{"\\udfff": 1}', "half of a surrogate pair"),
    "comment": (b'{"a": 1} // b', "not JSON"),
    "trailing comma": (b'{"a": 1,}', "not JSON"),
    "single quotes": (b"{'a': 1}", "not JSON"),
    "leading zero": (b"[01]", "not JSON"),
    "hexadecimal": (b"[0x1]", "not JSON"),
    "True": (b"[True]", "not JSON"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_readers_disagree_on_is_refused_with_its_place(name: str) -> None:
    """One document would mean two things, depending on who reads it."""
    data, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as caught:
        loads(data, where="verdict.json")
    assert str(caught.value.where).startswith("verdict.json")
    assert caught.value.hint
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": 1}\r\n', {"a": 1}),
        (b" \t\r\n[1,\r\n2]\r\n\r\n", [1, 2]),
        (b'"\\ud83c\\udfac"', "\U0001f3ac"),
        (b"[1e-999, -0.0, 1E2]", [0.0, -0.0, 100.0]),
        (b'{"a": "b\\u0000c"}', {"a": "b\0c"}),
        ("[1]", [1]),
    ],
)
def test_what_every_reader_accepts_is_accepted(data: bytes | str, value: Any) -> None:
    """A file that came through Windows, or holds an emoji, would be turned away."""
    assert loads(data, where="x") == value


def test_the_message_names_line_and_column() -> None:
    """Somebody would search a thousand lines for one comma."""
    with pytest.raises(InputError) as caught:
        loads(b'{\n  "a": 1,\n  "b" 2\n}', where="study.json")
    assert caught.value.where == "study.json:3:7"


def test_nan_is_let_through_only_where_it_is_asked_for() -> None:
    """Judging another system's file would crash on its NaN instead of naming it."""
    value = loads(b"[NaN, -Infinity, 1e999]", where="x", allow_nan=True)
    assert (math.isnan(value[0]), value[1:]) == (True, [-math.inf, math.inf])
    with pytest.raises(InputError, match="appears twice"):
        loads(b'{"a": 1, "a": 2}', where="x", allow_nan=True)


@given(VALUES)
def test_what_is_written_is_what_is_read(value: Any) -> None:
    """A number would change on its way through a file, and a digest with it."""
    for data in (dumps(value), canonical(value)):
        again = loads(data, where="x")
        assert again == value
        assert repr(again) == repr(json.loads(json.dumps(value))) or isinstance(value, dict | list)
        assert (dumps(again), canonical(again), digest(again)) == (dumps(value), canonical(value), digest(value))


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), st.integers(), max_size=8))
def test_the_order_of_keys_changes_no_digest(value: dict[str, int]) -> None:
    """The same configuration would have two identities."""
    assert digest(dict(reversed(value.items()))) == digest(value)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_crash(data: bytes) -> None:
    """A damaged file would end in a traceback instead of a message."""
    with contextlib.suppress(InputError):
        loads(data, where="x")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, [{"a": math.nan}]])
def test_a_number_that_is_none_is_never_written(value: Any) -> None:
    """A NaN would reach a document, where it compares as nothing."""
    for write in (dumps, canonical, digest):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write(value)


def test_undefined_numbers_become_none() -> None:
    """A null would have to be made by hand at every place, and be forgotten at one."""
    assert [finite_or_none(value) for value in (1.5, math.nan, math.inf, None)] == [1.5, None, None, None]


def test_a_document_ends_with_one_newline_and_has_sorted_keys() -> None:
    """Two writers of the same document would differ, and a diff would show noise."""
    assert (
        dumps({"b": 1, "a": {"d": "ö", "c": 2}})
        == b'{\n  "a": {\n    "c": 2,\n    "d": "\xc3\xb6"\n  },\n  "b": 1\n}\n'
    )


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    """A mistyped path would end in a traceback."""
    with pytest.raises(InputError, match="cannot read the file: No such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(InputError, match="a folder stands where a plain file should be"):
        read_json(tmp_path)
