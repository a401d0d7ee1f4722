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
from scing_cli.core.embeddings import Vectors
from scing_cli.core.embeddings.saliency import saliency
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.errors import ImageError
from scing_cli.core.figures import overlay, saliency_montage, write_picture
from scing_cli.core.runtime import Advance, Reporter, Silent, memory_advice
from scing_cli.core.workflows.search.montage_file import identity_of, photo_of, query_cell, query_lines
from scing_cli.core.workflows.search.queries import QueryHits
from scing_cli.core.workflows.shared.pictures import montage_hit, read_person, reduce
from scing_cli.core.workflows.shared.vectors import MEMORY_OPTIONS, Box, in_threads

AT_ONCE = 8  # images per backward pass: ViT-B/16 needs about 100 MB of activations for each

Maps = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Person:
    """An image as it is drawn, and as the encoder's input: shape (3, H, W'), uint8."""

    picture: Image.Image
    pixels: Tensor


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
    write_picture(saliency_montage(queries, hits), target)


def _heated(
    found: QueryHits, vector: Vectors, embedder: TorchEmbedder, box: Box | None, advance: Advance
) -> tuple[Image.Image, list[Image.Image | None]]:
    """Return the pictures of a photo and of its hits with heat maps; None for a hit that cannot be read."""
    geometry = embedder.encoder.geometry
    query = None if found.query is None else _person(found.query, box, geometry)
    picture = query_cell(found, box) if query is None else query.picture
    read = functools.partial(_gallery_person, geometry=geometry)
    files = [Path(hit.row.path) for hit in found.hits]
    gallery = in_threads(read, files, workers=embedder.workers, reporter=Silent(), text="read pictures")
    readable = [person for person in gallery if person is not None]
    # Progress counts images: those without a saliency map are done now, also the photo if no hit is readable.
    advance(len(gallery) - len(readable) + (query is None or not readable))
    if not readable:
        return picture, [None] * len(gallery)
    pixels = torch.stack([person.pixels for person in readable])  # (hits, 3, H, W')
    mean = torch.cat([embedder.tensors(part) for part in torch.split(pixels, AT_ONCE)]).mean(dim=0)
    targets = torch.stack([torch.from_numpy(vector).to(mean.device)] * len(readable))  # (hits, D)
    if query is not None:
        pixels, targets = torch.cat([query.pixels[None], pixels]), torch.cat([mean[None], targets])
    maps = iter(_maps(embedder, pixels, targets, advance))
    heated = picture if query is None else overlay(picture, next(maps))
    return heated, [None if person is None else overlay(person.picture, next(maps)) for person in gallery]


def _maps(embedder: TorchEmbedder, pixels: Tensor, targets: Tensor, advance: Advance) -> Maps:
    """Return the images' saliency maps, shape (B, H, W'), computed in batches."""
    step = min(embedder.batch_size, AT_ONCE)
    parts = []
    for part, fixed in zip(torch.split(pixels, step), torch.split(targets, step), strict=True):
        parts.append(saliency(embedder.encoder, part, fixed, kind=embedder.kind).cpu().numpy())
        advance(len(part))
    return np.concatenate(parts)


def _person(file: Path, box: Box | None, geometry: Geometry) -> _Person:
    image = read_person(file, box)
    pixels = resize(image, geometry.height, geometry.width, geometry.interpolation)
    return _Person(reduce(image), torch.from_numpy(pixels))


def _gallery_person(file: Path, *, geometry: Geometry) -> _Person | None:
    try:
        return _person(file, None, geometry)
    except ImageError:
        return None
