"""An index as the gallery of an evaluation."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, overload

from scing_cli.core.embeddings import Embedder
from scing_cli.core.errors import IndexFileError, counted
from scing_cli.core.evaluation import Side
from scing_cli.core.index import Gallery, GalleryLocation, Row, file_keys
from scing_cli.core.manifest import is_junk
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Source
from scing_cli.core.workflows.shared.model import OpenedModel


def index_descriptor(index: Gallery, source: GalleryLocation, asked: str, reporter: Reporter) -> str:
    """Return the descriptor of the queries: the index's, unless the user chose another than the usual one."""
    own = index.stamp.descriptor
    if asked != "projected" or own == asked:
        return asked
    reporter.note(f"{source} holds the descriptor {own}: the queries get it too.")
    return own


def indexed_side(
    index: Gallery, source: GalleryLocation, model: OpenedModel, embedder: Embedder, reporter: Reporter
) -> Side:
    """Return the rows of an index as gallery, without junk.

    Raises:
        IndexFileError: If another model made the index, or none of its rows names an identity.
    """
    index.check_model(model.digest, descriptor=embedder.kind, width=embedder.width, name=model.label())
    rows = [_Labelled.of(row) for row in index.table if not is_junk(row.identity)]
    if not any(row.identity for row in rows):
        raise IndexFileError(
            f"{source} knows no identities: nothing to score.", "Embed a data set with labels: scing embed --data DIR"
        )
    if junk := len(index) - len(rows):
        reporter.note(f"{counted(junk, 'gallery row')} of identity -1 (junk): left out.")
    names = [row.path for row in rows]
    observed = any(row.observed is not None for row in rows)
    return Side(
        index.vectors([row.id for row in rows] if junk else None),
        identities=[row.identity for row in rows],
        cameras=[row.camera for row in rows],
        keys=_keys(names),
        names=names,
        scenes=scenes if any(scenes := [row.scene for row in rows]) else (),
        images=[tuple(file_keys(row.files)) for row in rows] if observed else (),
        files=[row.picture for row in rows] if observed else _Pictures(names),
    )


class _Labelled(NamedTuple):
    """What an evaluation asks of a row; equal texts of labels are one object, as there may be millions of rows."""

    id: int
    path: str
    identity: str
    camera: str
    scene: str
    observed: Row | None  # only with images of its own

    @classmethod
    def of(cls, row: Row) -> _Labelled:
        """Return it."""
        identity, camera, scene = map(sys.intern, (row.identity, row.camera, row.scene))
        return cls(row.id, row.path, identity, camera, scene, row if row.views else None)

    @property
    def files(self) -> list[Path]:
        """The files of all images."""
        return self.observed.files if self.observed else [Path(self.path)]

    @property
    def picture(self) -> Source:
        """All images together; the path of an ordinary image."""
        return self.observed.picture if self.observed else Path(self.path)


class _Pictures(Sequence[Source]):
    """Paths of images, each made when it is asked for: only a few pictures are ever shown.

    Args:
        names: The paths as text.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, place: int) -> Source: ...
    @overload
    def __getitem__(self, place: slice) -> list[Source]: ...
    def __getitem__(self, place: int | slice) -> Source | list[Source]:
        """Return a path, or those of a range."""
        names = self._names[place]
        return Path(names) if isinstance(names, str) else [Path(name) for name in names]


def _keys(names: Sequence[str]) -> list[str]:
    """Return the keys of files: their own texts, wherever no folder is a link."""
    keys = file_keys(names)
    return [name if name == key else key for name, key in zip(names, keys, strict=True)]
