"""Files of a user read independently, with Python's own modules: what a reader may say if it does not refuse them."""

from __future__ import annotations

import ast
import csv
import io
import json
import posixpath
from typing import Any

import numpy as np

DTYPES = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
KNOWN = ("path", "identity", "camera", "split", "caption")


def table(content: bytes, needed: tuple[str, ...]) -> list[dict[str, str]]:
    """Return the rows of a CSV by column: parted by the first of , ; and tab that finds the needed columns."""
    text = content.decode("utf-8-sig")
    for delimiter in ",;\t":
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
        names = [name.strip().lower() if name.strip().lower() in KNOWN else name for name in (rows or [[]])[0]]
        if set(needed) <= set(names):
            return [dict(zip(names, row, strict=True)) for row in rows[1:]]
    raise ValueError("lacks a column")


def samples(content: bytes) -> list[tuple[Any, ...]]:
    """Return the rows of a data set's CSV, each once: the known columns, then the others by name."""
    found = []
    for row in table(content, ("path",)):
        known = [row.pop(name, "") for name in KNOWN]
        known[3] = known[3].strip().lower()
        found.append((*known, tuple(row.items())))
    return list(dict.fromkeys(found))


def captions(content: bytes) -> dict[str, str]:
    """Return the captions of a `captions.csv` by path."""
    return {posixpath.normpath(row["path"]): row["caption"] for row in table(content, ("path", "caption"))}


def safetensors(content: bytes) -> dict[str, list[Any]]:
    """Return the tensors of a safetensors file: shape and numbers, as float32."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    found = {}
    for name, told in header.items():
        if name != "__metadata__":
            first, last = (8 + length + place for place in told["data_offsets"])
            numbers = np.frombuffer(content[first:last], DTYPES[told["dtype"]]).reshape(told["shape"])
            found[name] = [list(numbers.shape), numbers.astype(np.float32).tobytes()]
    return found


def npy(content: bytes) -> np.ndarray:
    """Return the array of an .npy file: what its header says of the bytes behind it."""
    length = int.from_bytes(content[8:10], "little")
    told = ast.literal_eval(content[10 : 10 + length].decode("latin1"))
    numbers = np.frombuffer(content[10 + length :], np.dtype(told["descr"]), count=int(np.prod(told["shape"])))
    return numbers.reshape(told["shape"], order="F" if told["fortran_order"] else "C")


def unit_rows(array: np.ndarray) -> list[list[float]]:
    """Return the rows at unit length, to six digits."""
    rows = array.astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    whole = array.dtype == np.float32 and (np.abs(lengths - 1) <= 1e-5).all()
    with np.errstate(all="ignore"):
        return np.round((rows if whole else rows / lengths).astype(np.float32), 6).tolist()


def other_stages(content: bytes, stage: str) -> bytes:
    """Return the lines of a log that are not of a stage; a last one that has no end was cut short, and is left out."""
    lines = [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
    return b"".join(line for line in lines if json.loads(line.decode()).get("stage") != stage)


def model(content: bytes) -> list[Any]:
    """Return the sizes that a model's JSON tells, in open_clip's form."""
    told = json.loads(content)
    vision, text = told["vision_cfg"], told["text_cfg"]
    sides = vision["image_size"]
    image = [vision["width"], vision["layers"], vision["width"] // vision["head_width"], told["embed_dim"]]
    words = [text[name] for name in ("width", "layers", "heads", "context_length", "vocab_size")]
    return [image, words, vision["patch_size"], sides, bool(told.get("quick_gelu", False))]
