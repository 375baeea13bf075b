"""The random streams: a number depends on seed and place alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heldout.fit import streams

seeds = st.integers(0, 2**63 - 1)


@given(seed=seeds, epoch=st.integers(0, 10_000), n=st.integers(1, 700))
def test_an_epoch_visits_every_row_once(seed: int, epoch: int, n: int) -> None:
    """Rows would be trained twice or never."""
    order = streams.permutation(seed, epoch, n)
    assert np.arange(n).tolist() == sorted(order.tolist())
    assert order.tolist() == streams.permutation(seed, epoch, n).tolist()


@given(seed=seeds, n=st.integers(1, 100), batch=st.integers(1, 40), start=st.integers(0, 50), count=st.integers(1, 50))
def test_rows_of_a_step_do_not_depend_on_the_block_they_are_asked_in(
    seed: int, n: int, batch: int, start: int, count: int
) -> None:
    """A resumed model would see other batches than an undisturbed one."""
    block = streams.rows_of_steps(seed, n, batch, start, count)
    one_by_one = [streams.rows_of_steps(seed, n, batch, start + i, 1)[0].tolist() for i in range(count)]
    assert one_by_one == block.tolist()


@given(seed=seeds, n=st.integers(1, 100), batch=st.integers(1, 40))
def test_the_steps_of_an_epoch_are_its_permutation_and_the_last_is_short(seed: int, n: int, batch: int) -> None:
    """The last rows of an epoch would be lost, or the next epoch's first would slip in."""
    steps = -(-n // batch)
    rows = streams.rows_of_steps(seed, n, batch, 3 * steps, steps).ravel()
    assert streams.permutation(seed, 3, n).tolist() == rows[:n].tolist()
    assert {-1} >= set(rows[n:].tolist())


def test_permutations_differ_by_seed_and_epoch_and_are_uniform() -> None:
    """A biased shuffle would change the statistics of training without anyone noticing."""
    assert streams.permutation(0, 0, 50).tolist() != streams.permutation(0, 1, 50).tolist()
    assert streams.permutation(0, 0, 50).tolist() != streams.permutation(1, 0, 50).tolist()
    n, draws = 6, 6000
    places = np.array([np.flatnonzero(streams.permutation(seed, 7, n) == 0)[0] for seed in range(draws)])
    counts = np.bincount(places, minlength=n)
    chi_square = float(np.sum((counts - draws / n) ** 2 / (draws / n)))
    assert chi_square < 20.5  # 99.9 % of chi-square with 5 degrees of freedom


def test_masks_drop_the_declared_share_and_steps_are_independent() -> None:
    """Dropout of another strength, or the same units dropped again and again."""
    masks = np.concatenate([streams.keep(streams.mask_keys([0, 1, 2], step, 0), 2048, 0.1) for step in range(50)])
    kept = masks.mean()
    assert abs(kept - 0.9) < 4 * np.sqrt(0.09 / masks.size)
    between = np.corrcoef(masks.astype(float))[np.triu_indices(len(masks), 1)]
    assert abs(between).max() < 6 / np.sqrt(2048)
    neighbours = np.corrcoef(masks[:, :-1].ravel(), masks[:, 1:].ravel())[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(masks.size)


def test_layers_of_one_step_have_masks_of_their_own() -> None:
    """Two layers would drop the same units together."""
    first, second = (streams.keep(streams.mask_keys([5], 9, layer), 512, 0.5) for layer in (0, 1))
    assert (first != second).mean() > 0.4


def test_streams_are_pinned() -> None:
    """Every stored result would silently become unrepeatable if a stream changed."""
    assert [4, 0, 5, 1, 2, 3, 6] == streams.permutation(3, 2, 7).tolist()
    assert [1, 2, 3, 0, 4] == streams.permutation(2**40, 0, 5).tolist()
    assert [0xA1599F010595D06D, 0xC3BCBCB2DD424C25] == streams.mask_keys([3, 4], 5, 1).tolist()
    kept = streams.keep(streams.mask_keys([3], 5, 1), 16, 0.5)[0]
    assert "0000110001001101" == "".join(str(int(each)) for each in kept)
    assert [0.7400963480618715, 0.8483457319721872, 0.8133807586025494] == streams.uniforms(3, 3).tolist()


@given(seed=seeds, step=st.integers(0, 10**7), elements=st.integers(1, 300), dropout=st.floats(0.0, 0.999))
def test_a_device_draws_the_masks_of_the_processor(seed: int, step: int, elements: int, dropout: float) -> None:
    """A GPU would train with dropout of its own, which no other machine could repeat."""
    torch = pytest.importorskip("torch")
    from heldout.fit import device

    keys = streams.mask_keys([seed, seed ^ 1], step, 1)
    there = device.keep(keys, elements, dropout, torch.device("cpu"))
    assert streams.keep(keys, elements, dropout).tolist() == there.tolist()
