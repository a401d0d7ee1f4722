"""The images of a training: as batches of pixels, and as vectors of the frozen encoder."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from scing_cli.core.batches import ImageLoader, normalise, sequential
from scing_cli.core.batches.image_cache import DeviceImageCache
from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.embeddings import Embedder, Missing, Vectors
from scing_cli.core.encoders.spectral import AnyImageEncoder
from scing_cli.core.errors import UNREADABLE_REMEDY, ImageError, spelled
from scing_cli.core.manifest import Manifest
from scing_cli.core.methods import Batch, Batches
from scing_cli.core.methods.task import PIXELS
from scing_cli.core.processes import ALONE, ProcessGroup, Share
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Source, file_of
from scing_cli.core.workflows.train.training_rows import TrainingRows


def others_of(part: Manifest) -> Callable[[int], list[int]]:
    """Return a function from a training row to the others of its identity: those after it, then those before it."""
    rows: dict[str, list[int]] = {}
    for row, sample in enumerate(part):
        rows.setdefault(sample.identity, []).append(row)

    def others(row: int) -> list[int]:
        own = rows[part.samples[row].identity]
        place = own.index(row)
        return own[place + 1 :] + own[:place]

    return others


def make_batches(
    rows: TrainingRows,
    encoder: AnyImageEncoder,
    *,
    device: torch.device,
    workers: int,
    reads: frozenset[str],
    left_out: LeftOut | None = None,
    group: ProcessGroup = ALONE,
) -> Batches:
    """Return a function from lists of training rows to batches on the device, with the inputs that a task reads.

    Each of several processes decodes its share of a batch, and all get the pixels of all.

    An image that was sound before the training and cannot be decoded any more has the pixels of the next one of its
    identity, so that the batches stay as they are planned; it is added to `left_out`. Without that, it is an error.
    """
    part, images, geometry = rows.part, rows.images, encoder.geometry
    loader = ImageLoader(
        part.sources(encoder.spectra),
        height=geometry.height,
        width=geometry.width,
        interpolation=geometry.interpolation,
        workers=workers,
        spectra=encoder.spectra,
    )
    # on a CPU, decoding costs little next to a step, and a cache would take main memory
    available = 0 if device.type == "cpu" else None
    others = None if left_out is None else others_of(part)
    load = functools.partial(loader.batches, left_out=left_out, others=others)
    cache = DeviceImageCache(loader, device, available=available, load=load) if PIXELS in reads else None

    def batches_of(batch_rows: Sequence[Sequence[int]]) -> Iterator[Batch]:
        shares = [group.share(len(own)) for own in batch_rows]
        if cache is None:
            yield from (Batch(own, share=share) for own, share in zip(batch_rows, shares, strict=True))
            return
        files = [[images[row] for row in own] for own in batch_rows]
        decoded = [
            [own[row] for row in share.rows or range(len(own))] for own, share in zip(files, shares, strict=True)
        ]
        loaded = group.agreed(cache.batches(decoded))
        for own, share, (_, pixels, missing) in zip(batch_rows, shares, loaded, strict=True):
            lacking = _of_all(missing, share, spectra=len(encoder.spectra))
            whole = normalise(share.whole(pixels), geometry.mean, geometry.std, lacking)
            yield Batch(own, {PIXELS: whole}, share)

    return batches_of


def _encoded_in_shares(
    files: Sequence[Source], embedder: Embedder, left_out: LeftOut, reporter: Reporter, group: ProcessGroup
) -> Vectors:
    batches = sequential(len(files), embedder.batch_size)
    each = math.ceil(len(batches) / group.size)
    own = [row for batch in batches[group.rank * each : (group.rank + 1) * each] for row in batch]
    encoded = group.together(
        lambda: embedder.files(
            [files[row] for row in own],
            unit=False,
            reporter=reporter,
            text="encode train",
            left_out=left_out,
            places=own,
        )
    )
    left_out.share(group)
    return np.concatenate(group.everyone(encoded))


def _of_all(missing: Missing | None, share: Share, *, spectra: int) -> Missing | None:
    """Return which spectra the observations of a batch lack, (B, S), from those of the share."""
    if share.rows is None or not spectra:
        return missing
    own = torch.zeros(len(share.rows), spectra, dtype=torch.bool)
    if missing is not None:
        own |= torch.from_numpy(missing)
    found: Missing = share.whole(own).numpy()
    return found


def encode(
    part: Manifest, embedder: Embedder, *, left_out: LeftOut, reporter: Reporter, group: ProcessGroup = ALONE
) -> Vectors:
    """Encode the training images; one that cannot be decoded any more gets the vector of the next one of its identity.

    Each of several processes encodes whole batches, the same ones that one process would: so the bits are the same.

    Args:
        part: N training rows.
        embedder: The frozen encoder.
        left_out: Receives the images that cannot be decoded.
        reporter: Shows the progress.
        group: The processes.

    Returns:
        Shape (N, D), float32, not of unit length.

    Raises:
        ImageError: If no image of an identity can be decoded.
    """
    files = part.sources(embedder.spectra)
    if group.size == 1:
        vectors = embedder.files(files, unit=False, reporter=reporter, text="encode train", left_out=left_out)
    else:
        vectors = _encoded_in_shares(files, embedder, left_out, reporter, group)
    others = others_of(part)
    for row in (row for row, file in enumerate(files) if file_of(file) in left_out):
        other = next((other for other in others(row) if file_of(files[other]) not in left_out), None)
        if other is None:
            what = f"{spelled(file_of(files[row]))} cannot be read any more, nor any other image of its person."
            raise ImageError(what, UNREADABLE_REMEDY)
        vectors[row] = vectors[other]
    return vectors
