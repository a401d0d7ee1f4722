"""The true hits of every query under a protocol, and the queries that have none."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from scing_cli.core.errors import DataError
from scing_cli.core.evaluation.protocol import PROTOCOLS, Choice, choose_protocol
from scing_cli.core.evaluation.side import Labels
from scing_cli.core.spectra import same_observations

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
        "same_scene": ("has true matches from its own scene only", "have true matches from their own scene only"),
    }
)
"""Why a query has no true match: of one query, of several."""
FILTERED: Mapping[str, str] = MappingProxyType({"cameras": "same_camera", "scenes": "same_scene"})
"""`Protocol.filter` -> the reason that it has left all true matches out."""


@dataclasses.dataclass(frozen=True, slots=True)
class Lost:
    """How many queries have no true match, by reason; they are not in any score.

    Args:
        unknown: The query's own identity is unknown.
        absent: The gallery has no row of that identity.
        same_camera: It has some, but all are of the query's own camera (protocol `market`).
        itself: The only row of that identity is the query's own image.
        same_scene: The gallery has some rows, but all are of the query's own scene (protocol `scene`).
        why: For each lost query its number and the reason, a key of `REASONS`, in query order.
    """

    unknown: int = 0
    absent: int = 0
    same_camera: int = 0
    itself: int = 0
    same_scene: int = 0
    why: tuple[tuple[int, str], ...] = dataclasses.field(default=(), compare=False)

    @property
    def total(self) -> int:
        """Number of queries without a true match."""
        return self.unknown + self.absent + self.same_camera + self.itself + self.same_scene

    def reasons(self, of: str = "image") -> str:
        """Say how many queries each reason took; empty where none is lost.

        Args:
            of: What the gallery's rows are: `image` or `caption`.

        >>> Lost(unknown=0, absent=2, same_camera=1).reasons()
        '2 have no image of their identity in the gallery, 1 has true matches from its own camera only'
        """
        counts = ((name, getattr(self, name)) for name in REASONS)
        return ", ".join(f"{count} {reason_of(name, count, of)}" for name, count in counts if count)


def reason_of(name: str, count: int, of: str = "image") -> str:
    """Return why queries have no true match, as the end of a sentence.

    Args:
        name: A key of `REASONS`.
        count: How many queries.
        of: What the gallery's rows are: `image` or `caption`.

    >>> reason_of("absent", 1, "caption")
    'has no caption of its identity in the gallery'
    """
    one, many = REASONS[name]
    return (one if count == 1 else many).replace("image", of)


class Truth:
    """The true hits of each query, and the rows that are never false hits of it; computed on access.

    Args:
        same: For each query the rows of its identity, ascending; one array per identity.
        itself: For each query the rows of its own image; empty where there is none.
        own: For each query a code of the label that the protocol compares, its camera or its scene; negative where that
            is unknown, or where nothing is left out.
        theirs: Shape (N,): the code of each gallery row's label.
    """

    def __init__(self, same: list[IntArray], itself: list[IntArray], own: IntArray, theirs: IntArray) -> None:
        self._same = same
        self._itself = itself
        self._own = own
        self._theirs = theirs
        self.lost = Lost()

    def __len__(self) -> int:
        return len(self._same)

    def others(self, number: int) -> IntArray:
        """Return the rows of a query's identity that are not the query itself, ascending."""
        same, itself = self._same[number], self._itself[number]
        return same[~np.isin(same, itself)] if len(itself) else same

    def hits(self, number: int) -> IntArray:
        """Return the true hits of a query, ascending."""
        others, own = self.others(number), self._own[number]
        return others if own < 0 else others[self._theirs[others] != own]

    def never_false(self, number: int) -> IntArray:
        """Return the rows of the query's identity and those of the query's own image, ascending."""
        same, itself = self._same[number], self._itself[number]
        return np.union1d(same, itself) if len(itself) else same


def protocol_of(name: str, query: Labels, gallery: Labels) -> Choice:
    """Return the protocol for two sides, as `choose_protocol` does for their cameras and scenes."""
    scenes = {"query_scenes": query.scenes, "gallery_scenes": gallery.scenes}
    return choose_protocol(name, query.cameras, gallery.cameras, **scenes)


def checked_truth(query: Labels, gallery: Labels, protocol: str, of: str = "image") -> tuple[str, Truth]:
    """Choose the protocol and find the true hits of each query; at least one query must have one.

    Args:
        query: The labels of Q queries.
        gallery: The labels of N gallery rows.
        protocol: A name in `PROTOCOLS`, or `auto`.
        of: What the gallery's rows are, for messages: `image` or `caption`.

    Returns:
        The name of the chosen protocol, and the truth under it.

    Raises:
        DataError: If no query has a true match; the message gives the reasons.
        SettingError: If the protocol is unknown.
    """
    name = protocol_of(protocol, query, gallery).name
    truth = find_truth(query, gallery, protocol=name)
    lost = truth.lost
    if lost.total < len(truth):
        return name, truth
    remedy = "Queries and gallery must show the same people: check the identities of both parts."
    if lost.same_camera:
        remedy = "If the cameras are not real ones, leave nothing out: --protocol no-camera."
    if lost.same_scene:
        remedy = "Another protocol leaves other rows out: --protocol market, or no-camera for none."
    raise DataError(
        f"None of the {lost.total} queries has a true match under the protocol {name}: {lost.reasons(of)}.", remedy
    )


def find_truth(query: Labels, gallery: Labels, *, protocol: str) -> Truth:
    """Find the rows of each query's identity, and those of them that are true hits under the protocol.

    A row of the query's own image (`own_rows`) is neither a true hit nor a false one, except under `text`.

    Args:
        query: The labels of Q queries.
        gallery: The labels of N gallery rows.
        protocol: A name in `PROTOCOLS`.
    """
    same = _rows_of(query.identities, gallery.identities)
    own_counts = PROTOCOLS[protocol].own_image_counts
    itself = ([] if own_counts else own_rows(query, gallery)) or [NOTHING] * len(same)
    compared = PROTOCOLS[protocol].filter
    own, theirs = (
        (getattr(side, compared) if compared else ()) or [""] * len(side.identities) for side in (query, gallery)
    )
    known = {label: code for code, label in enumerate(dict.fromkeys(theirs)) if label}
    # A query's label that is unknown, or that no gallery row has, is never the same one.
    codes = np.array([known.get(label, -1) for label in own], dtype=np.int64)
    truth = Truth(same, itself, codes, np.array([known.get(label, -2) for label in theirs], dtype=np.int64))
    kept_out = FILTERED.get(compared, "")
    why = tuple(
        (number, reason)
        for number, identity in enumerate(query.identities)
        if (reason := _reason(identity, same[number], truth.others(number), truth.hits(number), kept_out))
    )
    counts = Counter(reason for _, reason in why)
    truth.lost = Lost(**{name: counts[name] for name in REASONS}, why=why)
    return truth


def _reason(identity: str, same: IntArray, others: IntArray, hits: IntArray, kept_out: str) -> str:
    """Return why a query has no true match, `kept_out` if the protocol leaves all out; empty where it has one."""
    if len(hits):
        return ""
    if not identity:
        return "unknown"
    return kept_out if len(others) else "itself" if len(same) else "absent"


def own_rows(query: Labels, gallery: Labels) -> list[IntArray]:
    """Return for each query the rows of its own image, ascending; of several images, by `same_observations`."""
    if not (query.images or gallery.images):
        return _rows_of(query.keys, gallery.keys)
    wanted, shown = (side.images or [(key,) if key else () for key in side.keys] for side in (query, gallery))
    return [np.array(own, np.int64) for own in same_observations(wanted, shown)]


def _rows_of(wanted: Sequence[str], texts: Sequence[str]) -> list[IntArray]:
    """Return for each wanted text the rows that have it, ascending; none for an empty text."""
    names = set(wanted) - {""}
    rows: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        if text in names:
            rows.setdefault(text, []).append(row)
    arrays = {text: np.array(own, dtype=np.int64) for text, own in rows.items()}
    return [arrays.get(text, NOTHING) for text in wanted]
