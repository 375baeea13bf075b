"""Hash-chained records."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.errors import InputError, TamperedError
from heldout.evidence import START, append_link, canonical, head, read_chain, read_links

VALUES = st.lists(st.integers(0, 9), min_size=2, max_size=6)


@given(values=VALUES, data=st.data())
def test_a_record_edited_taken_out_or_slipped_in_breaks_the_chain(
    values: list[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """History could be rewritten by whoever can edit a text file."""
    path = tmp_path_factory.mktemp("chain") / "records.jsonl"
    for value in values:
        append_link(path, "test/1", {"value": value})
    lines = path.read_bytes().splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines) - 2))
    edited = [*lines]
    match data.draw(st.sampled_from(["edit", "remove", "slip in"])):
        case "edit":
            edited[place] = canonical(read_chain(path)[place].record | {"value": 10}) + b"\n"
        case "remove":
            del edited[place]
        case _:
            edited.insert(place + 1, lines[place])
    path.write_bytes(b"".join(edited))
    with pytest.raises(TamperedError, match="changed, removed or put in later"):
        read_chain(path)


def test_a_cut_off_end_changes_the_head(tmp_path: Path) -> None:
    """The latest record could be dropped under the eyes of whoever named it."""
    path = tmp_path / "records.jsonl"
    links = [append_link(path, "test/1", {"value": value}) for value in range(3)]
    assert (START, links) == (links[0].record["prev"], read_chain(path))
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert links[1].sha256 == head(read_chain(path)) != links[2].sha256


def test_a_torn_last_line_is_no_record_and_is_cut_off(tmp_path: Path) -> None:
    """A killed writer would leave a file to which nothing can be appended any more."""
    path = tmp_path / "records.jsonl"
    first = append_link(path, "test/1", {"value": 1})
    with path.open("ab") as stream:
        stream.write(b'{"value": 2, "pre')
    assert [first] == read_chain(path)
    assert [first, append_link(path, "test/1", {"value": 3})] == read_chain(path)


@pytest.mark.parametrize("garbled", [b'{"value": 2, "pre\n', b"\xff\xfe\n", b"[1]\n", b"\n"])
def test_a_garbled_line_says_what_still_holds_and_what_to_put_back(tmp_path: Path, garbled: bytes) -> None:
    """Somebody would delete the line to go on, and with it the whole rest of the history."""
    path = tmp_path / "records.jsonl"
    links = [append_link(path, "test/1", {"value": value}) for value in range(5)]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], garbled, *lines[3:]]))
    before = path.read_bytes()
    for read in (read_links, read_chain):
        with pytest.raises(InputError, match="chain of records is broken there; lines 1 to 2 still hold") as caught:
            read(path)
        assert f"{path}:3" == caught.value.where
        assert f"its sha256 is {links[2].sha256}" in str(caught.value.hint)
        assert "from a copy of the file" in str(caught.value.hint)
    with pytest.raises(InputError, match="line 3"):
        append_link(path, "test/1", {"value": 5})
    assert before == path.read_bytes()
    path.write_bytes(b"".join(lines))
    assert links == read_chain(path)


def test_a_garbled_line_behind_a_changed_one_vouches_for_less(tmp_path: Path) -> None:
    """Lines would be said to hold that somebody had edited."""
    path = tmp_path / "records.jsonl"
    for value in range(4):
        append_link(path, "test/1", {"value": value})
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[2], b"{\n", lines[3]]))
    with pytest.raises(InputError, match=r"line 3 is no whole record.*lines 1 to 1 still hold"):
        read_chain(path)
    path.write_bytes(b"".join([b"{\n", *lines[1:]]))
    with pytest.raises(InputError, match=r"line 1 is no whole record.*no line before it holds"):
        read_chain(path)
