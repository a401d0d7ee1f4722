"""Rank the gallery for every query without ever holding the whole score matrix, and score the ranking.

Q queries, N gallery rows, D width, H true hits of one query.

A query's scores need only the ranks of its true hits, and a true hit's rank is its place among the hits plus the number
of false rows above it. So blocks of queries meet blocks of the gallery in one product, and false rows are counted.

The ranking is that of `pairs.pair_scores` (float64, one pair at a time), ties by gallery order. A matrix product's last
bits depend on the block's shape and the machine: so wherever it comes as near to a true hit's score as its rounding
error could reach, the pair score takes its place. The product is in float64, whose error is 1e-12 at most (float32's
can reach 7e-5 at D = 1280): a model whose descriptors all look alike costs little more than any other.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from scing_cli.core.errors import DataError
from scing_cli.core.evaluation.metrics import FloatArray, IntArray
from scing_cli.core.evaluation.protocol import choose_protocol
from scing_cli.core.evaluation.scores import Scores, score
from scing_cli.core.evaluation.truth import Lost, Truth, find_truth
from scing_cli.core.pairs import pair_scores
from scing_cli.core.runtime import Advance, Reporter, Silent

Vectors = npt.NDArray[np.float32]
GALLERY_BLOCK = 16384  # rows; with 256 queries the block of products takes 32 MiB
CHECK_BLOCK = 65536
EPSILON = float(np.finfo(np.float64).eps)
EMBED_ANEW = "Embed both parts again with one model."


def evaluate(  # noqa: PLR0917 - three pairs of queries and gallery
    query: Vectors,
    gallery: Vectors,
    query_identities: Sequence[str],
    gallery_identities: Sequence[str],
    query_cameras: Sequence[str],
    gallery_cameras: Sequence[str],
    *,
    protocol: str,
    query_keys: Sequence[str] = (),
    gallery_keys: Sequence[str] = (),
    block_size: int = 256,
    gallery_block_size: int = GALLERY_BLOCK,
    reporter: Reporter | None = None,
) -> Scores:
    """Rank the gallery by cosine for every query, and score the rankings (Eq. 21).

    The result is the same whatever the block sizes and however the arrays lie in memory. A gallery row that is the
    query's own image (the same key) is neither a match nor a distractor of it, under every protocol.

    Args:
        query: Shape (Q, D), float32, unit length.
        gallery: Shape (N, D), float32, unit length; may be memory-mapped.
        query_identities: Q texts; empty where unknown.
        gallery_identities: N texts.
        query_cameras: Q texts; empty where unknown.
        gallery_cameras: N texts.
        protocol: A name in `protocol.PROTOCOLS`, or `auto`.
        query_keys: Q texts that say which image each query is, such as its path; empty where unknown. Or none at all.
        gallery_keys: N texts.
        block_size: Queries in one matrix product.
        gallery_block_size: Gallery rows in one matrix product.
        reporter: Is told of the progress, in queries times gallery blocks.

    Raises:
        DataError: If the widths differ, a part is empty, a vector is not finite, or no query has a true match.
        SettingError: If the protocol is unknown.
    """
    _check_lengths(query, query_identities, query_cameras, query_keys)
    _check_lengths(gallery, gallery_identities, gallery_cameras, gallery_keys)
    if query.shape[1] != gallery.shape[1]:
        raise DataError(f"The query vectors are {query.shape[1]} wide, the gallery's {gallery.shape[1]}.", EMBED_ANEW)
    longest = _longest("query", query), _longest("gallery", gallery)
    tolerance = 2 * (query.shape[1] + 1) * EPSILON * math.prod(longest)
    protocol = choose_protocol(protocol, query_cameras, gallery_cameras).name
    truth = find_truth(
        query_identities,
        gallery_identities,
        query_cameras,
        gallery_cameras,
        protocol=protocol,
        query_keys=query_keys,
        gallery_keys=gallery_keys,
    )
    if truth.lost.total == len(query):
        raise _no_valid_query(truth.lost, protocol)
    steps = len(query) * -(-len(gallery) // gallery_block_size)
    with (reporter or Silent()).progress("Ranking", steps) as advance:
        blocks = (block_size, gallery_block_size)
        ranks = rank_hits(query, gallery, truth, tolerance=tolerance, blocks=blocks, advance=advance)
    return score(ranks, gallery=len(gallery), protocol=protocol, lost=truth.lost)


def _check_lengths(vectors: Vectors, identities: Sequence[str], cameras: Sequence[str], keys: Sequence[str]) -> None:
    if not len(vectors) == len(identities) == len(cameras) or len(keys) not in {0, len(vectors)}:
        raise ValueError(
            f"{len(vectors)} vectors, {len(identities)} identities, {len(cameras)} cameras, {len(keys)} keys"
        )


def rank_hits(
    query: Vectors, gallery: Vectors, truth: Truth, *, tolerance: float, blocks: tuple[int, int], advance: Advance
) -> list[IntArray]:
    """Return the ranks of every query's true hits, ascending; an empty array where it has none.

    Args:
        query: Shape (Q, D).
        gallery: Shape (N, D).
        truth: The rows that are each query's hits, and those that are not false.
        tolerance: How far a product may lie from its pair score.
        blocks: Queries and gallery rows in one matrix product.
        advance: Is called with the number of queries that have met a gallery block.
    """
    size, gallery_size = blocks
    hits = [_Hits.of(query[i], gallery, rows) for i, rows in enumerate(truth.hits)]
    for low in range(0, len(gallery), gallery_size):
        rows = np.ascontiguousarray(gallery[low : low + gallery_size])
        wide = rows.astype(np.float64).T  # (D, n)
        for start in range(0, len(query), size):
            block = query[start : start + size]
            products = block.astype(np.float64) @ wide  # (q, n)
            for i, scores in enumerate(products, start=start):
                if len(hits[i].rows):
                    ignored = truth.never_false[i]
                    first, last = np.searchsorted(ignored, (low, low + len(rows)))
                    scores[ignored[first:last] - low] = -np.inf
                    hits[i].count(scores, low, tolerance, _pair_scorer(query[i], rows))
            advance(len(block))
    return [np.arange(1, len(own.rows) + 1) + own.false_above for own in hits]


def _pair_scorer(vector: Vectors, rows: Vectors) -> Callable[[IntArray], FloatArray]:
    return lambda places: pair_scores(vector, rows[places])


@dataclasses.dataclass(slots=True, eq=False)
class _Hits:
    """One query's true hits, best first, and the false rows above each, counted so far; H rows each."""

    rows: IntArray
    scores: FloatArray
    false_above: IntArray

    @classmethod
    def of(cls, vector: Vectors, gallery: Vectors, rows: IntArray) -> _Hits:
        scores = pair_scores(vector, gallery[rows])
        order = np.lexsort((rows, -scores))
        return cls(rows[order], scores[order], np.zeros(len(rows), dtype=np.int64))

    def count(self, products: FloatArray, low: int, tolerance: float, exact: Callable[[IntArray], FloatArray]) -> None:
        """Count the false rows of one gallery block.

        Args:
            products: Shape (n,); -inf where the row is no false one.
            low: The gallery row of the block's first entry.
            tolerance: How far a product may lie from its pair score.
            exact: Gives the pair scores of some of the block's rows.
        """
        places = np.flatnonzero(products >= self.scores[-1] - tolerance)  # the others are below every hit
        scores = products[places]
        ordered = np.sort(scores)
        if np.any(_count_below(ordered, self.scores - tolerance) < _count_upto(ordered, self.scores + tolerance)):
            near = self._distance(scores) <= tolerance
            scores[near] = exact(places[near])
            ordered = np.sort(scores)
        below, upto = _count_below(ordered, self.scores), _count_upto(ordered, self.scores)
        self.false_above += len(ordered) - upto
        for hit in np.flatnonzero(below < upto):  # ties: by gallery order
            tied = places[scores == self.scores[hit]]
            self.false_above[hit] += np.count_nonzero(tied + low < self.rows[hit])

    def _distance(self, scores: FloatArray) -> FloatArray:
        """Return how far each score lies from the nearest true hit's."""
        ascending = self.scores[::-1]
        place = np.searchsorted(ascending, scores)
        right = ascending[np.minimum(place, len(ascending) - 1)]
        left = ascending[np.maximum(place - 1, 0)]
        distance: FloatArray = np.minimum(np.abs(scores - left), np.abs(scores - right))
        return distance


def _count_below(ordered: FloatArray, values: FloatArray) -> IntArray:
    return np.searchsorted(ordered, values, side="left")


def _count_upto(ordered: FloatArray, values: FloatArray) -> IntArray:
    return np.searchsorted(ordered, values, side="right")


def _longest(part: str, vectors: Vectors) -> float:
    """Return the length of the longest vector; for unit vectors it is 1."""
    if len(vectors) == 0:
        raise DataError(f"There is no {part} vector to evaluate.", EMBED_ANEW)
    blocks = (vectors[start : start + CHECK_BLOCK] for start in range(0, len(vectors), CHECK_BLOCK))
    squares = np.concatenate([np.einsum("nd,nd->n", block, block, dtype=np.float64) for block in blocks])
    if len(broken := np.flatnonzero(~np.isfinite(squares))):
        shown = ", ".join(map(str, broken[:10])) + (", …" if len(broken) > 10 else "")
        raise DataError(
            f"{len(broken)} of {len(vectors)} {part} vectors are not finite: rows {shown} (the first is row 0).",
            f"A model whose training diverged gives such vectors. {EMBED_ANEW}",
        )
    return math.sqrt(float(squares.max()))


def _no_valid_query(lost: Lost, protocol: str) -> DataError:
    remedy = "Queries and gallery must show the same people: check the identities of both parts."
    if lost.same_camera:
        remedy = "If the cameras are not real ones, leave nothing out: --protocol no-camera."
    return DataError(
        f"None of the {lost.total} queries has a true match under the protocol {protocol}: {lost.reasons()}.", remedy
    )
