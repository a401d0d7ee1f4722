"""Weights files that have the vectors of trained words alone.

A CLIP has a vector for each of 49,408 words and parts of words. Those that no caption of its training contains are
what they were at the start: `initial.word_vectors` of seed 0. A file with `token_embedding.rows`, (n,) integers, has
the n rows of `token_embedding.weight` that these numbers name; the others are drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from scing_cli.core.encoders.initial import word_vectors
from scing_cli.core.encoders.tokenizer import VOCABULARY
from scing_cli.core.encoders.weight_names import check_arrays

ROWS, VECTORS = "token_embedding.rows", "token_embedding.weight"
INTEGERS = {torch.int32, torch.int64}
WIDEST = 4096  # no CLIP has longer word vectors; a wider table would not fit into memory


def without_untrained_words(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights whose word vectors, (VOCABULARY, d) float32, are those that differ from the start's alone."""
    vectors = state[VECTORS]
    (rows,) = torch.nonzero((vectors != word_vectors(VOCABULARY, vectors.shape[1])).any(dim=1), as_tuple=True)
    return {**state, VECTORS: vectors[rows].contiguous(), ROWS: rows.to(torch.int32)}


def with_all_words(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with a vector for each word, (VOCABULARY, d) float32; weights without `ROWS` stay as they are.

    Raises:
        ValueError: If rows and vectors do not fit each other.
    """
    whole = dict(state)
    rows = whole.pop(ROWS, None)
    if rows is None:
        return whole
    vectors = whole.get(VECTORS)
    if vectors is None:
        raise ValueError(f"{ROWS} is there without {VECTORS}")
    check_arrays({ROWS: rows, VECTORS: vectors})
    if rows.dtype not in INTEGERS or not vectors.is_floating_point():
        raise ValueError(f"{ROWS} are not integers, or {VECTORS} are not floating-point numbers")
    if vectors.ndim != 2 or rows.ndim != 1 or len(rows) != len(vectors) or not 0 < vectors.shape[1] <= WIDEST:
        raise ValueError(f"{ROWS} does not number the rows of {VECTORS}")
    numbers = rows.long()
    if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < VOCABULARY:
        raise ValueError(f"{ROWS} numbers words that there are not")
    if len(set(numbers.tolist())) < len(numbers):
        raise ValueError(f"{ROWS} numbers a word twice")
    table = word_vectors(VOCABULARY, vectors.shape[1])
    table[numbers] = vectors.float()
    return {**whole, VECTORS: table}
