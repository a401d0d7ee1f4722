"""Partial results of `embed`, so that an interruption loses only minutes of work.

`gallery.unfinished.faiss` next to `gallery.faiss` is a normal index of the images embedded so far, which grows by what
is new. The next `embed` to the same output uses those of its vectors that still fit, and removes the file once the
index is written. The camera of its rows is the camera that the encoder used, not that of the data set. One process at a
time owns the file; a second process saves no partial results, and keeps all vectors in memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import IndexFileError, InterruptionError, ScingError, counted
from scing_cli.core.index import Entry, GalleryIndex, Row, Stamp, files_of, partial_file, read_stamp, write_lock
from scing_cli.core.index.memory_rows import IntArray
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Source
from scing_cli.core.workflows.shared.vectors import embed_files

MINUTES = 10.0
WORTH = 10.0  # seconds: less work than this is not saved when the command ends early
INTERRUPTED = 2  # number of SIGINT
MOST_UNSAVED = 1 << 26  # bytes of vectors that wait in memory, whatever the time


class PartialIndex:
    """The images that an `embed` has embedded so far, and the file that keeps them.

    `index` has them as an index that grows; what was saved lies on the disk, mapped into memory.

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
        self.index = GalleryIndex.empty(width, model_digest=digest, model=self.made_with, descriptor=descriptor)
        self._former = False
        self._saved = 0  # rows

    @property
    def unsaved(self) -> int:
        """Bytes of the vectors that are in memory alone."""
        return 4 * self.index.width * (len(self.index) - self._saved)

    def open(self, reporter: Reporter) -> None:
        """Go on with the file, if there is one and it fits. The caller must hold its write lock."""
        if not self.path.exists():
            return
        try:
            found = GalleryIndex.read(self.path)
        except IndexFileError as error:
            reporter.warn(f"{error.what} Its images are embedded again.")
            return
        theirs, ours = (_made(index.stamp) for index in (found, self.index))
        if theirs != ours:
            reporter.note(f"{self.path} is of another model, descriptor or precision: its images are embedded again.")
            return
        self.index, self._former, self._saved = found, True, len(found)

    def find(self, entries: Sequence[Entry]) -> IntArray:
        """Return for each image the id of its unchanged row in the file that was opened; -1 where there is none."""
        if not self._former:
            return np.full(len(entries), -1, np.int64)
        # Ids differ between commands: rows are compared without them.
        rows = {row._replace(id=0): row.id for row in self.index.table.at(entry.path for entry in entries)}
        return np.array([rows.get(Row.of(0, entry), -1) for entry in entries], np.int64)

    def save(self) -> None:
        """Write what is new. The caller must hold the file's write lock.

        Raises:
            ScingError: If the file cannot be written.
        """
        self.index.write(self.path, locked=True)
        self._saved = len(self.index)

    def is_written(self) -> bool:
        """Return whether the file has all rows of the index."""
        try:
            return read_stamp(self.path).next_id == self.index.stamp.next_id
        except IndexFileError:
            return False

    def clear(self) -> None:
        """Remove the file and its rows."""
        for file in files_of(self.path):
            if not file.is_dir():  # which is not of scing
                file.unlink(missing_ok=True)


def _made(stamp: Stamp) -> tuple[object, ...]:
    return stamp.model_digest, dict(stamp.model), stamp.descriptor, stamp.width


class PartialWriter:
    """Embeds images, and saves partial results at intervals and when the command ends early.

    Args:
        partial: The partial results.
        total: Number of images, for messages.
        minutes: Minutes between two saves.
        reporter: Receives notes and progress.
    """

    def __init__(self, partial: PartialIndex, total: int, *, minutes: float, reporter: Reporter) -> None:
        self.partial = partial
        self.total = total
        self.minutes = minutes
        self.reporter = reporter
        self._done = 0  # images of this command with a vector
        self._count = 0  # those of them that are in the file
        self._saved = time.monotonic()
        self._most = MOST_UNSAVED
        self._owner = self._saving = self._committed = False

    def embed(
        self,
        embedder: Embedder,
        files: Sequence[Source],
        entries: Sequence[Entry],
        *,
        cameras: Sequence[str] | None = None,
        left_out: LeftOut | None = None,
        places: Sequence[int] | None = None,
    ) -> IntArray:
        """Embed N files, except those with a vector in the partial results.

        Args:
            embedder: The model.
            files: The N image files.
            entries: Their entries.
            cameras: N camera names for the encoder; None without camera vectors.
            left_out: Receives the files that cannot be decoded. None to raise.
            places: As for `Embedder.files`.

        Returns:
            Shape (N,): the ids of their rows in the partial results; -1 for files that are left out.

        Raises:
            ImageError: If a file cannot be decoded, unless it is left out.
            DataError: If a vector is not finite.
        """
        names = [""] * len(entries) if cameras is None else cameras
        # A vector depends on the camera that the encoder used, so partial results are stored and found by it.
        kept = [dataclasses.replace(entry, camera=name) for entry, name in zip(entries, names, strict=True)]
        ids = self.partial.find(kept)
        left = np.flatnonzero(ids < 0).tolist()
        known = len(files) - len(left)
        self._done, self._count = self._done + known, self._count + known
        if known:
            images = counted(known, "image was", "images were")
            self.reporter.note(f"{images} embedded before the interruption: {self.partial.path}")

        def take(rows: Sequence[int], vectors: Vectors) -> None:
            positions = [left[row] for row in rows]
            ids[positions] = self.partial.index.add(vectors, [kept[i] for i in positions])
            self._done += len(positions)
            if time.monotonic() - self._saved >= 60 * self.minutes or self.partial.unsaved >= self._most:
                self._save()

        embed_files(
            embedder,
            [files[i] for i in left],
            cameras=[cameras[i] for i in left] if cameras is not None else None,
            reporter=self.reporter,
            text="embed",
            take=take,
            left_out=left_out,
            places=[places[i] for i in left] if places is not None else None,
        )
        return ids

    @contextlib.contextmanager
    def save_if_interrupted(self) -> Iterator[None]:
        """Save partial results if the block ends before the index is committed; otherwise remove their file.

        If another process owns the file, this one neither reads nor saves partial results.

        Raises:
            InterruptionError: On Ctrl-C or SIGTERM, if partial results are saved or the index is committed.
        """
        with self._owned():
            if self._owner:
                self.partial.open(self.reporter)
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
    def committing(self, state: Callable[[], object]) -> Iterator[None]:
        """Record whether the block writes the index, even if it then raises: partial results are not needed then.

        Args:
            state: Returns something that a write changes; None if there is no index, or it cannot be known.
        """
        before = state()
        try:
            yield
        finally:
            self._committed = state() not in (before, None)

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
        elif self.partial.unsaved and time.monotonic() - self._saved >= WORTH and not self._was_saved():
            self._save()

    def _was_saved(self) -> bool:
        """Return whether an interrupted save had written everything that is new."""
        if not self._saving or not self.partial.is_written():
            return False
        self._count = self._done
        return True

    def _interruption(self) -> InterruptionError | None:
        """Return the error for an interruption; None if no partial results are saved."""
        if self._committed:
            what = f"Interrupted after {self.partial.output} was written: it is complete."
            return InterruptionError(what, "Nothing is left to do.", number=INTERRUPTED)
        if self._owner and self._done and self.partial.path.exists():
            images = counted(self.total, "image")
            what = f"Interrupted after {self._done:,} of {images}; {self._count:,} are saved in {self.partial.path}."
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
                self._saving = True
                self.partial.save()
                self._saving = False
                self._count = self._done
            except ScingError as error:
                self._saving = False
                self.reporter.warn(f"{error.what} The partial results are not saved.")
        self._saved = time.monotonic()
        self._most = self.partial.unsaved + MOST_UNSAVED


def nothing_new(output: Path) -> InterruptionError:
    """Return the error for an interruption of which nothing is kept.

    Args:
        output: The index that `embed` was to write.
    """
    partial = partial_file(output)
    kept = f"nothing new is kept, {partial} is unchanged" if partial.exists() else "nothing is kept"
    return InterruptionError(f"Interrupted; {kept}.", "Run the same command again.", number=INTERRUPTED, again=True)
