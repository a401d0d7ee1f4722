"""Other names under which tables keep what the columns that are read hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from scing_cli.core.manifest import CAPTION_COLUMN

_NUMBERED_CAPTION = re.compile(r"\s*captions?[\s_-]*([0-9]{1,4})\s*", re.IGNORECASE)
OTHER_NAMES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "path": frozenset(
            {
                *(
                    "imgpath",
                    "imagepath",
                    "impath",
                    "filepath",
                    "filename",
                    "file",
                    "fname",
                    "image",
                    "img",
                    "imagefile",
                ),
                *("imagefile", "imgfile", "imagename", "imgname", "imageid", "imgid", "photo", "crop", "croppath"),
                *("rgb", "rgbpath", "vis", "vispath", "visible", "visiblepath", "visibleimage", "rgbimage"),
            }
        ),
        "identity": frozenset(
            {
                *("pid", "pids", "personid", "person", "personname", "id", "ids", "identityid", "identities", "label"),
                *(
                    "labels",
                    "target",
                    "subject",
                    "subjectid",
                    "vid",
                    "vehicleid",
                    "vehicle",
                    "objectid",
                    "class",
                    "classid",
                ),
                *("class", "classid", "who", "name"),
            }
        ),
        "camera": frozenset({"cam", "cams", "camid", "camids", "cameraid", "cameraname", "camname", "cid", "camno"}),
        "split": frozenset({"subset", "set", "part", "partition", "phase", "fold", "usage"}),
        "caption": frozenset({"captions", "text", "texts", "description", "descriptions", "sentence", "sentences"}),
        "near_infrared": frozenset(
            {
                *("nearinfrared", "nir", "ni", "ir", "infrared", "nearir", "nirpath", "irpath", "infraredpath"),
                *("nirimage", "irimage", "nearinfraredpath", "nearinfraredimage", "infraredimage"),
            }
        ),
        "thermal": frozenset(
            {
                *("thermal", "tir", "ti", "th", "thermalinfrared", "farinfrared", "lwir", "thermalir", "tirpath"),
                *("thermalpath", "thermalimage", "tirimage", "thermalinfraredpath", "heat"),
            }
        ),
        "scene": frozenset({"scene", "scenes", "sceneid", "scenename", "scn"}),
    }
)
"""Column -> its other names, in lower case and without spaces, hyphens and underscores."""
CONTENTS: Mapping[str, str] = MappingProxyType({"near_infrared": "near-infrared images", "thermal": "thermal images"})
"""What a column holds, where its name alone does not say so in a sentence."""


def other_names(header: Iterable[str]) -> dict[str, str]:
    """Return the columns that are not in a header, each with the column that likely holds the same.

    >>> other_names(["img_path", "Person ID", "camera", "weather"])
    {'path': 'img_path', 'identity': 'Person ID'}
    """
    names = list(header)
    found: dict[str, str] = {}
    for column, others in OTHER_NAMES.items():
        alike = [name for name in names if re.sub(r"[\s_-]", "", name).lower() in others]
        if alike and column not in names:
            found[column] = alike[0]
    return found


def renaming(header: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each column that is not read, but likely holds what another one should."""
    header = list(header)
    for column, name in other_names(header).items():
        if column != "path":
            holds = CONTENTS.get(column, column)
            yield f"The column {name!r} is not read. If it holds the {holds}, rename it to {column}."
    for name in header:
        numbered = _NUMBERED_CAPTION.fullmatch(name)
        if numbered and not CAPTION_COLUMN.fullmatch(name.strip().lower()):
            right = "caption" if int(numbered[1]) < 2 else f"caption_{int(numbered[1])}"
            yield f"The column {name!r} is not read. If it holds captions, rename it to {right}."
