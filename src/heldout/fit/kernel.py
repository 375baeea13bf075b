"""The training kernel: whole epochs of one small network in one compiled call that holds no lock.

Everything a step touches (parameters, gradients, moments, activations) is 0.2 MB for 5,569 parameters and stays in a
core's cache. Matrices are row-major with rows padded by zeros to whole vectors; padding stays zero through every step.
Weights of the output layer lie transposed, since it has one or two columns.

Compiled code is kept on disk. Numba compiles anew when this file changes; ``_SOURCES`` lets it see the files that this
one is compiled with.
"""

# Numba infers the types of the functions that it compiles.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from heldout.evidence import sha256_file
from heldout.fit import lanes, layout, simd, streams
from heldout.fit.layout import (
    BIAS,
    COLUMNS,
    IN,
    IN_ROW,
    INPUTS,
    LANES,
    OUTPUTS,
    ROWS,
    SLOPE,
    STORED,
    TURNED,
    WEIGHTS,
)
from heldout.fit.mlp import LOG_VARIANCE_FLOOR
from heldout.fit.simd import WIDE

GELU, RELU, SILU = 0, 1, 2
_BLOCK = WIDE * LANES
_SOURCES = "".join(sha256_file(Path(str(part.__file__))) for part in (lanes, layout, simd, streams))

_GOLDEN, _MIX_A, _MIX_B = np.uint64(streams.GOLDEN), np.uint64(streams.MIX_A), np.uint64(streams.MIX_B)
_U27, _U30, _U31, _U32, _LOW = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32), np.uint64(0xFFFFFFFF)
_FLOOR, _ZERO, _HALF, _ONE, _TWO = (np.float32(x) for x in (LOG_VARIANCE_FLOOR, 0.0, 0.5, 1.0, 2.0))


def _blocked(height: int, block: Any, column: Any) -> Any:
    """A matrix product from register blocks: wide ones, then single vectors for the columns that are left."""

    @njit(nogil=True)
    def product(left, right, result, extra, shape):
        A, a, a_row, a_step = left
        B, b, b_step = right
        C, c, c_row = result
        E, e, e_row = extra
        rows, columns, depth = shape
        for i in range(0, rows, height):
            top, to, more = a + i * a_row, c + i * c_row, e + i * e_row
            j = 0
            while j + _BLOCK <= columns:
                block(A, top, a_row, a_step, B, b + j, b_step, C, to + j, c_row, depth, E, more + j)
                j += _BLOCK
            while j < columns:
                column(A, top, a_row, a_step, B, b + j, b_step, C, to + j, c_row, depth, E, more + j)
                j += LANES

    return product


_affine = _blocked(ROWS, simd.tile_affine[WIDE], simd.tile_affine[1])
_sums = _blocked(ROWS, simd.tile_sum[ROWS, WIDE], simd.tile_sum[ROWS, 1])
_sums_of_one = _blocked(1, simd.tile_sum[1, WIDE], simd.tile_sum[1, 1])
_times = _blocked(ROWS, simd.tile_times[WIDE], simd.tile_times[1])
_gelu, _gelu_drop = simd.activate["gelu", False], simd.activate["gelu", True]
_relu, _relu_drop = simd.activate["relu", False], simd.activate["relu", True]
_silu, _silu_drop = simd.activate["silu", False], simd.activate["silu", True]
_dot, _transpose, _adam, _prefetch = simd.dot, simd.transpose, simd.adam, simd.prefetch


@njit(nogil=True)
def _whole(rows):
    return -(-rows // ROWS) * ROWS


@njit(nogil=True)
def _mix64(x):
    x = (x ^ (x >> _U30)) * _MIX_A
    x = (x ^ (x >> _U27)) * _MIX_B
    return x ^ (x >> _U31)


@njit(nogil=True)
def _gather(X, order, start, rows, S, layers):
    """Copy the rows of a batch to the first layer's input, and zeros to the rows that fill up the last block."""
    at, row = layers[0, IN], layers[0, IN_ROW]
    for i in range(rows):
        source = order[start + i]
        for k in range(X.shape[1]):
            S[at + i * row + k] = X[source, k]
    for i in range(rows, _whole(rows)):
        for k in range(X.shape[1]):
            S[at + i * row + k] = _ZERO


@njit(nogil=True)
def _ask_for(X, order, start, stop):
    """Let the rows of the next batch travel while this one is computed: they lie anywhere in memory."""
    columns = X.shape[1]
    flat = X.reshape(-1)
    for i in range(start, min(stop, len(order))):
        for k in range(0, columns + LANES - 1, LANES):
            _prefetch(flat, order[i] * columns + min(k, columns - 1))


@njit(nogil=True)
def _activate(activation, bound, factor, S, h, slope, width, columns, rows, key):
    low, high = np.uint32(key & _LOW), np.uint32(key >> _U32)
    for i in range(rows):
        a, g, first = h + i * columns, slope + i * columns, np.uint32(i * width)
        if bound > 0:
            if activation == GELU:
                _gelu_drop(S, a, S, a, S, g, columns, first, low, high, bound, factor)
            elif activation == RELU:
                _relu_drop(S, a, S, a, S, g, columns, first, low, high, bound, factor)
            else:
                _silu_drop(S, a, S, a, S, g, columns, first, low, high, bound, factor)
        elif activation == GELU:
            _gelu(S, a, S, a, S, g, columns, first, low, high, bound, factor)
        elif activation == RELU:
            _relu(S, a, S, a, S, g, columns, first, low, high, bound, factor)
        else:
            _silu(S, a, S, a, S, g, columns, first, low, high, bound, factor)


@njit(nogil=True)
def _forward(P, S, layers, rows, activation, bound, factor, seed_and_step):
    for layer in range(layers.shape[0] - 1):
        one, after = layers[layer], layers[layer + 1, IN]
        columns = one[COLUMNS]
        left, right = (S, one[IN], one[IN_ROW], 1), (P, one[WEIGHTS], columns)
        _affine(left, right, (S, after, columns), (P, one[BIAS], 0), (rows, columns, one[INPUTS]))
        key = _mix64(seed_and_step + np.uint64(layer + 1) * _GOLDEN)
        _activate(activation, bound, factor, S, after, one[SLOPE], one[OUTPUTS], columns, rows, key)


@njit(nogil=True)
def _output(P, S, layers, y, order, start, rows, d):
    """Outputs of the last layer, and into ``d`` (``[rows, outputs]``) the gradient of the mean loss by them."""
    last = layers[layers.shape[0] - 1]
    row, count = last[IN_ROW], last[OUTPUTS]
    share = _ONE / np.float32(rows)
    for i in range(rows):
        h = last[IN] + i * row
        error = _dot(S, h, P, last[WEIGHTS], row) + P[last[BIAS]] - y[order[start + i]]
        if count == 1:
            d[i] = _TWO * error * share
            continue
        raw = _dot(S, h, P, last[WEIGHTS] + row, row) + P[last[BIAS] + 1]
        log_variance = max(raw, _FLOOR)
        precision = np.exp(-log_variance)
        d[2 * i] = error * precision * share
        slope = _HALF * (_ONE - error * error * precision) * share
        d[2 * i + 1] = _ZERO if raw < _FLOOR else slope
    for i in range(rows * count, _whole(rows) * count):
        d[i] = _ZERO


@njit(nogil=True)
def _backward_output(P, G, S, layers, rows, d):
    last = layers[layers.shape[0] - 1]
    row, count = last[IN_ROW], last[OUTPUTS]
    for n in range(count):
        result = (G, last[WEIGHTS] + n * row, 0)
        _sums_of_one((d, n, 0, count), (S, last[IN], row), result, (d, 0, 0), (1, row, rows))
        total = _ZERO
        for i in range(rows):
            total += d[i * count + n]
        G[last[BIAS] + n] = total
    if layers.shape[0] > 1:
        before = (S, layers[layers.shape[0] - 2, SLOPE], row)
        _times((d, 0, count, 1), (P, last[WEIGHTS], row), before, before, (_whole(rows), row, count))


@njit(nogil=True)
def _backward(P, G, S, layers, rows, ones):
    """Gradients of the hidden layers; the slopes of a layer become the gradient by its sums, in place."""
    for layer in range(layers.shape[0] - 2, -1, -1):
        one = layers[layer]
        columns, row = one[COLUMNS], one[IN_ROW]
        d, nothing = (S, one[SLOPE], columns), (S, 0, 0)
        _sums((S, one[IN], 1, row), d, (G, one[WEIGHTS], columns), nothing, (one[STORED], columns, rows))
        _sums_of_one((ones, 0, 0, 0), d, (G, one[BIAS], 0), nothing, (1, columns, rows))
        if layer:
            for k in range(0, one[STORED], LANES):
                for n in range(0, columns, LANES):
                    _transpose(P, one[WEIGHTS] + k * columns + n, columns, S, one[TURNED] + n * row + k, row)
            before = (S, layers[layer - 1, SLOPE], row)
            shape = (_whole(rows), row, one[OUTPUTS])
            _times((S, one[SLOPE], columns, 1), (S, one[TURNED], row), before, before, shape)


def _epochs(sources: str) -> Any:
    def train_epochs(X, y, orders, first_epoch, seed, batch_size, layers, state, S, choices, recipe):
        """Train one model for ``len(orders)`` epochs, in place.

        Args:
            X: float32 ``[n, d]``.
            y: float32 ``[n]``.
            orders: int32 ``[epochs, n]``: the permutation of each epoch.
            first_epoch: Number of the first, from 0; with the batches it gives the step that streams and Adam count.
            seed: uint64.
            batch_size: Rows in a step.
            layers: int64 ``[layers, fields]``, see ``layout``.
            state: float32 ``[4 * parameters]``: parameters, gradients, first and second moments.
            S: float32 scratch.
            choices: int64: activation, bound of the dropout words.
            recipe: float64: factor of kept units, lr, beta1, beta2, coupled L2, what decoupled decay leaves, eps.
        """
        assert len(sources) > 0  # its value is part of the key that Numba keeps compiled code under
        count = len(state) // 4
        P, G = state[:count], state[count : 2 * count]
        n = X.shape[0]
        per_epoch = -(-n // batch_size)
        d = np.zeros(_whole(batch_size) * layers[layers.shape[0] - 1, OUTPUTS], dtype=np.float32)
        ones = np.ones(1, dtype=np.float32)
        activation, bound, factor = choices[0], np.uint32(choices[1]), np.float32(recipe[0])
        lr, beta1, beta2 = recipe[1], recipe[2], recipe[3]
        l2, left, eps = np.float32(recipe[4]), np.float32(recipe[5]), np.float32(recipe[6])
        seeded = _mix64(np.uint64(seed) + _GOLDEN)
        for epoch in range(orders.shape[0]):
            order = orders[epoch]
            for batch in range(per_epoch):
                step = (first_epoch + epoch) * per_epoch + batch
                start = batch * batch_size
                rows = min(batch_size, n - start)
                _gather(X, order, start, rows, S, layers)
                _ask_for(X, order, start + batch_size, start + 2 * batch_size)
                key = _mix64(seeded + np.uint64(step) * _GOLDEN)
                _forward(P, S, layers, _whole(rows), activation, bound, factor, key)
                _output(P, S, layers, y, order, start, rows, d)
                _backward_output(P, G, S, layers, rows, d)
                _backward(P, G, S, layers, rows, ones)
                unbias = np.float32(1.0 / np.sqrt(1.0 - beta2 ** (step + 1.0)))
                rate = np.float32(lr / (1.0 - beta1 ** (step + 1.0)))
                _adam(state, 0, count, beta1, beta2, l2, left, unbias, eps, rate)

    return train_epochs


def _compiled(function: Any) -> Any:
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no folder that can be written: compile in every process
        return njit(nogil=True)(function)


train_epochs = _compiled(_epochs(_SOURCES))
