"""Embed the new images of a listing; what is done survives an interruption."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.index import GalleryIndex
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.embed.gallery_images import NewImages, find_new_images
from scing_cli.core.workflows.embed.listed_gallery import Listed
from scing_cli.core.workflows.embed.partial_index import PartialIndex, PartialWriter
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import OpenedModel

Committing = Callable[[], contextlib.AbstractContextManager[None]]
Embedded = tuple[NewImages, Vectors, Committing]


@dataclasses.dataclass(frozen=True)
class Work:
    """What embedding needs besides the images.

    Args:
        model: The model.
        embedder: Its embedder.
        output: The index that is to be written.
        machine: Threads.
        save_minutes: Minutes between two saves of partial results.
        left_out: Receives the images that cannot be read.
        reporter: Receives notes and progress.
    """

    model: OpenedModel
    embedder: Embedder
    output: Path
    machine: Machine
    save_minutes: float
    left_out: LeftOut
    reporter: Reporter

    @contextlib.contextmanager
    def embedded(self, base: GalleryIndex | None, listed: Listed) -> Iterator[Embedded]:
        """Yield the images that are new to an index, their vectors, and a context in which the index must be written.

        If the block ends before that, what was embedded is kept for the same command; otherwise it is removed.

        Args:
            base: The index; None for a new one.
            listed: The images.
        """
        new = find_new_images(
            base,
            listed.manifest,
            spectra=self.model.spectra,
            with_camera=bool(self.model.cameras),
            workers=self.machine.threads(),
            left_out=self.left_out,
            reporter=self.reporter,
        )
        seen_by = None
        if listed.cameras is not None:
            cameras = dict(zip(listed.sources(self.model), listed.cameras, strict=True))
            seen_by = [cameras[file] for file in new.files]
        writer = PartialWriter(
            self._partial(), new.entries, cameras=seen_by, minutes=self.save_minutes, reporter=self.reporter
        )
        with writer.save_if_interrupted():
            vectors = writer.embed(self.embedder, new.files, left_out=self.left_out)
            yield *new.readable(vectors, self.left_out), writer.committing

    def _partial(self) -> PartialIndex:
        made_with = {**self.model.where, "engine": self.embedder.engine, "precision": self.embedder.precision}
        return PartialIndex(
            self.output,
            digest=self.model.digest,
            made_with=made_with,
            descriptor=self.embedder.kind,
            width=self.embedder.width,
        )
