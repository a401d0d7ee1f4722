"""Which gallery rows are ranked for a query.

`market`: rows of the query's identity **and** its camera are left out of the ranking. `no-camera`: nothing is left out.
An identity that is unknown (an empty text) matches nothing, not even another unknown one; a camera that is unknown is
never the same camera. Under both protocols, a row that is the query's own image is left out. `text`: for captions and
images; nothing is left out, not even the image that a caption describes.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence

from scing_cli.core.errors import SettingError


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol.

    Args:
        summary: What it does, for help texts.
        same_camera_counts: Whether a row of the query's identity seen by the query's camera is a true hit.
        own_image_counts: Whether a row with the query's own key is ranked.
    """

    summary: str
    same_camera_counts: bool
    own_image_counts: bool = False


TEXT = "text"
PROTOCOLS: Mapping[str, Protocol] = types.MappingProxyType(
    {
        "market": Protocol("rows of the query's own identity and camera are left out", same_camera_counts=False),
        "no-camera": Protocol("nothing is left out: for data without cameras", same_camera_counts=True),
        TEXT: Protocol(
            "nothing is left out, not even the image that a caption describes: for words and images",
            same_camera_counts=True,
            own_image_counts=True,
        ),
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """The protocol in use, and a sentence that says why."""

    name: str
    reason: str


def choose_protocol(name: str, query_cameras: Sequence[str], gallery_cameras: Sequence[str]) -> Choice:
    """Return the protocol of `auto`, or the one that is named.

    `auto` takes `no-camera` where one side names no camera, or both together name just one: a same-camera filter would
    then take every true match away, or none.

    Args:
        name: What the user asked for.
        query_cameras: One text per query; empty where unknown.
        gallery_cameras: One text per gallery row; empty where unknown.

    Raises:
        SettingError: If the name is unknown; the message lists the known ones.

    >>> choose_protocol("auto", ["1", "2"], ["1", "2", "2"])
    Choice(name='market', reason='the data names 2 cameras')
    >>> choose_protocol("auto", ["", ""], ["1", "2", "2"]).reason
    'no camera is known of the queries'
    """
    if name in PROTOCOLS:
        return Choice(name, "asked for")
    if name != "auto":
        raise SettingError(f"--protocol {name!r} is unknown.", f"Known: auto, {', '.join(PROTOCOLS)}.")
    sides = {"the queries": set(query_cameras) - {""}, "the gallery": set(gallery_cameras) - {""}}
    if silent := [side for side, cameras in sides.items() if not cameras]:
        return Choice("no-camera", f"no camera is known of {' and '.join(silent)}")
    cameras = set.union(*sides.values())
    if len(cameras) == 1:
        return Choice("no-camera", f"all images are of one camera ({min(cameras)})")
    return Choice("market", f"the data names {len(cameras)} cameras")
