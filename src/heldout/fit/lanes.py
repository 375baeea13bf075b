"""Sixteen float32 in one LLVM value, and the functions of small networks on them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from heldout.fit.layout import LANES

FLOAT, INT, LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT, LANES)
_LOG2E = 1.4426950408889634


class Lanes:
    """A vector of 16 float32 or int32 in the making; operators emit instructions."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _binary(self, name: str, other: Lanes | float) -> Lanes:
        right = other if isinstance(other, Lanes) else constant(self.builder, other)
        return Lanes(self.builder, getattr(self.builder, name)(self.value, right.value))

    def __add__(self, other: Lanes | float) -> Lanes:
        return self._binary("fadd", other)

    def __sub__(self, other: Lanes | float) -> Lanes:
        return self._binary("fsub", other)

    def __mul__(self, other: Lanes | float) -> Lanes:
        return self._binary("fmul", other)

    def __truediv__(self, other: Lanes | float) -> Lanes:
        return self._binary("fdiv", other)

    def fma(self, factor: Lanes | float, term: Lanes | float) -> Lanes:
        """``self * factor + term``, rounded once where the processor can."""
        return self.call("fmuladd", factor, term)

    def call(self, name: str, *others: Lanes | float) -> Lanes:
        """An LLVM intrinsic of one type, such as ``sqrt``."""
        given = [other if isinstance(other, Lanes) else constant(self.builder, other) for other in others]
        kind = ir.FunctionType(FLOATS, [FLOATS] * (1 + len(given)))
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}.v{LANES}f32")
        return Lanes(self.builder, self.builder.call(function, [self.value, *(lanes.value for lanes in given)]))

    def where_below(self, bound: float, instead: Lanes, *, of: Lanes | None = None) -> Lanes:
        """``instead`` in lanes where ``of`` (or self) is below ``bound``, else self."""
        tested = (of or self).value
        below = self.builder.fcmp_ordered("<", tested, constant(self.builder, bound).value)
        return Lanes(self.builder, self.builder.select(below, instead.value, self.value))

    def flushed(self, tiny: float) -> Lanes:
        """Exact zero where the magnitude is below ``tiny``."""
        return self.where_below(tiny, constant(self.builder, 0.0), of=self.call("fabs"))


def constant(builder: Any, number: float) -> Lanes:
    """The same float32 in every lane."""
    return Lanes(builder, ir.Constant(FLOATS, [ir.Constant(FLOAT, number)] * LANES))


def integers(numbers: list[int]) -> Any:
    """An int32 vector of these numbers."""
    return ir.Constant(INTS, [ir.Constant(INT, number & 0xFFFFFFFF) for number in numbers])


def splat(builder: Any, scalar: Any, kind: Any) -> Any:
    """A vector with the same value, known only at run time, in every lane."""
    single = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(INT, 0))
    return builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), ir.Constant(INTS, [0] * LANES))


def exp(x: Lanes) -> Lanes:
    """Power of e for ``x`` <= 80; exactly zero below -60, so that no product of it becomes denormal.

    Two to the whole part by its exponent bits, to the rest by the polynomial of Cephes' exp2f.
    """
    builder = x.builder
    powers = x.call("maxnum", -60.0) * _LOG2E
    whole = powers.call("rint")
    part = powers - whole
    poly = constant(builder, 1.535336188319500e-4)
    for coefficient in (1.339887440266574e-3, 9.618437357674640e-3, 5.550332471162809e-2):
        poly = poly.fma(part, coefficient)
    for coefficient in (2.402264791363012e-1, 6.931472028550421e-1, 1.0):
        poly = poly.fma(part, coefficient)
    exponent = builder.shl(builder.fptosi(whole.value, INTS), integers([23] * LANES))
    scaled = builder.bitcast(builder.add(builder.bitcast(poly.value, INTS), exponent), FLOATS)
    return Lanes(builder, scaled).where_below(-60.0, constant(builder, 0.0), of=x)


def gelu(z: Lanes) -> tuple[Lanes, Lanes]:
    """Value and slope of ``z * Phi(z)``; Phi by Abramowitz and Stegun 7.1.26, which shares its exponential."""
    bell = exp(z * z * -0.5)
    t = constant(z.builder, 1.0) / z.call("fabs").fma(0.3275911 * 0.5**0.5, 1.0)
    poly = t.fma(1.061405429, -1.453152027)
    for coefficient in (1.421413741, -0.284496736, 0.254829592):
        poly = poly.fma(t, coefficient)
    tail = poly * t * bell * 0.5
    phi = (constant(z.builder, 1.0) - tail).where_below(0.0, tail, of=z)
    return z * phi, (z * bell).fma(0.3989422804014327, phi)


def relu(z: Lanes) -> tuple[Lanes, Lanes]:
    """Value and slope of ``max(z, 0)``."""
    zero, one = constant(z.builder, 0.0), constant(z.builder, 1.0)
    positive = z.builder.fcmp_ordered(">", z.value, zero.value)
    # Not maxnum, which makes NaN zero and would hide a model that ran away.
    return z.where_below(0.0, zero), Lanes(z.builder, z.builder.select(positive, one.value, zero.value))


def silu(z: Lanes) -> tuple[Lanes, Lanes]:
    """Value and slope of ``z * sigmoid(z)``."""
    sigma = constant(z.builder, 1.0) / (exp((z * -1.0).call("minnum", 80.0)) + 1.0)
    return z * sigma, (z * sigma).fma(constant(z.builder, 1.0) - sigma, sigma)


ACTIVATIONS = {"gelu": gelu, "relu": relu, "silu": silu}
