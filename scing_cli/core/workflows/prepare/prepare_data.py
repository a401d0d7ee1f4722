"""Look at a data set before anything is trained on it: layout, counts, and images that cannot be read."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from scing_cli.core.datasets import DataSet, Dropped, read_data
from scing_cli.core.datasets.dataset import display_name
from scing_cli.core.datasets.inspect import (
    Inspection,
    Spread,
    cameras_per_identity,
    count_distractors,
    count_parts,
    count_rows,
    inspect_images,
)
from scing_cli.core.datasets.overwrite import check_overwrite
from scing_cli.core.datasets.published_counts import PUBLISHED, Comparison, PartCount, compare
from scing_cli.core.datasets.reading import trained_on_val
from scing_cli.core.errors import DataError, SettingError, counted, spelled
from scing_cli.core.figures import check_picture, write_picture
from scing_cli.core.manifest import UNREADABLE, Manifest, Sample, write_manifest
from scing_cli.core.paths import StrPath, as_path
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter, default_workers
from scing_cli.core.synthetic import write_world
from scing_cli.core.workflows.prepare.sheet_images import data_sheet

CLASHES: Mapping[str, Callable[[Sample, Sample], bool]] = MappingProxyType(
    {
        "under different identities": lambda a, b: bool(a.identity and b.identity) and a.identity != b.identity,
        "in training and in the test": lambda a, b: {a.split, b.split} in ({"train", "query"}, {"train", "gallery"}),
        "in query and in gallery": lambda a, b: {a.split, b.split} == {"query", "gallery"},
    }
)
"""What files of the same bytes must not be, worst first."""


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What `prepare` found.

    Args:
        layout: How the folder was read.
        parts: Identities, images and cameras per part, of all rows, readable or not.
        unsplit: The same of the rows that are in no part.
        published: The published data set that this looks like, if any.
        junk: Files the data set itself marks as junk.
        distractors: Gallery rows that show nobody who is among the queries.
        cameras_per_identity: By how many cameras the identities of a part are seen.
        dropped: Files left out, each with its reason.
        inspection: Images that cannot be decoded, sizes, and files of the same bytes.
        notes: What the reader found worth saying.
        manifest: The file written; unreadable rows stand in it with their reason.
        sheet: The picture written, if it was asked for.
    """

    layout: str
    parts: Mapping[str, PartCount]
    unsplit: PartCount
    published: Comparison | None
    junk: int
    distractors: PartCount
    cameras_per_identity: Mapping[str, Spread]
    dropped: tuple[Dropped, ...]
    inspection: Inspection
    notes: tuple[str, ...]
    manifest: Path
    sheet: Path | None


def draw_world(
    folder: StrPath,
    *,
    identities: int = 32,
    test_identities: int | None = None,
    cameras: int = 4,
    images_per_camera: int = 2,
    occluded_queries: bool = False,
    occluded_training: float = 0.0,
    seed: int = 0,
    output: StrPath | None = None,
    workers: int | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> None:
    """Draw a data set of pedestrians in Market-1501's layout; see `scing_cli.core.synthetic.write_world`.

    Args:
        folder: A new or an empty folder.
        identities: People to train on.
        test_identities: Others, to test; by default as many.
        cameras: Cameras.
        images_per_camera: Images of each person by each camera.
        occluded_queries: Whether something hides a part of the body in every query.
        occluded_training: In which share of the training images something does.
        seed: Which world.
        output: The manifest that `prepare` will write: that it may is made sure of before the drawing.
        workers: Processes that draw.
        reporter: Where progress goes.

    Raises:
        DataError: If the folder holds something, or the manifest's place is taken.
        SettingError: If a number is too small, or a share outside 0 to 1.
    """
    folder, output = as_path(folder), as_path(output)
    threads = _threads(workers)
    check_overwrite(_target(folder, output), Manifest(folder.absolute(), (), str(folder)), folder=True)
    write_world(
        folder,
        identities=identities,
        test_identities=test_identities,
        cameras=cameras,
        images_per_camera=images_per_camera,
        occluded_queries=occluded_queries,
        occluded_training=occluded_training,
        seed=seed,
        workers=threads,
        reporter=reporter,
    )


def prepare(
    source: StrPath,
    *,
    layout: str = "auto",
    include_val: bool = False,
    output: StrPath | None = None,
    sheet: StrPath | None = None,
    strict: bool = False,
    seed: int = 0,
    workers: int | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> Preparation:
    """Read a data set, open every image, and write its manifest.

    Args:
        source: A folder in a known layout, or a CSV.
        layout: `auto`, or the layout's name.
        include_val: Whether validation rows are for training too.
        output: The manifest to write; by default `./NAME.csv`, or `./NAME.manifest.csv` for a CSV. A manifest of the
            same data is replaced, any other file is not.
        sheet: A picture to write: some identities, their images by camera.
        strict: Refuse when anything was dropped or could not be read, or when the counts are not those of the
            published data set that this looks like (counts without a source apart); nothing is written then.
        seed: Which identities the sheet shows.
        workers: Threads that decode.
        reporter: Where progress and warnings go.

    Raises:
        DataError: If the data cannot be read, the manifest's place is taken, or `strict` finds a fault.
        SettingError: If `workers` is less than 1, or the sheet's name is of no kind of picture.
    """
    source, output, sheet = as_path(source), as_path(output), as_path(sheet)
    threads = _threads(workers)
    if sheet is not None:
        check_picture(sheet, option="--sheet")
    data = read_data(source, layout=layout, include_val=include_val, keep_unreadable=True)
    _refuse_nothing(source, data)
    target = _target(source, output)
    if target.exists() and target.resolve() == source.resolve():
        raise DataError(f"{target} is the source itself.", "Name another file with --output.")
    check_overwrite(target, data.manifest, folder=source.is_dir())
    manifest = data.manifest
    published = compare(count_parts(trained_on_val(manifest)), layout=data.layout)
    if published is None:
        data = dataclasses.replace(data, notes=(*data.notes, *_near_none(data.layout)))
    _tell_differences(source, published, strict=strict, reporter=reporter)
    inspection = inspect_images(manifest, workers=threads, reporter=reporter)
    _tell_twins(manifest, inspection, reporter)
    if strict:
        _refuse_faults(source, data, inspection.unreadable)
    if sheet is not None:
        lost = {fault.path for fault in inspection.unreadable}
        readable = tuple(sample for sample in manifest if sample.path not in lost)
        if readable:
            write_picture(data_sheet(dataclasses.replace(manifest, samples=readable), seed=seed), sheet)
        else:
            reporter.warn(f"No image can be read: {sheet} was not drawn.")
            sheet = None
    write_manifest(_marked(manifest, inspection.unreadable), target)
    return Preparation(
        layout=data.layout,
        parts=count_parts(manifest),
        unsplit=count_rows(manifest, ""),
        published=published,
        junk=data.junk,
        distractors=count_distractors(manifest),
        cameras_per_identity=cameras_per_identity(manifest),
        dropped=data.dropped,
        inspection=inspection,
        notes=data.notes,
        manifest=target,
        sheet=sheet,
    )


def _marked(manifest: Manifest, unreadable: tuple[Dropped, ...]) -> Manifest:
    """Return the rows with a reason at each that cannot be read; without such rows there is no such column."""
    reasons = {fault.path: fault.reason for fault in unreadable}
    if not reasons:
        return manifest
    rows = (
        dataclasses.replace(row, extra=(*row.extra, (UNREADABLE, reasons[row.path]))) if row.path in reasons else row
        for row in manifest
    )
    return dataclasses.replace(manifest, samples=tuple(rows))


def _tell_twins(manifest: Manifest, inspection: Inspection, reporter: Reporter) -> None:
    """Warn of files of the same bytes that show different people, or stand in parts that must share nothing."""
    rows: dict[str, list[Sample]] = {}
    for sample in manifest:
        rows.setdefault(sample.path, []).append(sample)
    kinds: dict[str, list[str]] = {}
    for group in inspection.identical:
        unlike: dict[tuple[str, str], list[Sample]] = {}
        for row in (row for path in group for row in rows[path]):
            unlike.setdefault((row.identity, row.split), []).append(row)
        clash = _worst_clash([row for alike in unlike.values() for row in alike[:2]])  # the others say nothing new
        if clash is not None:
            what, first, second = clash
            kinds.setdefault(what, []).append(f"{first.path} and {second.path}")
    for what, pairs in kinds.items():
        more = f" (and {counted(len(pairs) - 1, 'more pair')}; --json lists all groups)" if len(pairs) > 1 else ""
        reporter.warn(f"{pairs[0]} are the same bytes {what}{more}.")


def _worst_clash(rows: Sequence[Sample]) -> tuple[str, Sample, Sample] | None:
    """Return the worst that is wrong with files of the same bytes, and the first two that show it."""
    pairs = [(a, b) for a, b in itertools.combinations(rows, 2) if a.path != b.path]
    return next(((what, a, b) for what, clash in CLASHES.items() for a, b in pairs if clash(a, b)), None)


def _threads(workers: int | None) -> int:
    if workers is not None and workers < 1:
        raise SettingError(f"--workers {workers}: must be at least 1.")
    return workers or default_workers()


def _target(source: Path, output: Path | None) -> Path:
    return output or Path(f"{display_name(source.absolute())}{'.manifest' if source.is_file() else ''}.csv")


def _tell_differences(source: Path, published: Comparison | None, *, strict: bool, reporter: Reporter) -> None:
    """Warn of each part that differs from the published one; with `strict`, refuse what has a source."""
    if published is None:
        return
    sure = [difference.text for difference in published.differences if difference.sure]
    if strict and sure:
        raise DataError(
            f"--strict: {source} is not {published.name} as published: {'; '.join(sure)}.",
            "Leave --strict out to go on with what is there.",
        )
    for difference in published.differences:
        if difference.sure:
            reporter.warn(f"This is not {published.name} as published: {difference.text}.")
        else:
            reporter.warn(f"{published.name}: {difference.text}; no source was found for the published count.")


def _near_none(layout: str) -> tuple[str, ...]:
    """Say that nothing is compared, where the layout is that of published data sets."""
    known = [name for name, published in PUBLISHED.items() if published.layout == layout]
    return (f"The counts are near none of {', '.join(known)}: they are compared with nothing.",) if known else ()


def _refuse_nothing(source: Path, data: DataSet) -> None:
    """Refuse data of no row, and say what became of the files."""
    if len(data.manifest):
        return
    lines = [f"{spelled(source)}, read as {data.layout}, has no image that counts."]
    if data.junk:
        lines.append(f"  {counted(data.junk, 'file')} of identity -1 (junk)")
    if data.dropped:
        first = data.dropped[0]
        lines.append(f"  {counted(len(data.dropped), 'file')} left out, {spelled(first.path)} for one: {first.reason}")
    lines += [f"  {spelled(note)}" for note in data.notes]
    raise DataError("\n".join(lines), "Look at the names; --layout NAME reads the folder in another way, a CSV in any.")


def _refuse_faults(source: Path, data: DataSet, unreadable: tuple[Dropped, ...]) -> None:
    if data.dropped or unreadable:
        first = (*unreadable, *data.dropped)[0]
        raise DataError(
            f"--strict: {len(unreadable)} unreadable and {len(data.dropped)} dropped files in {spelled(source)}, "
            f"{spelled(first.path)} for one: {spelled(first.reason)}.",
            "Leave --strict out to see all of them.",
        )
