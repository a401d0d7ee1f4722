"""Write one index of the vectors and rows of several, in their order and under new ids.

At most one of them is open at a time, and its vectors are mapped into memory.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scing_cli.core.errors import DataError
from scing_cli.core.index.gallery import GalleryIndex
from scing_cli.core.index.index_stamp import read_stamp
from scing_cli.core.index.kinds import choose_kind


def join(
    path: Path, indexes: Sequence[Path], *, model: Mapping[str, Any], kind: str = "auto", locked: bool = False
) -> GalleryIndex:
    """Write the rows of several indexes as one index, with the bytes that it has if it is made of them at once.

    Ids start at 0, in the order of the indexes and of their ids.

    Args:
        path: The index to write.
        indexes: The indexes, of one model and one descriptor; at least one.
        model: Where to find the encoder, as in `Stamp.model`.
        kind: The index type: `auto` (by the number of vectors), `flat`, `ivf` or `hnsw`.
        locked: True if the caller already holds the `write_lock` of `path`.

    Raises:
        IndexFileError: If one is missing, damaged or of another model, or the new one cannot be written.
        DataError: If they have no rows.
    """
    count, first = sum(read_stamp(each).count for each in indexes), read_stamp(indexes[0])
    if not count:
        raise DataError("There is no image to index.")
    chosen = choose_kind(kind, count, first.width)
    index = GalleryIndex.empty(
        first.width, model_digest=first.model_digest, model=model, descriptor=first.descriptor, kind=chosen
    )
    opened = functools.lru_cache(maxsize=1)(GalleryIndex.read)
    for each in indexes:
        source = opened(each)
        source.check_model(first.model_digest, descriptor=first.descriptor, width=first.width, name=str(indexes[0]))
        index.borrow(functools.partial(opened, each), source.table.ids())
    index.write(path, locked=locked)
    return index
