"""faiss, imported when it is first used: reading a stamp, or refusing a command, does not need it."""

from __future__ import annotations

import importlib
from typing import Any


class _FirstUse:
    """A module that is imported when one of its names is read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


faiss: Any = _FirstUse("faiss")
