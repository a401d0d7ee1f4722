"""The manifest: one row per observation, the same table for every data set.

(path, split) identifies a row. Identity and camera are strings; an empty string means unknown. Identities are sorted
by code point.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from scing_cli.core.artifacts import csv_text, write_text
from scing_cli.core.errors import DataError, spelled
from scing_cli.core.sample import CAPTION_COLUMN, COLUMNS, OBJECT, OBJECTS, Sample
from scing_cli.core.spectra import COLUMNS as SPECTRUM_COLUMNS
from scing_cli.core.spectra import CROPS, SPECTRA, STRIP, VISIBLE, Observation, Source, View

__all__ = [
    "CAPTION_COLUMN",
    "COLUMNS",
    "SPLITS",
    "UNREADABLE",
    "Manifest",
    "Sample",
    "display_name",
    "is_junk",
    "is_text",
    "labels",
    "relative_path",
    "with_own_paths",
    "write_manifest",
]
SPLITS = ("train", "val", "query", "gallery")
_JUNK = re.compile(r"\s*(?:00)?-0*1(?:\.0*)?\s*")
UNREADABLE = "unreadable_reason"
"""An extra column that `prepare` writes: why an image cannot be read. Such rows stay in the file, but are not used."""


@dataclasses.dataclass(frozen=True, slots=True)
class Manifest:
    """The observations of one data set, in a stable order.

    Args:
        root: The folder that paths are relative to.
        samples: The rows.
        name: The name of the data in tables and run folders.
    """

    root: Path
    samples: tuple[Sample, ...]
    name: str

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def part(self, split: str) -> Manifest:
        """Return the rows of one split, or all rows for `all`, in the same order.

        Raises:
            DataError: If the split is unknown or has no row; the message names the splits that have rows.
        """
        if split == "all":
            return self
        if split not in SPLITS:
            raise DataError(f"The split {split!r} is unknown.", f"Known splits: {', '.join(SPLITS)}, all.")
        rows = tuple(sample for sample in self.samples if sample.split == split)
        if not rows:
            present = ", ".join(self.splits()) or "none (no row has a split)"
            raise DataError(
                f"{spelled(self.name)} has no image in the split {split!r}.",
                f"Splits it has: {present}. {_way_to(split, self.splits())}",
            )
        return dataclasses.replace(self, samples=rows)

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have rows, in the order of `SPLITS`."""
        present = {sample.split for sample in self.samples}
        return tuple(split for split in SPLITS if split in present)

    def file(self, sample: Sample) -> Path:
        """Return the path of a sample's image."""
        return self.root / sample.path

    def files(self) -> list[Path]:
        """Return the paths of all images, in manifest order."""
        return [self.root / sample.path for sample in self.samples]

    def all_files(self) -> list[Path]:
        """Return the paths of all images of all spectra, those of a row together."""
        return [self.root / path for sample in self.samples for path in sample.paths]

    def spectra(self) -> tuple[str, ...]:
        """Return the spectra that rows have, in the order of `SPECTRA`; none for data of ordinary images."""
        names = {*SPECTRUM_COLUMNS.values()}
        pairs = (pair for sample in self.samples for pair in sample.extra)
        if not any((value and name in names) or (name, value) == (CROPS, STRIP) for name, value in pairs):
            return ()
        present = {spectrum for sample in self.samples for spectrum in sample.images}
        return tuple(spectrum for spectrum in SPECTRA if spectrum in present)

    def seen_in(self, spectra: Sequence[str]) -> Manifest:
        """Return the rows that have an image of one of these spectra; of visible images if none is named."""
        chosen = set(spectra or (VISIBLE,))
        if not self.spectra() and VISIBLE in chosen:
            return self
        return dataclasses.replace(self, samples=tuple(row for row in self.samples if chosen.intersection(row.images)))

    def sources(self, spectra: Sequence[str] = ()) -> list[Source]:
        """Return what a model of these spectra reads of each row, in manifest order.

        Args:
            spectra: The model's spectra; none for a model of ordinary images, which gets the visible image.

        Raises:
            ValueError: If a row has no image of these spectra (`seen_in` leaves such rows out).
        """
        plain = not spectra and not self.spectra()
        return [self.root / row.path if plain else self._source(row, spectra) for row in self.samples]

    def views(self, row: Sample) -> dict[str, View]:
        """Return the image of each spectrum that shows a row."""
        return {spectrum: View(self.root / path, part) for spectrum, (path, part) in row.images.items()}

    def _source(self, row: Sample, spectra: Sequence[str]) -> Source:
        views = self.views(row)
        if not spectra and VISIBLE in views and views[VISIBLE].part is None:
            return views[VISIBLE].file
        return Observation(tuple(views.get(spectrum) for spectrum in spectra or (VISIBLE,)))

    def identities(self) -> tuple[str, ...]:
        """Return the known identities, sorted by code point. This is the identity map of a run."""
        return tuple(sorted({sample.identity for sample in self.samples} - {""}))

    def cameras(self) -> tuple[str, ...]:
        """Return the known cameras, sorted by code point."""
        return tuple(sorted({sample.camera for sample in self.samples} - {""}))

    def scenes(self) -> tuple[str, ...]:
        """Return the known scenes, sorted by code point."""
        return tuple(sorted({sample.scene for sample in self.samples} - {""}))

    def objects(self) -> str:
        """Return what the identities are, for prompts: `person`, or `vehicle` if all rows say so.

        Only data of several spectra say it, so that the prompts of ordinary images stay as they were.
        """
        named = {dict(row.extra).get(OBJECT, "") for row in self.samples} if self.spectra() else set()
        return next((name for name in OBJECTS if named == {name}), OBJECTS[0])

    def fingerprint(self) -> str:
        """Return the SHA-256 of all rows. It does not depend on the root, nor on empty extra fields."""
        digest = hashlib.sha256()
        for sample in self.samples:
            # Extra fields are sorted and empty ones skipped: an added empty column does not change the fingerprint.
            extra = (text for pair in sorted(sample.extra) if pair[1] for text in pair)
            fields = (sample.path, sample.identity, sample.camera, sample.split, sample.caption, *extra)
            digest.update(("\0".join(fields) + "\0\n").encode())
        return digest.hexdigest()


def _way_to(split: str, present: Sequence[str]) -> str:
    """Return what to do about a split without rows: `--hold-out` divides people where no image is for testing."""
    way = f"Write {split} in the column split of a CSV (scing prepare DIR writes one)."
    if split != "val" and not {"query", "gallery"}.intersection(present):
        way = "scing prepare DIR --hold-out 0.3 divides the people into training and test."
    return f"{way} scing embed --split all takes every image." if split == "gallery" else way


def is_junk(identity: str) -> bool:
    """Return whether an identity is -1, which marks junk in the field's data sets; -01 and -1.0 are the same number.

    MARS writes it with four signs, 00-1.

    >>> is_junk("-1"), is_junk(" -1.0 "), is_junk("00-1"), is_junk("1"), is_junk("-10")
    (True, True, True, False, False)
    """
    return _JUNK.fullmatch(identity) is not None


def labels(samples: Iterable[Sample], identities: Sequence[str]) -> list[int]:
    """Return each sample's index in the identity map.

    Raises:
        DataError: If a sample's identity is not in the map.
    """
    index_of = {identity: index for index, identity in enumerate(identities)}
    try:
        return [index_of[sample.identity] for sample in samples]
    except KeyError as error:
        raise DataError(f"Identity {error.args[0]!r} is not in the identity map of this run.") from None


def write_manifest(manifest: Manifest, target: Path, *, relative_to: Path | None = None) -> None:
    """Write the manifest as UTF-8 CSV; the file is replaced in one step.

    Args:
        manifest: The rows.
        target: The file to write.
        relative_to: The folder that the written paths are relative to. The default is the target's folder, so that the
            file can be read without further information; a run passes the data root. Absolute paths stay absolute.
    """
    base = target.parent if relative_to is None else relative_to
    names = list(dict.fromkeys(name for sample in manifest for name, _ in sample.extra))
    lines: list[Sequence[str]] = [[*COLUMNS, *names]]
    prefix = relative_path(base, manifest.root)
    for row in manifest:
        sample = row.with_paths(lambda path: posixpath.join(prefix, path)) if prefix else row
        extra = dict(sample.extra)
        known = (sample.path, sample.identity, sample.camera)
        lines.append([*known, sample.split, sample.caption, *(extra.get(name, "") for name in names)])
    write_text(target, csv_text(lines))


def relative_path(base: Path, root: Path) -> str:
    """Return the POSIX path from `base` to `root`, with `..` where needed; empty if they are the same folder."""
    # Links are resolved first: `..` of a linked folder is the parent of its target, not of the link.
    base, root = base.resolve(), root.resolve()
    if base == root:
        return ""
    try:
        return Path(os.path.relpath(root, base)).as_posix()
    except ValueError:  # on another Windows drive
        return root.as_posix()


def display_name(path: Path) -> str:
    """Return the name of the data in a folder or file.

    >>> display_name(Path("data/Market-1501")), display_name(Path("mine.csv"))
    ('Market-1501', 'mine')
    """
    named = path if path.name not in ("", "..") else path.resolve()
    return (named.stem if named.suffix.lower() == ".csv" else named.name) or "data"


def is_text(name: str) -> bool:
    """Return whether a file name is UTF-8; other names cannot be written to a manifest or an index.

    >>> is_text("Müller 1.jpg"), is_text(chr(0xDCFF) + ".jpg")  # Python's surrogate for the byte 0xff
    (True, False)
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def with_own_paths(manifest: Manifest) -> Manifest:
    """Return the manifest without paths that lead out of its root, so that moved images are found again.

    If there are such paths, absolute or with `..`, the root becomes the folder that has all images.
    """
    paths = dict.fromkeys(path for row in manifest for path in row.paths)
    if not any(map(_leads_out, paths)):
        return manifest
    root = os.path.realpath(manifest.root)
    files = {path: os.path.normpath(os.path.join(root, path)) for path in paths}  # noqa: PTH118 - for every image
    try:
        common = os.path.commonpath([os.path.dirname(file) for file in files.values()])  # noqa: PTH120
    except ValueError:  # on several Windows drives
        return manifest
    own = {path: Path(os.path.relpath(file, common)).as_posix() for path, file in files.items()}
    rows = tuple(row.with_paths(own.__getitem__) for row in manifest)
    return dataclasses.replace(manifest, root=Path(common), samples=rows)


def _leads_out(path: str) -> bool:
    return posixpath.isabs(path) or posixpath.normpath(path).split("/")[0] == ".."
