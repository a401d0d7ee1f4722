"""Rank the gallery for every query and score the rankings: what goes in is checked, what comes out is measured.

Q queries, N gallery rows, D width. How the ranks are found is in `counting.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scing_cli.core.errors import DataError
from scing_cli.core.evaluation.counting import rank_by_distance, rank_hits
from scing_cli.core.evaluation.products import ArrayProducts, Products
from scing_cli.core.evaluation.protocol import choose_protocol
from scing_cli.core.evaluation.reranking import Reranking, reranked_distances
from scing_cli.core.evaluation.scores import Scores, score
from scing_cli.core.evaluation.truth import Truth, find_truth
from scing_cli.core.pairs import Rows
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter

GALLERY_BLOCK = 16384  # rows; with 256 queries the block of products takes 16 MiB
CHECK_BYTES = 2**26  # of a block in float64
UNIT = 1e-3
EMBED_AGAIN = "Embed both parts again with one model."

Part = tuple[Rows, Sequence[str], Sequence[str], Sequence[str]]
"""Vectors, identities, cameras, keys."""


def evaluate(  # noqa: PLR0917 - three pairs of queries and gallery
    query: Rows,
    gallery: Rows,
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
    products: Products | None = None,
    reranking: Reranking | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> Scores:
    """Rank the gallery by cosine for every query, and score the rankings (Eq. 21).

    With `reranking` it is ranked by the re-ranked distance instead (see `reranking`), which takes memory for the whole
    gallery; the same rows count.

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
        block_size: Queries in one matrix product; re-ranking has blocks of its own.
        gallery_block_size: Gallery rows in one matrix product.
        products: What multiplies; numpy on the CPU if None, `device.DeviceProducts` on a GPU. The result is the same.
        reranking: k1, k2 and lambda, if the rankings are to be re-ranked.
        reporter: Is told of the progress.

    Raises:
        DataError: If the widths differ, a part is empty, a vector is not finite, or no query has a true match.
        ValueError: If vectors are not float32 or not of unit length (to 0.001), or labels not as many as vectors.
        SettingError: If the protocol is unknown.
    """
    protocol, truth = checked_truth(
        (query, query_identities, query_cameras, query_keys),
        (gallery, gallery_identities, gallery_cameras, gallery_keys),
        protocol,
    )
    products = products or ArrayProducts()
    if reranking is not None:
        rows = reranked_distances(query, gallery, reranking, products=products, reporter=reporter)
        ranks = rank_by_distance(rows, truth)
        return score(ranks, gallery=len(gallery), protocol=protocol, lost=truth.lost)
    steps = len(query) * -(-len(gallery) // gallery_block_size)
    with reporter.progress("Ranking", steps) as advance:
        blocks = (block_size, gallery_block_size)
        ranks = rank_hits(query, gallery, truth, blocks=blocks, products=products, advance=advance)
        return score(ranks, gallery=len(gallery), protocol=protocol, lost=truth.lost)


def checked_truth(query: Part, gallery: Part, protocol: str) -> tuple[str, Truth]:
    """Check both parts and find the true hits of each query.

    Args:
        query: Vectors, shape (Q, D), their identities, cameras and keys.
        gallery: The same, N of them.
        protocol: A name in `protocol.PROTOCOLS`, or `auto`.

    Returns:
        The name of the protocol that counts, and the truth under it.

    Raises:
        DataError: If the widths differ, a part is empty, a vector is not finite, or no query has a true match.
        ValueError: If vectors are not float32 or not of unit length (to 0.001), or labels not as many as vectors.
        SettingError: If the protocol is unknown.
    """
    check_parts(query, gallery)
    (_, identities, cameras, keys), (_, others, seen_by, other_keys) = query, gallery
    name = choose_protocol(protocol, cameras, seen_by).name
    truth = find_truth(identities, others, cameras, seen_by, protocol=name, query_keys=keys, gallery_keys=other_keys)
    check_truth(truth, name)
    return name, truth


def check_parts(query: Part, gallery: Part) -> None:
    """Make sure that vectors can be compared and are labelled.

    Args:
        query: Vectors, shape (Q, D), their identities, cameras and keys.
        gallery: The same, N of them.

    Raises:
        DataError: If the widths differ, a part is empty or a vector is not finite.
        ValueError: If vectors are not float32 or not of unit length (to 0.001), or labels not as many as vectors.
    """
    _check_lengths(*query)
    _check_lengths(*gallery)
    width, other = (vectors.shape[1] for vectors, *_ in (query, gallery))
    if width != other:
        raise DataError(f"The query vectors are {width} wide, the gallery's {other}.", EMBED_AGAIN)
    _check_vectors("query", query[0])
    _check_vectors("gallery", gallery[0])


def check_truth(truth: Truth, protocol: str) -> None:
    """Make sure that some query has a true match.

    Args:
        truth: What `find_truth` found.
        protocol: Under which protocol.

    Raises:
        DataError: If none has, with the reasons.
    """
    lost = truth.lost
    if lost.total < len(truth):
        return
    remedy = "Queries and gallery must show the same people: check the identities of both parts."
    if lost.same_camera:
        remedy = "If the cameras are not real ones, leave nothing out: --protocol no-camera."
    raise DataError(
        f"None of the {lost.total} queries has a true match under the protocol {protocol}: {lost.reasons()}.", remedy
    )


def _check_lengths(vectors: Rows, identities: Sequence[str], cameras: Sequence[str], keys: Sequence[str]) -> None:
    if not len(vectors) == len(identities) == len(cameras) or len(keys) not in {0, len(vectors)}:
        raise ValueError(
            f"{len(vectors)} vectors, {len(identities)} identities, {len(cameras)} cameras, {len(keys)} keys"
        )


def _check_vectors(part: str, vectors: Rows) -> None:
    """Refuse vectors that are not finite, not of unit length, or no float32 numbers."""
    if len(vectors) == 0:
        raise DataError(f"There is no {part} vector to evaluate.", EMBED_AGAIN)
    step = max(1, CHECK_BYTES // (8 * vectors.shape[1]))
    squares = []
    for start in range(0, len(vectors), step):
        block = vectors[start : start + step]
        if block.dtype != np.float32:
            raise ValueError(f"the {part} vectors are {block.dtype}, not float32")
        with np.errstate(over="ignore", invalid="ignore"):
            squares.append(np.einsum("nd,nd->n", block, block, dtype=np.float64))
    lengths = np.sqrt(np.concatenate(squares))
    if len(broken := np.flatnonzero(~np.isfinite(lengths))):
        shown = ", ".join(map(str, broken[:10])) + (", …" if len(broken) > 10 else "")
        raise DataError(
            f"{len(broken)} of {len(vectors)} {part} vectors are not finite: rows {shown} (the first is row 0).",
            f"A model whose training diverged gives such vectors. {EMBED_AGAIN}",
        )
    if len(wrong := np.flatnonzero(np.abs(lengths - 1) > UNIT)):
        raise ValueError(f"{len(wrong)} {part} vectors are not of unit length, row {wrong[0]} for one")
