"""The compiled scanner against the strict parser: it may leave a block, but never read one differently."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

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
    "preset": None,
    "fps": 30,
    "tool": "7.1 é",
    "lossless": False,
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
    found = BlockLayout.of(LINE, ROW, _KNOWN)
    assert found is not None
    return found


def strictly(block: bytes) -> list[dict[str, Any]] | None:
    """What the strict parser makes of the lines; None if it refuses one."""
    try:
        return [loads(line, where="block") for line in block.removesuffix(b"\n").split(b"\n")]
    except InputError:
        return None


def agrees(block: bytes, fields: Mapping[str, Any]) -> bool:
    """Whether each value is, to the last bit, the one of the strict parser."""
    rows = strictly(block)
    if rows is None:
        return False
    return all(
        [(row[key], str(float(row[key])) if not isinstance(row[key], str) else "") for row in rows]
        == [(value, str(float(value)) if not isinstance(value, str) else "") for value in values.to_list()]
        for key, values in fields.items()
    )


def test_a_block_is_read_with_every_value() -> None:
    """If this failed, the scanner would lose or mix up values, or never be used."""
    rows = [ROW | {"frame_index": index, "src": "ab"[index % 2], "vmaf": index / 7 % 1} for index in range(9)]
    rows = [row | {"vmaf": round(row["vmaf"], 6)} for row in rows]
    block = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)

    fields = layout().read(block)

    assert fields is not None
    assert agrees(block, fields)
    assert set(ROW) - {"preset", "lossless"} == set(fields)


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

    fields = layout().read(block)

    assert fields is None or agrees(block, fields)


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

    fields = layout().read(block)

    if fields is not None:
        assert agrees(block, fields)
        assert all(list(row) == list(ROW) for row in strictly(block) or [])


@pytest.mark.parametrize(
    "change",
    [
        {"vmaf": 100.5},
        {"vmaf": -0.1},
        {"src": ""},
        {"fps": 0},
        {"source_sha256": "0F" * 32},
        {"cq": 10**15},
        {"preset": "fast"},
        {"lossless": True},
        {"tool": "a\\b"},
        {"enc_bytes": None},
    ],
)
def test_what_another_reader_must_judge_is_left(change: dict[str, Any]) -> None:
    """If this failed, limits of values would hold on the slow way only."""
    assert layout().read(LINE + b"\n" + json.dumps(ROW | change, ensure_ascii=False).encode() + b"\n") is None


@pytest.mark.parametrize("row", [{}, ROW | {"tool": {"x": 1}}, ROW | {"tool": []}])
def test_rows_that_are_not_flat_have_no_layout(row: dict[str, Any]) -> None:
    """If this failed, nested keys would escape the count of keys."""
    assert BlockLayout.of(json.dumps(row).encode(), row, _KNOWN) is None


@pytest.mark.parametrize("separators", [(", ", ": "), (",", ":")])
def test_both_usual_spacings_have_a_layout(separators: tuple[str, str]) -> None:
    """If this failed, the rows of some common writer would be read three times slower."""
    line = json.dumps(ROW, separators=separators, ensure_ascii=False).encode()

    found = BlockLayout.of(line, ROW, _KNOWN)

    assert found is not None
    assert found.read(b"\n".join([line, line, b""])) is not None
