"""What do the vectors written for LLVM earn? The same training kernel over plain Numba loops, in the same run.

Both kernels are one source, `fit/kernel.py`, and differ in its innermost functions only: products of matrices, the
activation with its dropout, Adam, a transposed block, a sum of products. The plain ones are loops that LLVM vectorizes
by itself, with leave to contract and reorder sums: four rows at a time in products, a polynomial for the exponential
(a call of the library's would keep the loop from vectors). One core, one network, the shape of `fit_small_nets`.

    python benchmarks/plain_kernel.py
"""

# Numba infers the types of the functions that it compiles.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators, disable-error-code="no-untyped-def"

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from _measure import report, spread, take_turns, times_faster
from numba import njit

from heldout.fit import kernel, streams
from heldout.fit.cached import _aligned, _recipe
from heldout.fit.layout import Layout
from heldout.fit.mlp import MLPConfig, initial_weights

ROWS, COLUMNS, EPOCHS, TURNS = 5640, 20, 4, 9
_LOOSE = {"contract", "reassoc", "nsz", "arcp"}
_A, _B = np.uint32(streams.HASH_A), np.uint32(streams.HASH_B)
_ONE, _ZERO, _HALF = np.float32(1), np.float32(0), np.float32(0.5)
plain = njit(nogil=True, fastmath=_LOOSE)


def main() -> None:
    """Measure, print, write."""
    config = MLPConfig(widths=(COLUMNS, 64, 64, 1), epochs=EPOCHS, dropout=0.1)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] + rng.standard_normal(ROWS)).astype(np.float32)
    ours, loops = training(kernel.train_epochs, config, X, y), training(_plain(), config, X, y)
    far = float(np.abs(ours() - loops()).max())
    assert far < 1e-2, far  # the sums are added in another order
    taken = take_turns({"vectors": ours, "plain loops": loops}, TURNS)
    steps = EPOCHS * -(-ROWS // config.batch_size)
    figures = {name: spread([1e6 * turn[name] / steps for turn in taken.cpu], "us a step") for name in taken.cpu[0]}
    ratio = times_faster(taken.cpu, [("vectors", "plain loops")])
    title = f"{ROWS:,} rows, {'-'.join(map(str, config.widths))}, batches of {config.batch_size}"
    report("plain_kernel", title, ("numba", "llvmlite", "numpy"), ratio, figures, largest_difference_of_a_weight=far)


def training(train: Any, config: MLPConfig, X: Any, y: Any) -> Callable[[], Any]:
    """Train one network from its first weights; its weights afterwards."""
    layout = Layout(config)
    orders = np.stack([streams.permutation(7, epoch, len(y)) for epoch in range(config.epochs)])
    arrays, scratch = _aligned(4, layout.parameters), _aligned(1, layout.scratch)[0]

    def work() -> Any:
        arrays[:] = 0
        arrays[0] = layout.padded(initial_weights(config, 7).to_flat())
        state = arrays.reshape(-1)
        train(X, y, orders, 0, np.uint64(7), config.batch_size, layout.layers, state, scratch, *_recipe(config))
        return arrays[0].copy()

    return work


def _plain() -> Any:
    """The kernel's source once more, its innermost functions replaced before anything of it is compiled."""
    spec = importlib.util.spec_from_file_location("plain_kernel_source", str(kernel.__file__))
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parts = {"_affine": _affine, "_sums": _sums, "_sums_of_one": _sums_of_one, "_times": _times, "_dot": _dot}
    parts |= {"_transpose": _transpose, "_adam": _adam, "_prefetch": _prefetch}
    parts |= {f"_{kind}{drop}": _activation(kind, bool(drop)) for kind in _KINDS for drop in ("", "_drop")}
    vars(module).update(parts)
    return njit(nogil=True)(vars(module)["_epochs"]("plain"))


@plain
def _product(left, right, result, extra, shape, start, times):
    """Four rows at a time, so that each row of the right matrix is read once for four."""
    A, a, a_row, a_step = left
    B, b, b_step = right
    C, c, c_row = result
    E, e, e_row = extra
    rows, columns, depth = shape
    for i in range(0, rows, 4):
        to, top = c + i * c_row, a + i * a_row
        c0, c1 = C[to : to + columns], C[to + c_row : to + c_row + columns]
        c2, c3 = C[to + 2 * c_row : to + 2 * c_row + columns], C[to + 3 * c_row : to + 3 * c_row + columns]
        if not times:
            for j in range(columns):
                first = E[e + j] if start else _ZERO
                c0[j], c1[j], c2[j], c3[j] = first, first, first, first
            for k in range(depth):
                at = top + k * a_step
                w0, w1, w2, w3 = A[at], A[at + a_row], A[at + 2 * a_row], A[at + 3 * a_row]
                row = B[b + k * b_step : b + k * b_step + columns]
                for j in range(columns):
                    c0[j] += w0 * row[j]
                    c1[j] += w1 * row[j]
                    c2[j] += w2 * row[j]
                    c3[j] += w3 * row[j]
            continue
        total = np.zeros((4, columns), np.float32)
        for k in range(depth):
            at = top + k * a_step
            w0, w1, w2, w3 = A[at], A[at + a_row], A[at + 2 * a_row], A[at + 3 * a_row]
            row = B[b + k * b_step : b + k * b_step + columns]
            for j in range(columns):
                total[0, j] += w0 * row[j]
                total[1, j] += w1 * row[j]
                total[2, j] += w2 * row[j]
                total[3, j] += w3 * row[j]
        for r in range(4):
            for j in range(columns):
                C[to + r * c_row + j] = total[r, j] * E[e + (i + r) * e_row + j]


@plain
def _affine(left, right, result, extra, shape):
    _product(left, right, result, extra, shape, True, False)


@plain
def _sums(left, right, result, extra, shape):
    _product(left, right, result, extra, shape, False, False)


@plain
def _times(left, right, result, extra, shape):
    _product(left, right, result, extra, shape, False, True)


@plain
def _sums_of_one(left, right, result, _extra, shape):
    A, a, _, a_step = left
    B, b, b_step = right
    C, c, _ = result
    _, columns, depth = shape
    total = C[c : c + columns]
    total[:] = _ZERO
    for k in range(depth):
        weight, row = A[a + k * a_step], B[b + k * b_step : b + k * b_step + columns]
        for j in range(columns):
            total[j] += weight * row[j]


@plain
def _dot(A, a, B, b, count):
    total = _ZERO
    for i in range(count):
        total += A[a + i] * B[b + i]
    return total


@plain
def _transpose(A, a, a_row, C, c, c_row):
    for i in range(16):
        for j in range(16):
            C[c + j * c_row + i] = A[a + i * a_row + j]


@plain
def _prefetch(_array, _at):
    pass


@plain
def _adam(state, _at, count, beta1, beta2, coupled, kept, unbias, eps, rate):
    b1, b2, rest1, rest2 = np.float32(beta1), np.float32(beta2), np.float32(1 - beta1), np.float32(1 - beta2)
    P, G, M, V = state[:count], state[count : 2 * count], state[2 * count : 3 * count], state[3 * count :]
    for i in range(count):
        g = P[i] * coupled + G[i]
        g = _ZERO if abs(g) < np.float32(1e-20) else g
        m = b1 * M[i] + rest1 * g
        m = _ZERO if abs(m) < np.float32(1e-25) else m
        v = b2 * V[i] + rest2 * g * g
        v = _ZERO if v < np.float32(1e-36) else v
        p = P[i] * kept - m / (np.sqrt(v) * unbias + eps) * rate
        P[i], M[i], V[i] = _ZERO if abs(p) < np.float32(1e-25) else p, m, v


@njit(nogil=True, fastmath=_LOOSE, inline="always")
def _exp(x):
    powers = max(x, np.float32(-60)) * np.float32(math.log2(math.e))
    whole = np.float32(np.rint(powers))
    part = powers - whole
    poly = np.float32(1.535336188319500e-4)
    poly = poly * part + np.float32(1.339887440266574e-3)
    poly = poly * part + np.float32(9.618437357674640e-3)
    poly = poly * part + np.float32(5.550332471162809e-2)
    poly = poly * part + np.float32(2.402264791363012e-1)
    poly = poly * part + np.float32(6.931472028550421e-1)
    poly = poly * part + _ONE
    scale = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
    return _ZERO if x < np.float32(-60) else poly * scale


@njit(nogil=True, fastmath=_LOOSE, inline="always")
def _gelu(z):
    bell = _exp(z * z * -_HALF)
    t = _ONE / (abs(z) * np.float32(0.3275911 * 0.5**0.5) + _ONE)
    poly = t * np.float32(1.061405429) + np.float32(-1.453152027)
    poly = t * poly + np.float32(1.421413741)
    poly = t * poly + np.float32(-0.284496736)
    poly = t * poly + np.float32(0.254829592)
    tail = poly * t * bell * _HALF
    phi = tail if z < 0 else _ONE - tail
    return z * phi, z * bell * np.float32(0.3989422804014327) + phi


@njit(nogil=True, fastmath=_LOOSE, inline="always")
def _relu(z):
    return (z, _ONE) if z > 0 else (_ZERO, _ZERO)


@njit(nogil=True, fastmath=_LOOSE, inline="always")
def _silu(z):
    sigma = _ONE / (_exp(min(-z, np.float32(80))) + _ONE)
    return z * sigma, z * sigma * (_ONE - sigma) + sigma


_KINDS = {"gelu": _gelu, "relu": _relu, "silu": _silu}


def _activation(kind: str, drops: bool) -> Any:
    of = _KINDS[kind]

    @plain
    def row(Z, z, H, h, S, s, columns, first, low, high, bound, factor):
        seen, values, slopes = Z[z : z + columns], H[h : h + columns], S[s : s + columns]
        for j in range(columns):
            value, slope = of(seen[j])
            if drops:
                x = np.uint32(first + np.uint32(j) + low)
                x = np.uint32(np.uint32(x ^ (x >> np.uint32(16))) * _A)
                x = np.uint32(np.uint32(x ^ (x >> np.uint32(15))) + high)
                x = np.uint32(x * _B)
                x = np.uint32(x ^ (x >> np.uint32(16)))
                scale = _ZERO if x < bound else np.float32(factor)
                value, slope = value * scale, slope * scale
            values[j], slopes[j] = value, slope

    return row


if __name__ == "__main__":
    main()
