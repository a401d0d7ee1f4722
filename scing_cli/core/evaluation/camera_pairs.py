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
from scing_cli.core.evaluation.products import ArrayProducts, Products
from scing_cli.core.evaluation.protocol import choose_protocol
from scing_cli.core.evaluation.ranking import GALLERY_BLOCK, Part, check_parts
from scing_cli.core.evaluation.truth import Truth, find_truth
from scing_cli.core.pairs import Rows
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter


@dataclasses.dataclass(frozen=True, slots=True)
class CameraPair:
    """The queries of one camera, ranked among the gallery rows of one camera alone.

    Both figures depend on how many rows the camera has: of few, wrong ones seldom come first.

    Args:
        query_camera: Empty for the queries whose camera is unknown: they are one group.
        gallery_camera: The same of gallery rows.
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


def compare_cameras(  # noqa: PLR0917 - three pairs of queries and gallery
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
    reporter: Reporter = LIBRARY_REPORTER,
) -> tuple[CameraPair, ...]:
    """Rank each gallery camera's rows by themselves, as `evaluate` ranks the whole gallery.

    Args:
        query: Shape (Q, D), float32, unit length.
        gallery: Shape (N, D), float32, unit length; may be memory-mapped.
        query_identities: Q texts; empty where unknown.
        gallery_identities: N texts; rows of unknown identity are wrong ones, as in the ranking.
        query_cameras: Q texts; empty where unknown.
        gallery_cameras: N texts.
        protocol: A name in `protocol.PROTOCOLS`, or `auto`.
        query_keys: Q texts that say which image each query is; empty where unknown. Or none at all.
        gallery_keys: N texts.
        block_size: Queries in one matrix product.
        gallery_block_size: Gallery rows in one matrix product.
        products: What multiplies; numpy on the CPU if None. The result is the same.
        reporter: Is told of the progress, in gallery cameras.

    Returns:
        Every camera of the queries with every camera of the gallery, in the order of their names (shorter ones first,
        unknown ones last), the gallery's changing fastest.

    Raises:
        DataError: If the widths differ, a part is empty or a vector is not finite.
        ValueError: If vectors are not float32 or not of unit length, or labels not as many as vectors.
        SettingError: If the protocol is unknown.
    """
    seen = _Part(query, query_identities, query_cameras, query_keys)
    held = _Part(gallery, gallery_identities, gallery_cameras, gallery_keys)
    check_parts(seen.labelled(), held.labelled())
    protocol = choose_protocol(protocol, query_cameras, gallery_cameras).name
    query_names, query_codes = _coded(query_cameras)
    names, codes = _coded(gallery_cameras)
    valid = _valid(_truth(seen, held, protocol), codes, len(names))
    queries, rows = (np.bincount(own).tolist() for own in (query_codes, codes))
    columns = []
    with reporter.progress("Ranking camera by camera", len(names)) as advance:
        for code in range(len(names)):
            numbers = np.flatnonzero(valid[:, code])
            own = seen.picked(numbers), held.picked(np.flatnonzero(codes == code))
            scores = _scores(*own, protocol, (block_size, gallery_block_size), products or ArrayProducts())
            columns.append(_means(scores, query_codes[numbers], len(query_names)))
            advance(1)
    return tuple(
        CameraPair(query_camera, camera, queries[place], count, rows[code], precision, rank1)
        for place, query_camera in enumerate(query_names)
        for code, camera in enumerate(names)
        for count, precision, rank1 in [columns[code][place]]
    )


class _Picked:
    """Some rows of others."""

    def __init__(self, rows: Rows, numbers: IntArray) -> None:
        self._rows = rows
        self._numbers = numbers
        self.shape = (len(numbers), rows.shape[1])

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, key: Any) -> Any:
        return self._rows[self._numbers[key]]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Part:
    vectors: Rows
    identities: Sequence[str]
    cameras: Sequence[str]
    keys: Sequence[str]

    def labelled(self) -> Part:
        return self.vectors, self.identities, self.cameras, self.keys

    def picked(self, numbers: IntArray) -> _Part:
        identities, cameras = ([texts[row] for row in numbers] for texts in (self.identities, self.cameras))
        keys = [self.keys[row] for row in numbers] if self.keys else ()
        return _Part(_Picked(self.vectors, numbers), identities, cameras, keys)


def _coded(cameras: Sequence[str]) -> tuple[list[str], IntArray]:
    """Return the names in order, and which one each row has."""
    names = sorted(set(cameras), key=lambda name: (not name, len(name), name))
    codes = {name: code for code, name in enumerate(names)}
    return names, np.array([codes[name] for name in cameras], dtype=np.int64)


def _truth(query: _Part, gallery: _Part, protocol: str) -> Truth:
    return find_truth(
        query.identities,
        gallery.identities,
        query.cameras,
        gallery.cameras,
        protocol=protocol,
        query_keys=query.keys,
        gallery_keys=gallery.keys,
    )


def _valid(truth: Truth, codes: IntArray, cameras: int) -> BoolArray:
    """Tell which queries have a true match in which camera, shape (Q, cameras)."""
    valid = np.zeros((len(truth), cameras), dtype=np.bool_)
    for number in range(len(truth)):
        valid[number, codes[truth.hits(number)]] = True
    return valid


def _scores(
    query: _Part, gallery: _Part, protocol: str, blocks: tuple[int, int], products: Products
) -> list[tuple[float, bool]]:
    """Return the average precision of each query, and whether the first hit is a true one."""
    truth = _truth(query, gallery, protocol)
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
