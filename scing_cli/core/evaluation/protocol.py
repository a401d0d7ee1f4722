"""Which gallery rows are ranked for a query.

`market`: rows of the query's identity **and** its camera are left out of the ranking. `scene`: the same with scenes, as
for MSVR310. `no-camera`: nothing is left out. An identity that is unknown (an empty text) matches nothing, not even
another unknown one; a camera or scene that is unknown is never the same one. Under these protocols, a row that is the
query's own image is left out. `text`: for captions and images; nothing is left out, not even the image that a caption
describes.
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
        filter: The labels that leave a row of the query's identity out where they equal the query's: a field of
            `side.Labels`; empty if nothing is left out.
        own_image_counts: Whether a row with the query's own key is ranked.
    """

    summary: str
    filter: str = ""
    own_image_counts: bool = False


TEXT = "text"
SCENE = "scene"
PROTOCOLS: Mapping[str, Protocol] = types.MappingProxyType(
    {
        "market": Protocol("rows of the query's own identity and camera are left out", filter="cameras"),
        SCENE: Protocol("rows of the query's own identity and scene are left out", filter="scenes"),
        "no-camera": Protocol("nothing is left out: for data without cameras"),
        TEXT: Protocol(
            "nothing is left out, not even the image that a caption describes: for words and images",
            own_image_counts=True,
        ),
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """The protocol in use, and a sentence that says why."""

    name: str
    reason: str


def choose_protocol(
    name: str,
    query_cameras: Sequence[str],
    gallery_cameras: Sequence[str],
    *,
    query_scenes: Sequence[str] = (),
    gallery_scenes: Sequence[str] = (),
) -> Choice:
    """Return the protocol of `auto`, or the one that is named.

    `auto` takes `scene` where every row of both sides has a scene, and they are not all the same one. Without scenes it
    takes `no-camera` where one side names no camera, or both together name just one: a same-camera filter would then
    take every true match away, or none.

    Args:
        name: What the user asked for.
        query_cameras: One text per query; empty where unknown.
        gallery_cameras: One text per gallery row; empty where unknown.
        query_scenes: The same for scenes; none if the data have no scenes.
        gallery_scenes: The same for scenes.

    Raises:
        SettingError: If the name is unknown; the message lists the known ones. If it is `scene`, and no scene is known
            of one side.

    >>> choose_protocol("auto", ["1", "2"], ["1", "2", "2"])
    Choice(name='market', reason='the data names 2 cameras')
    >>> choose_protocol("auto", ["", ""], ["1", "2", "2"]).reason
    'no camera is known of the queries'
    """
    scenes = {"the queries": set(query_scenes) - {""}, "the gallery": set(gallery_scenes) - {""}}
    if name == SCENE and (silent := [side for side, known in scenes.items() if not known]):
        raise SettingError(
            f"--protocol {SCENE}: no scene is known of {' and '.join(silent)}.",
            "A CSV names scenes in its column scene. Without scenes: --protocol market or no-camera.",
        )
    if name in PROTOCOLS:
        return Choice(name, "asked for")
    if name != "auto":
        raise SettingError(f"--protocol {name!r} is unknown.", f"Known: auto, {', '.join(PROTOCOLS)}.")
    sides = {"the queries": set(query_cameras) - {""}, "the gallery": set(gallery_cameras) - {""}}
    if all(sides.values()) and len(cameras := set.union(*sides.values())) > 1:
        return Choice("market", f"the data names {len(cameras)} cameras")
    if all(own and all(own) for own in (query_scenes, gallery_scenes)) and len(set.union(*scenes.values())) > 1:
        return Choice(SCENE, f"every image names its scene, {len(set.union(*scenes.values()))} scenes")
    named = [scene for own in (query_scenes, gallery_scenes) for scene in own]
    partly = (
        f"; scenes are not used: {named.count('')} of {len(named)} images name none"
        if any(named) and "" in named
        else ""
    )
    if silent := [side for side, cameras in sides.items() if not cameras]:
        return Choice("no-camera", f"no camera is known of {' and '.join(silent)}{partly}")
    return Choice("no-camera", f"all images are of one camera ({min(set.union(*sides.values()))}){partly}")
