"""Embed the new images of a listing, portion by portion; what is done survives an interruption.

Only a portion's files and entries are in memory, besides the listing. Vectors and rows lie in the partial results, from
where the index that is to be written borrows them.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.embeddings import Embedder
from scing_cli.core.errors import share
from scing_cli.core.index import Gallery, GalleryIndex, RowFilter
from scing_cli.core.index.memory_rows import IntArray
from scing_cli.core.index.rows import Labels
from scing_cli.core.runtime import Advance, Reporter, Silent
from scing_cli.core.workflows.embed.former_rows import FormerRows
from scing_cli.core.workflows.embed.gallery_images import find_new_images
from scing_cli.core.workflows.embed.listed_gallery import Listed
from scing_cli.core.workflows.embed.partial_index import PartialIndex, PartialWriter
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import OpenedModel

PORTION = 1 << 15  # images
Committing = Callable[[Callable[[], object]], contextlib.AbstractContextManager[None]]


@dataclasses.dataclass(frozen=True)
class NewRows:
    """The rows that are to be added to an index, and what else is to change in it.

    Args:
        lender: The index that has them.
        places: Their ids in it, in the order of the listing.
        labels: Identity, camera and scene of each.
        stale: Ids of the rows of the index that they replace.
        replaced: Number of files that replace rows.
        relabelled: New labels of rows whose files have not changed, by id, for each such file.
    """

    lender: GalleryIndex
    places: IntArray
    labels: Sequence[Labels]
    stale: Sequence[int]
    replaced: int
    relabelled: Sequence[Mapping[int, Labels]]

    def __len__(self) -> int:
        return len(self.places)

    @classmethod
    def together(cls, parts: Sequence[NewRows]) -> NewRows:
        """Return the rows of several portions as those of one."""
        return cls(
            parts[-1].lender,
            np.concatenate([part.places for part in parts]),
            [labels for part in parts for labels in part.labels],
            [number for part in parts for number in part.stale],
            sum(part.replaced for part in parts),
            [labels for part in parts for labels in part.relabelled],
        )

    def add_to(self, index: Gallery) -> None:
        """Change an index. It reads the rows when it is written."""
        index.remove(self.stale)
        index.relabel({number: own for labels in self.relabelled for number, own in labels.items()})
        index.borrow(lambda: self.lender, self.places, self.labels)

    def warn_of_mixed_labels(self, base: Gallery, reporter: Reporter) -> None:
        """Warn if images without identities are added to an index of labelled ones, or the other way round."""
        if not len(self):
            return
        stale = [row.identity for row in base.table.find(self.stale).values()]
        rows = len(base) - len(stale)
        named = rows - base.table.count(RowFilter(identities=frozenset({""}))) + stale.count("")
        added = sum(bool(identity) for identity, _, _ in self.labels)
        if not ((named and not added) or (added == len(self) and named < rows)):
            return
        without = rows - named + len(self) - added
        have = share(without, rows + len(self), "row", "has", "have")
        reporter.warn(
            f"{have} no identity now: in evaluate --index they match no query, and search filters by identity pass "
            "them over. Embed them with labels, or into an index of their own."
        )


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
    def embedded(self, base: Gallery | None, listed: Listed) -> Iterator[tuple[NewRows, Committing]]:
        """Yield the rows that are new to an index, and a context in which the index must be written.

        If the block ends before that, what was embedded is kept for the same command; otherwise it is removed.

        Args:
            base: The index; None for a new one.
            listed: The images.
        """
        size = max(1, PORTION // self.embedder.batch_size) * self.embedder.batch_size  # the batches of the whole
        former = FormerRows(base.table) if base is not None else None
        portions = [listed] if former is not None and former.observed else listed.portions(size)
        writer = PartialWriter(self._partial(), len(listed.manifest), minutes=self.save_minutes, reporter=self.reporter)
        with writer.save_if_interrupted():
            with _one_bar(self.reporter, len(portions), len(listed.manifest)) as writer.reporter:
                found = [self._portion(former, portion, writer) for portion in portions]
            writer.reporter = self.reporter
            yield NewRows.together(found), writer.committing

    def _portion(self, base: FormerRows | None, listed: Listed, writer: PartialWriter) -> NewRows:
        """Embed the new images of a portion, except those that are left out."""
        new = find_new_images(
            base,
            listed.manifest,
            spectra=self.model.spectra,
            with_camera=bool(self.model.cameras),
            workers=self.machine.threads(),
            left_out=self.left_out,
            reporter=writer.reporter,
        )
        seen_by = None
        if listed.cameras is not None:
            cameras = dict(zip(listed.sources(self.model), listed.cameras, strict=True))
            seen_by = [cameras[file] for file in new.files]
        writer.total -= len(listed.manifest) - len(new.files)
        # A new index has the batches of the listing, whatever is missing or known, as if it were made at once.
        places = writer.embed(
            self.embedder,
            new.files,
            new.entries,
            cameras=seen_by,
            left_out=self.left_out,
            places=new.places if base is None else None,
        )
        kept = np.flatnonzero(places >= 0).tolist()
        return NewRows(
            writer.partial.index,
            places[kept],
            [(new.entries[i].identity, new.entries[i].camera, new.entries[i].scene) for i in kept],
            [number for i in kept for number in new.former[i]],
            sum(bool(new.former[i]) for i in kept),
            new.labels,
        )

    def _partial(self) -> PartialIndex:
        made_with = {**self.model.where, "engine": self.embedder.engine, "precision": self.embedder.precision}
        return PartialIndex(
            self.output,
            digest=self.model.digest,
            made_with=made_with,
            descriptor=self.embedder.kind,
            width=self.embedder.width,
        )


@contextlib.contextmanager
def _one_bar(reporter: Reporter, portions: int, images: int) -> Iterator[Reporter]:
    """Yield the reporter for portions: one that shows a single bar for all of them if there are several."""
    if portions == 1:
        yield reporter
        return
    with reporter.progress("embed", images) as advance:
        yield _WithoutBars(reporter, advance)


class _WithoutBars(Silent):
    """Passes on what is said, and the progress of embedding to a bar that is there already."""

    def __init__(self, reporter: Reporter, advance: Advance) -> None:
        self._advance = advance
        self.note, self.warn = reporter.note, reporter.warn  # type: ignore[method-assign]

    @contextlib.contextmanager
    def progress(self, description: str, total: int) -> Iterator[Advance]:
        """Advance the bar; the digests of a portion's files have none."""
        if description == "embed":
            yield self._advance
            return
        with super().progress(description, total) as advance:
            yield advance


class ShardBars:
    """Shows one bar for each shard.

    Args:
        reporter: Where it is shown.
        text: The title.
    """

    def __init__(self, reporter: Reporter, text: str) -> None:
        self._reporter, self._text = reporter, text

    @contextlib.contextmanager
    def progress(self, description: str, total: int) -> Iterator[Advance]:
        """Show the progress of embedding, and no other."""
        shown = self._reporter if description == "embed" else Silent()
        with shown.progress(self._text, total) as advance:
            yield advance

    def note(self, text: str) -> None:
        """Pass a note on."""
        self._reporter.note(text)

    def warn(self, text: str) -> None:
        """Pass a warning on."""
        self._reporter.warn(text)
