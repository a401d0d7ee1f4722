"""The stamp of an index: which model made it and which table of rows belongs to it.

It lies behind the index in the same file, so that one rename commits both; faiss does not read that far::

    gallery.faiss = what faiss wrote | JSON | length of the JSON, 8 bytes | MAGIC, 8 bytes
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts import FORMAT
from scing_cli.core.errors import IndexFileError

MAGIC = b"SCINGidx"
TAIL = 16
SUFFIX = ".faiss"
METRIC = "inner product"
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

    def made_by(self) -> str:
        """Return the options that name the model: `--run DIR`, or `--model NAME --pretrained WEIGHTS`.

        >>> Stamp("a41f", {"model": "ViT-B-32", "pretrained": "laion2b"}, "projected", 512).made_by()
        '--model ViT-B-32 --pretrained laion2b'
        """
        named = {key: self.model[key] for key in ("run", "model", "pretrained") if self.model.get(key)}
        named = {"run": named["run"]} if "run" in named else named
        return " ".join(f"--{key} {value}" for key, value in named.items())


def rows_file(index: Path, generation: int) -> Path:
    """Return where the rows of an index lie: `gallery.rows-3` beside `gallery.faiss`."""
    return index.with_name(f"{index.name.removesuffix(SUFFIX)}.rows-{generation}")


def append_stamp(index: Path, stamp: Stamp) -> None:
    """Write the stamp behind what faiss wrote."""
    content = dataclasses.asdict(stamp) | {"model": dict(stamp.model), "format": FORMAT, "metric": METRIC}
    text = json.dumps(content, ensure_ascii=True, allow_nan=False).encode()
    with index.open("ab") as stream:
        stream.write(text + len(text).to_bytes(8, "little") + MAGIC)


def read_stamp(index: Path) -> Stamp:
    """Read an index's stamp.

    Raises:
        IndexFileError: If there is no such file, or no index of this program, or one of another format.
    """
    try:
        content = _read_json(index)
    except FileNotFoundError:
        raise IndexFileError(f"There is no index {index}.", "Make one: scing embed.") from None
    except OSError as error:
        raise IndexFileError(f"{index} cannot be read: {error.strerror}.") from error
    if content.pop("format", None) != FORMAT:
        raise IndexFileError(f"{index} was written by another version of this program.", REMEDY)
    content.pop("metric", None)
    try:
        return Stamp(**content)
    except TypeError as error:
        raise IndexFileError(f"{index} has a stamp that does not fit: {error}.", REMEDY) from error


def _read_json(index: Path) -> dict[str, Any]:
    with index.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - TAIL, 0))
        tail = stream.read(TAIL)
        length = int.from_bytes(tail[:8], "little")
        if not tail.endswith(MAGIC) or len(tail) < TAIL or length > size - TAIL:
            stream.seek(0)
            raise _no_index(index, stream.read(4))
        stream.seek(size - TAIL - length)
        text = stream.read(length)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise IndexFileError(f"{index} is damaged: its stamp is no JSON ({error}).", REMEDY) from error
    if not isinstance(content, dict):
        raise IndexFileError(f"{index} is damaged: its stamp is no JSON object.", REMEDY)
    return content


def _no_index(index: Path, beginning: bytes) -> IndexFileError:
    """Say what the file is instead; faiss's files begin with `Ix` and two letters more."""
    if beginning.startswith(b"Ix"):
        return IndexFileError(f"{index} is cut short, or was not written by scing: it ends without a stamp.", REMEDY)
    kind = "is empty" if not beginning else "is no index of scing"
    return IndexFileError(f"{index} {kind}.", "An index is what scing embed writes: gallery.faiss by default.")
