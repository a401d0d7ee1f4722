"""Batch samplers: the rows of each batch in one training epoch (R16)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scing_cli.core.errors import DataError, SettingError
from scing_cli.core.runtime import draw_seed


def identity_batches(
    labels: Sequence[int], *, identities: int, instances: int, key: tuple[int | str, ...]
) -> list[list[int]]:
    """Sample one epoch of P x K batches: P identities with K rows each (R16).

    The rows of each identity are shuffled and divided into chunks of K. If the last chunk is too short, it is filled
    with the identity's first rows, so a chunk repeats a row only if the identity has fewer than K. Each batch takes one
    chunk from each of P identities, drawn uniformly among those that have chunks left; an identity's filled chunk comes
    last. When fewer than P identities have chunks left, one chunk of each makes a smaller last batch, if there are at
    least two. The remaining chunks are not used in this epoch, as in CLIP-ReID's sampler.

    Args:
        labels: The identity of every row.
        identities: P; if there are fewer identities, all of them are used.
        instances: K.
        key: Key of the random numbers, such as (seed, stage, epoch).

    Returns:
        Row numbers, one list per batch: K rows of one identity, then K of the next. All but the last have P * K rows.

    Raises:
        DataError: If there are fewer than two identities.
        SettingError: If P is below 2 or K below 1.
    """
    if identities < 2 or instances < 1:
        raise SettingError(
            f"A batch of {identities} identities with {instances} images each cannot be trained on.",
            "At least 2 identities and 1 image are needed: raise --batch-size or lower --instances.",
        )
    draw = np.random.default_rng(draw_seed(*key))
    chunks = _chunks(np.asarray(labels, dtype=np.int64), instances, draw)
    if len(chunks) < 2:
        raise DataError("There are fewer than two identities to train on.", "Training compares different people.")
    size = min(identities, len(chunks))
    batches = []
    while len(chunks) >= size:
        chosen = draw.choice(len(chunks), size, replace=False)
        batches.append(_take(chunks, chosen))
    if len(chunks) >= 2:
        batches.append(_take(chunks, draw.permutation(len(chunks))))
    return batches


def random_batches(count: int, *, size: int, key: tuple[int | str, ...]) -> list[list[int]]:
    """Sample one epoch of random batches without regard to identities, as in CLIP-ReID's stage 1.

    Args:
        count: Number of rows; each is used once.
        size: Number of rows per batch; the last batch may be smaller.
        key: Key of the random numbers, such as (seed, stage, epoch).

    Returns:
        Row numbers, one list per batch.
    """
    rows = np.random.default_rng(draw_seed(*key)).permutation(count).tolist()
    return [rows[start : start + size] for start in range(0, count, size)]


def _chunks(labels: np.ndarray, instances: int, draw: np.random.Generator) -> list[list[list[int]]]:
    """Return each identity's chunks of `instances` rows, the filled one first, because `_take` pops the last."""
    by_label = np.argsort(labels, kind="stable")
    groups = np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1) if len(labels) else []
    chunks = []
    for group in groups:
        shuffled = draw.permutation(group)
        filled = np.resize(shuffled, (-(-len(group) // instances), instances))  # repeats from the start
        chunks.append(filled[::-1].tolist())
    return chunks


def _take(chunks: list[list[list[int]]], chosen: np.ndarray) -> list[int]:
    """Take one chunk of each chosen identity and remove identities without chunks from the list."""
    rows = [row for index in chosen.tolist() for row in chunks[index].pop()]
    for index in sorted(chosen.tolist(), reverse=True):
        if not chunks[index]:
            chunks[index] = chunks[-1]
            chunks.pop()
    return rows
