"""Rank the gallery for every query and score the rankings. Q queries, N gallery rows."""

from __future__ import annotations

from scing_cli.core.evaluation.counting import rank_by_distance, rank_hits
from scing_cli.core.evaluation.products import GALLERY_BLOCK, QUERY_BLOCK, ArrayProducts, Products
from scing_cli.core.evaluation.reranking import Reranking, reranked_distances
from scing_cli.core.evaluation.scores import Scores, score
from scing_cli.core.evaluation.side import Side, check_sides
from scing_cli.core.evaluation.truth import checked_truth
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter


def evaluate(
    query: Side,
    gallery: Side,
    *,
    protocol: str,
    block_size: int = QUERY_BLOCK,
    gallery_block_size: int = GALLERY_BLOCK,
    products: Products | None = None,
    reranking: Reranking | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> Scores:
    """Rank the gallery by cosine for every query, and score the rankings (Eq. 21).

    With `reranking` the gallery is ranked by the re-ranked distance instead, which takes memory for the whole gallery.
    The protocol is applied in the same way.

    The result does not depend on the block sizes or on how the arrays lie in memory. A gallery row that is the query's
    own image (the same key) is neither a match nor a distractor of that query, under every protocol.

    Args:
        query: Q queries.
        gallery: N gallery rows.
        protocol: A name in `protocol.PROTOCOLS`, or `auto`.
        block_size: Queries in one matrix product; re-ranking has blocks of its own.
        gallery_block_size: Gallery rows in one matrix product.
        products: What multiplies; numpy on the CPU if None, `device.DeviceProducts` on a GPU. The result is the same.
        reranking: k1, k2 and lambda, to rank by the re-ranked distance.
        reporter: Where progress goes.

    Raises:
        DataError: If the widths differ, a side is empty, a vector is not finite, or no query has a true match.
        ValueError: If vectors are not float32 or not of unit length (to 0.001), or if the numbers of labels and of
            vectors differ.
        SettingError: If the protocol is unknown.
    """
    check_sides(query, gallery)
    name, truth = checked_truth(query, gallery, protocol)
    products = products or ArrayProducts()
    if reranking is not None:
        rows = reranked_distances(query.vectors, gallery.vectors, reranking, products=products, reporter=reporter)
        return score(rank_by_distance(rows, truth), gallery=len(gallery), protocol=name, lost=truth.lost)
    steps = len(query) * -(-len(gallery) // gallery_block_size)
    blocks = (block_size, gallery_block_size)
    with reporter.progress("Ranking", steps) as advance:
        ranks = rank_hits(query.vectors, gallery.vectors, truth, blocks=blocks, products=products, advance=advance)
        return score(ranks, gallery=len(gallery), protocol=name, lost=truth.lost)
