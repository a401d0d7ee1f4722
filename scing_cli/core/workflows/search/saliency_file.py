"""Draw the hits of a search with saliency: the regions that raise the scores."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from scing_cli.core.batches import resize
from scing_cli.core.devices import memory_advice
from scing_cli.core.embeddings import Vectors
from scing_cli.core.embeddings.saliency import saliency
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.errors import ImageError
from scing_cli.core.figures import overlay, saliency_montage, together, write_picture
from scing_cli.core.index import Row
from scing_cli.core.runtime import Advance, Reporter, Silent
from scing_cli.core.spectra import VISIBLE, Observation, Source, View, views_of
from scing_cli.core.workflows.search.montage_file import identity_of, layout_for, photo_of, query_cell, query_lines
from scing_cli.core.workflows.search.queries import QueryHits
from scing_cli.core.workflows.shared.pictures import GONE, montage_hit, read_persons, reduce
from scing_cli.core.workflows.shared.vectors import MEMORY_OPTIONS, Box, in_threads

AT_ONCE = 8  # images per backward pass: ViT-B/16 needs about 100 MB of activations for each

Maps = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Person:
    """A person as drawn, an image per spectrum, and as the encoder's input.

    Args:
        pictures: An image per spectrum; None where it is missing.
        pixels: Shape (3 S, H, W'), uint8.
        missing: Shape (S,): the spectra that are missing.
    """

    pictures: Sequence[Image.Image | None]
    pixels: Tensor
    missing: npt.NDArray[np.bool_]

    def heated(self, heat: Maps) -> Image.Image:
        """Return the images with heat over each of them."""
        drawn = [None if image is None else overlay(image, heat) for image in self.pictures]
        return together([image for image in drawn if image is not None]) or GONE

    @property
    def picture(self) -> Image.Image:
        """The images without heat."""
        return together([image for image in self.pictures if image is not None]) or GONE


def write_saliency(
    target: Path,
    shown: Sequence[QueryHits],
    vectors: Vectors,
    identities: Mapping[Path, str],
    people: Mapping[Path, Sequence[str]],
    *,
    embedder: TorchEmbedder,
    box: Box | None,
    reporter: Reporter,
) -> None:
    """Draw photos with their hits, and on each image a heat map of the regions that raise its score.

    A hit's score is its cosine with the query's descriptor, which is constant. A photo's score is the mean of its
    cosines with all hits whose images can be read; without such a hit, it has no heat map, and neither have words. A
    gallery image that is missing or unreadable leaves its cell empty. Gradients are always float32, and scores are
    those without camera vectors (R15).

    Args:
        target: A .png or .jpg file.
        shown: Photos and hits; all are drawn.
        vectors: The photos' descriptors in the same order, shape (Q, D); surplus ones are ignored.
        identities: The known identities of photos; the hits of these photos are framed as right or wrong.
        people: Lines with identity and camera of photos, where they are known.
        embedder: The model that made the descriptors.
        box: The person's box in every photo.
        reporter: Receives progress.

    Raises:
        ScingError: If memory runs out; the message names the options that help.
    """
    queries, hits = [], []
    images = sum(1 + len(found.hits) for found in shown)
    with memory_advice(MEMORY_OPTIONS), reporter.progress("saliency", images) as advance:
        for found, vector in zip(shown, vectors, strict=False):
            query, gallery = _heated(found, vector, embedder, box, advance)
            queries.append((query, query_lines(found, people)))
            identity, photo = identity_of(found, identities), photo_of(found, box)
            pairs = zip(found.hits, gallery, strict=True)
            hits.append([montage_hit(hit, identity, image, photo=photo) for hit, image in pairs])
    write_picture(saliency_montage(queries, hits, layout=layout_for(shown, hits)), target)


def _heated(
    found: QueryHits, vector: Vectors, embedder: TorchEmbedder, box: Box | None, advance: Advance
) -> tuple[Image.Image, list[Image.Image | None]]:
    """Return the pictures of a photo and of its hits with heat maps; None for a hit that cannot be read."""
    query = None if found.shown is None else _person(found.shown.source(embedder.spectra), box, embedder)
    picture = query_cell(found, box) if query is None else query.picture
    read = functools.partial(_gallery_person, embedder=embedder)
    rows = [hit.row for hit in found.hits]
    gallery = in_threads(read, rows, workers=embedder.workers, reporter=Silent(), text="read pictures")
    readable = [person for person in gallery if person is not None]
    # Progress counts images: those without a saliency map are done now, also the photo if no hit is readable.
    advance(len(gallery) - len(readable) + (query is None or not readable))
    if not readable:
        return picture, [None] * len(gallery)
    pixels = torch.stack([person.pixels for person in readable])  # (hits, 3 S, H, W')
    missing = np.stack([person.missing for person in readable])  # (hits, S)
    parts = [slice(low, low + AT_ONCE) for low in range(0, len(pixels), AT_ONCE)]
    mean = torch.cat([embedder.tensors(pixels[part], missing=missing[part]) for part in parts]).mean(dim=0)
    targets = torch.stack([torch.from_numpy(vector).to(mean.device)] * len(readable))  # (hits, D)
    if query is not None:
        pixels, targets = torch.cat([query.pixels[None], pixels]), torch.cat([mean[None], targets])
        missing = np.concatenate([query.missing[None], missing])
    maps = iter(_maps(embedder, pixels, targets, missing, advance))
    heated = picture if query is None else query.heated(next(maps))
    return heated, [None if person is None else person.heated(next(maps)) for person in gallery]


def _maps(
    embedder: TorchEmbedder, pixels: Tensor, targets: Tensor, missing: npt.NDArray[np.bool_], advance: Advance
) -> Maps:
    """Return the images' saliency maps, shape (B, H, W'), computed in batches."""
    step = min(embedder.batch_size, AT_ONCE)
    parts = []
    for part in (slice(low, low + step) for low in range(0, len(pixels), step)):
        given = (embedder.encoder, pixels[part], targets[part])
        parts.append(saliency(*given, kind=embedder.kind, missing=missing[part]).cpu().numpy())
        advance(len(parts[-1]))
    return np.concatenate(parts)


def _person(source: Source, box: Box | None, embedder: TorchEmbedder) -> _Person:
    size, spectra = embedder.geometry, embedder.spectra
    images = read_persons(Observation(views_of(source, spectra)), box)
    pixels = np.zeros((len(images), 3, size.height, size.width), np.uint8)
    for image, own in zip(images, pixels, strict=True):
        if image is not None:
            resize(image, size.height, size.width, size.interpolation, into=own)
    drawn = [None if image is None else reduce(image) for image in images]
    missing = np.array([image is None for image in images])
    return _Person(drawn, torch.from_numpy(pixels.reshape(-1, size.height, size.width)), missing)


def _gallery_person(row: Row, *, embedder: TorchEmbedder) -> _Person | None:
    own = row.images if row.views else {VISIBLE: View(Path(row.path))}
    views = tuple(own.get(spectrum) for spectrum in embedder.spectra or (VISIBLE,))
    if not any(views):
        return None
    try:
        return _person(Observation(views), None, embedder)
    except ImageError:
        return None
