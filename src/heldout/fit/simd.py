"""Vector code for Numba: intrinsics on 16 float32 at a time, written as LLVM.

LLVM maps 16 lanes to one AVX-512 register, two of AVX2, four of SSE or NEON, so one source serves every processor.
Register blocks are explicit: what stays in registers is not left to the vectorizer, and arrays that might overlap cost
nothing. Every array argument is flat float32 and comes with an offset in elements. Lanes never mix except in ``dot``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from heldout.fit.lanes import ACTIVATIONS, FLOATS, INT, INTS, LONG, Lanes, constant, integers, splat
from heldout.fit.layout import LANES, ROWS
from heldout.fit.streams import HASH_A, HASH_B

# 4 x 4 vectors of sums fill half of AVX-512's 32 registers; with 16 registers of 8 lanes, 4 x 1 is what fits.
# (NUMBA_CPU_FEATURES lets Numba compile for another processor than this one.)
_FEATURES = config.CPU_FEATURES if config.CPU_FEATURES is not None else llvm.get_host_cpu_features().flatten()
WIDE = 4 if "+avx512f" in _FEATURES.split(",") else 1


class _Site:
    """One place where an intrinsic is emitted: its arguments as LLVM values."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        self.context, self.builder, self.signature, self.args = context, builder, signature, args

    def at(self, position: int, *offsets: Any) -> Any:
        """Address in the array argument at ``position``; the offset argument that follows it is added."""
        kind, array = self.signature.args[position], self.args[position]
        pointer = cgutils.create_struct_proxy(kind)(self.context, self.builder, array).data
        for offset in (self.args[position + 1], *offsets):
            pointer = self.builder.gep(pointer, [offset])
        return pointer

    def load(self, pointer: Any, vector: int = 0) -> Lanes:
        return Lanes(self.builder, self.builder.load(self._vector_at(pointer, vector), align=4))

    def store(self, lanes: Lanes, pointer: Any, vector: int = 0) -> None:
        self.builder.store(lanes.value, self._vector_at(pointer, vector), align=4)

    def spread(self, scalar: Any) -> Lanes:
        """A float32 in every lane."""
        return Lanes(self.builder, splat(self.builder, scalar, FLOATS))

    @contextmanager
    def steps(self, count: Any, by: int = 1) -> Iterator[Any]:
        """A loop over 0, by, 2 by ... below ``count``."""
        start, stride = ir.Constant(LONG, 0), ir.Constant(LONG, by)
        with cgutils.for_range_slice(self.builder, start, count, stride, LONG) as (at, _):
            yield at

    def _vector_at(self, pointer: Any, vector: int) -> Any:
        moved = self.builder.gep(pointer, [ir.Constant(LONG, vector * LANES)]) if vector else pointer
        return self.builder.bitcast(moved, FLOATS.as_pointer())


def _intrinsic(name: str, layout: str, emit: Callable[[_Site], Any], returns: Any = types.void) -> Any:
    """A function for Numba code; ``layout`` is one letter an argument: array, integer (64 bits), float32, word (32)."""
    kinds = {"i": types.intp, "f": types.float32, "w": types.uint32}

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = emit(_Site(context, builder, signature, args))
        return context.get_dummy_value() if value is None else value

    def typed(_: Any, *given: Any) -> Any:
        return returns(*(kinds.get(letter, one) for letter, one in zip(layout, given, strict=True))), codegen

    # Numba counts the arguments by the signature, and would take ``*given`` for one tuple.
    names = ["typing", *(f"{letter}{position}" for position, letter in enumerate(layout))]
    one_by_one = [inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD) for each in names]
    typed.__name__, typed.__signature__ = name, inspect.Signature(one_by_one)  # type: ignore[attr-defined]
    return intrinsic(typed)


def _tile(rows: int, wide: int, start: str, end: str) -> Any:
    """A block of a matrix product, ``C[i, j] = sum over k of A[i, k] B[k, j]``, ``16 * wide`` columns.

    Arguments: ``A``, offset, stride of i, stride of k; ``B``, offset, stride of k; ``C``, offset, stride of i; depth;
    ``E``, offset. ``start`` is "zero", or "row" to begin with the vector ``E``; ``end`` is "as is", or "times" to
    multiply by the block ``E``, which lies as ``C`` does.
    """

    def emit(site: _Site) -> None:
        builder, (_, _, a_row, a_step, _, _, b_step, _, _, c_row, depth, _, _) = site.builder, site.args
        places = [(i, v) for i in range(rows) for v in range(wide)]
        sums = {place: cgutils.alloca_once(builder, FLOATS) for place in places}
        for i, v in places:
            first = site.load(site.at(11), v) if start == "row" else constant(builder, 0.0)
            builder.store(first.value, sums[i, v])
        with site.steps(depth) as k:
            right = site.at(4, builder.mul(k, b_step))
            vectors = [site.load(right, v) for v in range(wide)]
            for i in range(rows):
                moved = builder.mul(a_row, ir.Constant(LONG, i))
                left = site.spread(builder.load(site.at(0, moved, builder.mul(k, a_step))))
                for v in range(wide):
                    total = left.fma(vectors[v], Lanes(builder, builder.load(sums[i, v])))
                    builder.store(total.value, sums[i, v])
        for i, v in places:
            moved = builder.mul(c_row, ir.Constant(LONG, i))
            total = Lanes(builder, builder.load(sums[i, v]))
            if end == "times":
                total = total * site.load(site.at(11, moved), v)
            site.store(total, site.at(7, moved), v)

    return _intrinsic(f"tile_{rows}_{wide}_{start}_{end}", "aiiiaiiaiiiai", emit)


def _activation(kind: str, drops: bool) -> Any:
    """One row of a hidden layer: value and slope of the activation, both times the dropout factor.

    Arguments: ``Z``, offset; ``H``, offset; slopes ``S``, offset; columns; first element's number, both halves of the
    mask's key, the bound below which a word drops its unit; the factor of kept units.
    """

    def emit(site: _Site) -> None:
        builder, (*_, columns, element, low, high, bound, factor) = site.builder, site.args
        with site.steps(columns, by=LANES) as at:
            value, slope = ACTIVATIONS[kind](site.load(site.at(0, at)))
            if drops:
                number = builder.add(element, builder.trunc(at, INT))
                words = _hash(builder, number, low, high)
                dropped = builder.icmp_unsigned("<", words, splat(builder, bound, INTS))
                zero, kept = constant(builder, 0.0), site.spread(factor)
                scale = Lanes(builder, builder.select(dropped, zero.value, kept.value))
                value, slope = value * scale, slope * scale
            site.store(value, site.at(2, at))
            site.store(slope, site.at(4, at))

    return _intrinsic(f"activate_{kind}_{drops}", "aiaiaiiwwwwf", emit)


def _hash(builder: Any, first: Any, low: Any, high: Any) -> Any:
    """Words of 16 elements from ``first`` on, as ``streams.keep`` defines them."""

    def shifted(words: Any, bits: int) -> Any:
        return builder.xor(words, builder.lshr(words, integers([bits] * LANES)))

    words = builder.add(splat(builder, builder.add(first, low), INTS), integers(list(range(LANES))))
    words = builder.mul(shifted(words, 16), integers([HASH_A] * LANES))
    words = builder.add(shifted(words, 15), splat(builder, high, INTS))
    return shifted(builder.mul(words, integers([HASH_B] * LANES)), 16)


def _emit_adam(site: _Site) -> None:
    """One step of ``count`` parameters.

    Arguments: parameters, gradients, first and second moments, one behind the other, and an offset; count; both
    betas; coupled L2; what decoupled decay leaves; root of the second bias correction, inverted; eps; step size over
    the first bias correction. Numbers too small to matter become zero: a weight that only decays would end as a
    denormal, which takes many times as long.
    """
    builder, (_, _, count, *scalars) = site.builder, site.args
    beta1, beta2, coupled, kept, unbias, eps, rate = (site.spread(scalar) for scalar in scalars)
    one, zero = constant(builder, 1.0), constant(builder, 0.0)
    with site.steps(count, by=LANES) as at:
        places = [site.at(0, builder.mul(count, ir.Constant(LONG, part)), at) for part in range(4)]
        p, g, m, v = (site.load(place) for place in places)
        g = p.fma(coupled, g).flushed(1e-20)
        m = (g - m).fma(one - beta1, m).flushed(1e-25)
        v = (g * (one - beta2)).fma(g, v * beta2)
        v = v.where_below(1e-36, zero)
        p = (p * kept - m / v.call("sqrt").fma(unbias, eps) * rate).flushed(1e-25)
        for lanes, part in ((p, 0), (m, 2), (v, 3)):
            site.store(lanes, places[part])


def _emit_transpose(site: _Site) -> None:
    """A block of 16 x 16: ``A``, offset, stride of rows; ``C``, offset, stride of rows."""
    builder, a_row, c_row = site.builder, site.args[2], site.args[5]
    rows = [site.load(site.at(0, builder.mul(a_row, ir.Constant(LONG, i)))).value for i in range(LANES)]
    for half in (8, 4, 2, 1):  # swap the off-diagonal quarters of every block of 2 * half
        lower = [lane if not lane & half else lane - half + LANES for lane in range(LANES)]
        upper = [lane + half if not lane & half else lane + LANES for lane in range(LANES)]
        for i in (i for i in range(LANES) if not i & half):
            pair = rows[i], rows[i + half]
            rows[i] = builder.shuffle_vector(*pair, integers(lower))
            rows[i + half] = builder.shuffle_vector(*pair, integers(upper))
    for i, row in enumerate(rows):
        site.store(Lanes(builder, row), site.at(3, builder.mul(c_row, ir.Constant(LONG, i))))


def _emit_prefetch(site: _Site) -> None:
    """Ask for the cache line at ``A``, offset."""
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), INT, INT, INT])
    function = cgutils.get_or_insert_function(site.builder.module, kind, "llvm.prefetch.p0")
    pointer = site.builder.bitcast(site.at(0), ir.IntType(8).as_pointer())
    read, keep_in_all_caches, data = (ir.Constant(INT, number) for number in (0, 3, 1))
    site.builder.call(function, [pointer, read, keep_in_all_caches, data])


def _emit_dot(site: _Site) -> Any:
    """Sum of products: ``A``, offset; ``B``, offset; count."""
    builder = site.builder
    total = cgutils.alloca_once_value(builder, constant(builder, 0.0).value)
    with site.steps(site.args[4], by=LANES) as at:
        lanes = site.load(site.at(0, at)).fma(site.load(site.at(2, at)), Lanes(builder, builder.load(total)))
        builder.store(lanes.value, total)
    lanes = Lanes(builder, builder.load(total))
    for half in (8, 4, 2, 1):
        turned = integers([lane ^ half for lane in range(LANES)])
        lanes = lanes + Lanes(builder, builder.shuffle_vector(lanes.value, lanes.value, turned))
    return builder.extract_element(lanes.value, ir.Constant(INT, 0))


tile_sum = {(rows, wide): _tile(rows, wide, "zero", "as is") for rows in (1, ROWS) for wide in (1, WIDE)}
tile_affine = {wide: _tile(ROWS, wide, "row", "as is") for wide in (1, WIDE)}
tile_times = {wide: _tile(ROWS, wide, "zero", "times") for wide in (1, WIDE)}
activate = {(kind, drops): _activation(kind, drops) for kind in ("gelu", "relu", "silu") for drops in (False, True)}
adam = _intrinsic("adam", "aiifffffff", _emit_adam)
transpose = _intrinsic("transpose", "aiiaii", _emit_transpose)
prefetch = _intrinsic("prefetch", "ai", _emit_prefetch)
dot = _intrinsic("dot", "aiaii", _emit_dot, returns=types.float32)
