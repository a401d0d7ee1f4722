"""OpenVINO without its telemetry: as shipped, importing it sends an event over the network unless the user opted out.

Everything here that needs OpenVINO imports it from this module. Where the package `openvino_telemetry` cannot be
imported, OpenVINO takes a stub in its place that sends nothing.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

TELEMETRY = "openvino_telemetry"


@contextlib.contextmanager
def _without_telemetry() -> Iterator[None]:
    """Let imports of the telemetry fail in a block, if nobody has imported it before."""
    if TELEMETRY in sys.modules:
        yield
        return
    sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # Python's way to say that there is no such module
    try:
        yield
    finally:
        del sys.modules[TELEMETRY]


with _without_telemetry():
    import openvino
    from openvino import opset13 as ops

__all__ = ["openvino", "ops"]
