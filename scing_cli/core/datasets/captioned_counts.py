"""Published counts of data sets with captions, whose layouts say which data set it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from scing_cli.core.datasets.published_counts import Comparison, PartCount, Published, part_difference

WHOLE = "the whole"
"""The part of counts that are published of a whole data set alone."""
CAPTIONED: Mapping[str, Published] = MappingProxyType(
    {
        "CUHK-PEDES": Published(
            "cuhk-pedes",
            {
                "train": PartCount(11_003, 34_054, 0, 68_126),
                "val": PartCount(1_000, 3_078, 0, 6_158),
                "gallery": PartCount(1_000, 3_074, 0, 6_156),
            },
            "widely quoted; of its 40,206 images, a paper counts 40,208",
            unsure=("identities", "images", "cameras", "captions"),
        ),
        "ICFG-PEDES": Published(
            "icfg-pedes",
            {"train": PartCount(3_102, 34_674, 15, 34_674), "gallery": PartCount(1_000, 19_848, 15, 19_848)},
            "its loaders; identities of the parts: not found in a source; cameras: those of the whole data set",
            unsure=("identities", "cameras"),
        ),
        "RSTPReid": Published(
            "rstpreid",
            {
                "train": PartCount(3_701, 18_505, 15, 37_010),
                "val": PartCount(200, 1_000, 15, 2_000),
                "gallery": PartCount(200, 1_000, 15, 2_000),
            },
            "its authors, with two captions per image; cameras: those of the whole data set",
            unsure=("cameras",),
        ),
        "UFine6926": Published("ufine6926", {WHOLE: PartCount(6_926, 26_206, 0, 52_412)}, "its authors"),
        "UFine3C": Published("ufine6926", {WHOLE: PartCount(2_250, 7_446, 0, 37_939)}, "its authors"),
    }
)


def compare_captioned(parts: Mapping[str, PartCount], whole: PartCount, *, layout: str) -> Comparison:
    """Compare counts with those of the data set of a layout; of several, of the one with the closest number of images.

    Args:
        parts: The counts of each part. Without val, the published counts of val are added to those of train.
        whole: The counts of all parts together.
        layout: A layout of `CAPTIONED`.

    >>> found = compare_captioned({}, PartCount(2_250, 7_400, 0, 37_939), layout="ufine6926")
    >>> found.name, found.differences[0].text
    ('UFine3C', 'the whole has 7,400 images (published: 7,446)')
    """
    names = [name for name, published in CAPTIONED.items() if published.layout == layout]
    name = min(names, key=lambda name: abs(_images(CAPTIONED[name]) - whole.images))
    published = CAPTIONED[name]
    known = dict(published.parts) if "val" in parts else _joint(published.parts)
    found = {**parts, WHOLE: whole}
    pairs = [(part, found.get(part, PartCount(0, 0, 0)), count) for part, count in known.items()]
    differences = (part_difference(published, part, count, expected) for part, count, expected in pairs)
    return Comparison(name, published.source, known, tuple(each for each in differences if each is not None))


def _images(published: Published) -> int:
    return sum(count.images for count in published.parts.values())


def _joint(parts: Mapping[str, PartCount]) -> dict[str, PartCount]:
    """Return counts with those of val added to those of train."""
    joint = {part: count for part, count in parts.items() if part != "val"}
    if "val" in parts:
        train, val = parts["train"], parts["val"]
        joint["train"] = PartCount(
            train.identities + val.identities,
            train.images + val.images,
            max(train.cameras, val.cameras),
            train.captions + val.captions,
        )
    return joint
