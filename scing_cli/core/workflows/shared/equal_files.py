"""Find files with the same bytes in two collections: only files of equal size are read, each one once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from scing_cli.core.artifacts.known_digests import KnownDigests, key_of
from scing_cli.core.datasets import DataSet
from scing_cli.core.errors import counted, spelled
from scing_cli.core.index import joint_digest
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Source, image_files
from scing_cli.core.workflows.shared.pictures import digest_of
from scing_cli.core.workflows.shared.vectors import in_threads

Kind = TypeVar("Kind", bound=Source)


def digests_of(files: Sequence[Path], *, workers: int, reporter: Reporter) -> Mapping[Path, str]:
    """Return the digest of each file, empty if it cannot be read; files that have not changed are not read again."""
    known = KnownDigests()
    keys = {file: key_of(file) for file in files}
    unknown = [file for file, key in keys.items() if not known.get(key)]
    read = {}
    if unknown:
        found = in_threads(digest_of, unknown, workers=workers, reporter=reporter, text="digests")
        read = dict(zip(unknown, found, strict=True))
        known.add({keys[file]: digest for file, digest in read.items() if digest and keys[file]})
    return {file: read[file] if file in read else known.get(key) for file, key in keys.items()}


def digests_of_sources(sources: Sequence[Source], *, workers: int, reporter: Reporter) -> Mapping[Source, str]:
    """Return the digest of each image or observation, as in `index.Entry`; empty if a file of it cannot be read."""
    files = list(dict.fromkeys(file for source in sources for file in image_files(source)))
    read = digests_of(files, workers=workers, reporter=reporter)
    return {source: joint_digest([read[file] for file in image_files(source)]) for source in sources}


def of_one_size(first: Sequence[Kind], second: Sequence[Kind]) -> list[Kind]:
    """Return what may have copies on the other side: the images or observations whose size both sides have."""
    sizes = {file: _size(file) for file in dict.fromkeys((*first, *second))}
    both = {sizes[file] for file in first} & {sizes[file] for file in second} - {None}
    return [file for file, size in sizes.items() if size in both]


def warn_of_equal_data(sources: Sequence[DataSet], *, workers: int, reporter: Reporter) -> None:
    """Warn if two data sets that are joined have the same images: their people are the same, but count as others."""
    for one, other in combinations(sources, 2):
        first, second = (each.manifest.all_files() for each in (one, other))
        digests = digests_of(of_one_size(first, second), workers=workers, reporter=reporter)
        there = {digests.get(file, "") for file in second} - {""}
        same = [file for file in dict.fromkeys(first) if digests.get(file) in there]
        if same:
            lie = "lies" if len(same) == 1 else "lie"
            images = counted(len(set(first)), "image")
            reporter.warn(
                f"{len(same):,} of {images} of {spelled(one.manifest.root)} {lie} in {spelled(other.manifest.root)} "
                f"too, as copies (same bytes), such as {spelled(same[0].name)}. Their people count as different "
                "people: a training separates them, a search finds both. If they are one data set, name one of them."
            )


def _size(source: Source) -> int | None:
    try:
        return sum(file.stat().st_size for file in image_files(source))
    except OSError:
        return None
