"""Which published figures can be compared with an evaluation: of the same method, data and training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scing_cli.core.artifacts import Run
from scing_cli.core.datasets import DataSet
from scing_cli.core.datasets.inspect import compare_counts, count_rows
from scing_cli.core.datasets.published_counts import Comparison, PartCount, difference, trained_on
from scing_cli.core.errors import ScingError
from scing_cli.core.evaluation.tables import PublishedRow, read_tables
from scing_cli.core.settings import METHODS
from scing_cli.core.workflows.shared.run_data import run_manifest

WITHOUT_CONSISTENCY = ("CLIP-ReID + SVIP",)
PublishedRows = tuple[tuple[PublishedRow, ...], str]
"""The rows, and where there is none the reason, if it is worth saying."""


def published_rows(run: Run, data: DataSet, *, protocol: str) -> PublishedRows:
    """Return the published rows that an evaluation of a run can be compared with.

    Args:
        run: Whose model it is.
        data: What it was evaluated on; where it looks like no published data set, nothing is said.
        protocol: Which protocol it was evaluated with.
    """
    found = compare_counts(data.manifest, layout=data.layout)
    if found is None:
        return (), ""
    try:
        trained = count_rows(run_manifest(run, check_files=False), "train")
    except ScingError as error:
        return (), f"No published figures to compare with: {error.what.splitlines()[0]}"
    return choose_rows(run.info["settings"].get("train-prompts", {}), found, trained, protocol=protocol)


def choose_rows(settings: Mapping[str, Any], found: Comparison, trained: PartCount, *, protocol: str) -> PublishedRows:
    """Return the rows of a method on a data set if queries, gallery, protocol and training are as published.

    Args:
        settings: Of stage 1, by option name.
        found: The data set, and in which parts the data differs from it. Its own training part may be missing.
        trained: Counts of the rows that the run was trained on.
        protocol: Which protocol it was evaluated with.
    """
    names = rows_of(settings)
    if not names:
        return (), ""
    rows = tuple(row for row in read_tables() if row.row in names and row.data == found.name and row.mAP is not None)
    if not rows:
        return (), f"The paper has no figures of {names[0]} on {found.name}."
    reason = _mismatch(found, trained, protocol)
    return ((), f"No published figures to compare with: {reason}.") if reason else (rows, "")


def rows_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the tables call a method; nothing where they do not have it.

    >>> rows_of({"method": "scing", "consistency": False})
    ('CLIP-ReID + SVIP',)
    """
    method = settings.get("method", "")
    if without_consistency(settings):
        return WITHOUT_CONSISTENCY
    return METHODS[method].published if method in METHODS else ()


def without_consistency(settings: Mapping[str, Any]) -> bool:
    """Return whether SCING was trained without its consistency: SVIP alone; no other method has one to leave out.

    >>> without_consistency({"method": "scing", "consistency-weight": 0.0}), without_consistency({"method": "cocoop"})
    (True, False)
    """
    consistent = settings.get("consistency", True) and settings.get("consistency-weight", 1.0) > 0
    return settings.get("method") == "scing" and not consistent


def _mismatch(found: Comparison, trained: PartCount, protocol: str) -> str:
    """Return what is not as published, as the end of a sentence. Counts that no source was found of do not matter."""
    differing = [each.text for each in found.differences if each.part != "train" and each.sure]
    if differing:
        return f"the data is not {found.name} as published, {'; '.join(differing)}"
    if found.parts["query"].cameras and protocol != "market":
        return f"they are of the protocol market, this evaluation of {protocol}"
    home = trained_on(found.name)
    other = difference(home, "train", trained)
    if other is not None and other.sure:
        return f"the run was not trained on {home} as published, {other.text}"
    return ""
