"""What the name of a folder says: a part of a data set, a camera, a date, or only that it holds images.

Such names are no people's names. Nothing here looks at the disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from scing_cli.core.errors import DataError
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import SPLITS

SPLIT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{name: name for name in SPLITS},
        "training": "train",
        "valid": "val",
        "validation": "val",
        "queries": "query",
        "probe": "query",
        "probes": "query",
        "galleries": "gallery",
    }
)
"""Folder names that name a split, in lower case. `test` is the gallery where a folder holds the queries."""

_PARTS = frozenset({*SPLIT_NAMES, "test", "testing", "trainval", "trainset", "testset", "valset", "eval", "evaluation"})
_HOLDERS = frozenset(
    {
        *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "crop", "crops", "cropped"),
        *("frame", "frames", "data", "dataset", "datasets", "people", "persons", "identities", "ids"),
        *("jpg", "jpeg", "png", "bmp", "labeled", "labelled", "detected", "raw"),
        *("rgb", "ir", "nir", "ni", "tir", "ti", "th", "vis", "visible", "infrared", "thermal", "near"),
    }
)
_FURTHER = frozenset(
    {
        *("all", "bounding", "bbox", "box", "boxes", "list", "lists", "mask", "multi", "new", "set", "sets"),
        *("split", "splits", "v"),
    }
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_MONTH, _DAY = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_DATE = re.compile(rf"(?:19|20)[0-9]{{2}}(?:([-_.]?){_MONTH}\1{_DAY}|[-_.]{_MONTH})")
_SURE_CAMERA = re.compile(r"(?:cam|camera)(?:[ _-]?(?:[0-9]{1,4}|[a-z])|[_-].+)", re.IGNORECASE)
_CAMERA = re.compile(r"c[0-9]{1,3}|(?:ch|channel|view)[ _-]?[0-9]{1,3}", re.IGNORECASE)


def is_part(name: str) -> bool:
    """Return whether a folder is named like a part of a data set.

    >>> [name for name in ("bbox_train", "image_query", "Test", "query3", "train driver", "anna") if is_part(name)]
    ['bbox_train', 'image_query', 'Test', 'query3']
    """
    words = _words(name)
    return bool(_PARTS & words) and words <= _PARTS | _HOLDERS | _FURTHER


def is_holder(name: str) -> bool:
    """Return whether a folder's name says only that it holds images, or images of one kind.

    >>> [name for name in ("images_labeled", "RGB", "imgs", "crops 2", "person 1") if is_holder(name)]
    ['images_labeled', 'RGB', 'imgs', 'crops 2']
    """
    words = _words(name)
    return bool(_HOLDERS & words) and words <= _HOLDERS | _FURTHER


def is_date(name: str) -> bool:
    """Return whether a folder is named by a day or a month.

    >>> [name for name in ("2024-05-01", "20240501", "2024_05", "202405", "0001") if is_date(name)]
    ['2024-05-01', '20240501', '2024_05']
    """
    return _DATE.fullmatch(name) is not None


def named_cameras(names: Iterable[str]) -> list[str]:
    """Return those of some sibling folders that are named like cameras.

    A short name such as `c01` may also be that of a person. It counts only if all of them are named like cameras.

    >>> named_cameras(["cam_a", "cam_b", "Market"]), named_cameras(["c01", "c02"]), named_cameras(["b1", "c1"])
    (['cam_a', 'cam_b'], ['c01', 'c02'], [])
    """
    names = list(names)
    sure = [name for name in names if _SURE_CAMERA.fullmatch(name)]
    if all(name in sure or _CAMERA.fullmatch(name) for name in names):
        return names
    return sure if len(sure) > 1 else []


def split_parts(names: Iterable[str]) -> Parts:
    """Return the folders of each split among some sibling folders, in the order of the splits.

    Raises:
        DataError: If two folders name the same split.

    >>> dict(split_parts(["Train", "probe", "test", "notes"]))
    {'train': ('Train',), 'query': ('probe',), 'gallery': ('test',)}
    """
    names = list(names)
    found: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in names:
        if name.lower() in SPLIT_NAMES:
            found[SPLIT_NAMES[name.lower()]].append(name)
    if found["query"] and not found["gallery"]:
        found["gallery"] = [name for name in names if name.lower() == "test"]
    for split, folders in found.items():
        if len(folders) > 1:
            raise DataError(
                f"The folders {' and '.join(folders)} both name the split {split}.", "Keep one of them there."
            )
    return {split: tuple(folders) for split, folders in found.items() if folders}


def _words(name: str) -> frozenset[str]:
    """Return the words of a name in lower case, without numbers; empty if it has signs other than ` _-.`."""
    if _WORD.sub("", name).strip(" _-."):
        return frozenset()
    return frozenset(word.lower() for word in _WORD.findall(name) if not word.isdecimal())
