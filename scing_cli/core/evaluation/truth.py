"""The true hits of every query under a protocol, and the queries that have none."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.protocol import PROTOCOLS

IntArray = npt.NDArray[np.int64]
NOTHING: IntArray = np.empty(0, dtype=np.int64)


REASONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "unknown": ("has no identity", "have no identity"),
        "absent": (
            "has no image of its identity in the gallery",
            "have no image of their identity in the gallery",
        ),
        "itself": (
            "has no image of its identity in the gallery but itself",
            "have no image of their identity in the gallery but themselves",
        ),
        "same_camera": (
            "has true matches from its own camera only",
            "have true matches from their own camera only",
        ),
    }
)
"""Why a query has no true match: of one query, of several."""


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """How many queries have no true match left, by reason; they are not counted in any score.

    Args:
        unknown: The query's own identity is unknown.
        absent: The gallery has no row of that identity.
        same_camera: It has some, but all are of the query's own camera (protocol `market`).
        itself: The only row of that identity is the query's own image.
        why: For each lost query its number and the reason, a key of `REASONS`, in query order.
    """

    unknown: int = 0
    absent: int = 0
    same_camera: int = 0
    itself: int = 0
    why: tuple[tuple[int, str], ...] = dataclasses.field(default=(), compare=False)

    @property
    def total(self) -> int:
        """How many queries are not counted."""
        return self.unknown + self.absent + self.same_camera + self.itself

    def reasons(self) -> str:
        """Say how many queries each reason took; empty where none is lost.

        >>> Lost(unknown=0, absent=2, same_camera=1).reasons()
        '2 have no image of their identity in the gallery, 1 has true matches from its own camera only'
        """
        counts = ((one, many, getattr(self, name)) for name, (one, many) in REASONS.items())
        return ", ".join(f"{count} {one if count == 1 else many}" for one, many, count in counts if count)


class Truth:
    """The gallery rows that are hits of each query, and those that are not false ones; found when they are asked for.

    Args:
        same: For each query the rows of its identity, ascending; one array per identity.
        itself: For each query the rows of its own image; empty where there is none.
        cameras: For each query a code of its camera; negative where it is unknown, or where no camera is left out.
        seen_by: Shape (N,): the code of each gallery row's camera.
    """

    def __init__(self, same: list[IntArray], itself: list[IntArray], cameras: IntArray, seen_by: IntArray) -> None:
        self._same = same
        self._itself = itself
        self._cameras = cameras
        self._seen_by = seen_by
        self.lost = Lost()

    def __len__(self) -> int:
        return len(self._same)

    def others(self, number: int) -> IntArray:
        """Return the rows of a query's identity that are not the query itself, ascending."""
        same, itself = self._same[number], self._itself[number]
        return same[~np.isin(same, itself)] if len(itself) else same

    def hits(self, number: int) -> IntArray:
        """Return the rows that count as true hits of a query, ascending."""
        others, camera = self.others(number), self._cameras[number]
        return others if camera < 0 else others[self._seen_by[others] != camera]

    def never_false(self, number: int) -> IntArray:
        """Return the rows of the query's identity and those of the query's own image, ascending."""
        same, itself = self._same[number], self._itself[number]
        return np.union1d(same, itself) if len(itself) else same


def find_truth(
    query_identities: Sequence[str],
    gallery_identities: Sequence[str],
    query_cameras: Sequence[str],
    gallery_cameras: Sequence[str],
    *,
    protocol: str,
    query_keys: Sequence[str] = (),
    gallery_keys: Sequence[str] = (),
) -> Truth:
    """Find the rows of each query's identity, and those of them that the protocol counts; never the query's own image.

    Args:
        query_identities: Q texts; empty where unknown.
        gallery_identities: N texts.
        query_cameras: Q texts; empty where unknown.
        gallery_cameras: N texts.
        protocol: A name in `PROTOCOLS`.
        query_keys: Q texts, or none: which image a query is; empty where unknown.
        gallery_keys: N texts, or none. A row with the query's key is the query itself and counts as nothing.
    """
    same = _rows_of(query_identities, gallery_identities)
    itself = _rows_of(query_keys, gallery_keys) or [NOTHING] * len(same)
    known = {camera: code for code, camera in enumerate(dict.fromkeys(gallery_cameras)) if camera}
    if PROTOCOLS[protocol].same_camera_counts:
        known = {}
    seen_by = np.array([known.get(camera, -2) for camera in gallery_cameras], dtype=np.int64)
    # A query's camera that is unknown, or that the gallery has not, is never the same camera.
    cameras = np.array([known.get(camera, -1) for camera in query_cameras], dtype=np.int64)
    truth = Truth(same, itself, cameras, seen_by)
    why = tuple(
        (number, reason)
        for number, identity in enumerate(query_identities)
        if (reason := _reason(identity, same[number], truth.others(number), truth.hits(number)))
    )
    counts = Counter(reason for _, reason in why)
    truth.lost = Lost(**{name: counts[name] for name in REASONS}, why=why)
    return truth


def _reason(identity: str, same: IntArray, others: IntArray, hits: IntArray) -> str:
    """Return why a query has no true match; empty where it has one."""
    if len(hits):
        return ""
    if not identity:
        return "unknown"
    return "same_camera" if len(others) else "itself" if len(same) else "absent"


def _rows_of(wanted: Sequence[str], texts: Sequence[str]) -> list[IntArray]:
    """Return for each wanted text the rows that have it, ascending; none for an empty text."""
    names = set(wanted) - {""}
    rows: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        if text in names:
            rows.setdefault(text, []).append(row)
    arrays = {text: np.array(own, dtype=np.int64) for text, own in rows.items()}
    return [arrays.get(text, NOTHING) for text in wanted]
