"""Join several data sets into one. People and cameras of different data sets stay different people and cameras."""

from __future__ import annotations

import dataclasses
import functools
import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.datasets.dataset import DataSet
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.manifest import Manifest, Sample, relative_path

LONGEST_NAME = 60  # characters of a joint name, which becomes part of a folder's name


def join_data(sources: Sequence[DataSet]) -> DataSet:
    """Return the rows of several data sets as one.

    Each known identity and camera has the name of its data set in front, as in `Market-1501/0002`.

    Args:
        sources: The data sets; they must not share an image.

    Raises:
        DataError: If an image is in two of them.
    """
    manifests = [source.manifest for source in sources]
    names = unique_names([manifest.name for manifest in manifests])
    _check_apart(manifests)
    named = [_named(manifest, name) for manifest, name in zip(manifests, names, strict=True)]
    joint = join_manifests(named)
    first = next((row.identity or row.camera for row in joint if row.identity or row.camera), "")
    example = f", as in {spelled(first)}" if first else ""
    renamed = tuple(
        f"{spelled(manifest.root)} is named {spelled(name)} there, because another data set is named "
        f"{spelled(manifest.name)} too."
        for manifest, name in zip(manifests, names, strict=True)
        if name != manifest.name
    )
    note = f"People and cameras have the name of their data set in front{example}."
    return DataSet(
        joint,
        "csv",
        junk=sum(source.junk for source in sources),
        dropped=tuple(dropped for source in sources for dropped in source.dropped),
        notes=(note, *renamed),
        warnings=tuple(dict.fromkeys(warning for source in sources for warning in source.warnings)),
        passed=tuple(passed for source in sources for passed in source.passed),
    )


def join_manifests(manifests: Sequence[Manifest]) -> Manifest:
    """Return the rows of several manifests, in order; paths are relative to the folder that all of them share."""
    roots = [manifest.root.resolve() for manifest in manifests]
    try:
        common = Path(os.path.commonpath(roots))
    except ValueError:  # on several Windows drives: the paths of the others become absolute
        common = roots[0]
    samples: list[Sample] = []
    for manifest in manifests:
        prefix = relative_path(common, manifest.root)
        samples += (row.with_paths(functools.partial(posixpath.join, prefix)) for row in manifest)
    return Manifest(common, tuple(samples), _joint_name([manifest.name for manifest in manifests]))


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names of which no two are equal; repeated ones get a number.

    >>> unique_names(["a", "b", "a", "a-2"])
    ['a', 'b', 'a-3', 'a-2']
    """
    taken = set(names)
    found: list[str] = []
    for name in names:
        free = name
        number = 2
        while free in found or (free != name and free in taken):
            free, number = f"{name}-{number}", number + 1
        found.append(free)
    return found


def _joint_name(names: Sequence[str]) -> str:
    joint = "+".join(names)
    return joint if len(joint) <= LONGEST_NAME else f"{names[0][: LONGEST_NAME - 10]}+{len(names) - 1}-more"


def _named(manifest: Manifest, name: str) -> Manifest:
    def in_front(value: str) -> str:
        return f"{name}/{value}" if value else ""

    rows = (dataclasses.replace(row, identity=in_front(row.identity), camera=in_front(row.camera)) for row in manifest)
    return dataclasses.replace(manifest, samples=tuple(rows))


def _check_apart(manifests: Sequence[Manifest]) -> None:
    """Raise if two data sets share an image: its person would count as two people."""
    owners: dict[str, int] = {}
    for number, manifest in enumerate(manifests):
        root = os.path.realpath(manifest.root)
        for path in dict.fromkeys(path for sample in manifest for path in sample.paths):
            key = os.path.normpath(os.path.join(root, path))  # noqa: PTH118 - faster than pathlib, for every image
            other = owners.setdefault(key, number)
            if other != number:
                both = (f"{spelled(each.name)} ({spelled(each.root)})" for each in (manifests[other], manifest))
                raise DataError(
                    f"{spelled(key)} is in two of the data sets: in {' and in '.join(both)}.",
                    "Name each data set once: --data A --data B.",
                )
