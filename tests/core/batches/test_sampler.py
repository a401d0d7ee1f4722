from __future__ import annotations

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.sampler import follow

from scing_cli.core.batches import identity_batches, random_batches
from scing_cli.core.errors import DataError, SettingError


@settings(deadline=None, max_examples=150)
@given(
    labels=st.lists(st.integers(0, 12), min_size=2, max_size=120).filter(lambda labels: len(set(labels)) > 1),
    identities=st.integers(2, 9),
    instances=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_every_plan_follows_the_reading(labels: list[int], identities: int, instances: int, seed: int) -> None:
    batches = identity_batches(labels, identities=identities, instances=instances, key=(seed, "train", 0))
    assert batches
    follow(labels, batches, identities=identities, instances=instances)
    assert batches == identity_batches(labels, identities=identities, instances=instances, key=(seed, "train", 0))
    assert all(type(row) is int for rows in batches for row in rows)


def test_equal_identities_use_every_image_once() -> None:
    labels = [row % 32 for row in range(32 * 8)]
    batches = identity_batches(labels, identities=32, instances=4, key=(0,))
    assert [len(rows) for rows in batches] == [128] * 2
    left = follow(labels, batches, identities=32, instances=4)
    assert set(left.values()) == {0}
    assert sorted(row for rows in batches for row in rows) == list(range(32 * 8))


def test_market_sized_data_make_about_two_hundred_steps() -> None:
    draw = np.random.default_rng(0)
    sizes = np.maximum(2, np.rint(draw.gamma(3, 17.2 / 3, 751))).astype(int)
    labels = np.repeat(np.arange(751), sizes).tolist()
    batches = identity_batches(labels, identities=16, instances=4, key=(0, "train-visual", 3))
    left = follow(labels, batches, identities=16, instances=4)
    assert 180 < len(batches) < 240
    assert sum(left.values()) < 0.1 * sum(-(-sizes // 4))


def test_fewer_identities_than_a_batch_takes() -> None:
    batches = identity_batches([0, 0, 1, 1, 2, 2], identities=16, instances=2, key=(0,))
    assert [len(rows) for rows in batches] == [6]


def test_left_over_identities_make_a_smaller_last_batch() -> None:
    batches = identity_batches(list(range(18)), identities=16, instances=4, key=(0,))
    assert [len(rows) for rows in batches] == [64, 8]


def test_a_single_left_over_identity_sits_out() -> None:
    batches = identity_batches(list(range(17)), identities=16, instances=4, key=(0,))
    assert [len(rows) for rows in batches] == [64]


def test_one_image_fills_its_chunk() -> None:
    (rows,) = identity_batches([7, 9], identities=2, instances=4, key=(0,))
    assert sorted(rows) == [0] * 4 + [1] * 4


def test_epochs_differ_and_every_identity_is_drawn_alike() -> None:
    labels = list(range(20))
    first = [identity_batches(labels, identities=5, instances=1, key=(0, epoch))[0] for epoch in range(2000)]
    counts = collections.Counter(row for rows in first for row in rows)
    assert len({tuple(rows) for rows in first}) > 1990
    assert all(abs(counts[row] - 500) < 100 for row in labels)  # standard deviation 19


def test_the_order_of_rows_does_not_matter_to_what_an_identity_gets() -> None:
    labels = [0, 1] * 9
    batches = identity_batches(labels, identities=2, instances=4, key=(3,))
    assert follow(labels, batches, identities=2, instances=4) == {0: 0, 1: 0}


@pytest.mark.parametrize("labels", [[], [4], [4, 4, 4]])
def test_fewer_than_two_identities(labels: list[int]) -> None:
    with pytest.raises(DataError, match="fewer than two identities"):
        identity_batches(labels, identities=16, instances=4, key=(0,))


@pytest.mark.parametrize(("identities", "instances"), [(1, 4), (16, 0)])
def test_a_batch_that_compares_nobody(identities: int, instances: int) -> None:
    with pytest.raises(SettingError, match=f"{identities} identities with {instances} images") as caught:
        identity_batches([0, 1], identities=identities, instances=instances, key=(0,))
    assert "--batch-size" in caught.value.remedy


@settings(deadline=None, max_examples=50)
@given(count=st.integers(1, 200), size=st.integers(1, 70), seed=st.integers(0, 1000))
def test_random_batches_take_every_row_once_in_an_order_of_the_key(count: int, size: int, seed: int) -> None:
    batches = random_batches(count, size=size, key=(seed, "train", 0))
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == list(range(count))
    assert [len(batch) for batch in batches[:-1]] == [size] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= size
    assert batches == random_batches(count, size=size, key=(seed, "train", 0))


def test_random_batches_are_shuffled_anew_each_epoch() -> None:
    epochs = [random_batches(100, size=100, key=(0, "train", epoch))[0] for epoch in (0, 1)]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) != epochs[0]
