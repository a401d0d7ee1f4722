"""Buckets of gradients: the last parameters first, one type of numbers in each."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.processes.gradient_buckets import buckets_of

SIZES = st.lists(st.tuples(st.integers(0, 50), st.sampled_from([torch.float32, torch.bfloat16])), max_size=12)


@given(SIZES, st.integers(1, 300))
def test_buckets_have_all_parameters_in_reverse_and_are_full(sizes, most) -> None:
    parameters = [torch.zeros(count, dtype=dtype) for count, dtype in sizes]
    buckets = buckets_of(parameters, most)
    assert [id(each) for bucket in buckets for each in bucket] == [id(each) for each in reversed(parameters)]
    for bucket in buckets:
        assert len({each.dtype for each in bucket}) == 1
        assert len(bucket) == 1 or sum(each.numel() * each.element_size() for each in bucket) <= most
    for one, other in itertools.pairwise(buckets):
        joined = sum(each.numel() * each.element_size() for each in [*one, other[0]])
        assert joined > most or one[0].dtype != other[0].dtype
