"""Write a flat index piece by piece, so that its vectors never lie in memory as a whole, and read it where it lies.

The file has the bytes that faiss writes for an `IndexIDMap2` around an `IndexFlatIP`; the test compares them.
N vectors, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from scing_cli.core.index.store import FlatStore, IntArray, Vectors, faiss

PIECE = 1 << 24  # bytes of vectors that are written at a time
COUNTS = (8, 45)  # offsets of N in the headers of the id map and of the flat index, 8 bytes each
HEAD = 74  # bytes before the vectors
FLAT = 37  # offset of the flat index in the id map
BOTH_WAYS, ONE_WAY = (np.frombuffer(name, np.uint8) for name in (b"IxM2", b"IxMp"))  # names of id maps in faiss's files


def write_flat(stream: BinaryIO, ids: IntArray, width: int, take: Callable[[IntArray], Vectors]) -> None:
    """Write a flat index.

    Args:
        stream: Where to.
        ids: The N ids, ascending.
        width: D.
        take: Returns the vectors of some ids, shape (M, D).
    """
    head = bytearray(faiss.serialize_index(FlatStore.empty(width)).tobytes()[:HEAD])
    for offset in COUNTS:
        head[offset : offset + 8] = len(ids).to_bytes(8, "little")
    stream.write(head + (len(ids) * width).to_bytes(8, "little"))
    stream.writelines(np.ascontiguousarray(take(some), dtype="<f4").data for some in pieces(ids, width))
    stream.write(len(ids).to_bytes(8, "little") + ids.astype("<i8").tobytes())


def read_flat(file: Path) -> Any:
    """Map a flat index into memory; return None if the file has another one, or this version of faiss cannot do that.

    faiss would also make a map from ids to places, of 40 bytes a row, which a flat index is never asked for.

    Raises:
        RuntimeError: If faiss cannot read it.
    """
    if not hasattr(faiss, "ZeroCopyIOReader"):
        return None
    content = np.memmap(file, np.uint8, "c")  # a change is not written to the file
    if not (np.array_equal(content[:4], BOTH_WAYS) and bytes(content[FLAT : FLAT + 4]) == b"IxFI"):
        return None
    content[:4] = ONE_WAY
    index = faiss.read_index(faiss.ZeroCopyIOReader(faiss.swig_ptr(content), len(content)))
    index.referenced_objects = [content]  # as faiss keeps what an index points to
    return index


def pieces(ids: IntArray, width: int) -> Iterator[IntArray]:
    """Yield the ids in pieces whose vectors take 16 MB."""
    step = max(1, PIECE // (4 * width))
    return (ids[start : start + step] for start in range(0, len(ids), step))


def write_index(stream: BinaryIO, index: Any, piece: int = 1 << 20) -> None:
    """Write any faiss index.

    Raises:
        RuntimeError: If faiss cannot write it.
        OSError: If the stream cannot.
    """
    # A Python stream, because faiss's own writer does not report bytes that are lost when the file is closed.
    faiss.write_index(index, faiss.PyCallbackIOWriter(stream.write, piece))
