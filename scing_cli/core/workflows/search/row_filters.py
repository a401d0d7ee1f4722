"""Check the names in the filters of a search against the rows of the index."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator

from scing_cli.core.errors import SettingError, counted, spelled
from scing_cli.core.index import GalleryLocation, RowFilter, Rows
from scing_cli.core.runtime import Reporter

SHOWN = 20  # names listed in a message; of more, similar ones come first


def check_filters(
    rows: Rows, allowed: RowFilter, *, grouped: bool = False, allow_missing: bool, reporter: Reporter
) -> None:
    """Check that the index has the cameras and identities that the filters name, and identities to group rows by.

    Args:
        rows: The rows of the index.
        allowed: The filters.
        grouped: Whether each identity is to be one hit.
        allow_missing: Whether missing names only give warnings.
        reporter: Receives the warnings.

    Raises:
        SettingError: If names are missing and that is not allowed; the message says which ones the index has.
    """
    faults = list(_missing(rows, allowed))
    if grouped and not rows.have("identity"):
        faults.append("--group identity: the index's rows have no identity, so that each row is a hit of its own.")
    if faults and not allow_missing:
        raise SettingError(
            "\n".join(faults), "Correct it or leave it out; or add --allow-missing if the index may lack it."
        )
    for fault in faults:
        reporter.warn(fault)


def check_index_filters(
    index: GalleryLocation, allowed: RowFilter, *, grouped: bool, allow_missing: bool, reporter: Reporter
) -> None:
    """Check the filters of an index, as `check_filters` does; without any, its rows are not read."""
    if allowed or grouped:
        rows = index.rows()
        check_filters(rows, allowed, grouped=grouped, allow_missing=allow_missing, reporter=reporter)
    elif allow_missing:
        reporter.note("--allow-missing has no effect: no filter is given.")


def _missing(rows: Rows, allowed: RowFilter) -> Iterator[str]:
    for option, names, field in (
        ("--camera", allowed.cameras, "camera"),
        ("--exclude-camera", allowed.without_cameras, "camera"),
        ("--identity", allowed.identities, "identity"),
        ("--exclude-identity", allowed.without_identities, "identity"),
    ):
        if names:
            missing = sorted(names - rows.known(field, names - {""}))
            known = set(rows.counts(field)) - {""} if missing else set()
            for name in missing:
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


def report_counts(rows: Rows, k: int, allowed: RowFilter, *, once: bool, reporter: Reporter) -> int:
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
    passed = rows.count(allowed)
    count = rows.people(allowed) if once else passed
    what = counted(count, "identity", "identities") if once else counted(count, "row")
    subject = "The filters leave" if allowed else "The index holds"
    if count == 0:
        reporter.warn(f"{subject} no row: there are no hits.")
    elif k > count:
        reporter.note(f"{subject} {what}: all are shown (-k {k}).")
    return passed
