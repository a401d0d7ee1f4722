"""The stamp of an index: which model made it, and which table of rows belongs to it.

The stamp follows the faiss data in the same file, so that one rename commits both; faiss ignores it when it reads::

    gallery.faiss = faiss data | JSON | length of the JSON, 8 bytes, little-endian | MAGIC, 8 bytes

The JSON has a checksum of itself and the digest of the faiss data, so that a changed byte anywhere is detected.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from scing_cli.core.artifacts import FORMAT, check_content, checked_json, checked_once, file_digest, with_checksum
from scing_cli.core.errors import INDEX_AGAIN, IndexFileError, RunError, spelled
from scing_cli.core.safe_reading import SMALL, check_ordinary

MAGIC = b"SCINGidx"
TAIL = 16  # bytes: the JSON's length and MAGIC
PART = 2**20  # bytes, read at a time
SUFFIX = ".faiss"
METRIC = "inner product"
SEGMENTED = FORMAT + 1  # the format of an index of several segments
OF_SEGMENTS = ("segments", "removed_digest", "changed_digest")
REMEDY = f"Embed the gallery again: {INDEX_AGAIN}"


@dataclasses.dataclass(frozen=True, slots=True)
class SegmentStamp:
    """A part of an index that has files of its own.

    Args:
        generation: The generation in which it was written; part of the names of its files.
        count: Number of vectors.
        rows_digest: SHA-256 of its file of rows.
        vectors_digest: SHA-256 of the faiss data in its file of vectors.
    """

    generation: int
    count: int
    rows_digest: str
    vectors_digest: str


@dataclasses.dataclass(frozen=True, slots=True)
class Stamp:
    """Metadata of an index.

    Args:
        model_digest: Digest of the image encoder.
        model: Where to find the encoder: `{"run": absolute path, "relative_run": path seen from the index's folder}`
            (older indexes have no relative path), or `{"model": name, "pretrained": weights, ...}`, for files also
            with `relative_model` and `relative_pretrained`.
        descriptor: The descriptor of the vectors: `projected` or `concat`.
        width: D, the width of the vectors.
        count: Number of vectors.
        next_id: The id of the next vector; ids are never used again.
        generation: Grows with every write; part of the name of the file of rows.
        rows_digest: SHA-256 of the file of rows.
        kind: The index type; a key of `kinds.KINDS`.
        vectors_digest: SHA-256 of the faiss data.
        segments: The parts of an index that has more files than two, in order of ids.
        removed_digest: SHA-256 of the file of ids that were removed from segments; empty without one.
        changed_digest: SHA-256 of the file of rows that stand for those of segments; empty without one.
        recall: Recall@10 of an approximate index when its first segment was written; None if it was not measured.
    """

    model_digest: str
    model: Mapping[str, Any]
    descriptor: str
    width: int
    count: int = 0
    next_id: int = 0
    generation: int = 0
    rows_digest: str = ""
    kind: str = "flat"
    vectors_digest: str = ""
    segments: tuple[SegmentStamp, ...] = ()
    removed_digest: str = ""
    changed_digest: str = ""
    recall: float | None = None

    @property
    def parts(self) -> tuple[SegmentStamp, ...]:
        """The segments; an index of two files is one itself."""
        own = SegmentStamp(self.generation, self.count, self.rows_digest, self.vectors_digest)
        return self.segments or (own,)

    def made_by(self) -> str:
        """Return the options that name the model: `--run DIR`, or `--model NAME` with what was chosen for it.

        >>> Stamp("a41f", {"model": "ViT-B-32", "pretrained": "laion2b"}, "projected", 512).made_by()
        '--model ViT-B-32 --pretrained laion2b'
        """
        named = {key: self.model[key] for key in ("run", "model", "pretrained") if self.model.get(key)}
        chosen = {key: self.model.get(key, "auto") for key in ("statistics", "interpolation")}
        named |= {key: value for key, value in chosen.items() if value not in (None, "auto")}
        named = {"run": named["run"]} if "run" in named else named
        return " ".join(f"--{key} {spelled(value)}" for key, value in named.items())


def rows_file(index: Path, generation: int) -> Path:
    """Return the file of an index's rows, such as `gallery.rows-3` next to `gallery.faiss`."""
    return index.with_name(f"{index.name.removesuffix(SUFFIX)}.rows-{generation}")


def vectors_file(index: Path, generation: int) -> Path:
    """Return the file of a segment's vectors, such as `gallery.vectors-3` next to `gallery.faiss`."""
    return index.with_name(f"{index.name.removesuffix(SUFFIX)}.vectors-{generation}")


def removed_file(index: Path, generation: int) -> Path:
    """Return the file of the ids that were removed from the segments of an index."""
    return index.with_name(f"{index.name.removesuffix(SUFFIX)}.removed-{generation}")


def changed_file(index: Path, generation: int) -> Path:
    """Return the file of the rows that stand for those in the segments of an index."""
    return index.with_name(f"{index.name.removesuffix(SUFFIX)}.changed-{generation}")


def append_stamp(index: Path, stamp: Stamp) -> Stamp:
    """Append the stamp to the faiss data of a file, and return it with the digest of that data."""
    own = dataclasses.replace(stamp, vectors_digest=file_digest(index))
    content = dataclasses.asdict(own) | {"model": dict(own.model), "format": FORMAT, "metric": METRIC}
    if own.segments:
        content["format"] = SEGMENTED
    else:  # as it was before there were segments
        content = {name: value for name, value in content.items() if name not in OF_SEGMENTS}
    if own.recall is None:
        del content["recall"]
    text = json.dumps(with_checksum(content), ensure_ascii=True, allow_nan=False).encode()
    with index.open("ab") as stream:
        stream.write(text + len(text).to_bytes(8, "little") + MAGIC)
    return own


def read_stamp(index: Path) -> Stamp:
    """Read an index's stamp.

    Raises:
        IndexFileError: If the file is missing or was not written by scing, or its stamp is damaged or of a newer
            format.
    """
    try:
        with _read_errors(index), index.open("rb") as stream:
            stream.seek(_stamp_start(stream, index))
            content = checked_json(stream.read()[:-TAIL], index, remedy=REMEDY, newest=SEGMENTED)
        check_content("index stamp", content, index, remedy=REMEDY)
    except RunError as error:
        raise IndexFileError(error.what, error.remedy) from error
    known = {field.name for field in dataclasses.fields(Stamp)}
    segments = tuple(SegmentStamp(**segment) for segment in content.get("segments", ()))
    return Stamp(**{name: value for name, value in content.items() if name in known} | {"segments": segments})


def check_vectors(index: Path, stamp: Stamp | SegmentStamp, *, known: bool = False) -> None:
    """Check the digest of an index's faiss data. The result is cached until the file changes.

    Args:
        index: The `.faiss` file, or the file of a segment.
        stamp: Its stamp.
        known: True right after a write: the data is not read, only the result is cached.

    Raises:
        IndexFileError: If the data has changed.
    """
    with _read_errors(index):
        intact = checked_once(index, stamp.vectors_digest, lambda: known or _digest(index) == stamp.vectors_digest)
    if not intact:
        raise IndexFileError(f"{index} is damaged: its vectors are not those that were written.", REMEDY)


def _digest(index: Path) -> str:
    """Return the SHA-256 of the faiss data."""
    digest = hashlib.sha256()
    with index.open("rb") as stream:
        left = _stamp_start(stream, index)
        stream.seek(0)
        while left and (part := stream.read(min(left, PART))):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()


def _stamp_start(stream: BinaryIO, index: Path) -> int:
    """Return the offset of the stamp, in bytes.

    Raises:
        IndexFileError: If the file does not end with a stamp.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - TAIL, 0))
    tail = stream.read(TAIL)
    length = int.from_bytes(tail[:8], "little")
    if not tail.endswith(MAGIC) or len(tail) < TAIL or length > min(size - TAIL, SMALL):
        stream.seek(0)
        raise _no_index(index, stream.read(4))
    return size - TAIL - length


@contextlib.contextmanager
def _read_errors(index: Path) -> Iterator[None]:
    """Turn errors of the operating system, and special files such as pipes, into an IndexFileError."""
    try:
        check_ordinary(index)
        yield
    except FileNotFoundError:
        raise IndexFileError(
            f"There is no index {index}.",
            "Check the path, or make one: scing embed (with --model if nothing is trained).",
        ) from None
    except OSError as error:
        raise IndexFileError(f"{index} cannot be read: {error.strerror}.", REMEDY) from error
    except ValueError as error:
        raise IndexFileError(f"{index} cannot be read: {error}.", "Name the file that scing embed wrote.") from error


def _no_index(index: Path, beginning: bytes) -> IndexFileError:
    """Return the error for a file without a stamp."""
    if beginning.startswith(b"Ix"):  # as all index files of faiss do
        return IndexFileError(f"{index} is cut short, or was not written by scing: it ends without a stamp.", REMEDY)
    kind = "is empty" if not beginning else "is not an index of scing"
    return IndexFileError(f"{index} {kind}.", "An index is what scing embed writes: gallery.faiss by default.")
