"""The chain by itself: whatever happens to a history, the first place where it no longer holds is found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.errors import TamperedError
from heldout.evidence import canonical, sha256_bytes
from heldout.registry.chain import GENESIS, Row, check_chain, link

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | TEXT, lambda part: st.lists(part, max_size=3))
RESERVED = {"schema", "seq", "previous_sha256"}
BODIES = st.dictionaries(TEXT.filter(lambda key: key not in RESERVED), VALUES, max_size=4)
HISTORIES = st.lists(BODIES, min_size=1, max_size=8)


def chain(bodies: list[dict[str, Any]]) -> list[Row]:
    rows, previous = [], GENESIS
    for seq, body in enumerate(bodies, start=1):
        event = link(seq, previous, body)
        rows.append(event.row())
        previous = event.sha256
    return rows


@pytest.mark.slow
@given(HISTORIES)
def test_what_was_written_holds(bodies: list[dict[str, Any]]) -> None:
    """An honest history would be called broken, and people would stop listening."""
    events = check_chain(chain(bodies))
    assert bodies == [{key: value for key, value in e.body.items() if key not in RESERVED} for e in events]


@given(HISTORIES, st.data())
def test_one_changed_byte_is_found_where_it_is(bodies: list[dict[str, Any]], data: st.DataObject) -> None:
    """An edit of a reason or a name years later would go unseen, or be blamed on another event."""
    rows = chain(bodies)
    index = data.draw(st.integers(0, len(rows) - 1))
    body = rows[index].body.encode()
    at = data.draw(st.integers(0, len(body) - 1))
    changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    rows[index] = rows[index]._replace(body=changed.decode("utf-8", "replace"))
    with pytest.raises(TamperedError, match=f"event {index + 1}:"):
        check_chain(rows)


@pytest.mark.slow
@given(HISTORIES, st.data())
def test_an_edit_with_its_digest_mended_breaks_the_next_link(bodies: list[dict[str, Any]], data: st.DataObject) -> None:
    """Whoever knows how to hash could rewrite one event and leave the rest."""
    rows = chain([*bodies, {}])
    index = data.draw(st.integers(0, len(bodies) - 1))
    body = json.loads(rows[index].body) | {"reason": "another"}
    text = canonical(body).decode()
    rows[index] = Row(index + 1, text, sha256_bytes(text.encode()))
    with pytest.raises(TamperedError, match=f"event {index + 2}: it does not follow"):
        check_chain(rows)


@pytest.mark.slow
@given(st.lists(BODIES, min_size=2, max_size=8), st.data())
def test_a_removed_event_is_missed(bodies: list[dict[str, Any]], data: st.DataObject) -> None:
    """An override could be cut out of the record."""
    rows = chain(bodies)
    index = data.draw(st.integers(0, len(rows) - 2))
    del rows[index]
    with pytest.raises(TamperedError, match=f"event {index + 1}: it is missing"):
        check_chain(rows)
    renumbered = [row._replace(seq=seq) for seq, row in enumerate(rows, start=1)]
    with pytest.raises(TamperedError, match=f"event {index + 1}:"):
        check_chain(renumbered)


@pytest.mark.slow
@given(st.lists(BODIES, min_size=2, max_size=8, unique_by=repr), st.data())
def test_the_order_is_part_of_the_history(bodies: list[dict[str, Any]], data: st.DataObject) -> None:
    """A rollback could be made to look like a promotion that came first."""
    rows = chain(bodies)
    index = data.draw(st.integers(0, len(rows) - 2))
    rows[index : index + 2] = [rows[index + 1]._replace(seq=index + 1), rows[index]._replace(seq=index + 2)]
    with pytest.raises(TamperedError, match=f"event {index + 1}:"):
        check_chain(rows)
