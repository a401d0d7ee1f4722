"""Which rows make up the batches of one training epoch (R16)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scing_cli.core.errors import DataError, SettingError
from scing_cli.core.runtime import draw_seed


def identity_batches(
    labels: Sequence[int], *, identities: int, instances: int, key: tuple[int | str, ...]
) -> list[list[int]]:
    """Plan one epoch of P x K batches: P identities with K rows each (R16).

    Each identity's rows are shuffled and cut into chunks of K. A last chunk that is too short is filled by going
    through the identity's rows again, so a chunk repeats a row only where the identity has fewer than K. Chunks are
    drawn P identities at a time, uniformly among the identities that have chunks left and never one identity twice;
    each identity's filled chunk comes last. When fewer than P have any left, one chunk of each of them makes a smaller
    last batch, if they are at least two. What then remains sits out this epoch, as in CLIP-ReID's sampler.

    Args:
        labels: The identity of every row.
        identities: P; where there are fewer identities, all of them.
        instances: K.
        key: What the draw is a function of, such as (seed, stage, epoch).

    Returns:
        Row numbers, one list per batch: K rows of one identity, then K of the next. All but the last have P * K rows.

    Raises:
        DataError: If there are fewer than two identities.
        SettingError: If P is below 2 or K below 1.
    """
    if identities < 2 or instances < 1:
        raise SettingError(
            f"A batch of {identities} identities with {instances} images each cannot be trained on.",
            "It takes at least 2 identities and 1 image: raise --batch-size or lower --instances.",
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
    """Plan one epoch of batches without regard to identities, as CLIP-ReID's stage 1 has it.

    Args:
        count: How many rows there are; each comes once.
        size: Rows of a batch; the last one may be smaller.
        key: What the draw is a function of, such as (seed, stage, epoch).

    Returns:
        Row numbers, one list per batch.
    """
    rows = np.random.default_rng(draw_seed(*key)).permutation(count).tolist()
    return [rows[start : start + size] for start in range(0, count, size)]


def _chunks(labels: np.ndarray, instances: int, draw: np.random.Generator) -> list[list[list[int]]]:
    """Return each identity's chunks of `instances` rows, the filled one first (`_take` pops the last)."""
    by_label = np.argsort(labels, kind="stable")
    groups = np.split(by_label, np.flatnonzero(np.diff(labels[by_label])) + 1) if len(labels) else []
    chunks = []
    for group in groups:
        shuffled = draw.permutation(group)
        filled = np.resize(shuffled, (-(-len(group) // instances), instances))  # repeats from the start
        chunks.append(filled[::-1].tolist())
    return chunks


def _take(chunks: list[list[list[int]]], chosen: np.ndarray) -> list[int]:
    """Take one chunk of each chosen identity; identities without chunks leave the list."""
    rows = [row for place in chosen.tolist() for row in chunks[place].pop()]
    for place in sorted(chosen.tolist(), reverse=True):
        if not chunks[place]:
            chunks[place] = chunks[-1]
            chunks.pop()
    return rows
