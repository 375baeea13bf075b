"""Configuration, weights and predictions of small dense networks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from heldout.errors import InputError
from heldout.fit import Layer, MLPConfig, MLPWeights, initial_weights, outputs, predict


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("widths", (20,)),
        ("widths", (20, 0, 1)),
        ("widths", (20, 64, 2)),
        ("activation", "tanh"),
        ("dropout", 1.0),
        ("epochs", 0),
        ("batch_size", 0),
        ("lr", float("nan")),
        ("weight_decay", -1.0),
        ("optimizer", "sgd"),
        ("betas", (0.9, 1.0)),
        ("eps", 0.0),
        ("loss", "mae"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused_by_its_key(key: str, value: object) -> None:
    """A typing error would train something else, or fail hours later in an engine."""
    with pytest.raises(InputError) as caught:
        MLPConfig(**{"widths": (20, 64, 1), key: value})  # type: ignore[arg-type]
    assert key == caught.value.where


def test_a_configuration_survives_json() -> None:
    """The locked study could not be read back."""
    config = MLPConfig((20, 64, 2), activation="silu", dropout=0.1, loss="gaussian_nll", optimizer="adamw")
    assert config == MLPConfig(**json.loads(json.dumps(config.to_dict())))


def test_the_published_network_has_its_published_size() -> None:
    """Another network than the published one would be trained under its name."""
    assert 5569 == MLPConfig((20, 64, 64, 1)).n_parameters


def test_first_weights_are_those_of_a_torch_linear_in_distribution() -> None:
    """Training would start elsewhere than the published recipe does."""
    torch = pytest.importorskip("torch")
    config = MLPConfig((20, 64, 64, 1))
    for index, (inputs, count) in enumerate(config.layer_shapes()):
        ours = np.concatenate([initial_weights(config, seed).layers[index].W.ravel() for seed in range(40)])
        bound = 1.0 / np.sqrt(inputs)
        assert abs(ours).max() <= bound
        assert abs(ours.std() - bound / np.sqrt(3.0)) < 0.02 * bound
        theirs = torch.nn.Linear(inputs, count)
        assert theirs.weight.abs().max() <= bound
        assert theirs.bias.abs().max() <= bound
    biases = np.concatenate([initial_weights(config, seed).layers[1].b for seed in range(40)])
    assert abs(biases.std() - 0.125 / np.sqrt(3.0)) < 0.005


def test_first_weights_are_a_function_of_the_seed() -> None:
    """Two seeds would train one model, or a seed two."""
    config = MLPConfig((20, 64, 1))
    flat = [initial_weights(config, seed).to_flat() for seed in (0, 0, 1)]
    assert flat[0].tolist() == flat[1].tolist()
    assert flat[0].tolist() != flat[2].tolist()


@pytest.mark.parametrize("activation", ["gelu", "relu", "silu"])
def test_predictions_are_the_network_in_float64(activation: str) -> None:
    """Every metric and verdict stands on these numbers."""
    torch = pytest.importorskip("torch")
    config = MLPConfig((7, 33, 12, 2), activation=activation, loss="gaussian_nll")  # type: ignore[arg-type]
    weights, X = initial_weights(config, 1), np.random.default_rng(0).normal(size=(600, 7)).astype(np.float32)
    h = torch.from_numpy(X).double()
    for index, layer in enumerate(weights.layers):
        h = h @ torch.from_numpy(layer.W).double() + torch.from_numpy(layer.b).double()
        h = getattr(torch.nn.functional, activation)(h) if index < 2 else h
    np.testing.assert_allclose(outputs(weights, X), h.numpy(), rtol=1e-12, atol=1e-13)
    assert predict(weights, X).tolist() == outputs(weights, X)[:, 0].tolist()


def test_a_rows_prediction_does_not_depend_on_the_rows_around_it() -> None:
    """A fold predicted in chunks would differ from the fold predicted whole."""
    weights = initial_weights(MLPConfig((20, 64, 64, 1)), 0)
    X = np.random.default_rng(1).normal(size=(700, 20)).astype(np.float32)
    whole = predict(weights, X)
    for start, stop in ((0, 1), (3, 10), (255, 258), (200, 700)):
        assert whole[start:stop].tolist() == predict(weights, X[start:stop]).tolist()
    assert (0,) == predict(weights, X[:0]).shape


def test_columns_that_the_network_does_not_know_are_refused() -> None:
    """A missing feature would be read as another."""
    with pytest.raises(InputError, match=r"\[n, 20\]"):
        predict(initial_weights(MLPConfig((20, 64, 1)), 0), np.zeros((3, 19), dtype=np.float32))


def test_weights_survive_named_and_flat_arrays() -> None:
    """A stored model would answer otherwise than the one that was judged."""
    weights = initial_weights(MLPConfig((5, 9, 3, 1)), 2)
    named = {**weights.to_arrays(), "scaler.mean": np.zeros(3)}
    again = MLPWeights.from_arrays(named, "gelu")
    flat = MLPWeights.from_flat(weights.to_flat(), weights.widths, "gelu")
    for other in (again, flat):
        assert weights.to_flat().tolist() == other.to_flat().tolist()
        assert (5, 9, 3, 1) == other.widths
    named.pop("layers.1.bias")
    with pytest.raises(InputError, match=r"layers\.1\.bias"):
        MLPWeights.from_arrays(named)
    with pytest.raises(InputError, match="do not fit"):
        MLPWeights.from_arrays({})


def test_layers_of_other_shapes_do_not_make_a_network() -> None:
    """A damaged file would be read as a model."""
    chain = MLPWeights((Layer(np.zeros((3, 4)), np.zeros(4)), Layer(np.zeros((5, 1)), np.zeros(1))))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="do not fit"):
        MLPWeights.from_arrays(chain.to_arrays())
