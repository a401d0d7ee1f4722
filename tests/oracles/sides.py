"""Queries and gallery of a case: a dict of vectors and labels as the loops of `ranking` and `verification` take them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scing_cli.core.evaluation import Side

LABELS = ("identities", "cameras", "keys", "scenes")


def side(
    vectors: np.ndarray,
    identities: Sequence[str],
    cameras: Sequence[str] | None = None,
    keys: Sequence[str] = (),
    scenes: Sequence[str] = (),
) -> Side:
    """Return one side; without cameras, all of them are unknown."""
    cameras = [""] * len(vectors) if cameras is None else cameras
    return Side(vectors, identities=identities, cameras=cameras, keys=keys, scenes=scenes)


def sides_of(case: dict) -> tuple[Side, Side]:
    """Return the queries and the gallery of a case."""
    query, gallery = (
        side(case[part], *(case.get(f"{part}_{name}", ()) for name in LABELS)) for part in ("query", "gallery")
    )
    return query, gallery


def of_case(measure: Callable[..., Any], **case: Any) -> Any:
    """Call `evaluate`, `verify` or `compare_cameras` on a case; everything that is not of a side is an option."""
    parts = {"query", "gallery"} | {f"{part}_{name}" for part in ("query", "gallery") for name in LABELS}
    return measure(*sides_of(case), **{name: value for name, value in case.items() if name not in parts})
