"""Photos and their hits -> the picture of the regions that make them alike."""

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
from scing_cli.core.workflows.search.queries import QueryHits
from scing_cli.core.workflows.shared.pictures import montage_hit, read_person, reduce
from scing_cli.core.workflows.shared.vectors import MEMORY_OPTIONS, Box, in_threads

AT_ONCE = 8  # images: what a backward pass of ViT-B/16 keeps of each takes some 100 MB

Maps = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Person:
    """An image as the picture shows it, and as the encoder sees it: shape (3, H, W'), uint8."""

    picture: Image.Image
    pixels: Tensor


def write_saliency(
    target: Path,
    shown: Sequence[QueryHits],
    vectors: Vectors,
    identities: Mapping[Path, str],
    *,
    embedder: TorchEmbedder,
    box: Box | None,
    reporter: Reporter,
) -> None:
    """Draw photos with their hits, and on each image the regions that raise its score, as heat.

    A hit's score is its cosine with the photo, whose descriptor is held fixed. The photo's own is the mean of its
    cosines with those hits whose images can be read; without any, it is drawn without heat. A gallery image that is
    gone or unreadable leaves its place empty. Gradients are float32, whatever the descriptors were computed in; the
    scores explained are those without camera vectors (R15).

    Args:
        target: A .png or .jpg file.
        shown: Photos and hits; all are drawn.
        vectors: The photos' descriptors, in their order; further ones are passed over.
        identities: Who is in a photo, where that is known: then its hits are framed as right or wrong.
        embedder: The model that made the descriptors.
        box: Where the person is in every photo.
        reporter: Is told of the progress.

    Raises:
        ScingError: If memory runs out; the message names the options that help.
    """
    queries, hits = [], []
    images = sum(1 + len(found.hits) for found in shown)
    with memory_advice(MEMORY_OPTIONS), reporter.progress("saliency", images) as advance:
        for found, vector in zip(shown, vectors, strict=False):
            query, gallery = _heated(found, vector, embedder, box, advance)
            queries.append((query, found.query.name))
            identity = identities.get(found.query, "")
            hits.append([montage_hit(hit, identity, image) for hit, image in zip(found.hits, gallery, strict=True)])
    write_picture(saliency_montage(queries, hits), target)


def _heated(
    found: QueryHits, vector: Vectors, embedder: TorchEmbedder, box: Box | None, advance: Advance
) -> tuple[Image.Image, list[Image.Image | None]]:
    """Return the pictures of a photo and of its hits with their heat; None for a hit that cannot be read."""
    geometry = embedder.encoder.geometry
    query = _person(found.query, box, geometry)
    read = functools.partial(_gallery_person, geometry=geometry)
    files = [Path(hit.row.path) for hit in found.hits]
    gallery = in_threads(read, files, workers=embedder.workers, reporter=Silent(), text="read pictures")
    there = [person for person in gallery if person is not None]
    advance(len(gallery) - len(there) + (not there))
    if not there:
        return query.picture, [None] * len(gallery)
    pixels = torch.stack([person.pixels for person in (query, *there)])  # (1 + hits, 3, H, W')
    mean = torch.cat([embedder.tensors(part) for part in torch.split(pixels[1:], AT_ONCE)]).mean(dim=0)
    own = torch.from_numpy(vector).to(mean.device)
    maps = iter(_maps(embedder, pixels, torch.stack([mean, *[own] * len(there)]), advance))
    heated = overlay(query.picture, next(maps))
    return heated, [None if person is None else overlay(person.picture, next(maps)) for person in gallery]


def _maps(embedder: TorchEmbedder, pixels: Tensor, targets: Tensor, advance: Advance) -> Maps:
    """Return the images' saliency, shape (B, H, W'), some at a time."""
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
