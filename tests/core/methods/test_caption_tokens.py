"""Captions as token ids, and which of their words are masked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.encoders.tokenizer import END, START, tokenize
from scing_cli.core.methods.prompt_decoupling.caption_tokens import MASK, CaptionTokens, mask_words

CAPTIONS = ["", "coat", "a man in a red shirt", "coat " * 300, "王 😀"]
LONGEST = 73


def test_a_batch_has_the_tokens_of_its_rows_up_to_the_longest() -> None:
    captions = CaptionTokens(CAPTIONS, LONGEST, torch.device("cpu"))
    assert captions.cut == 1
    ids, ends = captions.batch([2, 0, 2])
    assert ids.shape == (3, 8)
    assert ends.tolist() == [7, 1, 7]
    for row, number in enumerate((2, 0, 2)):
        assert ids[row, : ends[row] + 1].tolist() == tokenize(CAPTIONS[number])
    ids, ends = captions.batch([3])
    assert ids[0].tolist() == [START, *tokenize("coat " * 71)[1:-1], END]
    assert ends.tolist() == [LONGEST - 1]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from(["coat", "red", "man"]), max_size=12).map(" ".join), min_size=1, max_size=4),
    st.floats(0.05, 0.95),
    st.integers(0, 9),
)
def test_words_alone_are_masked_and_the_key_decides_which(texts: list[str], probability: float, step: int) -> None:
    ids, ends = CaptionTokens(texts, LONGEST, torch.device("cpu")).batch(range(len(texts)))
    given_ids = ids.clone()
    masked = mask_words(ids, ends, probability, 0, "stage", step)
    assert torch.equal(ids, given_ids)
    assert torch.equal(masked, mask_words(ids, ends, probability, 0, "stage", step))
    for row, end in enumerate(ends):
        changed = np.flatnonzero((masked[row] != ids[row]).numpy())
        assert all(0 < place < end for place in changed)
        assert all(masked[row, place] == MASK for place in changed)
    assert torch.equal(mask_words(ids, ends, 0.0, 0, "stage", step), ids)


@pytest.mark.parametrize("probability", [0.15, 0.5, 0.9])
def test_the_share_of_masked_words_is_the_probability(probability: float) -> None:
    ids, ends = CaptionTokens(["coat " * 70] * 200, LONGEST, torch.device("cpu")).batch(range(200))
    share = float((mask_words(ids, ends, probability, 1, "stage", 0)[:, 1:71] == MASK).float().mean())
    assert abs(share - probability) < 0.02
    first, second = (mask_words(ids, ends, probability, 1, "stage", step) for step in range(2))
    assert not torch.equal(first, second)
