"""Embeddings that any program has saved: arrays in an .npz file, or .npy files in a folder, which are memory-mapped.

Arrays are `query` and `gallery`, `query_identity` and `gallery_identity`, and where cameras are known `query_camera`
and `gallery_camera`. Q queries, N gallery rows, D width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.errors import DataError, counted, share, spelled
from scing_cli.core.evaluation.metrics import IntArray
from scing_cli.core.manifest import is_junk
from scing_cli.core.paths import check_not_empty
from scing_cli.core.safe_reading import check_ordinary

Vectors = npt.NDArray[np.float32]
NEEDED = ("query", "gallery", "query_identity", "gallery_identity")
OPTIONAL = ("query_camera", "gallery_camera")
BLOCK = 2**25  # bytes of a block in float64
UNIT = 1e-5  # float32 vectors nearer than this to length 1 are left as they are, to the bit
SHOWN = 10
REMEDY = (
    f"Arrays are {', '.join(NEEDED)}, and where cameras are known {', '.join(OPTIONAL)}; "
    "examples/guide/evaluation.md describes them."
)


class UnitRows:
    """Rows of an array, made float32 and unit length as they are read; the array itself may be memory-mapped.

    Args:
        array: Shape (N, D), floating.
        rows: Which of its rows; all of them if None.
        as_they_are: Whether they are float32 and of unit length already: then not a bit of them is changed.
    """

    def __init__(
        self, array: npt.NDArray[np.floating], rows: IntArray | None = None, *, as_they_are: bool = False
    ) -> None:
        self._array = array
        self._rows = rows
        self._as_they_are = as_they_are

    def __len__(self) -> int:
        return len(self._array) if self._rows is None else len(self._rows)

    @property
    def shape(self) -> tuple[int, int]:
        """N and D."""
        return len(self), self._array.shape[1]

    @property
    def numbers(self) -> IntArray:
        """Return which rows of the array they are, shape (N,)."""
        return np.arange(len(self)) if self._rows is None else self._rows

    def __getitem__(self, key: slice | IntArray) -> Vectors:
        """Return some rows, shape (M, D), unit length; of zeros, zeros."""
        if self._as_they_are:
            own: Vectors = np.array(self._array[self._key(key)], order="C")
            return own
        wide = self.raw(key)
        lengths = row_lengths(wide)
        lengths[lengths == 0] = 1
        return (wide / lengths[:, None]).astype(np.float32)

    def raw(self, key: slice | IntArray) -> npt.NDArray[np.float64]:
        """Return some rows as they are."""
        return np.array(self._array[self._key(key)], dtype=np.float64, order="C")

    def _key(self, key: slice | IntArray) -> slice | IntArray:
        return key if self._rows is None else self._rows[key]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SavedPart:
    """Queries or gallery, as they were saved.

    Args:
        vectors: N unit vectors.
        identities: N texts; empty where unknown.
        cameras: N texts; all empty where none were saved.
        junk: How many rows of identity -1 were left out.
        changed: How many vectors were not of unit length.
    """

    vectors: UnitRows
    identities: list[str]
    cameras: list[str]
    junk: int
    changed: int


def read_saved(path: Path, *, cameras: bool = True) -> tuple[SavedPart, SavedPart]:
    """Read queries and gallery; nothing is unpickled.

    Gallery and query rows of identity -1 are junk, as in the field's data sets, and are left out.

    Args:
        path: An .npz file, or a folder of .npy files.
        cameras: Whether the cameras are read, if there are any: captions have none.

    Raises:
        DataError: If the arrays cannot be read, one is missing or of the wrong kind or length, or a vector is all zeros
            or not finite; the message names the rows.
    """
    arrays = _folder(path) if path.is_dir() else _file(path)
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        has = ", ".join(map(spelled, sorted(arrays))) or "nothing"
        raise DataError(f"{path} lacks the array {missing[0]}; it has: {has}.", REMEDY)
    if not cameras:
        arrays = {name: array for name, array in arrays.items() if name not in OPTIONAL}
    given = [name for name in OPTIONAL if name in arrays]
    if len(given) == 1:
        raise DataError(f"{path} has {given[0]}, but not the other side's cameras.", "Save both of them, or neither.")
    query, gallery = (_part(path, side, arrays) for side in ("query", "gallery"))
    return query, gallery


def row_lengths(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the lengths of rows, shape (M,): a row has the same bits whatever the other rows are."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths: npt.NDArray[np.float64] = np.sqrt((rows * rows).sum(axis=1))
    return lengths


def _file(path: Path) -> Mapping[str, Any]:
    try:
        check_ordinary(path)
        with path.open("rb") as stream:  # numpy leaves a broken zip open
            file = np.load(stream, allow_pickle=False)
            if isinstance(file, np.lib.npyio.NpzFile):
                return {name: file[name] if name in (*NEEDED, *OPTIONAL) else None for name in file.files}
    except Exception as error:
        raise _unreadable(path, error) from error
    raise DataError(f"{path} holds a single array.", f"An .npz file holds several. {REMEDY}")


def _folder(path: Path) -> Mapping[str, Any]:
    check_not_empty(path, REMEDY)
    if (path / "report.json").is_file():
        raise DataError(f"{path} is a report or a run: it has no vectors.", REMEDY)
    arrays: dict[str, Any] = {file.stem: None for file in path.glob("*.npy")}
    for name in (*NEEDED, *OPTIONAL):
        file = path / f"{name}.npy"
        if file.exists():
            try:
                check_ordinary(file)
                arrays[name] = np.lib.format.open_memmap(file, mode="r")
            except Exception as error:
                raise _unreadable(file, error) from error
    return arrays


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} does not exist.", REMEDY)
    said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    if "allow_pickle" in said or "Python objects" in said:
        return DataError(f"{path} holds no arrays, or Python objects, which are not read: they could run code.", REMEDY)
    return DataError(f"{path} cannot be read as arrays: {said}.", REMEDY)


def _part(path: Path, side: str, arrays: Mapping[str, Any]) -> SavedPart:
    vectors = arrays[side]
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.floating):
        raise DataError(
            f"{path}: {side} has the shape {vectors.shape} of {vectors.dtype}.", "It must be (rows, width) of floats."
        )
    identities = _texts(path, f"{side}_identity", arrays, len(vectors))
    cameras = _texts(path, f"{side}_camera", arrays, len(vectors))
    kept = None
    if any(map(is_junk, identities)):
        kept = np.array([row for row, identity in enumerate(identities) if not is_junk(identity)], dtype=np.int64)
        identities, cameras = ([texts[row] for row in kept] for texts in (identities, cameras))
    if not identities:
        raise DataError(f"{path} has no valid {side} row.", "Rows of identity -1 are junk and left out.")
    changed = _check_lengths(path, side, UnitRows(vectors))
    rows = UnitRows(vectors, kept, as_they_are=vectors.dtype == np.float32 and not changed)
    return SavedPart(rows, identities, cameras, len(vectors) - len(rows), changed)


def _texts(path: Path, name: str, arrays: Mapping[str, Any], count: int) -> list[str]:
    if name not in arrays:
        return [""] * count
    array = arrays[name]
    if array.shape != (count,):
        raise DataError(f"{path}: {name} has the shape {array.shape}; there are {counted(count, 'vector')}.", REMEDY)
    if array.dtype.kind == "S":
        return [text.decode(errors="surrogateescape") for text in array.tolist()]
    if array.dtype.kind not in "iuU":
        raise DataError(f"{path}: {name} is of {array.dtype}.", "It must be of whole numbers or texts.")
    return [str(text) for text in array.tolist()]


def _check_lengths(path: Path, side: str, rows: UnitRows) -> int:
    """Return how many vectors are not of unit length.

    Raises:
        DataError: If some have no length, or none that is finite.
    """
    lengths = np.concatenate([np.empty(0), *(row_lengths(block) for block in _blocks(rows))])
    broken = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(broken):
        shown = ", ".join(map(str, broken[:SHOWN])) + (", …" if len(broken) > SHOWN else "")
        have = share(len(broken), len(lengths), f"{side} vector", "has", "have")
        raise DataError(
            f"{path}: {have} no length that is finite and above zero: rows {shown} (the first is row 0).",
            "A model whose training diverged gives such vectors.",
        )
    return int((np.abs(lengths - 1) > UNIT).sum())


def _blocks(rows: UnitRows) -> Iterator[npt.NDArray[np.float64]]:
    step = max(1, BLOCK // (8 * max(rows.shape[1], 1)))
    return (rows.raw(slice(start, start + step)) for start in range(0, len(rows), step))
