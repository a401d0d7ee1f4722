"""Check the names in the filters of a search against the rows of the index."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence

from scing_cli.core.errors import SettingError, counted, spelled
from scing_cli.core.index import Row, RowFilter
from scing_cli.core.runtime import Reporter

SHOWN = 20  # names listed in a message; of more, similar ones come first


def check_filters(rows: Sequence[Row], allowed: RowFilter, *, allow_missing: bool, reporter: Reporter) -> None:
    """Check that the index has the cameras and identities that the filters name.

    Args:
        rows: The rows of the index.
        allowed: The filters.
        allow_missing: Whether missing names only give warnings.
        reporter: Receives the warnings.

    Raises:
        SettingError: If names are missing and that is not allowed; the message says which ones the index has.
    """
    faults = list(_missing(rows, allowed))
    if faults and not allow_missing:
        raise SettingError("\n".join(faults), "Correct the name; or add --allow-missing if it may be missing.")
    for fault in faults:
        reporter.warn(fault)


def _missing(rows: Sequence[Row], allowed: RowFilter) -> Iterator[str]:
    for option, names, field in (
        ("--camera", allowed.cameras, "camera"),
        ("--exclude-camera", allowed.without_cameras, "camera"),
        ("--identity", allowed.identities, "identity"),
        ("--exclude-identity", allowed.without_identities, "identity"),
    ):
        if names:
            known = {getattr(row, field) for row in rows} - {""}
            for name in sorted(names - known):
                yield f"{option} {spelled(name)}: the index has no row of that {field}; {_known(name, known, field)}."


def _known(name: str, known: Collection[str], field: str) -> str:
    """Return which names the index has."""
    if not known:
        return f"its rows have no {field}"
    listed = sorted(known)
    if len(listed) > SHOWN:
        close = difflib.get_close_matches(name, listed, n=3)
        listed = list(dict.fromkeys([*close, *listed]))[: len(close) or SHOWN]
    more = len(known) - len(listed)
    return f"known: {', '.join(map(spelled, listed))}" + (f" and {counted(more, 'other')}" if more else "")


def report_counts(rows: Sequence[Row], k: int, allowed: RowFilter, *, once: bool, reporter: Reporter) -> int:
    """Report if the filters leave no row, or fewer than k hits.

    Args:
        rows: The rows of the index.
        k: Hits per photo.
        allowed: The filters.
        once: Whether each identity is one hit.
        reporter: Receives the warning or the note.

    Returns:
        The number of rows that pass the filters.
    """
    passed = [row for row in rows if allowed(row)] if allowed else rows
    count = len({row.identity or row.id for row in passed}) if once else len(passed)
    what = counted(count, "person", "people") if once else counted(count, "row")
    subject = "The filters leave" if allowed else "The index holds"
    if count == 0:
        reporter.warn(f"{subject} no row: there are no hits.")
    elif k > count:
        reporter.note(f"{subject} {what}: all are shown (-k {k}).")
    return len(passed)
