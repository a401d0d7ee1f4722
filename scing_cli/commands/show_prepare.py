"""Print the report of `scing prepare`, as JSON or for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.commands.console import Terminal
from scing_cli.core.errors import counted
from scing_cli.core.spectra import SPECTRA

if TYPE_CHECKING:
    from scing_cli.core.datasets.inspect import Spread
    from scing_cli.core.datasets.published_counts import PartCount
    from scing_cli.core.datasets.spectrum_counts import SpectrumCount
    from scing_cli.core.workflows.prepare.prepare_data import Preparation


def payload(report: Preparation) -> dict[str, Any]:
    """Return the report as `--json` prints it."""
    found = report.inspection
    return {
        "layout": report.layout,
        "parts": {name: _counts(part, report) for name, part in report.parts.items()},
        "unsplit": _counts(report.unsplit, report),
        "published": _published(report),
        "junk": report.junk,
        "distractors": _counts(report.distractors, report),
        "cameras_per_identity": {name: dataclasses.asdict(each) for name, each in report.cameras_per_identity.items()},
        "width": dataclasses.asdict(found.widths) if found.widths else None,
        "height": dataclasses.asdict(found.heights) if found.heights else None,
        "identical": found.identical,
        "dropped": [dataclasses.asdict(fault) for fault in report.dropped],
        "unreadable": [dataclasses.asdict(fault) for fault in found.unreadable],
        "unreadable_parts": _unreadable(report),
        "passed_over": [dataclasses.asdict(entry) for entry in report.passed_over],
        "suffixes": dict(report.suffixes),
        "notes": report.notes,
        "manifest": str(report.manifest),
        "sheet": str(report.sheet) if report.sheet else None,
        "held_out": _held_out(report),
        **({"captions": dataclasses.asdict(report.captions)} if report.captions else {}),
        **_spectra(report),
        "next": report.next_command,
    }


def _spectra(report: Preparation) -> dict[str, Any]:
    """Return the counts of each spectrum, if the data has several."""
    counts = {spectrum: dataclasses.asdict(count) for spectrum, count in report.spectra.items()}
    return {"spectra": counts} if counts else {}


def _counts(part: PartCount, report: Preparation) -> dict[str, int]:
    """Return the counts of a part; those of captions only where the data has some."""
    counts = dataclasses.asdict(part)
    return counts if report.captions else {name: count for name, count in counts.items() if name != "captions"}


def _published(report: Preparation) -> dict[str, Any] | None:
    if report.published is None:
        return None
    parts = {name: _counts(part, report) for name, part in report.published.parts.items()}
    return {**dataclasses.asdict(report.published), "parts": parts}


def show(report: Preparation, source: Path, terminal: Terminal) -> None:
    """Print the report: a table of the parts next to the published counts, then one line per finding."""
    published, bad = report.published.parts if report.published else {}, _unreadable(report)
    known = {part: count for part, count in published.items() if part in report.parts}
    columns, rows = _table(report, known, bad)
    terminal.table(f"{source} ({report.layout})", ["part", *columns], rows, words=("part",))
    if report.published:
        terminal.say(f"Published: {report.published.name} ({report.published.source}).")
    if bad and known:
        terminal.say(f"Unreadable among these images: {', '.join(f'{part} {count:,}' for part, count in bad.items())}.")
    for line in (*_figures(report), *report.notes):
        terminal.say(line)
    if report.passed_over:
        from scing_cli.core.datasets.passed_over import passed_text

        terminal.say(passed_text(report.passed_over))
    found = report.inspection
    terminal.listing(
        ("group of identical files", "groups of identical files"),
        [" = ".join(group) for group in found.identical],
    )
    for faults, what in (
        (report.dropped, "left out"),
        (found.unreadable, "unreadable, listed in the manifest with the reason"),
    ):
        terminal.listing((f"file {what}", f"files {what}"), [f"{fault.path}: {fault.reason}" for fault in faults])
    terminal.say(f"Manifest: {report.manifest}")
    if report.sheet:
        terminal.say(f"Sheet: {report.sheet}")
    if report.next_command:
        terminal.say(f"Next: {report.next_command}")


def _table(
    report: Preparation, known: Mapping[str, PartCount], bad: Mapping[str, int]
) -> tuple[list[str], list[list[str]]]:
    """Return the columns after `part` and the rows: with the published counts, or with unreadable images apart."""
    columns = ["identities", "images", "cameras", *(["captions"] if report.captions else [])]
    rows: list[list[str]] = []
    parts = {**report.parts, "no split": report.unsplit} if report.unsplit.images else report.parts
    for part, counts in parts.items():
        if not counts.images and (report.unsplit.images or (report.published and not _is_published(report, part))):
            continue
        cells = [f"{getattr(counts, column):,}" for column in columns]
        published = [f"{getattr(known[part], column):,}" if part in known else "" for column in columns]
        pairs = zip(cells, published, strict=True)
        rows.append([part, *(cell for pair in pairs for cell in (pair if known else pair[:1]))])
        if bad and not known:
            rows[-1][2:3] = [f"{counts.images - bad.get(part, 0):,}", f"{bad.get(part, 0):,}"]
    if bad and not known:
        columns.insert(2, "unreadable")
    if known:
        columns = [name for column in columns for name in (column, f"published\n{column}")]
    return columns, rows


def _is_published(report: Preparation, part: str) -> bool:
    """Return whether the published data set has images in a part."""
    published = report.published.parts if report.published else {}
    return part in published and published[part].images > 0


def _unreadable(report: Preparation) -> dict[str, int]:
    """Return the number of unreadable images of each part that has some."""
    return {part or "no split": count for part, count in report.unreadable_parts.items() if count}


def _held_out(report: Preparation) -> dict[str, int] | None:
    """Return how the people were divided, if they were."""
    if report.held_out is None:
        return None
    names = ("trained", "tested", "queries", "untestable")
    return {name: getattr(report.held_out, name) for name in names}


def _figures(report: Preparation) -> Iterator[str]:
    """Yield a line for each figure that is available."""
    if report.held_out:
        held = report.held_out
        queries = counted(held.queries, "query", "queries")
        yield f"Held out for testing: {held.tested:,} of {held.trained + held.tested:,} identities, with {queries}."
        if held.untestable:
            untestable = counted(held.untestable, "identity is", "identities are")
            cameras = "by another camera" if report.cameras_per_identity else "of the same identity"
            yield f"{untestable} for training because a query needs another image {cameras} as its match."
    if report.junk:
        yield f"{counted(report.junk, 'file')} of identity -1, which marks junk: left out."
    distractors = report.distractors
    if distractors.images and "query" in report.parts and report.parts["query"].images:
        identities = counted(distractors.identities, "identity", "identities")
        images = counted(distractors.images, "gallery image")
        yield f"Distractors: {images} of identities without a query ({identities})."
    if report.cameras_per_identity:
        spreads = (f"{name} {_spread(each)}" for name, each in report.cameras_per_identity.items())
        yield f"Cameras per identity: {', '.join(spreads)}."
    if set(report.suffixes) != {".jpg"}:
        counts = (f"{count:,} {suffix or 'without a suffix'}" for suffix, count in report.suffixes.items())
        yield f"Image files: {', '.join(counts)}."
    if report.spectra:
        yield _spectra_line(report.spectra)
    found = report.inspection
    if found.widths and found.heights:
        yield f"Pixels: width {_spread(found.widths)}, height {_spread(found.heights)}."


def _spectra_line(spectra: Mapping[str, SpectrumCount]) -> str:
    """Return the counts of each spectrum as a sentence."""
    parts = []
    for spectrum, count in spectra.items():
        faults = [f"{number:,} {what}" for what in ("missing", "unreadable") if (number := getattr(count, what))]
        parts.append(f"{SPECTRA[spectrum]} {', '.join([f'{count.images:,}', *faults])}")
    return f"Images of each spectrum: {'; '.join(parts)}."


def _spread(spread: Spread) -> str:
    if spread.least == spread.most:
        return f"{spread.least:,}"
    return f"{spread.least:,} to {spread.most:,} (median {spread.middle:,})"
