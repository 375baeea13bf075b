"""Blocks read by polars against the strict parser: one may be left, but none is read differently."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heldout.domains.video.corpus.blocks import BlockLayout
from heldout.domains.video.corpus.rows import _KNOWN, FEATURES
from heldout.errors import InputError
from heldout.evidence import loads

ROW: dict[str, Any] = {
    "src": "a",
    "encoder": "libx264",
    "cq": 23,
    "enc_bytes": 900,
    "frame_index": 0,
    "vmaf": 91.25,
    **{name: 0.5 + index / 64 for index, name in enumerate(FEATURES)},
    "preset": "fast",
    "fps": 30,
    "tool": "7.1 é",
    "source_sha256": "0f" * 32,
}
LINE = json.dumps(ROW, ensure_ascii=False).encode()
BYTES = st.sampled_from([bytes([byte]) for byte in b'"\\{}[]:,.eE+-019 \t\r\na\x00\x1f\x7f\x80\xc3\xa9\xff'] + [b""])
NUMBERS = st.one_of(
    st.floats(0, 1, allow_subnormal=True).map(repr),
    st.decimals(-2, 2, places=6).map(str),
    st.integers(-(10**20), 10**20).map(str),
    st.from_regex(r"\A-?[0-9]{0,24}\.?[0-9]{0,24}([eE][+-]?[0-9]{0,3})?\Z"),
)


def layout() -> BlockLayout:
    found = BlockLayout.of(ROW, _KNOWN)
    assert found is not None
    return found


def strictly(block: bytes) -> list[dict[str, Any]] | None:
    """What the strict parser makes of the lines; None if it refuses one."""
    try:
        return [loads(line, where="block") for line in block.removesuffix(b"\n").split(b"\n")]
    except InputError:
        return None


def agrees(block: bytes, frame: pl.DataFrame) -> bool:
    """Whether each value is, to the last bit, the one of the strict parser, made a float where the key holds one."""
    rows = strictly(block)
    if rows is None:
        return False
    floats = {key for key, kind in frame.schema.items() if kind == pl.Float64}
    expected = [{key: float(value).hex() if key in floats else value for key, value in row.items()} for row in rows]
    found = [{key: value.hex() if key in floats else value for key, value in row.items()} for row in frame.to_dicts()]
    return expected == found


def test_a_block_is_read_with_every_value() -> None:
    """If this failed, polars would lose or mix up values, or never be asked."""
    rows = [ROW | {"frame_index": index, "src": "ab"[index % 2], "vmaf": index / 7 % 1} for index in range(9)]
    rows = [row | {"vmaf": round(row["vmaf"], 6)} for row in rows]
    block = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)

    frame = layout().read(block)

    assert frame is not None
    assert agrees(block, frame)
    assert list(ROW) == frame.columns


@settings(max_examples=400, deadline=None)
@given(text=NUMBERS, key=st.sampled_from(["adm2", "vmaf", "cq", "fps"]))
@example("0.1e-22", "adm2")
@example("9007199254740993", "adm2")
@example("9007199254740993e-1", "adm2")
@example("18446744073709551617", "adm2")
@example("-0", "adm2")
@example("-0.0", "adm2")
@example("1e-400", "adm2")
@example("1e999", "adm2")
@example("1e2", "cq")
@example("1.", "adm2")
@example("", "adm2")
def test_no_number_is_read_differently(text: str, key: str) -> None:
    """If this failed, a feature would be off in its last bits, or text that is no JSON number would pass for one."""
    block = LINE.replace(json.dumps({key: ROW[key]})[1:-1].encode(), f'"{key}": {text}'.encode()) + b"\n"

    frame = layout().read(block)

    assert frame is None or agrees(block, frame)


@pytest.mark.slow
@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_no_fault_is_read_as_a_row(data: st.DataObject) -> None:
    """If this failed, a byte too many, too few or another would go unseen on the fast way."""
    block = b"\n".join([LINE] * 3) + b"\n"
    at = data.draw(st.integers(0, len(block) - 1))
    cut = data.draw(st.integers(0, 3))
    block = block[:at] + b"".join(data.draw(st.lists(BYTES, max_size=3))) + block[at + cut :]
    if not block.endswith(b"\n"):
        return  # the reader gives out whole lines

    frame = layout().read(block)

    if frame is not None:
        assert agrees(block, frame)
        assert all(sorted(row) == sorted(ROW) for row in strictly(block) or [])


@pytest.mark.parametrize(
    "change",
    [
        {"vmaf": 100.5},
        {"vmaf": -0.1},
        {"src": ""},
        {"fps": 0},
        {"source_sha256": "0F" * 32},
        {"cq": 2**53 + 1},
        {"preset": None},
        {"tool": True},
        {"tool": 7},
        {"tool": ["7", "1"]},
        {"tool": {"a": "b"}},
        {"tool": "a\\b"},
        {"enc_bytes": None},
        {"enc_bytes": 900.0},
        {"lossless": 1},
    ],
)
def test_what_another_reader_must_judge_is_left(change: dict[str, Any]) -> None:
    """If this failed, limits of values would hold on the slow way only."""
    assert layout().read(LINE + b"\n" + json.dumps(ROW | change, ensure_ascii=False).encode() + b"\n") is None


@pytest.mark.parametrize("row", [{}, ROW | {"tool": {"x": 1}}, ROW | {"tool": []}, ROW | {"preset": None}])
def test_rows_that_are_not_flat_have_no_layout(row: dict[str, Any]) -> None:
    """If this failed, nested keys would escape the count of keys, or a missing key would pass for null."""
    assert BlockLayout.of(row, _KNOWN) is None


@pytest.mark.parametrize(
    ("this", "instead"),
    [
        (b'"cq": 23', b'"src": "b"'),  # one key twice, another missing
        (b'"cq": 23', b'"cq": 23, "src": "b"'),
        (b'"tool": "7.1 \xc3\xa9"', b'"toll": "7"'),
        (b'"tool": "7.1 \xc3\xa9"', b'"tool": ["7", "1"], "x": 1'),
        (b'"src": "a"', b'"\\u0073rc": "a"'),
        (b'"src": "a"', b'"src" : "a"'),
        (b'"src": "a"', b'"src"\n: "a"'),
        (b'"tool": "7.1 \xc3\xa9"', b'"tool": "7:1"'),
        (b", ", b",\n"),
        (b"}", b"}{}"),
        (b"}", b"}\n"),
    ],
)
def test_keys_that_are_not_those_of_the_row_are_left(this: bytes, instead: bytes) -> None:
    """If this failed, one of two equal keys would win, or a value would be dropped, unseen."""
    assert this in LINE
    assert layout().read(LINE + b"\n" + LINE.replace(this, instead, 1) + b"\n") is None


def test_faults_of_two_lines_do_not_make_up_for_each_other() -> None:
    """If this failed, a key too many in one line and one too few in the next would cancel out in the counts."""
    more, less = LINE[:-1] + b', "src": "b"}', LINE.replace(b'"src": "a", ', b"")
    assert layout().read(more + b"\n" + less + b"\n") is None
    numbers, texts = LINE.replace(b'"src": "a"', b'"src": 5'), LINE.replace(b'"cq": 23', b'"cq": "23"')
    assert layout().read(numbers + b"\n" + texts + b"\n") is None


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_both_usual_spacings_are_read(separators: tuple[str, str]) -> None:
    """If this failed, the rows of some common writer would be read three times slower."""
    line = json.dumps(ROW, separators=separators, ensure_ascii=False).encode()
    assert layout().read(b"\n".join([line, line, b""])) is not None
