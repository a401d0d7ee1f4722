"""The two sides that an evaluation of a data set compares: images with images, or words with images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from scing_cli.core.datasets import DataSet
from scing_cli.core.datasets.checks import gallery_of
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.datasets.spelling import side_notes
from scing_cli.core.embeddings import Embedder
from scing_cli.core.embeddings.text_embedder import TextEmbedder
from scing_cli.core.errors import counted
from scing_cli.core.evaluation import Side, own_rows
from scing_cli.core.index import GalleryLocation, Rows, file_keys
from scing_cli.core.manifest import Manifest, Sample, is_junk
from scing_cli.core.spectra import VISIBLE, file_of, views_of
from scing_cli.core.workflows.evaluate.evaluation_request import Request
from scing_cli.core.workflows.evaluate.index_gallery import index_descriptor, indexed_side
from scing_cli.core.workflows.evaluate.vector_cache import cached_side
from scing_cli.core.workflows.evaluate.word_counts import WordCounts
from scing_cli.core.workflows.shared.caption_side import captions_of, embed_captions, images_of_test
from scing_cli.core.workflows.shared.model import OpenedModel
from scing_cli.core.workflows.shared.read_spectra import note_across
from scing_cli.core.workflows.shared.scoring import side_of, sides
from scing_cli.core.workflows.shared.text_tower import for_each_spectrum


@dataclasses.dataclass(frozen=True, eq=False)
class Compared:
    """Two sides, and where they are from.

    Args:
        embedder: What embedded the images.
        query: The queries.
        gallery: The gallery.
        people: A row of the data for each query: its image, or the image of its caption.
        left_out: By split, the images that cannot be read.
        digests: The digests of the gallery's files, where they are known.
        words: What was counted of captions; None for images alone.
    """

    embedder: Embedder
    query: Side
    gallery: Side
    people: Manifest
    left_out: Mapping[str, LeftOut]
    digests: tuple[str, ...] = ()
    words: WordCounts | None = None


def compare(model: OpenedModel, tower: TextEmbedder | None, source: DataSet, asked: Request) -> Compared:
    """Embed both sides, or take the vectors that are kept.

    Args:
        model: The model.
        tower: Embeds captions; None to compare images with images.
        source: The data set.
        asked: Which sides.

    Raises:
        ImageError: If no image of a side can be read, or with `strict` if one cannot.
        IndexFileError: If the index is of another model.
    """
    if tower is not None:
        return _words(model, tower, source.manifest, asked)
    names = dict.fromkeys((asked.split, gallery_of(asked.split)))
    left_out = {part: LeftOut(strict=asked.strict) for part in names}
    if asked.index is not None:
        return _against_index(model, source, asked.index, asked, left_out)
    embedder = asked.embedder(model, asked.descriptor)
    query, gallery = _both(source.manifest, model, embedder, asked, left_out)
    note_across(_shown(query, model), _shown(gallery, model), model.missing, asked.reporter)
    return Compared(embedder, query, gallery, source.manifest.part(asked.split), left_out)


def _shown(side: Side, model: OpenedModel) -> set[str]:
    """Return the spectra of the images that a model of several spectra reads of a side."""
    if not model.spectra:
        return set()
    return {
        spectrum
        for source in side.files
        for spectrum, view in zip(model.spectra, views_of(source, model.spectra), strict=True)
        if view is not None
    }


def _against_index(
    model: OpenedModel, source: DataSet, index: GalleryLocation, asked: Request, left_out: Mapping[str, LeftOut]
) -> Compared:
    split, reporter = asked.split, asked.reporter
    opened = index.open()
    embedder = asked.embedder(model, index_descriptor(opened, index, asked.descriptor, reporter))
    gallery = indexed_side(opened, index, model, embedder, reporter)
    part = source.manifest.part(split)
    asked.check_cost(part, opened, opened.width)
    query = cached_side(source.manifest, split, model, embedder, reporter, drop=asked.drop, left_out=left_out[split])
    for warning in side_notes(query, gallery):
        if warning not in source.warnings:
            reporter.warn(warning)
    if own := sum(len(rows) > 0 for rows in own_rows(query, gallery)):
        reporter.warn(f"{counted(own, 'query is', 'queries are')} in {index} too, as gallery for all others.")
    note_across(_shown(query, model), _shown_by(opened.table), model.missing, reporter)
    digests = tuple(row.digest for row in opened.table if not is_junk(row.identity))
    return Compared(embedder, query, gallery, part, left_out, digests)


def _shown_by(rows: Rows) -> set[str]:
    """Return the spectra of an index's images."""
    if not rows.have("views"):
        return {VISIBLE} if len(rows) else set()
    return {spectrum for row in rows for spectrum in row.images}


def _both(
    manifest: Manifest, model: OpenedModel, embedder: Embedder, asked: Request, left_out: Mapping[str, LeftOut]
) -> tuple[Side, Side]:
    split, reporter = asked.split, asked.reporter
    queries, rows = sides(manifest, split)
    query = cached_side(manifest, split, model, embedder, reporter, drop=asked.drop, left_out=left_out[split])
    if rows == queries:
        return query, query
    other = gallery_of(split)
    return query, cached_side(manifest, other, model, embedder, reporter, drop=asked.drop, left_out=left_out[other])


def _words(model: OpenedModel, tower: TextEmbedder, manifest: Manifest, asked: Request) -> Compared:
    """Return captions and images as the two sides, in the direction that was asked for."""
    images, reporter = images_of_test(manifest, asked.split), asked.reporter
    embedder = asked.embedder(model, "projected")
    left_out = {part: LeftOut(strict=asked.strict) for part in images.splits()}
    if asked.index is not None:
        pictures = indexed_side(asked.index.open(), asked.index, model, embedder, reporter)
    else:
        parts = [
            cached_side(manifest, split, model, embedder, reporter, drop=asked.drop, left_out=own)
            for split, own in left_out.items()
        ]
        pictures, images = _joined(images, parts)
    captions = captions_of(images, asked.split)
    texts, cut = embed_captions(captions, tower, reporter)
    if model.spectra:
        texts = dataclasses.replace(texts, vectors=for_each_spectrum(texts.vectors[:], pictures.width))
    for warning in side_notes(texts, pictures):
        reporter.warn(warning)
    described = set(file_keys(images.file(row) for row in captions.samples()))
    with_captions = sum(key in described for key in pictures.keys)
    counts = WordCounts(len(captions), len(pictures), with_captions, captions.without_words, cut)
    if asked.direction == "text-to-image":
        people = dataclasses.replace(images, samples=captions.samples())
        return Compared(embedder, texts, pictures, people, left_out, words=counts)
    queries = pictures.rows(np.flatnonzero([identity != "" for identity in pictures.identities]))
    named = zip(map(file_of, queries.files), queries.identities, strict=True)
    people = dataclasses.replace(images, samples=tuple(Sample(str(file), identity) for file, identity in named))
    return Compared(embedder, queries, texts, people, left_out, words=counts)


def _joined(images: Manifest, parts: Sequence[Side]) -> tuple[Side, Manifest]:
    """Return the images that can be read, each once, as a side and as rows; their vectors are those of the parts."""
    keys = [key for part in parts for key in part.keys]
    places = {key: place for place, key in enumerate(keys)}
    sources = [source for part in parts for source in part.files]
    kept = [(row, places[key]) for row, key in zip(images, file_keys(images.files()), strict=True) if key in places]
    vectors = np.concatenate([part.vectors[:] for part in parts])[[place for _, place in kept]]
    readable = dataclasses.replace(images, samples=tuple(row for row, _ in kept))
    return side_of(readable, vectors, [sources[place] for _, place in kept]), readable
