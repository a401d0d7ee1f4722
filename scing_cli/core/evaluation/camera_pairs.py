"""How well each camera's queries find their people among the rows of each other camera: which camera is bad.

Q queries, N gallery rows, D width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from scing_cli.core.evaluation.counting import rank_hits
from scing_cli.core.evaluation.metrics import BoolArray, IntArray, average_precision_of_ranks
from scing_cli.core.evaluation.products import GALLERY_BLOCK, QUERY_BLOCK, ArrayProducts, Products
from scing_cli.core.evaluation.side import Side, check_sides
from scing_cli.core.evaluation.truth import Truth, find_truth, protocol_of
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter


@dataclasses.dataclass(frozen=True, slots=True)
class CameraPair:
    """The queries of one camera, ranked among the gallery rows of one camera alone.

    Both figures depend on how many rows the camera has: among few rows, a wrong one seldom comes first.

    Args:
        query_camera: Empty for queries whose camera is unknown; they form one group.
        gallery_camera: The same for gallery rows.
        queries: How many queries the camera has.
        valid_queries: How many of them have a true match among the rows; none of their own camera under `market`.
        gallery: How many rows the gallery camera has.
        mAP: Mean average precision of the valid queries, percent; None if there are none.
        rank1: Percent of the valid queries whose best true match comes before every wrong row; None if there are none.
    """

    query_camera: str
    gallery_camera: str
    queries: int
    valid_queries: int
    gallery: int
    mAP: float | None  # noqa: N815 - the field's own name for it
    rank1: float | None

    def summary(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        return dataclasses.asdict(self)


def compare_cameras(
    query: Side,
    gallery: Side,
    *,
    protocol: str,
    block_size: int = QUERY_BLOCK,
    gallery_block_size: int = GALLERY_BLOCK,
    products: Products | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> tuple[CameraPair, ...]:
    """Rank the rows of each gallery camera alone, as `evaluate` ranks the whole gallery.

    Args:
        query: Q queries.
        gallery: N gallery rows; rows of unknown identity are wrong ones, as in the ranking.
        protocol: A name in `protocol.PROTOCOLS`, or `auto`.
        block_size: Queries in one matrix product.
        gallery_block_size: Gallery rows in one matrix product.
        products: What multiplies; numpy on the CPU if None. The result is the same.
        reporter: Where progress goes, counted in gallery cameras.

    Returns:
        Every camera of the queries with every camera of the gallery, in the order of their names (shorter ones first,
        unknown ones last); the gallery's camera changes fastest.

    Raises:
        DataError: If the widths differ, a side is empty or a vector is not finite.
        ValueError: If vectors are not float32 or not of unit length, or if the numbers of labels and of vectors differ.
        SettingError: If the protocol is unknown.
    """
    check_sides(query, gallery)
    protocol = protocol_of(protocol, query, gallery).name
    query_names, query_codes = _coded(query.cameras)
    names, codes = _coded(gallery.cameras)
    valid = _valid(find_truth(query, gallery, protocol=protocol), codes, len(names))
    queries, rows = (np.bincount(own).tolist() for own in (query_codes, codes))
    columns = []
    with reporter.progress("Ranking camera by camera", len(names)) as advance:
        for code in range(len(names)):
            numbers = np.flatnonzero(valid[:, code])
            own = query.rows(numbers), gallery.rows(np.flatnonzero(codes == code))
            scores = _scores(*own, protocol, (block_size, gallery_block_size), products or ArrayProducts())
            columns.append(_means(scores, query_codes[numbers], len(query_names)))
            advance(1)
    return tuple(
        CameraPair(query_camera, camera, queries[place], count, rows[code], precision, rank1)
        for place, query_camera in enumerate(query_names)
        for code, camera in enumerate(names)
        for count, precision, rank1 in [columns[code][place]]
    )


def _coded(cameras: Sequence[str]) -> tuple[list[str], IntArray]:
    """Return the names in order, and which one each row has."""
    names = sorted(set(cameras), key=lambda name: (not name, len(name), name))
    codes = {name: code for code, name in enumerate(names)}
    return names, np.array([codes[name] for name in cameras], dtype=np.int64)


def _valid(truth: Truth, codes: IntArray, cameras: int) -> BoolArray:
    """Return which queries have a true match in which camera, shape (Q, cameras)."""
    valid = np.zeros((len(truth), cameras), dtype=np.bool_)
    for number in range(len(truth)):
        valid[number, codes[truth.hits(number)]] = True
    return valid


def _scores(
    query: Side, gallery: Side, protocol: str, blocks: tuple[int, int], products: Products
) -> list[tuple[float, bool]]:
    """Return the average precision of each query, and whether the first hit is a true one."""
    truth = find_truth(query, gallery, protocol=protocol)
    ranks = rank_hits(query.vectors, gallery.vectors, truth, blocks=blocks, products=products, advance=_silently)
    return [(average_precision_of_ranks(own), bool(own[0] == 1)) for own in ranks]


def _silently(steps: int, text: str = "") -> None:
    del steps, text


def _means(
    scores: list[tuple[float, bool]], codes: IntArray, cameras: int
) -> list[tuple[int, float | None, float | None]]:
    """Return the number of queries of each camera, their mAP and their rank-1."""
    table = np.array(scores, dtype=np.float64).reshape(-1, 2)
    found: list[tuple[int, float | None, float | None]] = []
    for code in range(cameras):
        own = table[codes == code]
        precision, rank1 = (100 * own.mean(axis=0)).tolist() if len(own) else (None, None)
        found.append((len(own), precision, rank1))
    return found
