"""The true hits of every query under a protocol, and the queries that have none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scing_cli.core.evaluation.protocol import PROTOCOLS

IntArray = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """How many queries have no true match left, by reason; they are not counted in any score.

    Args:
        unknown: The query's own identity is unknown.
        absent: The gallery has no row of that identity.
        same_camera: It has some, but all are of the query's own camera (protocol `market`).
    """

    unknown: int
    absent: int
    same_camera: int

    @property
    def total(self) -> int:
        """How many queries are not counted."""
        return self.unknown + self.absent + self.same_camera

    def reasons(self) -> str:
        """Say how many queries each reason took; empty where none is lost.

        >>> Lost(unknown=0, absent=2, same_camera=1).reasons()
        '2 have no image of their identity in the gallery, 1 has true matches from its own camera only'
        """
        one = {
            "have no identity": self.unknown,
            "have no image of their identity in the gallery": self.absent,
            "have true matches from their own camera only": self.same_camera,
        }
        texts = ((f"{count} {text}", count) for text, count in one.items() if count)
        return ", ".join(
            text.replace(" have ", " has ").replace(" their ", " its ") if count == 1 else text for text, count in texts
        )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The gallery rows of each query's identity. Q queries, N gallery rows.

    Args:
        same: Q arrays: the rows of the query's identity, ascending. None of them is ever a false row.
        hits: Q arrays: those of them that count as true hits.
        lost: How many queries have no true hit, and why.
    """

    same: list[IntArray]
    hits: list[IntArray]
    lost: Lost


def find_truth(
    query_identities: Sequence[str],
    gallery_identities: Sequence[str],
    query_cameras: Sequence[str],
    gallery_cameras: Sequence[str],
    *,
    protocol: str,
) -> Truth:
    """Find the rows of each query's identity, and those of them that the protocol counts.

    Args:
        query_identities: Q texts; empty where unknown.
        gallery_identities: N texts.
        query_cameras: Q texts; empty where unknown.
        gallery_cameras: N texts.
        protocol: A name in `PROTOCOLS`.
    """
    rows = _rows_by_identity(gallery_identities)
    nothing = np.empty(0, dtype=np.int64)
    same = [rows.get(identity, nothing) for identity in query_identities]
    hits = same
    if not PROTOCOLS[protocol].same_camera_counts:
        codes = {camera: code for code, camera in enumerate(dict.fromkeys(gallery_cameras)) if camera}
        seen_by = np.array([codes.get(camera, -1) for camera in gallery_cameras], dtype=np.int64)
        # -2: a query's camera that is unknown, or that the gallery has not, is never the same camera.
        own_codes = [codes.get(camera, -2) for camera in query_cameras]
        hits = [own[seen_by[own] != code] for own, code in zip(same, own_codes, strict=True)]
    return Truth(same, hits, _count_lost(query_identities, same, hits))


def _rows_by_identity(identities: Sequence[str]) -> dict[str, IntArray]:
    """Return each known identity's rows, ascending."""
    rows: dict[str, list[int]] = {}
    for row, identity in enumerate(identities):
        if identity:
            rows.setdefault(identity, []).append(row)
    return {identity: np.array(own, dtype=np.int64) for identity, own in rows.items()}


def _count_lost(identities: Sequence[str], same: list[IntArray], hits: list[IntArray]) -> Lost:
    unknown = sum(not identity for identity in identities)
    absent = sum(len(own) == 0 for own in same) - unknown
    without = sum(len(own) == 0 for own in hits)
    return Lost(unknown=unknown, absent=absent, same_camera=without - absent - unknown)
