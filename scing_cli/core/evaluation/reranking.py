"""k-reciprocal re-ranking (Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017).

Q queries, G gallery rows, N = Q + G points, D width. N(i, k) are the k + 1 nearest points of i, the first of them i
itself, ties by place (queries stand before the gallery)::

    d(i, j)  = |x_i - x_j|^2 / max over m of |x_i - x_m|^2      unit vectors x
    R(i, k)  = {j in N(i, k) with i in N(j, k)}                 k-reciprocal neighbours
    R*(i)    = R(i, k1), and R(j, k1/2) of each j in R(i, k1) of which more than 2/3 lie in R(i, k1)
    V(i, j)  = exp(-d(i, j)) / sum over R*(i), for j in R*(i); else 0
    V*(i)    = mean of V over the first k2 of i's neighbours    local query expansion
    J(q, g)  = 1 - sum of min(V*(q), V*(g)) / sum of max(V*(q), V*(g))
    result   = (1 - lambda) J(q, g) + lambda d(q, g)

Where the paper's text and the code that the field shares differ, it is the code that is followed: figures with
re-ranking are the code's. Queries and gallery are one set, whereas the text looks for neighbours in the gallery alone;
a point is among its own neighbours, so that there are k1 + 1; distances are divided by their row's maximum; of
R(j, k1/2) more than 2/3 must lie in R(i, k1), in the text at least 2/3; the rows of V sum to 1. k1/2 is rounded to the
nearest whole number, a half to the even one, as numpy does (MATLAB rounds a half up). Among points that are the same
the code leaves the order to its sort; here a point stands before its equals, so that R(i, k) always holds i.

An image that is both a query and in the gallery is two points. All gallery rows take part: what a protocol leaves out
of a query's ranking is left out afterwards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from scing_cli.core.errors import SettingError
from scing_cli.core.evaluation.metrics import FloatArray
from scing_cli.core.evaluation.neighbours import Points, find_neighbours
from scing_cli.core.evaluation.products import ArrayProducts, Products
from scing_cli.core.evaluation.reciprocal import SparseRows, reciprocal_rows, relative
from scing_cli.core.pairs import Rows
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter

BLOCKS = (1024, 2048)  # rows and columns of one matrix product: 16 MiB
HELD = 2**25  # bytes of the queries' distances in memory at a time


@dataclasses.dataclass(frozen=True, slots=True)
class Reranking:
    """The settings, by default the paper's.

    Args:
        k1: Neighbours that may be reciprocal.
        k2: Neighbours, the point itself among them, over which weights are averaged; 1 for no averaging.
        lambda_: The share of the plain distance; the rest is the Jaccard distance's.

    Raises:
        SettingError: If one is out of its range; the message names the option.
    """

    k1: int = 20
    k2: int = 6
    lambda_: float = 0.3

    def __post_init__(self) -> None:
        for option, value in (("--k1", self.k1), ("--k2", self.k2)):
            if value < 1:
                raise SettingError(f"{option} {value}: must be at least 1.")
        if not 0 <= self.lambda_ <= 1:
            raise SettingError(f"--lambda {self.lambda_}: must be between 0 and 1.")

    def __str__(self) -> str:
        return f"k1 = {self.k1}, k2 = {self.k2}, lambda = {self.lambda_:g}"


def reranked_distances(
    query: Rows,
    gallery: Rows,
    settings: Reranking,
    *,
    products: Products | None = None,
    blocks: tuple[int, int] = BLOCKS,
    reporter: Reporter = LIBRARY_REPORTER,
) -> Iterator[FloatArray]:
    """Yield each query's re-ranked distances to the gallery, shape (G,), float64, from 0 to 1.

    The bits do not depend on the blocks.

    Args:
        query: Shape (Q, D), float32, unit length.
        gallery: Shape (G, D), float32, unit length.
        settings: k1, k2 and lambda.
        products: What multiplies; numpy on the CPU if None, `device.DeviceProducts` on a GPU. The result is the same.
        blocks: Rows and columns of one matrix product.
        reporter: Where progress goes: a step for each point's neighbours, and one for each query's distances.
    """
    points = Points.of((query, gallery), products or ArrayProducts())
    with reporter.progress("Re-ranking", len(points) + len(query)) as advance:
        count = max(settings.k1 + 1, settings.k2)
        neighbours = find_neighbours(points, count, blocks=blocks, advance=advance)
        rows = reciprocal_rows(points, neighbours, settings.k1, settings.k2)
        inverted = rows.inverted(len(query))
        step = max(1, min(blocks[0], HELD // (8 * len(gallery))))
        for low in range(0, len(query), step):
            part = slice(low, min(low + step, len(query)))
            plain = _plain_distances(points, part, len(query), blocks[1])
            for number, own in enumerate(plain, low):
                jaccard = _jaccard(rows, inverted, number, len(gallery))
                far = neighbours.farthest[number : number + 1]
                yield (1 - settings.lambda_) * jaccard + settings.lambda_ * relative(own, far)
                advance(1)


def _plain_distances(points: Points, part: slice, first: int, width: int) -> FloatArray:
    """Return the squared distances of some queries to the gallery, which begins at point `first`: shape (q, G)."""
    distances = np.empty((part.stop - part.start, len(points) - first))
    for left in range(first, len(points), width):
        columns = slice(left, min(left + width, len(points)))
        distances[:, left - first : columns.stop - first] = points.between(part, columns)
    return distances


def _jaccard(rows: SparseRows, inverted: SparseRows, number: int, gallery: int) -> FloatArray:
    """Return the Jaccard distances of one query to the gallery, shape (G,): 1 to rows that share no neighbour with it.

    As a query's weights sum to 1 and a gallery row's too, the greater ones of both sum to 2 less the smaller ones.
    """
    _, shared, own = rows.entries(np.array([number]))
    owners, found, theirs = inverted.entries(shared)
    smaller = np.bincount(found, np.minimum(own[owners], theirs), minlength=gallery)
    return 1 - smaller / (2 - smaller)
