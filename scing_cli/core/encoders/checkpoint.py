"""Reads torch checkpoints that hold more than tensors, without running code.

Numbers of numpy, settings, optimizers and the like become inert objects. Pickles run code by calls: a call of anything
that is not known to be harmless is refused, and no call is ever made.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from scing_cli.core.encoders.archive import DEEPEST, DTYPES, Inert, Names, Reader, top_folder

_PARAMETERS = frozenset({"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"})
# Calls that training checkpoints contain. None of them is made: their results are inert objects.
_HARMLESS = frozenset(
    {
        *("_codecs.encode", "copyreg._reconstructor", "copy_reg._reconstructor", "collections.defaultdict"),
        *("collections.Counter", "collections.deque", "torch.device", "torch.Size", "torch.dtype", "datetime.datetime"),
        *("builtins.set", "builtins.frozenset", "builtins.complex", "builtins.slice", "builtins.bytearray"),
        *("__builtin__.set", "builtins.object", "__builtin__.object", "argparse.Namespace", "types.SimpleNamespace"),
    }
)
_HARMLESS_PACKAGES = frozenset({"numpy", "pathlib", "omegaconf", "yacs", "easydict"})


def read_checkpoint(path: Path) -> Any:
    """Read a torch checkpoint (a zip) that holds more than tensors, without running code.

    Numbers of numpy, settings, optimizers and the like become inert objects. A stored module becomes a dictionary of
    its tensors by dotted name.

    Args:
        path: The checkpoint.

    Returns:
        Nested dictionaries and lists with tensors.

    Raises:
        UnpicklingError: If reading it would call a function that is not known to be harmless, or it is damaged.
        BadZipFile: If it is not a zip.
    """
    with zipfile.ZipFile(path) as container:
        return _Converter().plain(_CheckpointReader(container, top_folder(container)).load(), DEEPEST)


class _Lossy(Inert):
    """Replaces a harmless class or function of a checkpoint; items that are added to it are lost."""

    __slots__ = ()

    def __setitem__(self, _key: object, _value: object) -> None:
        """Lose an item of a dictionary's subclass."""

    def append(self, _value: object) -> None:
        """Lose an item of a list's subclass."""

    def extend(self, _values: object) -> None:
        """Lose items of a list's subclass."""

    def add(self, _value: object) -> None:
        """Lose an item of a set's subclass."""


class _Refusing(type):
    """The type of inert classes that a checkpoint may name and create, but not call: calls run code in pickles."""

    def __call__(cls, *_args: object, **_kwargs: object) -> object:
        raise pickle.UnpicklingError(f"it would call {cls.__name__}")


class _Unknown(_Lossy, metaclass=_Refusing):
    """Replaces any other class or function of a checkpoint."""

    __slots__ = ()


class _CheckpointReader(Reader):
    """Unpickles a checkpoint: tensors, plain containers, and inert objects for all else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the object for a known name, or a new inert class, which cannot be called unless it is harmless."""
        full = f"{module}.{name}"
        if full in _PARAMETERS:
            return _parameter
        if full in ("collections.OrderedDict", "torch._utils._rebuild_tensor_v2") or (
            module == "torch" and name in DTYPES
        ):
            return super().find_class(module, name)
        if full in _HARMLESS or module.partition(".")[0] in _HARMLESS_PACKAGES:
            return type(full, (_Lossy,), {"__slots__": ()})
        return _Refusing(full, (_Unknown,), {"__slots__": ()})


def _parameter(data: object, *_rest: object) -> object:
    """Return a parameter's tensor."""
    return data


class _Converter:
    """Converts the content of a checkpoint to plain containers. An object that occurs often is converted once."""

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}
        self._names = Names()

    def plain(self, content: Any, deepest: int) -> Any:
        """Return containers and tensors; a module as the dictionary of its tensors, other objects as None."""
        if deepest == 0:
            raise pickle.UnpicklingError("it is nested too deeply")
        if not isinstance(content, dict | list | tuple | Inert):
            return content
        if id(content) not in self._done:
            self._done[id(content)] = self._converted(content, deepest - 1)
        return self._done[id(content)]

    def _converted(self, content: Any, deepest: int) -> Any:
        if isinstance(content, dict):
            return {key: self.plain(value, deepest) for key, value in content.items()}
        if isinstance(content, Inert):
            return dict(_module_tensors(content, "", deepest, self._names)) or None
        return [self.plain(value, deepest) for value in content]


def _module_tensors(module: object, prefix: str, deepest: int, names: Names) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a stored torch module with their dotted names."""
    if deepest == 0:
        raise pickle.UnpicklingError("its modules are nested too deeply")
    state = module.state if isinstance(module, Inert) and isinstance(module.state, dict) else {}
    for part in ("_parameters", "_buffers", "_modules"):
        members = state.get(part)
        for name, value in members.items() if isinstance(members, dict) else ():
            full = names.join(prefix, name)
            if isinstance(value, Tensor):
                yield full, value
            elif part == "_modules":
                yield from _module_tensors(value, f"{full}.", deepest - 1, names)
