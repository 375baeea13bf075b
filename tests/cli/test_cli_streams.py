"""Streams of any encoding, and what the machine refuses by whatever name."""

from __future__ import annotations

import errno
import io
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.cli.printing import print_json
from heldout.errors import InputError, MachineError, UnitError, worst
from heldout.evidence.machine import machine_error
from heldout.streams import Output, plain

ANY = st.text(st.characters(exclude_categories=()), max_size=40)  # halves of pairs included
ENCODINGS = ["utf-8", "ascii", "cp1252", "latin-1", "cp437", "koi8-r", "shift_jis", "utf-16"]


def written(text: str, encoding: str) -> str:
    raw = io.BytesIO()
    out = Output(io.TextIOWrapper(raw, encoding=encoding, newline=""), quiet=False)
    out.write(text)
    out.flush()
    assert out.failed is None
    return raw.getvalue().decode(encoding)


@given(ANY, st.sampled_from(ENCODINGS))
def test_every_text_can_be_written_in_every_encoding(text: str, encoding: str) -> None:
    """One symbol of a group's name would end a command in a traceback."""
    written(text, encoding)
    assert all(plain(symbol).isascii() for symbol in text if not symbol.isascii())


def test_symbols_of_a_verdict_keep_their_meaning() -> None:
    """A reader of an old terminal would see question marks in place of a rule."""
    assert "plcc >= 0.7 +- 0.1 -> 2 * x, \\u6771" == written("plcc ≥ 0.7 ± 0.1 → 2 · x, 東", "ascii")
    assert "é >= \\u0142 \\udcff" == written("é ≥ ł \udcff", "latin-1")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_is_json_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An escape of a stream inside a string would be no JSON, or another string."""
    value = {"≥": "東京 é \\ \n", "n": 1.5}
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", Output(io.TextIOWrapper(raw, encoding=encoding), quiet=False))
    print_json(value | {"name": "st\udcffudy"})
    import sys

    sys.stdout.flush()
    assert value | {"name": "st?udy"} == json.loads(raw.getvalue().decode(encoding))


def test_a_quiet_stream_never_raises_and_a_loud_one_remembers() -> None:
    """A closed standard error would decide the exit code; a closed pipe would be taken for a fault."""

    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "full")

    quiet, loud, closed = Output(Broken(), quiet=True), Output(Broken(), quiet=False), Output(None, quiet=False)
    assert 4 == quiet.write("text")
    quiet.flush()
    for stream, number in ((loud, errno.ENOSPC), (closed, errno.EPIPE)):
        for _ in range(2):
            with pytest.raises(OSError) as caught:
                stream.write("text")
            assert number == caught.value.errno
        stream.flush()  # said once
        assert stream.failed is not None


def caused(error: BaseException, by: BaseException) -> BaseException:
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "machine"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EMFILE, "x"), True),
        (OSError(errno.ENOENT, "x"), False),
        (MemoryError(), True),
        (ValueError("I/O error: Input/output error (os error 5)"), True),
        (ValueError("No such file (os error 2)"), False),
        (ValueError("memory allocation of thoughts"), False),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("can't start new thread"), True),
        (caused(UnitError("x"), OSError(errno.EDQUOT, "x")), True),
        (caused(ValueError("x"), ValueError("y")), False),
        (UnitError("the disk of the model says (os error 28)"), False),
    ],
    ids=str,
)
def test_what_the_machine_refuses_is_told_from_what_a_variant_does(error: BaseException, machine: bool) -> None:
    """A full disk would count as a variant that failed; or a variant's fault would be blamed on the machine."""
    found = machine_error(error)
    assert machine == (found is not None)
    if found is not None:
        again = pickle.loads(pickle.dumps(found))
        assert (MachineError, 2, str(found)) == (type(again), again.exit_code, str(again))
        assert isinstance(found, InputError)
        assert found.hint


@given(st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 70, 130, 141])), st.lists(st.sampled_from([0, 1, 2, 3, 5, 70])))
def test_the_gravest_code_of_a_whole_is_that_of_its_parts(one: list[int], other: list[int]) -> None:
    """What two halves say would depend on how they were cut."""
    assert worst([*one, *other]) == worst([worst(one), worst(other)]) == worst([*other, *one])
    assert (0 == worst(one)) == (set(one) <= {0})
