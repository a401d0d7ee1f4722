"""The rows of an index, hits and filters: a row says which image a vector belongs to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scing_cli.core.artifacts import file_digest
from scing_cli.core.index.observed import file_state, joint_digest, observed_images, observed_state
from scing_cli.core.paths import lasting
from scing_cli.core.spectra import VISIBLE, Observation, Source, View

FURTHER = ("views", "scene")  # columns that a file has only if a row has a value
LABELS = ("identity", "camera", "scene")  # what is known of an image from outside, and may change
Labels = tuple[str, str, str]
Names = frozenset[str]
NONE: Names = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """An image file, or the files of an observation, as they were when they were embedded.

    Args:
        path: Absolute POSIX path; of an observation that of its first image.
        size: Size in bytes, of all files.
        mtime: Time of the last change of any file, in nanoseconds since 1970.
        digest: SHA-256 of the file, hexadecimal; of several files that of their digests.
        identity: The person; empty if unknown.
        camera: The camera; empty if unknown.
        views: The images of an observation, as `observed_images` reads them; empty for an ordinary image.
        scene: When and where it was taken; empty if unknown.
    """

    path: str
    size: int = 0
    mtime: int = 0
    digest: str = ""
    identity: str = ""
    camera: str = ""
    views: str = ""
    scene: str = ""


class Row(NamedTuple):
    """One row of an index: an `Entry` with its permanent id."""

    # A tuple and not a dataclass, because reading an index makes one object per image.
    id: int
    path: str
    size: int
    mtime: int
    digest: str
    identity: str
    camera: str
    views: str = ""
    scene: str = ""

    @classmethod
    def of(cls, number: int, entry: Entry) -> Row:
        """Return the row of an entry."""
        named = (entry.path, entry.size, entry.mtime, entry.digest, entry.identity, entry.camera)
        return cls(number, *named, entry.views, entry.scene)

    @property
    def images(self) -> dict[str, View]:
        """The image of each spectrum; an ordinary image is the visible one."""
        return observed_images(self.views) or {VISIBLE: View(Path(self.path))}

    @property
    def places(self) -> list[str]:
        """The paths of all files, each once."""
        return [file.as_posix() for file in self.files] if self.views else [self.path]

    @property
    def files(self) -> list[Path]:
        """The files of all images, each once."""
        return list(dict.fromkeys(view.file for view in self.images.values()))

    @property
    def picture(self) -> Source:
        """All images together; the path of an ordinary image."""
        return Observation(tuple(self.images.values())) if self.views else Path(self.path)

    def record(self) -> dict[str, Any]:
        """Return the row as a dictionary, without the further columns that it has no value of."""
        return {name: value for name, value in self._asdict().items() if value or name not in FURTHER}


def entry_of(
    file: Path, *, identity: str = "", camera: str = "", images: Mapping[str, View] | None = None, scene: str = ""
) -> Entry:
    """Return the entry of an image file, or of an observation, with its current size, time and digest.

    Args:
        file: The image; of an observation its first one.
        identity: The person.
        camera: The camera.
        images: The image of each spectrum of an observation; None for an ordinary image.
        scene: When and where it was taken.

    Raises:
        OSError: If a file cannot be read, or is a pipe or a device.
    """
    path = lasting(file).as_posix()
    if images is None:
        size, mtime = file_state(file)
        return Entry(path, size, mtime, file_digest(file), identity, camera, scene=scene)
    size, mtime, views = observed_state(images)
    return Entry(
        path,
        size,
        mtime,
        joint_digest([file_digest(file) for file in dict.fromkeys(view.file for view in images.values())]),
        identity,
        camera,
        views,
        scene,
    )


def labelled(row: Row, labels: tuple[str, str] | Labels) -> Row:
    """Return a row with other labels: identity and camera, and the scene if it is another one too."""
    return row._replace(**dict[str, Any](zip(LABELS, labels, strict=False)))


@dataclasses.dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search: the cosine score, in [-1, 1], and the row."""

    score: float
    row: Row


def best_of_each(hits: Sequence[Hit]) -> list[Hit]:
    """Return the first hit of each identity. A row without an identity counts as an identity."""
    first = {hit.row.identity or hit.row.id: hit for hit in reversed(hits)}
    return [hit for hit in hits if first[hit.row.identity or hit.row.id] is hit]


@dataclasses.dataclass(frozen=True, slots=True)
class RowFilter:
    """Cameras and identities that a row must have, or must not have.

    Args:
        cameras: Only rows of these cameras; empty for all.
        identities: Only rows of these identities; empty for all.
        without_cameras: No rows of these cameras.
        without_identities: No rows of these identities.

    >>> row = Row(0, "a.jpg", 0, 0, "", "anna", "door")
    >>> RowFilter(cameras=frozenset({"door"}))(row), RowFilter(without_identities=frozenset({"anna"}))(row)
    (True, False)
    """

    cameras: Names = NONE
    identities: Names = NONE
    without_cameras: Names = NONE
    without_identities: Names = NONE

    def __bool__(self) -> bool:
        return self != RowFilter()

    def only_without(self) -> list[RowFilter]:
        """Return what must not be, as filters that such rows pass; none if anything must be.

        >>> RowFilter(without_cameras=frozenset({"door"})).only_without() == [RowFilter(cameras=frozenset({"door"}))]
        True
        """
        if self.cameras or self.identities:
            return []
        cameras, identities = RowFilter(cameras=self.without_cameras), RowFilter(identities=self.without_identities)
        return [each for each in (cameras, identities) if each]

    def __call__(self, row: Row) -> bool:
        """Return whether a row passes the filter."""
        return (
            (not self.cameras or row.camera in self.cameras)
            and (not self.identities or row.identity in self.identities)
            and row.camera not in self.without_cameras
            and row.identity not in self.without_identities
        )
