"""Inspect a data set before training: its layout, its counts, and images that cannot be read."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from scing_cli.core.datasets import DataSet, Dropped, read_data
from scing_cli.core.datasets.hold_out import HeldOut, divide_people
from scing_cli.core.datasets.inspect import (
    Inspection,
    Spread,
    cameras_per_identity,
    compare_counts,
    count_distractors,
    count_parts,
    count_rows,
    count_suffixes,
    inspect_images,
)
from scing_cli.core.datasets.overwrite import check_overwrite
from scing_cli.core.datasets.passed_over import PassedOver, is_loss, passed_text
from scing_cli.core.datasets.published_counts import Comparison, PartCount
from scing_cli.core.datasets.spectrum_counts import SpectrumCount, count_spectra, row_faults
from scing_cli.core.errors import DataError, counted, spelled
from scing_cli.core.figures import check_picture, write_picture
from scing_cli.core.manifest import UNREADABLE, Manifest, Sample, write_manifest
from scing_cli.core.paths import StrPath, as_path, check_csv_name
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.prepare.caption_check import CaptionCounts, check_captions
from scing_cli.core.workflows.prepare.clashes import warn_of_clashes
from scing_cli.core.workflows.prepare.counts_check import near_none, report_differences
from scing_cli.core.workflows.prepare.manifest_target import check_workers, manifest_target
from scing_cli.core.workflows.prepare.next_step import next_command, nothing_to_evaluate, nothing_usable
from scing_cli.core.workflows.prepare.sheet_images import data_sheet


@dataclasses.dataclass(frozen=True)
class Preparation:
    """The report of `prepare`.

    Args:
        layout: The layout of the data.
        parts: Identities, images, cameras and captions of each part; unreadable images are included.
        unsplit: The same counts for rows without a split.
        published: The matching published data set, if any.
        junk: The number of files that the data set itself marks as junk.
        distractors: Gallery rows of people without a query.
        cameras_per_identity: The number of cameras that see each identity, per part.
        dropped: Files left out, each with its reason.
        passed_over: Entries of the data's folders that are neither images nor folders to enter, counted.
        suffixes: The number of image files of each suffix, the most frequent first.
        inspection: Images that cannot be decoded, sizes, and identical files.
        unreadable_parts: The number of rows of each part whose images cannot be decoded; empty text: without a split.
        notes: Notes of the reader.
        manifest: The written manifest; unreadable rows are listed with their reason.
        sheet: The written contact sheet, if requested.
        held_out: How the people were divided, if requested.
        captions: Captions that are missing or too long; None for data without captions.
        spectra: The images of each spectrum; empty for data of ordinary images.
        next_command: The command that usually follows; None if no image can be read.
    """

    layout: str
    parts: Mapping[str, PartCount]
    unsplit: PartCount
    published: Comparison | None
    junk: int
    distractors: PartCount
    cameras_per_identity: Mapping[str, Spread]
    dropped: tuple[Dropped, ...]
    passed_over: tuple[PassedOver, ...]
    suffixes: Mapping[str, int]
    inspection: Inspection
    unreadable_parts: Mapping[str, int]
    notes: tuple[str, ...]
    manifest: Path
    sheet: Path | None
    held_out: HeldOut | None
    captions: CaptionCounts | None
    spectra: Mapping[str, SpectrumCount]
    next_command: str | None


def prepare(
    source: StrPath,
    *,
    layout: str = "auto",
    include_val: bool = False,
    output: StrPath | None = None,
    sheet: StrPath | None = None,
    strict: bool = False,
    hold_out: float | None = None,
    seed: int = 0,
    workers: int | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> Preparation:
    """Read a data set, open every image, and write its manifest.

    Args:
        source: A folder in a known layout, or a CSV.
        layout: `auto`, or the layout's name.
        include_val: Whether validation rows are used for training too.
        output: The manifest to write; by default `./NAME.csv`, or `./NAME.manifest.csv` for a CSV. A manifest of the
            same data is replaced; any other file is not.
        sheet: A contact sheet to write: the images of some identities by camera.
        strict: Raise if a file was dropped or cannot be read, or if the counts differ from those of the matching
            published data set (except counts without a source). Nothing is written then.
        hold_out: The share of the people to hold out for testing; all their images become queries and gallery.
        seed: Selects the identities on the sheet, and the people and queries that are held out.
        workers: Threads that decode.
        reporter: Receives progress and warnings.

    Raises:
        DataError: If the data cannot be read, the manifest's path is occupied by another file, or `strict` finds a
            fault, or people cannot be held out.
        SettingError: If `workers` is less than 1, the share is not between 0 and 1, or the sheet's suffix is not that
            of an image format.
    """
    source, output, sheet = as_path(source), as_path(output), as_path(sheet)
    threads = check_workers(workers)
    if sheet is not None:
        check_picture(sheet, option="--sheet")
    target = manifest_target(source, output)
    check_csv_name(target, "--output")
    data = read_data(source, layout=layout, include_val=include_val, keep_unreadable=True)
    _check_not_empty(source, data)
    if target.exists() and target.resolve() == source.resolve():
        raise DataError(f"{target} is the source file itself.", "Choose another file with --output.")
    # These checks come before opening images, which may take minutes.
    check_overwrite(target, data.manifest, folder=source.is_dir() and hold_out is None)
    manifest = data.manifest
    published = None
    if hold_out is not None:
        divide_people(manifest, hold_out, seed=seed)
    else:
        published = compare_counts(manifest, layout=data.layout)
    if published is None and hold_out is None:
        data = dataclasses.replace(data, notes=(*data.notes, *near_none(data.layout)))
    report_differences(source, published, strict=strict, reporter=reporter)
    inspection = inspect_images(manifest, workers=threads, reporter=reporter)
    unreadable = row_faults(manifest, inspection.unreadable)
    held_out = None
    if hold_out is not None:
        held_out = divide_people(manifest, hold_out, seed=seed, unreadable={row.path for row in unreadable})
        manifest = held_out.manifest
        either = dataclasses.replace(manifest, samples=(*data.manifest, *manifest))
        check_overwrite(target, either, folder=source.is_dir())
        unreadable = row_faults(manifest, inspection.unreadable)
    warn_of_clashes(manifest, inspection, reporter)
    for warning in data.warnings:
        reporter.warn(warning)
    captions = check_captions(manifest, reporter)
    if strict:
        _check_faultless(source, data, inspection.unreadable)
    readable = dataclasses.replace(manifest, samples=tuple(row for row in manifest if row not in unreadable))
    if sheet is not None:
        if len(readable):
            write_picture(data_sheet(readable, seed=seed), sheet)
        else:
            reporter.warn(f"No image can be read: {sheet} was not drawn.")
            sheet = None
    apart = target.with_name(f"{target.stem}-split.csv")  # the manifest that is written now stays
    again = _command(source, layout=layout, include_val=include_val, output=apart, seed=seed)
    undivided, divide = nothing_to_evaluate(readable, again, seed=seed)
    as_read = not unreadable and hold_out is None and layout == "auto" and not include_val
    following = divide or next_command(
        readable, source if as_read else target, unlabelled=as_read and source.is_dir() and data.layout == "images"
    )
    write_manifest(_marked(manifest, unreadable), target)
    return Preparation(
        layout=data.layout,
        parts=count_parts(manifest),
        unsplit=count_rows(manifest, ""),
        published=published,
        junk=data.junk,
        distractors=count_distractors(manifest),
        cameras_per_identity=cameras_per_identity(manifest),
        dropped=data.dropped,
        passed_over=data.passed,
        suffixes=count_suffixes(manifest),
        inspection=inspection,
        unreadable_parts=Counter(row.split for row in unreadable),
        notes=tuple(filter(None, (*data.notes, undivided, nothing_usable(readable, manifest)))),
        manifest=target,
        sheet=sheet,
        held_out=held_out,
        captions=captions,
        spectra=count_spectra(manifest, {fault.path for fault in inspection.unreadable}),
        next_command=following,
    )


def _command(source: Path, *, layout: str, include_val: bool, output: Path | None, seed: int) -> list[str]:
    """Return the words of the command that reads this data in the same way."""
    given = {"--layout": layout if layout != "auto" else "", "--output": output or "", "--seed": seed or ""}
    options = [word for name, value in given.items() if value for word in (name, str(value))]
    return ["scing", "prepare", str(source), *options, *(["--include-val"] if include_val else [])]


def _marked(manifest: Manifest, reasons: Mapping[Sample, str]) -> Manifest:
    """Return the rows, the unreadable ones with a reason in an extra column; without such rows there is no column."""
    if not reasons:
        return manifest
    rows = (
        dataclasses.replace(row, extra=(*row.extra, (UNREADABLE, reasons[row]))) if row in reasons else row
        for row in manifest
    )
    return dataclasses.replace(manifest, samples=tuple(rows))


def _check_not_empty(source: Path, data: DataSet) -> None:
    """Raise if the data has no row; the message says what happened to its files."""
    if len(data.manifest):
        return
    lines = [f"{spelled(source)}, read as {data.layout}, has no usable image."]
    if data.junk:
        lines.append(f"  {counted(data.junk, 'file')} of identity -1 (junk)")
    if data.dropped:
        first = data.dropped[0]
        lines.append(f"  {counted(len(data.dropped), 'file')} left out, such as {spelled(first.path)}: {first.reason}")
    lines += [f"  {spelled(note)}" for note in data.notes]
    lines += [f"  {passed_text(data.passed)}"] if data.passed else []
    raise DataError(
        "\n".join(lines), "Check the file names. --layout NAME selects another layout; a CSV can describe any data."
    )


def _check_faultless(source: Path, data: DataSet, unreadable: tuple[Dropped, ...]) -> None:
    if data.dropped or unreadable:
        first = (*unreadable, *data.dropped)[0]
        raise DataError(
            f"--strict: {len(unreadable)} unreadable and {len(data.dropped)} dropped files in {spelled(source)}, "
            f"such as {spelled(first.path)}: {spelled(first.reason)}.",
            "Leave out --strict to see all of them.",
        )
    if is_loss(data.passed):
        raise DataError(
            f"--strict: {spelled(source)} is not complete. {passed_text(data.passed)}", "Leave out --strict."
        )
