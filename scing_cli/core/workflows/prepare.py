"""Look at a data set before anything is trained on it: layout, counts, and images that cannot be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from scing_cli.core.datasets import Dropped, read_data
from scing_cli.core.datasets.inspect import PartCount, count_parts, fitting, verify_images
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import write_manifest
from scing_cli.core.runtime import Reporter, Silent, default_workers
from scing_cli.core.synthetic import write_world


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What `prepare` found.

    Args:
        layout: How the folder was read.
        parts: Identities, images and cameras per part.
        published: The published data set that these images fit, if any, and its counts per part.
        junk: Rows the data set itself marks as junk.
        dropped: Files left out, each with its reason.
        unreadable: Images that cannot be decoded, each with its reason; they are not in the manifest.
        notes: What the reader found worth saying.
        manifest: The file written.
    """

    layout: str
    parts: Mapping[str, PartCount]
    published: tuple[str | None, Mapping[str, PartCount]]
    junk: int
    dropped: tuple[Dropped, ...]
    unreadable: tuple[Dropped, ...]
    notes: tuple[str, ...]
    manifest: Path

    def counts(self, part: str) -> tuple[int, int, int]:
        """Return a part's identities, images and cameras."""
        count = self.parts[part]
        return count.identities, count.images, count.cameras


def draw_world(
    folder: Path,
    *,
    identities: int = 32,
    test_identities: int | None = None,
    cameras: int = 4,
    images_per_camera: int = 2,
    occluded_queries: bool = False,
    seed: int = 0,
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> None:
    """Draw a data set of pedestrians in Market-1501's layout; see `scing_cli.core.synthetic.write_world`."""
    write_world(
        folder,
        identities=identities,
        test_identities=test_identities,
        cameras=cameras,
        images_per_camera=images_per_camera,
        occluded_queries=occluded_queries,
        seed=seed,
        workers=workers or default_workers(),
        reporter=reporter or Silent(),
    )


def prepare(
    source: Path,
    *,
    layout: str = "auto",
    output: Path | None = None,
    strict: bool = False,
    workers: int | None = None,
    reporter: Reporter | None = None,
) -> Preparation:
    """Read a data set, open every image, and write its manifest.

    Args:
        source: A folder in a known layout, or a CSV.
        layout: `auto`, or the layout's name.
        output: The manifest to write; by default `./NAME.csv`, or `./NAME.manifest.csv` for a CSV.
        strict: Refuse when anything was dropped or could not be read; nothing is written then.
        workers: Threads that decode.
        reporter: Where progress goes.

    Raises:
        DataError: If the data cannot be read, or `strict` finds a fault.
    """
    reporter = reporter or Silent()
    data = read_data(source, layout=layout)
    target = output or Path(f"{data.manifest.name}{'.manifest' if source.is_file() else ''}.csv")
    if target.exists() and target.resolve() == source.resolve():
        raise DataError(f"{target} is the source itself.", "Name another file with --output.")
    unreadable = verify_images(data.manifest, workers=workers or default_workers(), reporter=reporter)
    if strict and (data.dropped or unreadable):
        first = (*unreadable, *data.dropped)[0]
        raise DataError(
            f"--strict: {len(unreadable)} unreadable and {len(data.dropped)} dropped files in {source}, "
            f"{first.path} for one: {first.reason}.",
            "Leave --strict out to see all of them.",
        )
    lost = {fault.path for fault in unreadable}
    kept = tuple(sample for sample in data.manifest if sample.path not in lost)
    manifest = dataclasses.replace(data.manifest, samples=kept)
    parts = count_parts(manifest)
    write_manifest(manifest, target)
    return Preparation(data.layout, parts, fitting(parts), data.junk, data.dropped, unreadable, data.notes, target)
