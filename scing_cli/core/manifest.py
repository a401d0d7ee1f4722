"""One row per observation: the table that every room reads, whatever the data set was.

A row is known by (path, split). Identity and camera are text; an empty text means unknown. Identities sort by code
point.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from scing_cli.core.artifacts import csv_text, write_text
from scing_cli.core.errors import DataError, spelled

SPLITS = ("train", "val", "query", "gallery")
COLUMNS = ("path", "identity", "camera", "split", "caption")
UNREADABLE = "unreadable_reason"
"""A further column, which `prepare` writes: why an image cannot be read. Such rows are kept, and not used."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One observation of one person.

    Args:
        path: POSIX path relative to the manifest's root, or absolute.
        identity: The person; empty where unknown.
        camera: The camera; empty where unknown.
        split: One of `SPLITS`, or empty.
        caption: Words about this image, or empty.
        extra: Further columns of a user's own CSV, as (name, value) pairs.
    """

    path: str
    identity: str = ""
    camera: str = ""
    split: str = ""
    caption: str = ""
    extra: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """The observations of one data set, in a stable order.

    Args:
        root: The folder that relative paths start from.
        samples: The rows.
        name: What to call the data in tables and run folders.
    """

    root: Path
    samples: tuple[Sample, ...]
    name: str

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def part(self, split: str) -> Manifest:
        """Return the rows of one split, or all of them for `all`, in their order.

        Raises:
            DataError: If the split is unknown or has no row; the message names the splits there are.
        """
        if split == "all":
            return self
        if split not in SPLITS:
            raise DataError(f"There is no split {split!r}.", f"Known splits: {', '.join(SPLITS)}, all.")
        rows = tuple(sample for sample in self.samples if sample.split == split)
        if not rows:
            present = ", ".join(self.splits()) or "none (no row names a split; --split all holds them)"
            raise DataError(f"{spelled(self.name)} has no image in the split {split!r}.", f"Splits it has: {present}.")
        return dataclasses.replace(self, samples=rows)

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have rows, in the order of `SPLITS`."""
        present = {sample.split for sample in self.samples}
        return tuple(split for split in SPLITS if split in present)

    def file(self, sample: Sample) -> Path:
        """Return where a sample's image lies."""
        return self.root / sample.path

    def files(self) -> list[Path]:
        """Return where the images lie, in manifest order."""
        return [self.root / sample.path for sample in self.samples]

    def identities(self) -> tuple[str, ...]:
        """Return the known identities, sorted by code point: the identity map of a run."""
        return tuple(sorted({sample.identity for sample in self.samples} - {""}))

    def cameras(self) -> tuple[str, ...]:
        """Return the known cameras, sorted by code point."""
        return tuple(sorted({sample.camera for sample in self.samples} - {""}))

    def fingerprint(self) -> str:
        """Return the SHA-256 of all rows: equal for equal data, wherever its root lies. Empty extras are none."""
        digest = hashlib.sha256()
        for sample in self.samples:
            further = (text for pair in sorted(sample.extra) if pair[1] for text in pair)
            fields = (sample.path, sample.identity, sample.camera, sample.split, sample.caption, *further)
            digest.update(("\0".join(fields) + "\0\n").encode())
        return digest.hexdigest()


def labels(samples: Iterable[Sample], identities: Sequence[str]) -> list[int]:
    """Return each sample's place in the identity map.

    Raises:
        DataError: If a sample's identity is not in the map.
    """
    place = {identity: index for index, identity in enumerate(identities)}
    try:
        return [place[sample.identity] for sample in samples]
    except KeyError as error:
        raise DataError(f"Identity {error.args[0]!r} is not in the identity map of this run.") from None


def write_manifest(manifest: Manifest, target: Path, *, relative_to: Path | None = None) -> None:
    """Write the manifest as CSV, UTF-8, in one rename.

    Args:
        manifest: The rows.
        target: The file to write.
        relative_to: What the written paths are relative to: by default the target's folder, so that the file can be
            read back alone; a run passes the data root. Absolute paths stay absolute.
    """
    base = target.parent if relative_to is None else relative_to
    names = list(dict.fromkeys(name for sample in manifest for name, _ in sample.extra))
    lines: list[Sequence[str]] = [[*COLUMNS, *names]]
    way = _way(base, manifest.root)
    for sample in manifest:
        extra = dict(sample.extra)
        known = (posixpath.join(way, sample.path), sample.identity, sample.camera)
        lines.append([*known, sample.split, sample.caption, *(extra.get(name, "") for name in names)])
    write_text(target, csv_text(lines))


def _way(base: Path, root: Path) -> str:
    """Return the way from `base` to `root` in POSIX form, climbing where needed; empty if they are one folder.

    Links are followed first: `..` out of a linked folder leads elsewhere than its name says.
    """
    base, root = base.resolve(), root.resolve()
    if base == root:
        return ""
    try:
        return Path(os.path.relpath(root, base)).as_posix()
    except ValueError:  # another drive
        return root.as_posix()
