"""Partial results of `embed`, so that an interruption loses only minutes of work.

`gallery.unfinished.faiss` next to `gallery.faiss` is a normal index of the images embedded so far. The next `embed` to
the same output uses those of its vectors that still fit, and removes the file once the index is written. The camera of
its rows is the camera that the encoder used, not that of the data set. One process at a time owns the file; a second
process saves no partial results.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import IndexFileError, InterruptionError, ScingError, counted
from scing_cli.core.index import Entry, GalleryIndex, Row, files_of, partial_file, write_lock
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Source
from scing_cli.core.workflows.shared.vectors import embed_files

MINUTES = 10.0
WORTH = 10.0  # seconds: less work than this is not saved when the command ends early
INTERRUPTED = 2  # number of SIGINT


class PartialIndex:
    """The file with partial results of an `embed`.

    Args:
        output: The index that `embed` is to write.
        digest: Digest of the image encoder.
        made_with: All else that the vectors depend on, ready for JSON.
        descriptor: `projected` or `concat`.
        width: D, the width of the vectors.
    """

    def __init__(self, output: Path, *, digest: str, made_with: Mapping[str, Any], descriptor: str, width: int) -> None:
        self.output = output
        self.path = partial_file(output)
        self.digest = digest
        self.made_with = dict(made_with)
        self.descriptor = descriptor
        self.width = width

    def find(self, entries: Sequence[Entry], reporter: Reporter) -> dict[int, Vectors]:
        """Return the stored vectors of unchanged images, each of shape (D,), by position in `entries`."""
        if not self.path.exists():
            return {}
        try:
            index = GalleryIndex.read(self.path)
        except IndexFileError as error:
            reporter.warn(f"{error.what} Its images are embedded again.")
            return {}
        stamp = index.stamp
        made_with = (stamp.model_digest, dict(stamp.model), stamp.descriptor, stamp.width)
        if made_with != (self.digest, self.made_with, self.descriptor, self.width):
            reporter.note(f"{self.path} is of another model, descriptor or precision: its images are embedded again.")
            return {}
        # Ids differ between commands: rows are compared without them.
        rows = {row._replace(id=0): vector for row, vector in zip(index.rows(), index.vectors(), strict=True)}
        found = ((i, rows.get(Row.of(0, entry))) for i, entry in enumerate(entries))
        return {i: vector for i, vector in found if vector is not None}

    def save(self, entries: Sequence[Entry], vectors: Vectors) -> None:
        """Replace the file with an index of these images. The caller must hold the file's write lock.

        Raises:
            ScingError: If the file cannot be written.
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
        """Remove the file and its rows."""
        for file in files_of(self.path):
            file.unlink(missing_ok=True)


class PartialWriter:
    """Embeds images, and saves partial results at intervals and when the command ends early.

    Args:
        partial: The file for partial results.
        entries: The N images.
        cameras: N camera names for the encoder; None without camera vectors.
        minutes: Minutes between two saves.
        reporter: Receives notes and progress.
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
        names = [""] * len(entries) if cameras is None else cameras
        # A vector depends on the camera that the encoder used, so partial results are stored and found by it.
        self.entries = [dataclasses.replace(entry, camera=name) for entry, name in zip(entries, names, strict=True)]
        self.minutes = minutes
        self.reporter = reporter
        self.vectors = np.empty((len(entries), partial.width), np.float32)
        self._done: list[int] = []  # positions in `entries`
        self._count = 0  # number of vectors in the file
        self._saved = time.monotonic()
        self._owner = False
        self._committed = False

    def embed(self, embedder: Embedder, files: Sequence[Source], *, left_out: LeftOut | None = None) -> Vectors:
        """Embed N files, except those with a vector in the partial results.

        Args:
            embedder: The model.
            files: The N image files, in the order of the entries.
            left_out: Receives the files that cannot be decoded; their vectors are not defined. None to raise.

        Returns:
            Shape (N, D), float32, unit length.

        Raises:
            ImageError: If a file cannot be decoded, unless it is left out.
            DataError: If a vector is not finite.
        """
        known = self.partial.find(self.entries, self.reporter) if self._owner else {}
        for i, vector in known.items():
            self.vectors[i] = vector
        self._done = sorted(known)
        self._count = len(known)
        if known:
            images = counted(len(known), "image was", "images were")
            self.reporter.note(f"{images} embedded before the interruption: {self.partial.path}")
        left = [i for i in range(len(files)) if i not in known]

        def take(rows: Sequence[int], vectors: Vectors) -> None:
            positions = [left[row] for row in rows]
            if known:  # otherwise `embed_files` has written them to `self.vectors` itself
                self.vectors[positions] = vectors
            self._done.extend(positions)
            if time.monotonic() - self._saved >= 60 * self.minutes:
                self._save()

        embed_files(
            embedder,
            [files[i] for i in left],
            cameras=[self.cameras[i] for i in left] if self.cameras is not None else None,
            reporter=self.reporter,
            text="embed",
            take=take,
            into=None if known else self.vectors,
            left_out=left_out,
        )
        return self.vectors

    @contextlib.contextmanager
    def save_if_interrupted(self) -> Iterator[None]:
        """Save partial results if the block ends before the index is committed; otherwise remove their file.

        If another process owns the file, this one neither reads nor saves partial results.

        Raises:
            InterruptionError: On Ctrl-C or SIGTERM, if partial results are saved or the index is committed.
        """
        with self._owned():
            try:
                yield
            except ScingError:
                self._settle()
                raise
            except KeyboardInterrupt as error:
                self._settle()
                if (interruption := self._interruption()) is not None:
                    raise interruption from error
                raise
            self._clear()

    @contextlib.contextmanager
    def committing(self) -> Iterator[None]:
        """Record whether the block replaces the index, even if it then raises: partial results are not needed then."""
        before = _inode(self.partial.output)
        try:
            yield
        finally:
            self._committed = _inode(self.partial.output) != before

    @contextlib.contextmanager
    def _owned(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(write_lock(self.partial.path, patience=0))
                self._owner = True
            except IndexFileError as error:
                self.reporter.note(f"{error.what} This command saves no partial results.")
            yield

    def _settle(self) -> None:
        """Save partial results at an early end, unless the index is committed."""
        if self._committed:
            self._clear()
        elif self._done and time.monotonic() - self._saved >= WORTH:
            self._save()

    def _interruption(self) -> InterruptionError | None:
        """Return the error for an interruption; None if no partial results are saved."""
        if self._committed:
            what = f"Interrupted after {self.partial.output} was written: it is complete."
            return InterruptionError(what, "Nothing is left to do.", number=INTERRUPTED)
        if self._owner and self.partial.path.exists():
            images = counted(len(self.entries), "image")
            what = (
                f"Interrupted after {len(self._done):,} of {images}; {self._count:,} are saved in {self.partial.path}."
            )
            remedy = "Run the same command again to resume."
            return InterruptionError(what, remedy, number=INTERRUPTED, again=True)
        return None

    def _clear(self) -> None:
        if self._owner:
            self.partial.clear()

    def _save(self) -> None:
        """Save partial results; a failure, such as a full disk, is only a warning."""
        if self._owner:
            try:
                self.partial.save([self.entries[i] for i in self._done], self.vectors[self._done])
                self._count = len(self._done)
            except ScingError as error:
                self.reporter.warn(f"{error.what} The partial results are not saved.")
        self._saved = time.monotonic()


def nothing_new(output: Path) -> InterruptionError:
    """Return the error for an interruption of which nothing is kept.

    Args:
        output: The index that `embed` was to write.
    """
    partial = partial_file(output)
    kept = f"nothing new is kept, {partial} is unchanged" if partial.exists() else "nothing is kept"
    return InterruptionError(f"Interrupted; {kept}.", "Run the same command again.", number=INTERRUPTED, again=True)


def _inode(file: Path) -> int | None:
    """Return a file's inode, which changes when another file is renamed over it; None if there is no file."""
    try:
        return file.stat().st_ino
    except OSError:
        return None
