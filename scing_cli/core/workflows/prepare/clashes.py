"""Warn of identical files that must not be identical: of different people, or in parts that must not share images."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from scing_cli.core.datasets.inspect import Inspection
from scing_cli.core.errors import counted
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import Reporter

CLASHES: Mapping[str, Callable[[Sample, Sample], bool]] = MappingProxyType(
    {
        "under different identities": lambda a, b: bool(a.identity and b.identity) and a.identity != b.identity,
        "in training and in the test": lambda a, b: {a.split, b.split} in ({"train", "query"}, {"train", "gallery"}),
        "in query and in gallery": lambda a, b: {a.split, b.split} == {"query", "gallery"},
    }
)
"""Faults of identical files, the worst first."""


def warn_of_clashes(manifest: Manifest, inspection: Inspection, reporter: Reporter) -> None:
    """Warn of identical files with different identities, or in parts that must not share images.

    Args:
        manifest: The rows.
        inspection: The groups of identical files among them.
        reporter: Receives one warning per kind of fault.
    """
    rows: dict[str, list[Sample]] = {}
    for sample in manifest:
        rows.setdefault(sample.path, []).append(sample)
    kinds: dict[str, list[str]] = {}
    for group in inspection.identical:
        by_label: dict[tuple[str, str], list[Sample]] = {}
        for row in (row for path in group for row in rows[path]):
            by_label.setdefault((row.identity, row.split), []).append(row)
        # Two rows per label are enough to find every kind of clash, and keep the number of pairs small.
        clash = _worst_clash([row for alike in by_label.values() for row in alike[:2]])
        if clash is not None:
            what, first, second = clash
            kinds.setdefault(what, []).append(f"{first.path} and {second.path}")
    for what, pairs in kinds.items():
        more = f" (and {counted(len(pairs) - 1, 'more pair')}; --json lists all groups)" if len(pairs) > 1 else ""
        reporter.warn(f"{pairs[0]} are identical files {what}{more}.")


def _worst_clash(rows: Sequence[Sample]) -> tuple[str, Sample, Sample] | None:
    """Return the worst fault among identical files, with the first two rows that show it; None if there is none."""
    pairs = [(a, b) for a, b in itertools.combinations(rows, 2) if a.path != b.path]
    return next(((what, a, b) for what, clash in CLASHES.items() for a, b in pairs if clash(a, b)), None)
