"""Labels that are missing, or that other programs write for a missing value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from scing_cli.core.errors import counted, spelled
from scing_cli.core.manifest import Manifest

WRITTEN_FOR_NONE = frozenset({"nan", "none", "null", "n/a", "<na>", "nat"})


def missing_notes(manifest: Manifest) -> Iterator[str]:
    """Yield a warning for labels that mean a missing value elsewhere, and one for test images without a camera."""
    for what in ("identity", "camera"):
        found = Counter(value for row in manifest if (value := getattr(row, what)).casefold() in WRITTEN_FOR_NONE)
        for value, number in found.items():
            same = "person" if what == "identity" else "camera"
            yield (
                f"{counted(number, 'row has', 'rows have')} the {what} {spelled(value)}, which other programs write "
                f"for a missing value: here it is the name of one {same}. If it is not, leave the field empty."
            )
    tested = [row for row in manifest if row.split in {"query", "gallery"} and row.identity]
    without = sum(not row.camera for row in tested)
    if 0 < without < len(tested):
        yield (
            f"{without:,} of {len(tested):,} query and gallery rows have no camera: as a query, nothing is left out of "
            "their ranking, and as gallery images they are never left out."
        )
