"""What every gallery can do, wherever it is kept: read, search, change.

Q queries, N vectors, M ids, D width. Vectors are unit length, so an inner product is a cosine (Eq. 21).
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from scing_cli.core.errors import SettingError
from scing_cli.core.index.borrowed import Lender
from scing_cli.core.index.comparable import check_model, check_width
from scing_cli.core.index.index_stamp import Stamp
from scing_cli.core.index.memory_rows import IntArray, Rows
from scing_cli.core.index.rows import Hit, Labels, Row, RowFilter
from scing_cli.core.index.store import Vectors, check_unit

AT_ONCE = 4096  # rows that are looked up together


class Gallery(abc.ABC):
    """Unit vectors with stable int64 ids, and one row of metadata per vector.

    `GalleryIndex` keeps it in files of its own, `MilvusGallery` on a server. Changes count once they are written.
    """

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What messages call it."""

    @property
    @abc.abstractmethod
    def stamp(self) -> Stamp:
        """Model, descriptor and counts."""

    @property
    @abc.abstractmethod
    def is_approximate(self) -> bool:
        """Whether a search may miss a row."""

    @property
    def is_split(self) -> bool:
        """Whether `--compact` would write fewer files."""
        return False

    @property
    @abc.abstractmethod
    def table(self) -> Rows:
        """The rows, which are read when they are asked for."""

    @abc.abstractmethod
    def vectors(self, ids: Sequence[int] | IntArray | None = None) -> Vectors:
        """Return a copy of the vectors of M ids, shape (M, D), or of all vectors in order of ids, shape (N, D)."""

    @abc.abstractmethod
    def recall(self) -> float | None:
        """Return recall@10 compared with an exact search; None if nobody measures it."""

    @abc.abstractmethod
    def borrow(self, lender: Callable[[], Lender], ids: IntArray, labels: Sequence[Labels] | None = None) -> None:
        """Add rows of another index under new ids. They are read there, piece by piece, when they are written.

        Args:
            lender: Opens the other index, whose vectors are D wide; it stays as it is until they are written.
            ids: Their N ids in it.
            labels: Identity, camera and scene of each; None for those that they have there.
        """

    @abc.abstractmethod
    def remove(self, ids: Collection[int]) -> None:
        """Remove rows. Their ids are never used again.

        Raises:
            ValueError: If an id is unknown.
        """

    @abc.abstractmethod
    def relabel(self, labels: Mapping[int, tuple[str, str] | Labels]) -> None:
        """Give rows other labels; ids and vectors stay.

        Args:
            labels: Identity and camera by id, and the scene if it is another one too.

        Raises:
            ValueError: If an id is unknown.
        """

    @abc.abstractmethod
    def name_model(self, model: Mapping[str, Any]) -> None:
        """Say where the encoder is now, as in `Stamp.model`."""

    @abc.abstractmethod
    def _find(
        self, queries: Vectors, k: int, *, allowed: RowFilter | None, each_identity_once: bool
    ) -> list[list[Hit]]:
        """Search with checked queries: contiguous, D wide."""

    @property
    def width(self) -> int:
        """D, the width of the vectors."""
        return self.stamp.width

    def __len__(self) -> int:
        return len(self.table)

    def rows(self) -> list[Row]:
        """Return all rows in order of ids."""
        return list(self.table)

    def search(
        self, vectors: Vectors, k: int, *, allowed: RowFilter | None = None, each_identity_once: bool = False
    ) -> list[list[Hit]]:
        """Find the k nearest rows of each query, best first.

        Scores are computed pair by pair in float64, and equal scores are ordered by id, so the hits of a query depend
        neither on the other queries nor on the machine.

        Args:
            vectors: Shape (Q, D), float32, unit length.
            k: Number of rows; all rows if k is greater.
            allowed: Which rows may be returned; None for all.
            each_identity_once: Return the best row of each of k identities; a row without one counts as an identity.

        Raises:
            SettingError: If k is below 1.
            IndexFileError: If the queries are not D wide.
            DataError: If a query is not finite or not of unit length.
        """
        if k < 1:
            raise SettingError(f"-k {k}: at least one row must be asked for.")
        check_width(vectors, self.width, self.name)
        check_unit(vectors, [f"query {i}" for i in range(len(vectors))])
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        return self._find(queries, k, allowed=allowed, each_identity_once=each_identity_once)

    def check_model(self, digest: str, *, descriptor: str, width: int, name: str) -> None:
        """Check that a model's vectors can be compared with those of this gallery.

        Args:
            digest: Digest of the model's image encoder.
            descriptor: The descriptor of the queries: `projected` or `concat`.
            width: D of the queries.
            name: The model's name in the message, such as `runs/market`.

        Raises:
            IndexFileError: If the gallery was made by another model or with another descriptor.
        """
        check_model(self.stamp, digest, descriptor=descriptor, width=width, name=name, index=self.name)

    def _check_known(self, ids: Collection[int]) -> None:
        left = iter(ids)
        while some := set(itertools.islice(left, AT_ONCE)):  # not all rows at once
            if unknown := some - self.table.find(some).keys():
                raise ValueError(f"no rows {sorted(unknown)}")
