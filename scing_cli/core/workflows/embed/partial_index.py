"""Embedding many images so that an interruption loses little: what is done lies beside the index to be.

`gallery.unfinished.faiss` beside `gallery.faiss` is an index like any other, of the images embedded so far. The same
command takes from it what fits, and any removes it when it has written its own. Its camera column says which camera the
encoder was told of each image, and it has one owner at a time: who comes second keeps nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import IndexFileError, InterruptionError, ScingError, counted
from scing_cli.core.index import Entry, GalleryIndex, Row, files_of, partial_file, write_lock
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.vectors import embed_files

MINUTES = 10.0
WORTH = 10.0  # seconds of work that are kept where it ends early
INTERRUPTED = 2  # the number of SIGINT


class PartialIndex:
    """The images that an interrupted `embed` has done.

    Args:
        output: The index to be.
        digest: Of the image encoder.
        made_with: What else all vectors depend on, JSON-ready.
        descriptor: `projected` or `concat`.
        width: D.
    """

    def __init__(self, output: Path, *, digest: str, made_with: Mapping[str, Any], descriptor: str, width: int) -> None:
        self.output = output
        self.path = partial_file(output)
        self.digest = digest
        self.made_with = dict(made_with)
        self.descriptor = descriptor
        self.width = width

    def find(self, entries: Sequence[Entry], reporter: Reporter) -> dict[int, Vectors]:
        """Return the vectors of those of some images that were embedded as they are now, by their places."""
        if not self.path.exists():
            return {}
        try:
            index = GalleryIndex.read(self.path)
        except IndexFileError as error:
            reporter.warn(f"{error.what} Its images are embedded anew.")
            return {}
        stamp = index.stamp
        made_with = (stamp.model_digest, dict(stamp.model), stamp.descriptor, stamp.width)
        if made_with != (self.digest, self.made_with, self.descriptor, self.width):
            reporter.note(f"{self.path} is of another model, descriptor or precision: its images are embedded anew.")
            return {}
        rows = {row._replace(id=0): vector for row, vector in zip(index.rows(), index.vectors(), strict=True)}
        places = ((place, rows.get(Row.of(0, entry))) for place, entry in enumerate(entries))
        return {place: vector for place, vector in places if vector is not None}

    def save(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Write what is done, in place of what was written before; the caller holds its lock.

        Raises:
            ScingError: If it cannot be written.
        """
        GalleryIndex.create(
            vectors,
            entries,
            model_digest=self.digest,
            model=self.made_with,
            descriptor=self.descriptor,
            kind="flat",
        ).write(self.path, locked=True)

    def clear(self) -> None:
        """Remove it."""
        for file in files_of(self.path):
            file.unlink(missing_ok=True)


class PartialWriter:
    """Embeds images that no index holds yet; where that ends early, what is done is kept.

    Args:
        partial: Where what is done is found and kept.
        entries: N images.
        cameras: N names, as for `embed_files`.
        minutes: Between two saves.
        reporter: Shows progress.
    """

    def __init__(
        self,
        partial: PartialIndex,
        entries: Sequence[Entry],
        *,
        cameras: Sequence[str] | None,
        minutes: float,
        reporter: Reporter,
    ) -> None:
        self.partial = partial
        self.cameras = cameras
        told = [""] * len(entries) if cameras is None else cameras
        self.entries = [dataclasses.replace(entry, camera=name) for entry, name in zip(entries, told, strict=True)]
        self.minutes = minutes
        self.reporter = reporter
        self.vectors = np.empty((len(entries), partial.width), np.float32)
        self._done: list[int] = []
        self._count = 0  # of them, how many are kept
        self._saved = time.monotonic()
        self._owner = False
        self._committed = False

    def embed(self, embedder: Embedder, files: Sequence[Path]) -> Vectors:
        """Embed N files: (N, D) float32, unit length.

        Args:
            embedder: The model.
            files: Those of the entries.

        Raises:
            ImageError: If a file cannot be decoded.
            DataError: If a vector is not finite.
        """
        known = self.partial.find(self.entries, self.reporter) if self._owner else {}
        for place, vector in known.items():
            self.vectors[place] = vector
        self._done = sorted(known)
        self._count = len(known)
        if known:
            images = counted(len(known), "image was", "images were")
            self.reporter.note(f"{images} embedded before the interruption: {self.partial.path}")
        left = [place for place in range(len(files)) if place not in known]

        def take(rows: Sequence[int], own: Vectors) -> None:
            places = [left[row] for row in rows]
            if known:
                self.vectors[places] = own
            self._done.extend(places)
            if time.monotonic() - self._saved >= 60 * self.minutes:
                self._save()

        embed_files(
            embedder,
            [files[place] for place in left],
            cameras=[self.cameras[place] for place in left] if self.cameras is not None else None,
            reporter=self.reporter,
            text="embed",
            take=take,
            into=None if known else self.vectors,
        )
        return self.vectors

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what is done if the block ends before the index is committed, and remove what was kept if not.

        Where another process keeps what it does for the same index, nothing is kept and nothing taken.

        Raises:
            InterruptionError: On Ctrl-C or SIGTERM, if anything is kept or the index is committed.
        """
        with self._owned():
            try:
                yield
            except ScingError:
                self._settle()
                raise
            except KeyboardInterrupt as error:
                self._settle()
                if (said := self._interruption()) is not None:
                    raise said from error
                raise
            self._clear()

    @contextlib.contextmanager
    def committing(self) -> Iterator[None]:
        """Notice whether a block replaces the index, however it ends: then nothing is unfinished."""
        before = _number(self.partial.output)
        try:
            yield
        finally:
            self._committed = _number(self.partial.output) != before

    @contextlib.contextmanager
    def _owned(self) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(write_lock(self.partial.path, patience=0))
                self._owner = True
            except IndexFileError as error:
                self.reporter.note(f"{error.what} This command keeps nothing of what it does before its end.")
            yield

    def _settle(self) -> None:
        """Keep what is done where the work ends early."""
        if self._committed:
            self._clear()
        elif self._done and time.monotonic() - self._saved >= WORTH:
            self._save()

    def _interruption(self) -> InterruptionError | None:
        """Return what to say of an interruption; None where nothing is kept."""
        if self._committed:
            what, remedy = f"Interrupted when {self.partial.output} was written: it is whole.", "Nothing is left to do."
        elif self._owner and self.partial.path.exists():
            images = counted(len(self.entries), "image")
            what = (
                f"Interrupted after {len(self._done):,} of {images}; {self.partial.path} keeps {self._count:,} of them."
            )
            remedy = "The same command goes on."
        else:
            return None
        return InterruptionError(what, remedy, number=INTERRUPTED)

    def _clear(self) -> None:
        if self._owner:
            self.partial.clear()

    def _save(self) -> None:
        """Keep what is done; a disk that is full for a while must not end the work."""
        if self._owner:
            try:
                self.partial.save([self.entries[place] for place in self._done], self.vectors[self._done])
                self._count = len(self._done)
            except ScingError as error:
                self.reporter.warn(f"{error.what} What is done is not kept.")
        self._saved = time.monotonic()


def _number(file: Path) -> int | None:
    """Return what tells a file from one that is renamed to its place; None where there is none."""
    try:
        return file.stat().st_ino
    except OSError:
        return None
