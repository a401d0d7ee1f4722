"""Tensors of a TorchScript archive, such as OpenAI's own CLIP files, read without running anything of it.

Such a file is a zip: `data.pkl` describes nested modules, `data/N` holds the bytes of storage N, `code/` holds
programs, which are never opened. `torch.load(weights_only=True)` refuses it, and `torch.jit.load` would run its code.
Here the description is unpickled with only three kinds of name that do something: tensor rebuild, the storages and
OrderedDict. All other names become inert objects that only keep the state they are given.
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
from typing import Any

import torch
from torch import Tensor

from scing_cli.core.errors import WeightsError

_DTYPES = {
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
_DEEPEST = 64


def is_archive(path: Path) -> bool:
    """Tell whether a file is a TorchScript archive: a zip with a description and code or constants."""
    try:
        with zipfile.ZipFile(path) as container:
            names = container.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False
    return any(name.startswith((f"{top}code/", f"{top}constants.pkl")) for top in _tops(names) for name in names)


def _tops(names: Sequence[str]) -> list[str]:
    """Return the folders, with their slash, that hold a description."""
    return [name.removesuffix("data.pkl") for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]


def _top(container: zipfile.ZipFile) -> str:
    """Return the first folder, with its slash, that holds a description."""
    tops = _tops(container.namelist())
    if not tops:
        raise pickle.UnpicklingError("it has no data.pkl")
    return tops[0]


def read_archive(path: Path) -> dict[str, Tensor]:
    """Read every tensor of a TorchScript archive, running none of its code.

    Args:
        path: The archive.

    Returns:
        Tensors by dotted name, as the module's `state_dict` names them, in their own dtype; tensors that are plain
        attributes are among them.

    Raises:
        WeightsError: If the archive is damaged or made in another way than TorchScript does.
    """
    try:
        with zipfile.ZipFile(path) as container:
            return dict(_tensors(_Reader(container, _top(container)).load(), "", _DEEPEST))
    except Exception as error:
        raise WeightsError(
            f"{path} cannot be read as a TorchScript archive: {error or type(error).__name__}.",
            "It may be cut off: fetch it again.",
        ) from error


class _Inert:
    """Stands for anything the archive names: made and called like it, but doing nothing."""

    __slots__ = ("state",)

    def __new__(cls, *_args: object, **_kwargs: object) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __call__(self, *_args: object, **_kwargs: object) -> _Inert:
        return _Inert()


class _Storage:
    """A storage class of the description: nothing but the kind of its numbers."""

    __slots__ = ("dtype",)
    dtype: torch.dtype

    def __init__(self, dtype: torch.dtype) -> None:
        object.__setattr__(self, "dtype", dtype)

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("a storage class takes no state")


class _Rebuild:
    """Makes a tensor from a storage, as `torch._utils._rebuild_tensor_v2` does."""

    __slots__ = ()

    def __call__(self, storage: object, offset: object, size: object, stride: object, *_hooks: object) -> Tensor:
        if not isinstance(storage, Tensor) or not isinstance(offset, int):
            raise pickle.UnpicklingError("a tensor without a storage")
        shape, steps = _whole_numbers(size), _whole_numbers(stride)
        if len(shape) != len(steps) or math.prod(shape) > storage.numel():
            raise pickle.UnpicklingError(f"a tensor of shape {shape} in a storage of {storage.numel()} numbers")
        return storage.as_strided(shape, steps, offset).clone()


class _Reader(pickle.Unpickler):
    """Unpickles a description whose names mean nothing but tensors.

    Args:
        container: The open archive.
        top: The folder inside it that holds `data.pkl`, with its slash.
    """

    def __init__(self, container: zipfile.ZipFile, top: str) -> None:
        super().__init__(io.BytesIO(container.read(f"{top}data.pkl")))
        self._container = container
        self._top = top
        self._storages: dict[str, Tensor] = {}
        order = f"{top}byteorder"
        if order in container.namelist() and container.read(order).decode("ascii").strip() != sys.byteorder:
            raise pickle.UnpicklingError("its numbers have another byte order than this machine")

    def find_class(self, module: str, name: str) -> Any:
        """Return one of the three known names, or an inert class of its own for all others."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuild()
        if module == "torch" and name in _DTYPES:
            return _Storage(_DTYPES[name])
        return type("Inert", (_Inert,), {"__slots__": ()})

    def persistent_load(self, pid: Any) -> Tensor:
        """Return the storage that ('storage', class, key, place, count) names, as a flat tensor."""
        kind, storage, key, _place, count = pid
        if kind != "storage" or not isinstance(storage, _Storage) or not isinstance(key, str):
            raise pickle.UnpicklingError("a persistent name that is no storage")
        if key not in self._storages:
            self._storages[key] = self._read(key, storage.dtype)
        found = self._storages[key]
        if found.dtype != storage.dtype or found.numel() != count:
            raise pickle.UnpicklingError(f"storage {key} holds {found.numel()} numbers instead of {count}")
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
    raise pickle.UnpicklingError("a tensor whose shape is not made of whole numbers")


def _tensors(module: object, prefix: str, deepest: int) -> Iterator[tuple[str, Tensor]]:
    """Walk the modules of a description and yield their tensors by dotted name."""
    if deepest == 0:
        raise pickle.UnpicklingError("its modules are nested too deeply")
    state = module.state if isinstance(module, _Inert) else None
    for name, value in state.items() if isinstance(state, dict) else ():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Inert):
            yield from _tensors(value, f"{prefix}{name}.", deepest - 1)
