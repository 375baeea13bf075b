"""Mutations of honest inputs, and what whoever reads them may do: accept the same meaning, or refuse in three parts."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import random
import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from heldout.errors import HeldoutError

# An honest input stays below this; a message that is longer repeats what it was given.
LONGEST_MESSAGE = 4_000
TOKENS: tuple[bytes, ...] = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\x1b[2J", b"\r\n", b"\n\n", b"\t", b"\xed\xa0\x80", b"'",
    b'"', b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"1e308", b"1" * 400, b"0.1e-400", b"9" * 19, b"null",
    b"true", b"[" * 200, b"{" * 200, b"[" * 200 + b"]" * 200, b"&a ", b"*a", b"!!python/object:os.system ", b"---\n",
    b"<<: ",
    b": ", b"- ", b"{}", b"[]", b"../", b"/", b"\\", b"%00", b"=cmd|' /C calc'!A0", b",", b";", b"@", b"?password=x",
)  # fmt: skip
EDGES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**290, 0.5, -0.0, 1e308, 5e-324, "",
    " ", "nan", "a" * 300, "\u202e", "\x1b", "..", "../../x", "=1+1", [], {}, [[]], {"": None}, [None], ["a"], {"a": 1},
)  # fmt: skip
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
Mutation = Callable[[random.Random, bytes], bytes]


def flip(rng: random.Random, data: bytes) -> bytes:
    """One to four bits turned."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def cut(rng: random.Random, data: bytes) -> bytes:
    """The end, or a part in the middle, taken away."""
    start = rng.randrange(len(data))
    end = len(data) if rng.random() < 0.5 else min(len(data), start + rng.randint(1, 64))
    return data[:start] + data[end:]


def double(rng: random.Random, data: bytes) -> bytes:
    """A part, or a whole line, said twice."""
    if rng.random() < 0.5:
        lines = data.splitlines(keepends=True)
        number = rng.randrange(len(lines))
        return b"".join([*lines[: number + 1], *lines[number:]])
    start = rng.randrange(len(data))
    part = data[start : start + rng.randint(1, 200)]
    return data[:start] + part + data[start:]


def splice(rng: random.Random, data: bytes) -> bytes:
    """One part written over another, or two lines exchanged."""
    lines = data.splitlines(keepends=True)
    if len(lines) > 1 and rng.random() < 0.5:
        one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
        return b"".join(lines)
    source, target, size = rng.randrange(len(data)), rng.randrange(len(data)), rng.randint(1, 64)
    return data[:target] + data[source : source + size] + data[target + size :]


def insert(rng: random.Random, data: bytes) -> bytes:
    """What parsers disagree on, put in or written over."""
    place, token = rng.randrange(len(data) + 1), rng.choice(TOKENS)
    return data[:place] + token + data[place + (len(token) if rng.random() < 0.3 else 0) :]


def renumber(rng: random.Random, data: bytes) -> bytes:
    """A number at its edge."""
    numbers = list(_NUMBER.finditer(data[: 1 << 16]))
    if not numbers:
        return insert(rng, data)
    match = rng.choice(numbers)
    edge = rng.choice([str(each).encode() for each in EDGES if isinstance(each, int | float)] + [b"NaN", b"1e999"])
    return data[: match.start()] + edge + data[match.end() :]


def rebuild(rng: random.Random, data: bytes) -> bytes:
    """A value of a JSON document, or of one of its lines, replaced, taken away, doubled or named otherwise."""
    lines = data.splitlines(keepends=True)
    whole = not data.lstrip().startswith(b"{") or len(lines) < 2 or lines[0].strip() == b"{"
    number = 0 if whole else rng.randrange(len(lines))
    try:
        document = json.loads(data if whole else lines[number])
    except ValueError:
        return renumber(rng, data)
    changed = _changed(rng, copy.deepcopy(document))
    if whole:
        return json.dumps(changed, indent=2, sort_keys=True).encode() + b"\n"
    lines[number] = json.dumps(changed, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    return b"".join(lines)


def _changed(rng: random.Random, document: Any) -> Any:
    places: list[tuple[Any, Any]] = []
    _collect(document, places)
    if not places:
        return rng.choice(EDGES)
    holder, key = rng.choice(places)
    what = rng.randrange(4)
    if what == 0 and isinstance(holder, dict):
        holder[rng.choice(["", "schema", f"{key}x", "a\u202e"])] = holder.pop(key)
    elif what == 1:
        del holder[key]
    elif what == 2:
        _, other = rng.choice(places)
        holder[key] = rng.choice(EDGES) if other == key else copy.deepcopy(rng.choice(places)[0])
    else:
        holder[key] = rng.choice(EDGES)
    return document


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        places.append((value, key))
        _collect(value[key], places)


MUTATIONS: tuple[Mutation, ...] = (flip, cut, double, splice, insert, renumber, rebuild)
BYTES: tuple[Mutation, ...] = (flip, cut, double, splice, insert)


def mutated(rng: random.Random, data: bytes, mutations: tuple[Mutation, ...] = MUTATIONS) -> bytes:
    """The bytes after one to three mutations."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(mutations)(rng, data or b"\n")
    return data


@dataclass
class Hunt:
    """What came of the mutations of one target.

    Attributes:
        same: Accepted, and they meant what the honest input means, or something else that is honest.
        refused: Refused in three parts.
        faults: What should not have happened: the seed, and what it was.
    """

    same: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """All of them."""
        return self.same + self.refused + len(self.faults)


class SeenError(AssertionError):
    """Something was accepted that says something else."""


def hunt(try_one: Callable[[random.Random], None], seeds: range) -> Hunt:
    """Try one mutation a seed.

    Args:
        try_one: Mutates and reads; raises what the reader raises, or ``SeenError``.
        seeds: One each.
    """
    found = Hunt()
    for seed in seeds:
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                try_one(random.Random(seed))
            found.same += 1
        except HeldoutError as error:
            found.refused += 1
            found.codes[error.code] += 1
            found.faults += [f"seed {seed}: {problem}" for problem in _problems(error)]
        except SeenError as error:
            found.faults.append(f"seed {seed}: {error}")
        except BaseException:
            found.faults.append(f"seed {seed}: {traceback.format_exc(limit=-6)}")
        if len(out.getvalue()) > 100 * LONGEST_MESSAGE:
            found.faults.append(f"seed {seed}: {len(out.getvalue())} characters were printed")
    return found


def _problems(error: HeldoutError) -> Iterator[str]:
    if error.exit_code == 1:
        yield "it would exit as a HOLD does"
    if not error.what or not (error.where or error.hint):
        yield f"the message has not three parts: {error!r}"
    if len(str(error)) > LONGEST_MESSAGE:
        yield f"the message has {len(str(error))} characters"
    if not str(error).replace("\n", "").isprintable():
        yield f"the message would steer a terminal: {str(error)!r}"
