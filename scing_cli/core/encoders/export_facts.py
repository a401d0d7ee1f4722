"""What an exported image encoder states about itself: the pixels that it needs, its descriptor and its digest.

The facts are one JSON object under the key `scing`: in the metadata of an ONNX file, in `open_clip_config.json` or
`config.json` of a folder, and in the header of its safetensors file.
"""

from __future__ import annotations

from typing import Any

from scing_cli import __version__
from scing_cli.core.encoders.geometry import Geometry

KEY = "scing"
FORMAT = 1  # version of the facts


def export_facts(geometry: Geometry, *, kind: str, digest: str, output: str = "") -> dict[str, Any]:
    """Return the facts of an image encoder, ready for JSON.

    Args:
        geometry: The encoder's geometry.
        kind: Its descriptor.
        digest: Its digest.
        output: Name of the output with the vectors; empty where a format has no such names.
    """
    named = {"output": output} if output else {}
    return {
        "format": FORMAT,
        "height": geometry.height,
        "width": geometry.width,
        "mean": list(geometry.mean),
        "std": list(geometry.std),
        "interpolation": geometry.interpolation,
        "channels": "rgb",
        "range": 1.0,
        "descriptor": kind,
        **named,
        "digest": digest,
        "made_by": f"scing {__version__}",
    }
