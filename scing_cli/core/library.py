"""What a notebook needs: open a model, embed images, open an index, search it, and draw the ranking.

Legend: N images, Q queries, D width of the descriptor.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import DataError, ImageError, SettingError
from scing_cli.core.figures import ranked_montage
from scing_cli.core.imagefile import read_image, upright_rgb
from scing_cli.core.index import GalleryIndex, Hit, Row, RowFilter, check_complete, read_stamp
from scing_cli.core.paths import StrPath, as_path
from scing_cli.core.runtime import LIBRARY_REPORTER, Reporter
from scing_cli.core.workflows.shared.embedder_choice import choose_embedder
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel, open_model, reopen_model
from scing_cli.core.workflows.shared.pictures import montage_hit, read_picture, reduce

Picture = StrPath | Image.Image | npt.NDArray[Any]
"""One image: a file, a PIL image of any mode, or an array (H, W, 3) RGB or (H, W) grey of uint8."""
Pictures = Picture | Iterable[Picture]
"""One image or several; an array (N, H, W, 3) is N of them."""


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


class Model:
    """An image encoder that turns images into unit vectors; `load_model` opens one.

    Args:
        opened: The model.
        machine: Device, precision, threads and batch size.
        descriptor: `projected` or `concat` (R10).
        reporter: Receives progress and messages.
    """

    def __init__(self, opened: OpenedModel, machine: Machine, descriptor: str, reporter: Reporter) -> None:
        self._opened = opened
        self._machine = machine
        self._descriptor = descriptor
        self._reporter = reporter

    def __repr__(self) -> str:
        return f"Model({self.name!r}, width={self.width})"

    @functools.cached_property
    def _embedder(self) -> Embedder:
        return choose_embedder(self._opened, self._machine, kind=self._descriptor, reporter=self._reporter)

    @property
    def name(self) -> str:
        """The run folder, or the name and weights of a plain model."""
        return self._opened.label()

    @property
    def digest(self) -> str:
        """SHA-256 of the image encoder: vectors of equal digests and descriptors can be compared."""
        return self._opened.digest

    @property
    def descriptor(self) -> str:
        """`projected` or `concat`."""
        return self._descriptor

    @property
    def width(self) -> int:
        """D."""
        return self._embedder.width

    def embed(self, images: Pictures) -> Vectors:
        """Embed images.

        Args:
            images: One image or N of them: files, PIL images, arrays, in any mixture.

        Returns:
            (N, D) float32, unit length, in the order given; N is 1 for a single image.

        Raises:
            ImageError: If a file cannot be decoded.
            DataError: If an array does not hold an image, or a vector is not finite.
        """
        several = _several(images)
        vectors = np.empty((len(several), self.width), np.float32)
        files = [row for row, image in enumerate(several) if isinstance(image, Path)]
        if files:
            paths = [image for image in several if isinstance(image, Path)]
            vectors[files] = self._embedder.files(paths, reporter=self._reporter, text="embed")
        if len(files) < len(several):
            rows = [row for row, image in enumerate(several) if not isinstance(image, Path)]
            vectors[rows] = self._embedder.images(image for image in several if not isinstance(image, Path))
        if not np.isfinite(vectors).all():
            raise DataError("A vector is not finite.", 'Load the model with precision="fp32".')
        return vectors


class Index:
    """A gallery's vectors and rows; `load_index` opens one.

    Args:
        path: The `.faiss` file.
        opened: What it holds.
        machine: For the model that embeds queries.
        reporter: Receives progress and messages.
    """

    def __init__(self, path: Path, opened: GalleryIndex, machine: Machine, reporter: Reporter) -> None:
        self.path = path
        self._opened = opened
        self._machine = machine
        self._reporter = reporter

    def __repr__(self) -> str:
        return f"Index({str(self.path)!r}, {len(self)} rows, width={self.width})"

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
        stamp = self._opened.stamp
        opened = reopen_model(stamp.model, stamp.model_digest, source=self.path, reporter=self._reporter)
        return Model(opened, self._machine, stamp.descriptor, self._reporter)

    def rows(self) -> list[dict[str, Any]]:
        """Return a record per row, in order of the ids: id, path, identity, camera, size, mtime, digest."""
        return [row._asdict() for row in self._opened.rows()]

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
        each_identity_once: bool = False,
    ) -> list[HitRecord]:
        """Rank the rows by their cosine to each query.

        Args:
            queries: Unit vectors, (Q, D) or (D,) of floats; or images, which the model embeds first.
            k: Hits of each query; fewer where the index has fewer rows.
            model: Embeds images; None for the model that the index names.
            allowed: Which rows may be found.
            each_identity_once: Whether only the best row of an identity is a hit.

        Returns:
            The hits of all queries, ordered by query and rank.

        Raises:
            IndexFileError: If the vectors have another width, or the model is not the one that made the index.
            DataError: If a vector is not finite or not of unit length.
        """
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


def load_model(
    run: StrPath | None = None,
    *,
    model: str | None = None,
    pretrained: str | None = None,
    index: StrPath | None = None,
    descriptor: str = "projected",
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> Model:
    """Open the model of a run, a plain CLIP, or the model that an index names.

    Args:
        run: A run folder; with `model` and `index` None too, the newest finished run in `./runs`.
        model: A plain CLIP's name, such as `scing-tiny`.
        pretrained: Its weights: a tag, a file or `random`.
        index: An index; its descriptor is used too.
        descriptor: `projected` or `concat` (R10).
        machine: Device, precision, threads and batch size; None for those that the command line takes by default.
        reporter: Receives progress and messages; by default, Python's warnings and logging do.

    Raises:
        SettingError: If more than one of `run`, `model` and `index` was named.
        ScingError: If it cannot be opened; the message says why and what to do.
    """
    if index is not None:
        if run is not None or model is not None:
            raise SettingError("Both an index and a model were named.", "Name one: index=, run= or model=.")
        return load_index(index, machine=machine, reporter=reporter).model
    opened = open_model(ModelChoice(run=as_path(run), model=model, pretrained=pretrained), reporter=reporter)
    return Model(opened, machine or Machine(), descriptor, reporter)


def load_index(path: StrPath, *, machine: Machine | None = None, reporter: Reporter = LIBRARY_REPORTER) -> Index:
    """Open an index that `embed` wrote.

    Args:
        path: The `.faiss` file.
        machine: For the model that embeds queries; it is opened when images are searched for.
        reporter: Receives progress and messages.

    Raises:
        IndexFileError: If it cannot be read.
    """
    file = as_path(path)
    check_complete(file)
    read_stamp(file)  # a missing file, or one that is not an index, has a message of its own
    return Index(file, GalleryIndex.read(file), machine or Machine(), reporter)


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
    several = _several(images)
    if any(not 0 <= hit.query < len(several) for hit in hits):
        raise DataError(
            f"There are hits of more than {len(several)} queries.", "Give the images that were searched for."
        )
    queries = [
        (_shown(image), image.name if isinstance(image, Path) else f"query {n}") for n, image in enumerate(several)
    ]
    rankings = [
        [
            montage_hit(_hit(hit), identities[number] if identities else "", read_picture(Path(hit.path)))
            for hit in hits
            if hit.query == number
        ]
        for number in range(len(several))
    ]
    return ranked_montage(queries, rankings)


def _hit(record: HitRecord) -> Hit:
    return Hit(record.score, Row(record.id, record.path, 0, 0, "", record.identity, record.camera))


def _shown(image: Path | Image.Image) -> Image.Image:
    return reduce(read_image(image) if isinstance(image, Path) else image.copy())


def _several(images: Pictures) -> list[Path | Image.Image]:
    """Return one image or several as a list of files and RGB images."""
    if isinstance(images, np.ndarray):
        return [_decoded(image) for image in (images if images.ndim == 4 else [images])]
    if isinstance(images, str | os.PathLike | Image.Image):
        return [_decoded(images)]
    return [_decoded(image) for image in images]


def _decoded(image: Picture) -> Path | Image.Image:
    if isinstance(image, str | os.PathLike):
        return Path(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
            raise DataError(
                f"An array of shape {image.shape} and type {image.dtype} is not an image.",
                "Give uint8 arrays, (H, W, 3) in RGB order or (H, W) in grey.",
            )
        image = Image.fromarray(image)
    try:
        return upright_rgb(image)
    except (OSError, ValueError) as error:
        raise ImageError(f"An image cannot be converted to RGB: {error}.") from error
