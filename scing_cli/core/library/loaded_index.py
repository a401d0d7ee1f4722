"""An index for notebooks: search with images or vectors, hits as records, the ranking as a picture.

Legend: N images, Q queries, D width of the descriptor.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from scing_cli.core.embeddings import Vectors
from scing_cli.core.errors import DataError, counted
from scing_cli.core.figures import ranked_montage
from scing_cli.core.index import Gallery, GalleryLocation, Hit, Row, RowFilter, as_location
from scing_cli.core.library.loaded_model import Model, named_model
from scing_cli.core.library.pictures_in import Pictures, as_pictures
from scing_cli.core.paths import StrPath
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Source, file_of
from scing_cli.core.workflows.search.row_filters import check_filters
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.pictures import montage_hit, read_cell, read_picture, reduce


class HitRecord(NamedTuple):
    """One hit of a search; a list of them is what `pandas.DataFrame` takes.

    Args:
        query: Number of the query, from 0.
        rank: 1 for the best hit.
        score: The cosine, in [-1, 1].
        identity: The person; empty where unknown.
        camera: The camera; empty where unknown.
        path: The gallery image.
        id: Of the row in the index.
    """

    query: int
    rank: int
    score: float
    identity: str
    camera: str
    path: str
    id: int


class Index:
    """A gallery's vectors and rows; `load_index` opens one.

    Args:
        location: Where it is.
        opened: What it holds.
        machine: For the model that embeds queries.
        reporter: Receives progress and messages.
    """

    def __init__(self, location: GalleryLocation, opened: Gallery, machine: Machine, reporter: Reporter) -> None:
        self.path = location.named
        self._location = location
        self._opened = opened
        self._machine = machine
        self._reporter = reporter

    def __repr__(self) -> str:
        return f"Index({str(self.path)!r}, {self._opened.stamp.count} rows, width={self.width})"

    def __len__(self) -> int:
        return len(self._opened)

    @property
    def width(self) -> int:
        """D."""
        return self._opened.width

    @functools.cached_property
    def model(self) -> Model:
        """The model that the index names, opened at its first use.

        Raises:
            IndexFileError: If it is gone, or has changed.
        """
        return named_model(self._opened.stamp, self._location, self._machine, self._reporter)

    def rows(self) -> list[dict[str, Any]]:
        """Return a record per row, in order of the ids: id, path, identity, camera, size, mtime, digest.

        Rows of observations also have `views`, the images as JSON, and `scene` where it is known.
        """
        return [row.record() for row in self._opened.rows()]

    def vectors(self) -> Vectors:
        """Return a copy of all vectors in the order of `rows`: (N, D) float32, unit length."""
        return self._opened.vectors()

    def search(
        self,
        queries: Vectors | Pictures,
        k: int = 10,
        *,
        model: Model | None = None,
        allowed: RowFilter | None = None,
        allow_missing: bool = False,
        each_identity_once: bool = False,
    ) -> list[HitRecord]:
        """Rank the rows by their cosine to each query.

        Args:
            queries: Unit vectors, (Q, D) or (D,) of floats; or images or observations, which the model embeds first.
            k: Hits of each query; fewer where the index has fewer rows.
            model: Embeds images; None for the model that the index names.
            allowed: Which rows may be found.
            allow_missing: Whether `allowed` may name cameras and identities that the index does not have.
            each_identity_once: Whether only the best row of an identity is a hit.

        Returns:
            The hits of all queries, ordered by query and rank.

        Raises:
            IndexFileError: If the vectors have another width, or the model is not the one that made the index.
            DataError: If a vector is not finite or not of unit length.
            SettingError: If `allowed` names what the index does not have.
        """
        if allowed:
            check_filters(self._opened.table, allowed, allow_missing=allow_missing, reporter=self._reporter)
        found = self._opened.search(
            self._vectors(queries, model), k, allowed=allowed, each_identity_once=each_identity_once
        )
        return [
            HitRecord(query, rank, hit.score, hit.row.identity, hit.row.camera, hit.row.path, hit.row.id)
            for query, hits in enumerate(found)
            for rank, hit in enumerate(hits, 1)
        ]

    def _vectors(self, queries: Vectors | Pictures, model: Model | None) -> Vectors:
        if isinstance(queries, np.ndarray) and np.issubdtype(queries.dtype, np.floating):
            return np.atleast_2d(queries).astype(np.float32, copy=False)
        embedding = model or self.model
        self._opened.check_model(
            embedding.digest, descriptor=embedding.descriptor, width=embedding.width, name=embedding.name
        )
        return embedding.embed(queries)


def load_index(path: StrPath, *, machine: Machine | None = None, reporter: Reporter = LIBRARY_REPORTER) -> Index:
    """Open an index that `embed` wrote.

    Args:
        path: The `.faiss` file, or an address such as `milvus://host/collection`.
        machine: For the model that embeds queries; it is opened when images are searched for.
        reporter: Receives progress and messages.

    Raises:
        IndexFileError: If it cannot be read.
    """
    location = as_location(path, reporter)
    return Index(location, location.open(), machine or Machine(), reporter)


def draw_hits(images: Pictures, hits: Sequence[HitRecord], *, identities: Sequence[str] = ()) -> Image.Image:
    """Draw each query with its hits, as `scing search --montage` does.

    Args:
        images: The Q queries, in the order of the search.
        hits: What `Index.search` returned.
        identities: Who is in each query, where that is known: hits are then framed as right or wrong.

    Returns:
        An RGB image; a notebook shows it.

    Raises:
        ImageError: If a query's file cannot be decoded.
        DataError: If there is a hit of a query that was not given.
    """
    several = as_pictures(images)
    if any(not 0 <= hit.query < len(several) for hit in hits):
        raise DataError(
            f"There are hits of more than {counted(len(several), 'query', 'queries')}.",
            "Give the images that were searched for.",
        )
    queries = [
        (_shown(image), f"query {n}" if isinstance(image, Image.Image) else file_of(image).name)
        for n, image in enumerate(several)
    ]
    rankings = [
        [
            montage_hit(
                _hit(hit),
                identities[number] if identities else "",
                read_picture(Path(hit.path)),
                photo=None if isinstance(image, Image.Image) else image,
            )
            for hit in hits
            if hit.query == number
        ]
        for number, image in enumerate(several)
    ]
    return ranked_montage(queries, rankings)


def _hit(record: HitRecord) -> Hit:
    return Hit(record.score, Row(record.id, record.path, 0, 0, "", record.identity, record.camera))


def _shown(image: Source | Image.Image) -> Image.Image:
    return reduce(image.copy()) if isinstance(image, Image.Image) else read_cell(image, None)
