"""An index as the gallery of an evaluation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scing_cli.core.embeddings import Embedder
from scing_cli.core.errors import IndexFileError, counted
from scing_cli.core.evaluation import Side
from scing_cli.core.index import Gallery, GalleryLocation, file_keys
from scing_cli.core.manifest import is_junk
from scing_cli.core.runtime import Reporter
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
    rows = index.rows()
    if not any(row.identity for row in rows):
        raise IndexFileError(
            f"{source} knows no identities: nothing to score.", "Embed a data set with labels: scing embed --data DIR"
        )
    keys = file_keys(Path(row.path) for row in rows)
    names = [row.path for row in rows]
    side = Side(
        index.vectors(),
        identities=[row.identity for row in rows],
        cameras=[row.camera for row in rows],
        keys=keys,
        names=names,
        scenes=scenes if any(scenes := [row.scene for row in rows]) else (),
        images=[tuple(file_keys(row.files)) for row in rows] if any(row.views for row in rows) else (),
        files=[row.picture for row in rows],
    )
    kept = [number for number, row in enumerate(rows) if not is_junk(row.identity)]
    if len(kept) == len(rows):
        return side
    reporter.note(f"{counted(len(rows) - len(kept), 'gallery row')} of identity -1 (junk): left out.")
    return side.rows(np.array(kept, dtype=np.int64))
