"""The two sides of an evaluation, queries and gallery: vectors, and whose images they are. N rows, D width."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from scing_cli.core.errors import DataError, share
from scing_cli.core.evaluation.metrics import IntArray
from scing_cli.core.pairs import Rows
from scing_cli.core.spectra import Source

CHECK_BYTES = 2**26  # of a block in float64
UNIT = 1e-3
EMBED_AGAIN = "Embed both parts again with one model."


@dataclasses.dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Labels:
    """Whose image each row is: enough to find the true hits.

    Args:
        identities: N texts; empty where unknown.
        cameras: N texts; empty where unknown.
        keys: N texts that say which image each row is, such as its path; empty where unknown. Optional.
        scenes: N texts: when and where the image was taken; empty where unknown. Optional.
        images: For rows of several images, N tuples: the keys of all images of a row. Optional.
    """

    identities: Sequence[str]
    cameras: Sequence[str]
    keys: Sequence[str] = ()
    scenes: Sequence[str] = ()
    images: Sequence[tuple[str, ...]] = ()


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Side(Labels):
    """Labelled vectors: the queries or the gallery.

    Args:
        vectors: Shape (N, D), float32, unit length; may be memory-mapped.
        identities: N texts; empty where unknown.
        cameras: N texts; empty where unknown.
        keys: N texts that say which image each row is, such as its path; empty where unknown. Optional.
        scenes: N texts: when and where the image was taken; empty where unknown. Optional.
        images: For rows of several images, N tuples: the keys of all images of a row. Optional.
        names: N texts: what people call each image. Optional.
        files: N paths of the images, or observations with all images. Optional: vectors may come without pictures.
        texts: N captions, if the rows are captions; `names` are then the names of their images.
    """

    vectors: Rows
    names: Sequence[str] = dataclasses.field(default=(), kw_only=True)
    files: Sequence[Source] = dataclasses.field(default=(), kw_only=True)
    texts: Sequence[str] = dataclasses.field(default=(), kw_only=True)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def width(self) -> int:
        """D."""
        return self.vectors.shape[1]

    def rows(self, numbers: IntArray) -> Side:
        """Return some rows as a side of their own. Their vectors are read when they are used.

        Args:
            numbers: Shape (M,): row numbers, from 0.
        """
        labels = {
            name: [values[row] for row in numbers] if (values := getattr(self, name)) else ()
            for name in ("identities", "cameras", "keys", "scenes", "images", "names", "files", "texts")
        }
        return Side(_PickedRows(self.vectors, numbers), **labels)


class _PickedRows:
    """Some rows of vectors, which may be memory-mapped: none is copied before it is read."""

    def __init__(self, vectors: Rows, numbers: IntArray) -> None:
        self._vectors = vectors
        self._numbers = numbers
        self.shape = (len(numbers), vectors.shape[1])

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, key: Any) -> Any:
        return self._vectors[self._numbers[key]]


def check_sides(query: Side, gallery: Side) -> None:
    """Make sure that the vectors of both sides can be compared and that every row has its labels.

    Raises:
        DataError: If the widths differ, a side is empty or a vector is not finite.
        ValueError: If vectors are not float32 or not of unit length (to 0.001), or if the numbers of labels and of
            vectors differ.
    """
    for side in (query, gallery):
        _check_lengths(side)
    if query.width != gallery.width:
        raise DataError(f"The query vectors are {query.width} wide, the gallery's {gallery.width}.", EMBED_AGAIN)
    _check_vectors("query", query.vectors)
    _check_vectors("gallery", gallery.vectors)


def _check_lengths(side: Side) -> None:
    identities, cameras, keys = len(side.identities), len(side.cameras), len(side.keys)
    if not len(side) == identities == cameras or keys not in {0, len(side)}:
        raise ValueError(f"{len(side)} vectors, {identities} identities, {cameras} cameras, {keys} keys")
    if len(side.scenes) not in {0, len(side)}:
        raise ValueError(f"{len(side)} vectors, {len(side.scenes)} scenes")


def _check_vectors(name: str, vectors: Rows) -> None:
    """Refuse vectors that are not finite, not of unit length or not float32, block by block."""
    if len(vectors) == 0:
        raise DataError(f"There is no {name} vector to evaluate.", EMBED_AGAIN)
    step = max(1, CHECK_BYTES // (8 * vectors.shape[1]))
    squares = []
    for start in range(0, len(vectors), step):
        block = vectors[start : start + step]
        if block.dtype != np.float32:
            raise ValueError(f"the {name} vectors are {block.dtype}, not float32")
        with np.errstate(over="ignore", invalid="ignore"):
            squares.append(np.einsum("nd,nd->n", block, block, dtype=np.float64))
    lengths = np.sqrt(np.concatenate(squares))
    if len(broken := np.flatnonzero(~np.isfinite(lengths))):
        shown = ", ".join(map(str, broken[:10])) + (", …" if len(broken) > 10 else "")
        are = share(len(broken), len(vectors), f"{name} vector", "is", "are")
        raise DataError(
            f"{are} not finite: rows {shown} (the first is row 0).",
            f"A model whose training diverged gives such vectors. {EMBED_AGAIN}",
        )
    if len(wrong := np.flatnonzero(np.abs(lengths - 1) > UNIT)):
        raise ValueError(f"{len(wrong)} {name} vectors are not of unit length, row {wrong[0]} for one")
