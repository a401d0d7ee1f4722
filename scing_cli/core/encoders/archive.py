"""Reads the tensors of a TorchScript archive, such as OpenAI's CLIP files, without running its code.

Such a file is a zip: `data.pkl` describes nested modules, `data/N` contains the bytes of storage N, and `code/`
contains programs, which are never opened. `torch.load(weights_only=True)` refuses these files, and `torch.jit.load`
would run their code. Here only three kinds of names in `data.pkl` have an effect: the tensor rebuild function, the
storage classes and OrderedDict. All other names become inert objects that only store their state.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from scing_cli.core.errors import WeightsError

DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
DEEPEST = 64  # levels of nested modules
MOST_SIGNS = 2**23  # characters of all tensors' names; CLIP's have 40,000


def is_archive(path: Path) -> bool:
    """Return whether a file is a TorchScript archive: a zip with `data.pkl` and code or constants."""
    try:
        with zipfile.ZipFile(path) as container:
            names = container.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False
    return any(name.startswith((f"{top}code/", f"{top}constants.pkl")) for top in _tops(names) for name in names)


def _tops(names: Sequence[str]) -> list[str]:
    """Return the folders that contain `data.pkl`, with a trailing slash."""
    return [name.removesuffix("data.pkl") for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]


def top_folder(container: zipfile.ZipFile) -> str:
    """Return the first folder that contains `data.pkl`, with a trailing slash."""
    tops = _tops(container.namelist())
    if not tops:
        raise pickle.UnpicklingError("it has no data.pkl")
    return tops[0]


def read_archive(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a TorchScript archive without running its code.

    Args:
        path: The archive.

    Returns:
        Tensors by dotted name as in the module's `state_dict`, in their original dtype. Tensors that are plain
        attributes are included.

    Raises:
        WeightsError: If the archive is damaged or its structure is not TorchScript's.
    """
    try:
        with zipfile.ZipFile(path) as container:
            return dict(_tensors(Reader(container, top_folder(container)).load(), "", DEEPEST, Names()))
    except Exception as error:  # an untrusted file can make the zip and pickle readers raise almost anything
        raise WeightsError(
            f"{path} cannot be read as a TorchScript archive: {error or type(error).__name__}.",
            "It may be incomplete: download it again.",
        ) from error


class Inert:
    """Replaces any class or function that the archive names; creating or calling it has no effect."""

    __slots__ = ("state",)

    state: object

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        """Create an object without a state; all arguments are ignored."""
        new = super().__new__(cls)
        new.state = None
        return new

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        """Ignore all arguments."""

    def __setstate__(self, state: object) -> None:
        """Store a state, unchanged."""
        self.state = state

    def __call__(self, *_args: object, **_kwargs: object) -> Inert:
        """Return another inert object."""
        return Inert()


class _Storage:
    """Replaces a storage class of torch; it has only a dtype."""

    __slots__ = ("dtype",)
    dtype: torch.dtype

    def __init__(self, dtype: torch.dtype) -> None:
        object.__setattr__(self, "dtype", dtype)

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("a storage class cannot have a state")


class _Rebuild:
    """Builds a tensor from a storage, as `torch._utils._rebuild_tensor_v2` does."""

    __slots__ = ()

    def __call__(self, storage: object, offset: object, size: object, stride: object, *_hooks: object) -> Tensor:
        if not isinstance(storage, Tensor) or not isinstance(offset, int):
            raise pickle.UnpicklingError("a tensor without a storage")
        shape, steps = _whole_numbers(size), _whole_numbers(stride)
        if len(shape) != len(steps) or math.prod(shape) > storage.numel():
            raise pickle.UnpicklingError(f"a tensor of shape {shape} in a storage of {storage.numel()} numbers")
        return storage.as_strided(shape, steps, offset).clone()


class Reader(pickle.Unpickler):
    """Unpickles `data.pkl`, where only the names that build tensors have an effect.

    Args:
        container: The open archive.
        top: The folder in the archive that contains `data.pkl`, with a trailing slash.
    """

    def __init__(self, container: zipfile.ZipFile, top: str) -> None:
        super().__init__(io.BytesIO(container.read(f"{top}data.pkl")))
        self._container = container
        self._top = top
        self._storages: dict[str, Tensor] = {}
        order = f"{top}byteorder"
        if order in container.namelist() and container.read(order).decode("ascii").strip() != sys.byteorder:
            raise pickle.UnpicklingError("its byte order is not this machine's")

    def find_class(self, module: str, name: str) -> Any:
        """Return the object for one of the three known names, or a new inert class for any other name."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuild()
        if module == "torch" and name in DTYPES:
            return _Storage(DTYPES[name])
        return type("Inert", (Inert,), {"__slots__": ()})

    def persistent_load(self, pid: Any) -> Tensor:
        """Return the storage that ('storage', class, key, device, count) describes, as a flat tensor."""
        kind, storage, key, _device, count = pid
        if kind != "storage" or not isinstance(storage, _Storage) or not isinstance(key, str):
            raise pickle.UnpicklingError("a persistent id that is not a storage")
        if key not in self._storages:
            self._storages[key] = self._read(key, storage.dtype)
        found = self._storages[key]
        if found.dtype != storage.dtype or found.numel() != count:
            raise pickle.UnpicklingError(f"storage {key} contains {found.numel()} numbers instead of {count}")
        return found

    def _read(self, key: str, dtype: torch.dtype) -> Tensor:
        record = self._container.getinfo(f"{self._top}data/{key}")
        if record.compress_type != zipfile.ZIP_STORED:
            raise pickle.UnpicklingError(f"storage {key} is compressed")
        content = bytearray(self._container.read(record))
        return torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)


def _whole_numbers(values: object) -> tuple[int, ...]:
    if isinstance(values, Sequence) and all(type(value) is int and value >= 0 for value in values):
        return tuple(values)
    raise pickle.UnpicklingError("a tensor whose shape does not consist of whole numbers")


class Names:
    """Joins the names of nested modules, up to a limit: shared modules have as many names as there are ways to them."""

    def __init__(self) -> None:
        self._left = MOST_SIGNS

    def join(self, prefix: str, name: object) -> str:
        """Return the dotted name of a module's member.

        Args:
            prefix: The module's name, with a trailing dot.
            name: The member's name.

        Raises:
            UnpicklingError: If it is not a text, or the names so far are too long.
        """
        if not isinstance(name, str):
            raise pickle.UnpicklingError("a module has a member whose name is not a text")
        self._left -= len(prefix) + len(name) + 1
        if self._left < 0:
            raise pickle.UnpicklingError("its modules contain each other too often")
        return f"{prefix}{name}"


def _tensors(module: object, prefix: str, deepest: int, names: Names) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of nested modules with their dotted names."""
    if deepest == 0:
        raise pickle.UnpicklingError("its modules are nested too deeply")
    state = module.state if isinstance(module, Inert) else None
    for name, value in state.items() if isinstance(state, dict) else ():
        full = names.join(prefix, name)
        if isinstance(value, Tensor):
            yield full, value
        elif isinstance(value, Inert):
            yield from _tensors(value, f"{full}.", deepest - 1, names)
