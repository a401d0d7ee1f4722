"""The queries of a search, photos and words: find the files, warn about whole scenes, join, embed."""

from __future__ import annotations

import dataclasses
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from scing_cli.core.datasets.disk_names import both, paths_on_disk
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.datasets.listing import find_images
from scing_cli.core.datasets.passed_over import PassedOver, passed_text, report_passed
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import DataError, ImageError, SettingError, counted, spelled
from scing_cli.core.imagefile import image_size, is_folder
from scing_cli.core.index import Gallery, Hit, Rows
from scing_cli.core.paths import check_not_empty
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Source, file_of
from scing_cli.core.workflows.search.query_photo import Photo
from scing_cli.core.workflows.shared.model import OpenedModel
from scing_cli.core.workflows.shared.vectors import Box, embed_files

SAMPLED = 25  # gallery rows whose image sizes are read
FAR_LARGER = 4  # times the median height of the gallery's images
JOINS = ("mean",)


@dataclasses.dataclass(frozen=True)
class QueryHits:
    """One query's ranked hits.

    Args:
        query: The photo, of a query without a visible image the first other one; None for a query of words alone.
        hits: Best first.
        best_below: The best score below the threshold; None without such a hit.
        text: The words; empty for a query of a photo alone.
        shown: The images of all spectra; None for words alone.
    """

    query: Path | None
    hits: Sequence[Hit]
    best_below: float | None = None
    text: str = ""
    shown: Photo | None = None

    @property
    def label(self) -> str:
        """The photo and the images of other spectra, the words, or both."""
        files = self.shown.files if self.shown is not None else (self.query or "",)
        return " + ".join(part for part in (*map(str, files), self.text) if part)

    @property
    def picture(self) -> Source | None:
        """What a figure shows of the query: its photo, or all its images; None for words alone."""
        return self.query if self.shown is None else self.shown.picture


def photo_files(
    photos: Sequence[Path], reporter: Reporter, *, option: str = ""
) -> tuple[list[Path], tuple[PassedOver, ...]]:
    """Return the photos, with each folder replaced by the images in it.

    A photo that does not exist is replaced by the file whose name differs only in Unicode form or case.

    Args:
        photos: Files and folders.
        reporter: Receives notes.
        option: The option that they were given to, for messages.

    Returns:
        The files, and what was passed over in the folders, which is reported too; nothing without photos.

    Raises:
        DataError: If a folder has no images.
        ImageError: If a photo is missing.
    """
    files: list[Path] = []
    passed: list[PassedOver] = []
    absent = [photo.as_posix() for photo in photos if not os.path.exists(photo)]  # noqa: PTH110 - False for an impossible name
    on_disk = paths_on_disk(Path(), absent) if absent else {}
    for given in photos:
        photo = Path(on_disk.get(given.as_posix(), given))
        if photo != given:
            reporter.note(f"{both(str(given), str(photo))}: the file on disk is used.")
        if is_folder(photo):
            check_not_empty(photo, "Name a photo, or a folder of photos.")
            inside, skipped = find_images(photo)
            if not inside:
                what = f"{spelled(photo)} holds no image. {passed_text(skipped)}".strip()
                raise DataError(what, "Name a photo, or a folder of photos.")
            report_passed(skipped, reporter)
            files += inside
            passed += skipped
        else:
            files.append(photo)
    if files and not any(os.path.lexists(file) for file in files):  # before the model is loaded
        what = " ".join(filter(None, [option, spelled(files[0]), "is missing."]))
        raise ImageError(what, "Name a photo of one person, or a folder of such photos.")
    return files, tuple(passed)


def hint_at_boxes(files: Sequence[Path], rows: Rows, reporter: Reporter) -> None:
    """Warn about photos that look like whole scenes: wider than tall, or far larger than the gallery's images.

    Args:
        files: The photos.
        rows: The rows of the index; the sizes of some of their images are read.
        reporter: Receives the warning.
    """
    sizes = {file: _size(file) for file in files}
    crops = [size for size in map(_size, _some_files(rows)) if size]
    usual = statistics.median(height for _, height in crops) if crops else 0
    if crops and statistics.median(width / height for width, height in crops) >= 1:
        return  # in a gallery of wide images, the shape does not show a scene
    scenes = [file for file, size in sizes.items() if size and _is_scene(*size, usual)]
    if scenes:
        width, height = sizes[scenes[0]] or (0, 0)
        others = f" and {counted(len(scenes) - 1, 'other')}" if len(scenes) > 1 else ""
        contrast = ", the gallery's images like crops of one person" if crops else ""
        reporter.warn(
            f"{scenes[0]} ({width}x{height}){others} looks like a whole scene{contrast}: say where the person is with "
            "--box X,Y,W,H."
        )


def _some_files(rows: Rows) -> list[Path]:
    """Return the images of some rows that are spread over the gallery."""
    return [Path(row.path) for row in rows.sample(SAMPLED)]


def _is_scene(width: int, height: int, usual: float) -> bool:
    return width > height or (usual > 0 and height > FAR_LARGER * usual)


def _size(file: Path) -> tuple[int, int] | None:
    """Return an image's width and height, read from its header; None if that fails."""
    try:
        return image_size(file)
    except ImageError:
        return None  # the decoder reports the fault later


def join(vectors: Vectors, how: str) -> Vectors:
    """Join several photos of one person into one query.

    Args:
        vectors: The photos' vectors, shape (Q, D), float32, unit length; Q is at least 1.
        how: `mean`: the mean of the vectors, scaled to unit length.

    Returns:
        Shape (1, D), float32, unit length.

    Raises:
        SettingError: If `how` is unknown.
        DataError: If the mean is zero.
    """
    if how not in JOINS:
        raise SettingError(f"--join {how}: unknown.", f"Known: {', '.join(JOINS)}.")
    mean = vectors.astype(np.float64).mean(axis=0, keepdims=True)
    length = float(np.linalg.norm(mean))
    if length < 1e-6:
        raise DataError("The photos' vectors cancel each other out.", "Search with them one by one: leave --join out.")
    return np.asarray(mean / length, np.float32)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the user asks for.

    Args:
        photos: The photos.
        texts: The words; with photos at most one text, which is joined with each of them.
        text_weight: The weight of words that are joined with a photo.
        box: The person's box in every photo.
        join: How photos of one person become one query; None for one query per photo.
    """

    photos: Sequence[Photo]
    texts: Sequence[str]
    text_weight: float
    box: Box | None
    join: str | None


@dataclasses.dataclass(frozen=True)
class Query:
    """One query: a photo, words, or both.

    Args:
        photo: The photo; None for words alone.
        text: The words; empty for a photo alone.
    """

    photo: Photo | None
    text: str


@dataclasses.dataclass(frozen=True)
class QueryVectors:
    """The queries with their vectors.

    Args:
        queries: Q queries.
        vectors: Shape (Q, D), float32, unit length.
        joined: The photos that were joined into one query; empty if they were not.
    """

    queries: Sequence[Query]
    vectors: Vectors
    joined: Sequence[Path]

    @property
    def photos(self) -> list[Photo]:
        """The photos of the queries."""
        return [query.photo for query in self.queries if query.photo is not None]


def embed_queries(
    asked: Asked,
    index: Gallery,
    model: OpenedModel,
    ready: Callable[[], Embedder] | None,
    *,
    left_out: LeftOut,
    reporter: Reporter,
) -> QueryVectors:
    """Embed the queries of a search.

    Args:
        asked: Photos and words.
        index: The index; its model must be the queries'.
        model: The model.
        ready: Returns the embedder of photos; None without photos.
        left_out: Receives the photos that cannot be read.
        reporter: Receives progress, notes and warnings.

    Raises:
        ImageError: If no photo can be read.
        IndexFileError: If the index was made by another model.
    """
    photos, together = list(asked.photos), list[Path]()
    vectors: Vectors = np.empty((0, index.width), np.float32)
    if ready is not None:
        embedder = ready()
        index.check_model(model.digest, descriptor=embedder.kind, width=embedder.width, name=model.label())
        photos, vectors = _embedded(photos, embedder, asked.box, left_out, reporter)
        if asked.join is not None:
            reporter.note(f"{counted(len(photos), 'photo makes', 'photos make')} one query, named after the first.")
            vectors, together, photos = join(vectors, asked.join), [photo.file for photo in photos], photos[:1]
    if not asked.texts:
        return QueryVectors([Query(photo, "") for photo in photos], vectors, together)
    from scing_cli.core.workflows.search.text_queries import join_words, text_vectors
    from scing_cli.core.workflows.shared.text_tower import for_each_spectrum

    words = text_vectors(asked.texts, model, reporter=reporter)
    words = for_each_spectrum(words, index.width) if model.spectra else words
    index.check_model(model.digest, descriptor=index.stamp.descriptor, width=words.shape[1], name=model.label())
    if not photos:
        return QueryVectors([Query(None, text) for text in asked.texts], words, together)
    queries = [Query(photo, asked.texts[0]) for photo in photos]
    return QueryVectors(queries, join_words(vectors, words, asked.text_weight), together)


def _embedded(
    photos: Sequence[Photo], embedder: Embedder, box: Box | None, left_out: LeftOut, reporter: Reporter
) -> tuple[list[Photo], Vectors]:
    """Embed the photos; return those that can be read, with their vectors."""
    sources = [photo.source(embedder.spectra) for photo in photos]
    files = [file_of(source) for source in sources]
    try:
        vectors = embed_files(embedder, sources, box=box, reporter=reporter, text="embed", left_out=left_out)
        left_out.check_not_all(files)
    except ImageError as error:
        raise ImageError(error.what, "Name a photo of one person, or a folder of such photos.") from error
    kept = [row for row, file in enumerate(files) if file not in left_out]
    return [photos[row] for row in kept], vectors[kept] if len(left_out) else vectors
