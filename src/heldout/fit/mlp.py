"""Small dense networks as plain arrays: configuration, weights, first weights, predictions.

Everything here is numpy; an engine (``stacked``, ``cached``, ``loop``) turns jobs into weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray

from heldout.errors import InputError
from heldout.fit import streams

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Activation = Literal["gelu", "relu", "silu"]
Optimizer = Literal["adam", "adamw"]
Loss = Literal["mse", "gaussian_nll"]

LOG_VARIANCE_FLOOR = -6.0
_PREDICT_ROWS = 256


@dataclass(frozen=True)
class MLPConfig:
    """A dense network and the recipe that trains it.

    Attributes:
        widths: Inputs, hidden layers, outputs, such as ``(20, 64, 64, 1)``. Outputs are 1 for ``mse`` and 2 (mean,
            log variance) for ``gaussian_nll``.
        activation: After every hidden layer; ``gelu`` is the exact one, with erf.
        dropout: Probability of dropping a hidden unit, in [0, 1).
        epochs: Passes over the rows; the last short batch of a pass is kept.
        batch_size: Rows in one step.
        lr: Step size.
        weight_decay: ``adam`` adds it to the gradient (coupled L2), ``adamw`` shrinks the weights directly.
        optimizer: Which of the two.
        betas: Decay of the first and the second moment.
        eps: Added to the root of the second moment.
        loss: ``mse`` or ``gaussian_nll`` (log variance is never below ``LOG_VARIANCE_FLOOR``).
    """

    widths: tuple[int, ...]
    activation: Activation = "gelu"
    dropout: float = 0.0
    epochs: int = 200
    batch_size: int = 32
    lr: float = 5e-4
    weight_decay: float = 0.0
    optimizer: Optimizer = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    loss: Loss = "mse"

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(int(width) for width in self.widths))
        object.__setattr__(self, "betas", tuple(float(beta) for beta in self.betas))
        outputs = 2 if self.loss == "gaussian_nll" else 1
        _require(len(self.widths) >= 2 and min(self.widths) >= 1, "widths", "two or more positive numbers")
        _require(self.loss in get_args(Loss), "loss", f"one of {', '.join(get_args(Loss))}")
        _require(self.widths[-1] == outputs, "widths", f"{outputs} output(s) for the loss {self.loss}")
        _require(self.activation in get_args(Activation), "activation", f"one of {', '.join(get_args(Activation))}")
        _require(self.optimizer in get_args(Optimizer), "optimizer", f"one of {', '.join(get_args(Optimizer))}")
        _require(0.0 <= self.dropout < 1.0, "dropout", "in [0, 1)")
        _require(self.epochs >= 1, "epochs", "1 or more")
        _require(self.batch_size >= 1, "batch_size", "1 or more")
        _require(self.lr > 0.0 and np.isfinite(self.lr), "lr", "a positive number")
        _require(self.weight_decay >= 0.0 and np.isfinite(self.weight_decay), "weight_decay", "0 or more")
        _require(len(self.betas) == 2 and all(0.0 <= beta < 1.0 for beta in self.betas), "betas", "two in [0, 1)")
        _require(self.eps > 0.0 and np.isfinite(self.eps), "eps", "a positive number")

    @property
    def n_parameters(self) -> int:
        """Weights and biases together."""
        return sum(inputs * outputs + outputs for inputs, outputs in self.layer_shapes())

    def layer_shapes(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each layer."""
        return list(pairwise(self.widths))

    def to_dict(self) -> dict[str, object]:
        """As JSON values; ``MLPConfig(**d)`` gives it back."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


class Layer(NamedTuple):
    """One dense layer: float32 ``W`` of shape ``[in, out]`` and ``b`` of shape ``[out]``; it computes ``x @ W + b``."""

    W: Float32
    b: Float32


@dataclass(frozen=True)
class MLPWeights:
    """A trained network: its layers and the activation between them.

    Attributes:
        layers: First to last.
        activation: After every layer but the last.
    """

    layers: tuple[Layer, ...]
    activation: Activation = "gelu"

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs, hidden layers, outputs."""
        return (self.layers[0].W.shape[0], *(layer.W.shape[1] for layer in self.layers))

    def to_arrays(self) -> dict[str, Float32]:
        """Named arrays for safetensors: ``layers.<i>.weight`` ``[in, out]`` and ``layers.<i>.bias`` ``[out]``."""
        named = {}
        for index, layer in enumerate(self.layers):
            named[f"layers.{index}.weight"] = np.ascontiguousarray(layer.W)
            named[f"layers.{index}.bias"] = np.ascontiguousarray(layer.b)
        return named

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], activation: Activation = "gelu") -> Self:
        """Read what ``to_arrays`` wrote; names that do not start with ``layers.`` are left alone.

        Raises:
            InputError: If a layer is missing, or shapes do not fit together.
        """
        count = sum(1 for name in arrays if name.startswith("layers.") and name.endswith(".weight"))
        try:
            layers = tuple(
                Layer(*(np.array(arrays[f"layers.{i}.{part}"], dtype=np.float32) for part in ("weight", "bias")))
                for i in range(count)
            )
        except KeyError as error:
            raise _bad_weights(f"the weights lack {error.args[0]}") from None
        fits = all(layer.W.ndim == 2 and layer.b.shape == layer.W.shape[1:] for layer in layers)
        chained = fits and all(a.W.shape[1] == b.W.shape[0] for a, b in pairwise(layers))
        if not layers or not chained:
            raise _bad_weights("the layers do not fit together")
        return cls(layers, activation)

    def to_flat(self) -> Float32:
        """All numbers in one vector: each layer's ``W`` row by row, then its ``b``."""
        return np.concatenate([part.ravel() for layer in self.layers for part in layer])

    @classmethod
    def from_flat(cls, flat: Float32, widths: tuple[int, ...], activation: Activation) -> Self:
        """The inverse of ``to_flat``; copies."""
        layers, at = [], 0
        for inputs, outputs in pairwise(widths):
            W = flat[at : at + inputs * outputs].reshape(inputs, outputs).copy()
            at += inputs * outputs
            layers.append(Layer(W, flat[at : at + outputs].copy()))
            at += outputs
        return cls(tuple(layers), activation)


class TrainJob(NamedTuple):
    """One network to train.

    Attributes:
        name: Unique in its batch, such as ``seed0/fold``; names the job in errors and progress, changes no number.
        X: float32 ``[n, d]``, C-contiguous, finite.
        y: float32 ``[n]``, finite.
        seed: The one seed of first weights, permutations and dropout, in 0 .. 2**63 - 1.
    """

    name: str
    X: Float32
    y: Float32
    seed: int


def initial_weights(config: MLPConfig, seed: int) -> MLPWeights:
    """First weights: uniform in ``+- 1 / sqrt(inputs)`` for weights and biases, as a PyTorch Linear begins.

    (Kaiming uniform with ``a = sqrt(5)`` comes to that bound.) Drawn layer by layer from the seed's stream.
    """
    draws = 2.0 * streams.uniforms(seed, config.n_parameters) - 1.0
    bounds = [np.full(inputs * outputs + outputs, 1.0 / np.sqrt(inputs)) for inputs, outputs in config.layer_shapes()]
    flat = (draws * np.concatenate(bounds)).astype(np.float32)
    return MLPWeights.from_flat(flat, config.widths, config.activation)


def predict(weights: MLPWeights, X: NDArray[Any]) -> Float64:
    """Predict every row: float64 of shape ``[n]``, the first output (of ``gaussian_nll``, the mean)."""
    return outputs(weights, X)[:, 0]


def outputs(weights: MLPWeights, X: NDArray[Any]) -> Float64:
    """All outputs of every row, float64 ``[n, outputs]``.

    Each product and sum is one IEEE operation in a fixed order, so a row's answer depends neither on the rows
    around it nor on the machine's BLAS.

    Raises:
        InputError: If the number of columns is not the network's.
    """
    if X.ndim != 2 or X.shape[1] != weights.widths[0]:
        raise InputError(
            f"the features have shape {list(X.shape)}, the network takes [n, {weights.widths[0]}]",
            hint="give the columns that the network was trained on",
        )
    activate = _activations()[weights.activation]
    layers = [(layer.W.astype(np.float64), layer.b.astype(np.float64)) for layer in weights.layers]
    result = np.empty((X.shape[0], weights.widths[-1]))
    for start in range(0, X.shape[0], _PREDICT_ROWS):
        h = X[start : start + _PREDICT_ROWS].astype(np.float64)
        for index, (W, b) in enumerate(layers):
            z = np.tile(b, (h.shape[0], 1))
            term = np.empty_like(z)
            for k in range(W.shape[0]):
                np.multiply(h[:, k : k + 1], W[k], out=term)
                z += term
            h = activate(z) if index < len(layers) - 1 else z
        result[start : start + _PREDICT_ROWS] = h
    return result


def _activations() -> dict[str, Callable[[Float64], Float64]]:
    from scipy.special import erf, expit

    return {
        "gelu": lambda z: 0.5 * z * (1.0 + erf(z * np.sqrt(0.5))),
        "relu": lambda z: np.maximum(z, 0.0),
        "silu": lambda z: z * expit(z),
    }


def _require(true: bool, key: str, what: str) -> None:
    if not true:
        raise InputError(f"{key} must be {what}", where=key, hint=f"set {key} to {what}")


def _bad_weights(what: str) -> InputError:
    return InputError(what, where="layers", hint="read the file that a fit of this network wrote")
