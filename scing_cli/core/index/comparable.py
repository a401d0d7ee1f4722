"""Checks that vectors can be compared with those of an index."""

from __future__ import annotations

from scing_cli.core.errors import INDEX_AGAIN, IndexFileError
from scing_cli.core.index.index_stamp import Stamp
from scing_cli.core.index.store import Vectors


def check_width(vectors: Vectors, width: int, index: str) -> None:
    """Check that vectors are as wide as those of an index.

    Raises:
        IndexFileError: If they are not; the message names `index`.
    """
    if vectors.ndim != 2:
        raise IndexFileError(
            f"{index} holds vectors {width} wide; these are an array of {vectors.ndim} dimensions.",
            f"Give one vector, shape ({width},), or several, shape (N, {width}).",
        )
    if vectors.shape[1] != width:
        raise IndexFileError(
            f"{index} holds vectors {width} wide; these are {vectors.shape[-1]} wide.",
            f"Use the model and descriptor that made it, or embed again: {INDEX_AGAIN}",
        )


def check_model(stamp: Stamp, digest: str, *, descriptor: str, width: int, name: str, index: str) -> None:
    """Check that a model's vectors can be compared with those of an index.

    Args:
        stamp: The stamp of the index.
        digest: Digest of the model's image encoder.
        descriptor: The descriptor of the queries: `projected` or `concat`.
        width: D of the queries.
        name: The model's name in the message, such as `runs/market`.
        index: The index's name in the message.

    Raises:
        IndexFileError: If the index was made by another model or with another descriptor.
    """
    if (digest, descriptor, width) == (stamp.model_digest, stamp.descriptor, stamp.width):
        return
    if digest == stamp.model_digest:
        raise IndexFileError(
            f"{index} holds the descriptor {stamp.descriptor}, {stamp.width} wide; {name} was asked for "
            f"{descriptor}, {width} wide.",
            f"Use --descriptor {stamp.descriptor}, or embed the gallery again: {INDEX_AGAIN}",
        )
    ours = f"visual {stamp.model_digest[:8]}…, {stamp.descriptor}, {stamp.width} wide"
    theirs = f"visual {digest[:8]}…, {descriptor}, {width} wide"
    made_by = f"Use the model that made it: {stamp.made_by()}, or embed" if stamp.made_by() else "Embed"
    raise IndexFileError(
        f"{index} was made by another model ({ours}) than {name} ({theirs}).",
        f"{made_by} the gallery again: {INDEX_AGAIN}",
    )
