"""Hold out a share of the people for testing: all their images become queries and gallery."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Sequence

from scing_cli.core.errors import DataError, SettingError, counted, spelled
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import draw_seed

LEAST = 2  # people for training, and people for testing
EXAMPLE = 0.3


@dataclasses.dataclass(frozen=True, slots=True)
class HeldOut:
    """A manifest whose people are divided into people for training and people for testing.

    Args:
        manifest: The rows, with their new splits.
        trained: The number of people for training.
        tested: The number of people for testing.
        queries: The number of queries.
        untestable: The number of people who cannot be tested, because no query would have a true match.
    """

    manifest: Manifest
    trained: int
    tested: int
    queries: int
    untestable: int


def divide_people(manifest: Manifest, share: float, *, seed: int, unreadable: Collection[str] = ()) -> HeldOut:
    """Divide the people at random: a share of them is for testing, the others are for training.

    A query is one image per person and camera. An image stays in the gallery instead if a query would otherwise have
    no true match there: one by another camera if the data has cameras, or else another image. Rows of `val` and rows
    without an identity stay as they are. The result depends on the seed and the rows, not on their order.

    Args:
        manifest: Rows for training or without a split.
        share: The share of the people, more than 0 and less than 1. At least two people are held out.
        seed: Determines people and queries.
        unreadable: Paths of images that cannot be read: they are neither queries nor matches.

    Raises:
        SettingError: If the share is not between 0 and 1.
        DataError: If the data has queries or a gallery already, or too few people.
    """
    if not 0 < share < 1:
        raise SettingError(f"--hold-out {share:g}: must be more than 0 and less than 1.", f"For example: {EXAMPLE}")
    divided = {"query", "gallery"}.intersection(manifest.splits())
    if divided:
        raise DataError(
            f"--hold-out: {spelled(manifest.name)} has images in the split {min(divided)} already.",
            "Leave --hold-out out: the data is divided as it is.",
        )
    people = _people(manifest)
    wanted = max(LEAST, round(share * len(people)))
    _check_enough(manifest, share, len(people), wanted)
    cameras = len(manifest.cameras()) > 1
    chosen = {name: _queries(name, rows, cameras, seed, unreadable) for name, rows in people.items()}
    testable = sorted(name for name, queries in chosen.items() if queries)
    if len(testable) < LEAST:
        match = "by another camera" if cameras else "of the same person"
        raise DataError(
            f"--hold-out: {len(testable)} of {len(people)} people in {spelled(manifest.name)} can be tested; at least "
            f"{LEAST} are needed. A query needs another image {match}.",
            "Add images of these people.",
        )
    dice = random.Random(draw_seed(seed, "hold-out"))  # noqa: S311 - a choice of people, not a secret
    tested = set(dice.sample(testable, min(wanted, len(testable))))
    queries = {path for name in tested for path in chosen[name]}
    rows = dict.fromkeys(_divided(row, row.identity in people, row.identity in tested, queries) for row in manifest)
    return HeldOut(
        dataclasses.replace(manifest, samples=tuple(rows)),
        len(people) - len(tested),
        len(tested),
        len(queries),
        len(people) - len(testable),
    )


def _people(manifest: Manifest) -> dict[str, list[Sample]]:
    """Return the rows of each person that has no row in `val`, sorted by path."""
    validated = {row.identity for row in manifest if row.split == "val"} | {""}
    people: dict[str, list[Sample]] = {}
    for row in sorted(manifest, key=lambda row: row.path):
        if row.identity not in validated:
            people.setdefault(row.identity, []).append(row)
    return people


def _check_enough(manifest: Manifest, share: float, people: int, wanted: int) -> None:
    if not people:
        raise DataError(
            f"--hold-out: no image of {spelled(manifest.name)} for training shows a named person.",
            "Use folders of people (--layout identity-folders), or a CSV with the column identity.",
        )
    if people < 2 * LEAST:
        raise DataError(
            f"--hold-out needs at least {2 * LEAST} people, {LEAST} for training and {LEAST} for testing; "
            f"{spelled(manifest.name)} has {people}.",
            "Add people, or write the column split of a CSV yourself.",
        )
    if people - wanted < LEAST:
        left = counted(people - wanted, "person", "people")
        raise DataError(
            f"--hold-out {share} leaves {left} of {people} for training; at least {LEAST} are needed.",
            "Choose a smaller share.",
        )


def _queries(name: str, rows: Sequence[Sample], cameras: bool, seed: int, unreadable: Collection[str]) -> set[str]:
    """Return the paths of a person's queries: one per camera, as far as every query keeps a true match."""
    dice = random.Random(draw_seed(seed, "hold-out", name))  # noqa: S311 - a choice of images, not a secret
    views: dict[str, list[Sample]] = {}
    for row in rows:
        if row.path not in unreadable:
            views.setdefault(row.camera if cameras else "", []).append(row)
    gallery = [row for view in views.values() for row in view]
    queries: list[Sample] = []
    for camera in dice.sample(sorted(views), len(views)):
        query = dice.choice(views[camera])
        rest = [row for row in gallery if row.path != query.path]
        if all(_has_match(each, rest, cameras) for each in (*queries, query)):
            queries.append(query)
            gallery = rest
    return {query.path for query in queries}


def _has_match(query: Sample, gallery: Sequence[Sample], cameras: bool) -> bool:
    """Return whether a query has a true match among the images of its person."""
    if not cameras:
        return bool(gallery)
    # An unknown camera is never the same camera, as in the evaluation.
    return any(not row.camera or row.camera != query.camera for row in gallery)


def _divided(row: Sample, known: bool, tested: bool, queries: Collection[str]) -> Sample:
    if not known:
        return row
    split = "train" if not tested else "query" if row.path in queries else "gallery"
    return dataclasses.replace(row, split=split)
