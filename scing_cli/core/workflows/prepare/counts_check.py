"""Compare the counts of a data set with the published ones, and report the differences."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.datasets.published_counts import PUBLISHED, Comparison
from scing_cli.core.errors import DataError
from scing_cli.core.runtime import Reporter


def report_differences(source: Path, published: Comparison | None, *, strict: bool, reporter: Reporter) -> None:
    """Warn of each part that differs from the published counts; with `strict`, raise if the counts have a source."""
    if published is None:
        return
    sure = [difference.text for difference in published.differences if difference.sure]
    if strict and sure:
        raise DataError(
            f"--strict: {source} is not {published.name} as published: {'; '.join(sure)}.",
            "Leave out --strict to continue with the data as it is.",
        )
    for difference in published.differences:
        if difference.sure:
            reporter.warn(f"This is not {published.name} as published: {difference.text}.")
        else:
            reporter.warn(f"{published.name}: {difference.text}; no source was found for the published count.")


def near_none(layout: str) -> tuple[str, ...]:
    """Return a note that no counts were compared, if published data sets have this layout."""
    known = [name for name, published in PUBLISHED.items() if published.layout == layout]
    return (f"The counts are not close to those of {', '.join(known)}, so they were not compared.",) if known else ()
