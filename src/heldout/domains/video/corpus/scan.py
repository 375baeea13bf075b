"""A compiled scanner for rows that all look alike: it takes a line to the byte as it must be, or takes nothing.

Every line of a block has the same keys in the same order with the same spacing, so a line is literals with values
between them. The scanner compares the literals and reads each value by the grammar of JSON, kept to the part on which
all readers agree: text without escapes and control characters, whole numbers of at most 15 digits, and decimal numbers
that one exact division or multiplication gives (W. Clinger, How to read floating point numbers accurately, 1990).
Anything else, be it a fault or only unusual, stops it; slower and pickier readers then look at that block.
"""

# Numba infers the types of the functions that it compiles.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from numba import njit

TEXT, COUNT, NUMBER = 0, 1, 2

_DIGITS = 15
_EXACT = np.uint64(2**53)
_TENS = 10.0 ** np.arange(23)
_TEN, _NIL = np.uint64(10), np.uint64(0)


@njit(nogil=True, cache=True)
def scan(data, words, literals, masks, ends, lengths, kinds, texts, starts, sizes, counts, numbers):
    """Read as many lines as the arrays have columns.

    Args:
        data: Bytes of the block, uint8, the last a newline, at which every loop over a value stops; and eight more.
        words: Uint64 of the eight bytes from each byte of ``data`` on.
        literals: What stands before the first value, between two, and behind the last with the newline, as uint64
            of eight bytes each.
        masks: Bits of each word of ``literals`` that count.
        ends: End of each literal in ``literals``; one more than there are values.
        lengths: Bytes of each literal.
        kinds: TEXT, COUNT or NUMBER of each value.
        texts: Int32 ``[texts, lines]``, filled with the index of the text in order of its first run.
        starts: Int32 ``[texts, lines]``, filled with where in ``data`` the text of a run starts.
        sizes: Int32 ``[texts, lines]``, filled with its bytes.
        counts: Int64 ``[counts, lines]``, filled.
        numbers: Float64 ``[numbers, lines]``, filled.

    Returns:
        1 and the runs of each text, int32; 0 first if a line is not as it must be.
    """
    found = np.zeros(1 + texts.shape[0], np.int32)
    runs = found[1:]
    at = 0
    for line in range(texts.shape[1]):
        word = text = count = number = 0
        for key in range(ends.size):
            place = at
            while word < ends[key]:
                if (words[place] ^ literals[word]) & masks[word]:
                    return found
                word += 1
                place += 8
            at += lengths[key]
            if key == kinds.size:
                break
            if kinds[key] == TEXT:
                at = _text(data, words, at, text, line, runs, texts, starts, sizes)
                text += 1
            elif kinds[key] == COUNT:
                at = _count(data, at, counts, count, line)
                count += 1
            else:
                at = _number(data, at, numbers, number, line)
                number += 1
            if at < 0:
                return found
    found[0] = at == data.size - 8
    return found


@njit(nogil=True, inline="always")
def _text(data, words, at, text, line, runs, texts, starts, sizes):
    """Read what stands before the next quote; return its place, or -1."""
    run = runs[text] - 1
    if run >= 0:  # the same text as in the line before?
        start, size = starts[text, run], sizes[text, run]
        same = 0
        while same + 8 <= size and words[at + same] == words[start + same]:
            same += 8
        while same < size and data[at + same] == data[start + same]:
            same += 1
        if same == size and data[at + same] == 34:
            texts[text, line] = run
            return at + same
    start = at
    while data[at] != 34:
        if data[at] < 32 or data[at] == 92:
            return -1
        at += 1
    run += 1
    starts[text, run], sizes[text, run], texts[text, line] = start, at - start, run
    runs[text] = run + 1
    return at


@njit(nogil=True, inline="always")
def _count(data, at, counts, count, line):
    """Read a whole number that is not negative; return the place behind it, or -1."""
    start, value = at, 0
    while 48 <= data[at] <= 57 and at - start <= _DIGITS:
        value = 10 * value + (data[at] - 48)
        at += 1
    digits = at - start
    if digits == 0 or digits > _DIGITS or (digits > 1 and data[start] == 48):
        return -1
    counts[count, line] = value
    return at


@njit(nogil=True, inline="always")
def _number(data, at, numbers, number, line):
    """Read a number; return the place behind it, or -1 if it has no exact short cut."""
    negative = data[at] == 45
    if negative:
        at += 1
    start, value = at, _NIL
    while 48 <= data[at] <= 57:
        value = _TEN * value + np.uint64(data[at] - 48)
        at += 1
    digits, scale = at - start, 0
    if digits == 0 or (digits > 1 and data[start] == 48):
        return -1
    if data[at] == 46:
        at += 1
        start = at
        while 48 <= data[at] <= 57:
            value = _TEN * value + np.uint64(data[at] - 48)
            at += 1
        scale = start - at
        digits -= scale
        if scale == 0:
            return -1
    if data[at] == 101 or data[at] == 69:
        at += 1
        turn = -1 if data[at] == 45 else 1
        if data[at] == 45 or data[at] == 43:
            at += 1
        start, power = at, 0
        while 48 <= data[at] <= 57 and at - start < 4:
            power = 10 * power + (data[at] - 48)
            at += 1
        if at == start:
            return -1
        scale += turn * power
    if digits > 19 or value > _EXACT or abs(scale) >= _TENS.size or (negative and value == _NIL):
        return -1  # readers disagree on the sign of a zero
    exact = np.float64(value)
    exact = exact * _TENS[scale] if scale >= 0 else exact / _TENS[-scale]
    numbers[number, line] = -exact if negative else exact
    return at
