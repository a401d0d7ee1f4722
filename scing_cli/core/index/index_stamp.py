"""The stamp of an index: which model made it and which table of rows belongs to it.

It lies behind the index in the same file, so that one rename commits both; faiss does not read that far::

    gallery.faiss = what faiss wrote | JSON | length of the JSON, 8 bytes | MAGIC, 8 bytes

The JSON is with_checksum and holds the digest of what faiss wrote: a changed byte is found wherever it is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, BinaryIO

from scing_cli.core.artifacts import FORMAT, checked_json, checked_once, file_digest, with_checksum
from scing_cli.core.errors import IndexFileError, RunError, spelled
from scing_cli.core.safe_reading import SMALL, check_ordinary

MAGIC = b"SCINGidx"
TAIL = 16
PART = 2**20  # bytes, read at a time
SUFFIX = ".faiss"
METRIC = "inner product"
TEXTS = frozenset({"model_digest", "descriptor", "rows_digest", "vectors_digest", "kind"})
NUMBERS = frozenset({"width", "count", "next_id", "generation"})
NEEDED = ("model_digest", "model", "descriptor", "width")
REMEDY = "Embed the gallery again: scing embed --force, same --output."


@dataclasses.dataclass(frozen=True, slots=True)
class Stamp:
    """What an index says of itself.

    Args:
        model_digest: Digest of the image encoder.
        model: Where the encoder lies: `{"run": path}`, or `{"model": name, "pretrained": weights, ...}`.
        descriptor: Which descriptor the vectors are: `projected` or `concat`.
        width: D.
        count: How many vectors there are.
        next_id: The id of the next vector; ids are never used again.
        generation: Grows with every write; names the file of the rows.
        rows_digest: SHA-256 of that file.
        kind: What faiss keeps the vectors in; a key of `kinds.KINDS`.
        vectors_digest: SHA-256 of what faiss wrote.
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

    def made_by(self) -> str:
        """Return the options that name the model: `--run DIR`, or `--model NAME --pretrained WEIGHTS`.

        >>> Stamp("a41f", {"model": "ViT-B-32", "pretrained": "laion2b"}, "projected", 512).made_by()
        '--model ViT-B-32 --pretrained laion2b'
        """
        named = {key: self.model[key] for key in ("run", "model", "pretrained") if self.model.get(key)}
        named = {"run": named["run"]} if "run" in named else named
        return " ".join(f"--{key} {spelled(value)}" for key, value in named.items())


def rows_file(index: Path, generation: int) -> Path:
    """Return where the rows of an index lie: `gallery.rows-3` beside `gallery.faiss`."""
    return index.with_name(f"{index.name.removesuffix(SUFFIX)}.rows-{generation}")


def append_stamp(index: Path, stamp: Stamp) -> Stamp:
    """Write the stamp behind what faiss wrote, and return it as written: with the digest of that."""
    own = dataclasses.replace(stamp, vectors_digest=file_digest(index))
    content = dataclasses.asdict(own) | {"model": dict(own.model), "format": FORMAT, "metric": METRIC}
    text = json.dumps(with_checksum(content), ensure_ascii=True, allow_nan=False).encode()
    with index.open("ab") as stream:
        stream.write(text + len(text).to_bytes(8, "little") + MAGIC)
    return own


def read_stamp(index: Path) -> Stamp:
    """Read an index's stamp.

    Raises:
        IndexFileError: If there is no such file, or no index of this program, or its stamp is damaged or of a newer
            format.
    """
    try:
        with _told(index), index.open("rb") as stream:
            stream.seek(_beginning(stream, index))
            content = checked_json(stream.read()[:-TAIL], index, remedy=REMEDY)
    except RunError as error:
        raise IndexFileError(error.what, error.remedy) from error
    known = {field.name for field in dataclasses.fields(Stamp)}
    fields = {name: value for name, value in content.items() if name in known}
    wrong = [name for name, value in fields.items() if not _fits(name, value)]
    missing = [name for name in NEEDED if name not in fields]
    if wrong or missing:
        named = spelled(", ".join(wrong or missing))
        raise IndexFileError(f"{index} has a stamp that does not fit: see its {named}.", REMEDY)
    return Stamp(**fields)


def _fits(name: str, value: object) -> bool:
    """Tell whether a field of a stamp is of its kind."""
    if name in TEXTS:
        return isinstance(value, str)
    if name in NUMBERS:
        return type(value) is int and 0 <= value < 2**63
    return name == "model" and isinstance(value, dict) and all(_describes(*own) for own in value.items())


def _describes(name: str, value: object) -> bool:
    """Tell whether an entry may be one of those that say where a model lies."""
    return isinstance(value, str) or (name not in {"run", "model"} and type(value) in {int, NoneType})


def check_vectors(index: Path, stamp: Stamp, *, known: bool = False) -> None:
    """Check that what lies before the stamp is what faiss wrote; once for a file as it is.

    Args:
        index: The file.
        stamp: Its own.
        known: It has just been written, so that there is nothing to check: only remember it.

    Raises:
        IndexFileError: If it is not.
    """
    with _told(index):
        whole = checked_once(index, stamp.vectors_digest, lambda: known or _digest(index) == stamp.vectors_digest)
    if not whole:
        raise IndexFileError(f"{index} is damaged: its vectors are not those that were written.", REMEDY)


def _digest(index: Path) -> str:
    """Return the SHA-256 of what lies before the stamp."""
    digest = hashlib.sha256()
    with index.open("rb") as stream:
        left = _beginning(stream, index)
        stream.seek(0)
        while left and (part := stream.read(min(left, PART))):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()


def _beginning(stream: BinaryIO, index: Path) -> int:
    """Return where the stamp begins."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - TAIL, 0))
    tail = stream.read(TAIL)
    length = int.from_bytes(tail[:8], "little")
    if not tail.endswith(MAGIC) or len(tail) < TAIL or length > min(size - TAIL, SMALL):
        stream.seek(0)
        raise _no_index(index, stream.read(4))
    return size - TAIL - length


@contextlib.contextmanager
def _told(index: Path) -> Iterator[None]:
    """Turn the system's errors, and what is no ordinary file, into messages."""
    try:
        check_ordinary(index)
        yield
    except FileNotFoundError:
        raise IndexFileError(f"There is no index {index}.", "Make one: scing embed.") from None
    except OSError as error:
        raise IndexFileError(f"{index} cannot be read: {error.strerror}.", REMEDY) from error
    except ValueError as error:
        raise IndexFileError(
            f"{index} cannot be read: {error}.", "Name the file that scing embed has written."
        ) from error


def _no_index(index: Path, beginning: bytes) -> IndexFileError:
    """Say what the file is instead; faiss's files begin with `Ix` and two letters more."""
    if beginning.startswith(b"Ix"):
        return IndexFileError(f"{index} is cut short, or was not written by scing: it ends without a stamp.", REMEDY)
    kind = "is empty" if not beginning else "is no index of scing"
    return IndexFileError(f"{index} {kind}.", "An index is what scing embed writes: gallery.faiss by default.")
