"""Turns the queries of a search, photos and words, into vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import ImageError, counted
from scing_cli.core.index import GalleryIndex
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.search.queries import join as joined
from scing_cli.core.workflows.shared.model import OpenedModel
from scing_cli.core.workflows.shared.vectors import Box, embed_files


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the user asks for.

    Args:
        files: The photos.
        texts: The words; with photos at most one text, which is joined with each of them.
        text_weight: The weight of words that are joined with a photo.
        box: The person's box in every photo.
        join: How photos of one person become one query; None for one query per photo.
    """

    files: Sequence[Path]
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

    photo: Path | None
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
    def files(self) -> list[Path]:
        """The photos of the queries."""
        return [query.photo for query in self.queries if query.photo is not None]


def embed_queries(
    asked: Asked,
    index: GalleryIndex,
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
    files, together = list(asked.files), list[Path]()
    vectors: Vectors = np.empty((0, index.width), np.float32)
    if ready is not None:
        embedder = ready()
        index.check_model(model.digest, descriptor=embedder.kind, width=embedder.width, name=model.label())
        files, vectors = _embedded(files, embedder, asked.box, left_out, reporter)
        if asked.join is not None:
            reporter.note(f"{counted(len(files), 'photo makes', 'photos make')} one query, named after the first.")
            vectors, together, files = joined(vectors, asked.join), files, files[:1]
    if not asked.texts:
        return QueryVectors([Query(file, "") for file in files], vectors, together)
    from scing_cli.core.workflows.search.text_queries import join_words, text_vectors

    words = text_vectors(asked.texts, model, reporter=reporter)
    index.check_model(model.digest, descriptor=index.stamp.descriptor, width=words.shape[1], name=model.label())
    if not files:
        return QueryVectors([Query(None, text) for text in asked.texts], words, together)
    queries = [Query(file, asked.texts[0]) for file in files]
    return QueryVectors(queries, join_words(vectors, words, asked.text_weight), together)


def _embedded(
    files: Sequence[Path], embedder: Embedder, box: Box | None, left_out: LeftOut, reporter: Reporter
) -> tuple[list[Path], Vectors]:
    """Embed the photos; return those that can be read, with their vectors."""
    try:
        vectors = embed_files(embedder, files, box=box, reporter=reporter, text="embed", left_out=left_out)
        left_out.check_not_all(files)
    except ImageError as error:
        raise ImageError(error.what, "Name a photo of one person, or a folder of such photos.") from error
    kept = [row for row, file in enumerate(files) if file not in left_out]
    return [files[row] for row in kept], vectors[kept] if len(left_out) else vectors
