"""Published counts of data sets, and a comparison of the user's data with the closest one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from scing_cli.core.layouts import LAYOUTS

PARTS = ("train", "query", "gallery")
COUNTED = ("identities", "images", "cameras", "captions")
IMAGES_NEAR = 0.02  # relative difference; beyond it, the data is considered different
IDENTITIES_NEAR = 0.1


@dataclasses.dataclass(frozen=True, slots=True)
class PartCount:
    """The counts of one part of a data set.

    Args:
        identities: Known identities; the distractors' 0000 counts as one, as in published counts.
        images: All rows.
        cameras: Known cameras.
        captions: Captions of all images; of published counts 0 if none are known.
    """

    identities: int
    images: int
    cameras: int
    captions: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Published:
    """The published counts of a data set.

    Args:
        layout: Its layout, a key of `LAYOUTS`.
        parts: Counts of train, query and gallery.
        source: The source of the counts, and their reliability.
        unsure: The counts without a source: identities, images, cameras or captions of all parts, or of one part,
            such as `gallery.identities`.
    """

    layout: str
    parts: Mapping[str, PartCount]
    source: str
    unsure: tuple[str, ...] = ()

    def doubts(self, part: str, what: str) -> bool:
        """Return whether a count has no source."""
        return what in self.unsure or f"{part}.{what}" in self.unsure


PUBLISHED: Mapping[str, Published] = MappingProxyType(
    {
        "Market-1501": Published(
            "market1501",
            {
                "train": PartCount(751, 12_936, 6),
                "query": PartCount(750, 3_368, 6),
                "gallery": PartCount(751, 15_913, 6),
            },
            "loaders of the data set; the gallery is 15,913 of 19,732 files without junk, 0000 counts as an identity",
        ),
        "DukeMTMC-reID": Published(
            "market1501",
            {
                "train": PartCount(702, 16_522, 8),
                "query": PartCount(702, 2_228, 8),
                "gallery": PartCount(1_110, 17_661, 8),
            },
            "loaders of the data set; 408 of the gallery's identities are distractors",
        ),
        "Occluded-Duke": Published(
            "market1501",
            {
                "train": PartCount(702, 15_618, 8),
                "query": PartCount(519, 2_210, 8),
                "gallery": PartCount(1_110, 17_661, 8),
            },
            "images: its paper; identities: widely quoted, not found in a source; cameras: DukeMTMC's",
            unsure=("identities", "cameras"),
        ),
        "Occluded-REID": Published(
            "occluded-reid",
            {
                "train": PartCount(0, 0, 0),
                "query": PartCount(200, 1_000, 0),
                "gallery": PartCount(200, 1_000, 0),
            },
            "its paper; test only, no cameras",
        ),
        "P-DukeMTMC-reID": Published(
            "p-dukemtmc",
            {
                "train": PartCount(665, 12_927, 0),
                "query": PartCount(634, 2_163, 0),
                "gallery": PartCount(634, 9_053, 0),
            },
            "its paper; that the gallery shows the queries' 634 identities: not found in a source; no cameras",
            unsure=("gallery.identities",),
        ),
        "Occluded-Market": Published(
            "occluded-market",
            {
                "train": PartCount(780, 9_287, 6),
                "query": PartCount(533, 2_343, 6),
                "gallery": PartCount(751, 15_913, 6),
            },
            "its paper and its lists; 0000 counts as an identity; cameras: Market-1501's",
            unsure=("cameras",),
        ),
        "VeRi-776": Published(
            "veri776",
            {
                "train": PartCount(576, 37_778, 20),
                "query": PartCount(200, 1_678, 20),
                "gallery": PartCount(200, 11_579, 20),
            },
            "widely quoted, not found in a source; cameras: those of the whole data set",
            unsure=("identities", "images", "cameras"),
        ),
        "RGBNT201": Published(
            "rgbnt201",
            {
                "train": PartCount(171, 3_951, 4),
                "query": PartCount(30, 836, 2),
                "gallery": PartCount(30, 836, 2),
            },
            "its files; the 836 observations of the test are both queries and gallery, as in all public code",
        ),
        "RGBNT100": Published(
            "rgbnt100",
            {
                "train": PartCount(50, 8_675, 8),
                "query": PartCount(50, 1_715, 8),
                "gallery": PartCount(50, 8_575, 8),
            },
            "its files, and a protocol of a later paper for the queries; cameras: those of the whole data set",
            unsure=("query.identities", "cameras"),
        ),
        "MSVR310": Published(
            "msvr310",
            {
                "train": PartCount(155, 1_032, 0),
                "query": PartCount(52, 591, 0),
                "gallery": PartCount(155, 1_055, 0),
            },
            "its files; queries are the gallery's identities of more than one scene, the other 103 are distractors",
        ),
        "MSMT17": Published(
            "msmt17",
            {
                "train": PartCount(1_041, 32_621, 15),
                "query": PartCount(3_060, 11_659, 15),
                "gallery": PartCount(3_060, 82_161, 15),
            },
            "its lists and its loaders; training with validation; identities of the queries: not found in a source",
            unsure=("query.identities",),
        ),
    }
)

OF_SPECTRA = frozenset(
    name for name, spec in LAYOUTS.items() if any(variant.spectra or variant.strips for variant in spec.variants)
)
"""Layouts of data sets of several spectra."""


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """A part whose counts differ from the published ones.

    Args:
        part: train, query or gallery.
        text: The found and the published value of every count that differs.
        sure: Whether at least one of these published counts has a source.
    """

    part: str
    text: str
    sure: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """The published data set that the data matches.

    Args:
        name: Its name.
        source: The source of its counts.
        parts: Its counts.
        differences: The parts whose counts differ, in the order of `PARTS`.
    """

    name: str
    source: str
    parts: Mapping[str, PartCount]
    differences: tuple[Difference, ...]


def compare(parts: Mapping[str, PartCount], *, layout: str = "") -> Comparison | None:
    """Compare counts with those of the closest published data set; None if none is close.

    If only one data set has the layout, the counts are compared with it, whatever is missing. Otherwise the data set
    with the most parts that match exactly is chosen, then the one with the closest counts. It matches if one part is
    exact, or if all parts are close: images within 2 %, identities within 10 %. Data sets whose numbers of images have
    no source, and those of several spectra, are compared only by layout. No published data set has a validation part:
    count its rows in train.

    Args:
        parts: The counts to compare.
        layout: The layout of the data; ignored if no published data set has it.

    >>> found = compare({**PUBLISHED["Market-1501"].parts, "query": PartCount(750, 3_367, 6)})
    >>> found.name, found.differences[0].text
    ('Market-1501', 'query has 3,367 images (published: 3,368)')
    >>> compare({"train": PartCount(3, 9, 2), "query": PartCount(3, 3, 2), "gallery": PartCount(3, 9, 2)}) is None
    True
    """
    known = [name for name, published in PUBLISHED.items() if published.layout == layout]
    sourced = [
        name
        for name, published in PUBLISHED.items()
        if "images" not in published.unsure and published.layout not in OF_SPECTRA
    ]
    best = min(known or sourced, key=lambda name: (-len(_exact(parts, PUBLISHED[name])), _distance(parts, name)))
    published = PUBLISHED[best]
    if len(known) != 1 and not _exact(parts, published) and not _is_near(parts, published):
        return None
    found = (difference(best, part, counts) for part, counts, _ in _pairs(parts, published))
    return Comparison(best, published.source, published.parts, tuple(each for each in found if each is not None))


def difference(name: str, part: str, found: PartCount) -> Difference | None:
    """Return how a part differs from that of a published data set; None if all counts agree."""
    return part_difference(PUBLISHED[name], part, found, PUBLISHED[name].parts[part])


def part_difference(published: Published, part: str, found: PartCount, expected: PartCount) -> Difference | None:
    """Return how a part differs from its published counts; None if all agree.

    Args:
        published: The data set, which says which of its counts have no source.
        part: The part's name.
        found: The counts of the data.
        expected: The published counts.
    """
    counts, known = map(dataclasses.asdict, (found, expected))
    wrong = [what for what in COUNTED if counts[what] != known[what] and (what != "captions" or known[what])]
    if not wrong:
        return None
    text = ", ".join(f"{counts[what]:,} {what} (published: {known[what]:,})" for what in wrong)
    return Difference(part, f"{part} has {text}", not all(published.doubts(part, what) for what in wrong))


def trained_on(name: str) -> str:
    """Return the published data set that models tested on this one are trained on: itself, if it has a training part.

    >>> trained_on("Occluded-REID"), trained_on("Occluded-Duke")
    ('Market-1501', 'Occluded-Duke')
    """
    return LAYOUTS[PUBLISHED[name].layout].train_on or name


def _pairs(parts: Mapping[str, PartCount], published: Published) -> Iterator[tuple[str, PartCount, PartCount]]:
    """Yield each part with its found and its published counts."""
    for part in PARTS:
        yield part, parts.get(part, PartCount(0, 0, 0)), published.parts[part]


def _exact(parts: Mapping[str, PartCount], published: Published) -> list[str]:
    """Return the non-empty parts whose numbers of images, identities and cameras are as published."""
    return [
        part
        for part, found, known in _pairs(parts, published)
        if known.images
        and (found.images, found.identities) == (known.images, known.identities)
        and (found.cameras == known.cameras or published.doubts(part, "cameras"))
    ]


def _is_near(parts: Mapping[str, PartCount], published: Published) -> bool:
    return all(
        _relative(found.images, known.images) <= IMAGES_NEAR
        and _relative(found.identities, known.identities) <= IDENTITIES_NEAR
        for _, found, known in _pairs(parts, published)
    )


def _distance(parts: Mapping[str, PartCount], name: str) -> float:
    """Return the sum of the relative differences of the image counts."""
    return sum(_relative(found.images, known.images) for _, found, known in _pairs(parts, PUBLISHED[name]))


def _relative(found: int, known: int) -> float:
    return abs(found - known) / known if known else float("inf") if found else 0.0
