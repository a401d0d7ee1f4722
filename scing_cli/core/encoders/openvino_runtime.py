"""Imports OpenVINO without its telemetry; all code that needs OpenVINO imports it from this module.

By default, importing OpenVINO sends an event over the network unless the user has opted out. If the package
`openvino_telemetry` cannot be imported, OpenVINO uses a stub that sends nothing.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Iterator

TELEMETRY = "openvino_telemetry"


@contextlib.contextmanager
def _without_telemetry() -> Iterator[None]:
    """Make imports of the telemetry fail inside the block, unless it is already imported."""
    if TELEMETRY in sys.modules:
        yield
        return
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # None makes an import fail
    try:
        yield
    finally:
        del sys.modules[TELEMETRY]


with _without_telemetry():
    import openvino
    from openvino import opset13 as ops

__all__ = ["openvino", "openvino_core", "ops"]


@functools.cache
def openvino_core() -> openvino.Core:
    """Return the `Core` of the whole process, with which all graphs are read and compiled.

    On processors with AMX, each `Core` gives the thread a stack for signals, and the last of several that are no longer
    in use leaves the stack of another one, which is no longer in memory: the next signal, such as Ctrl-C, would then
    end the process with a segmentation fault.
    """
    return openvino.Core()
