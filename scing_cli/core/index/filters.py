"""Filters for the rows that a search may return: by camera and by identity, included or excluded."""

from __future__ import annotations

import dataclasses

from scing_cli.core.index.rows import Row

Names = frozenset[str]
NONE: Names = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class RowFilter:
    """Cameras and identities that a row must have, or must not have.

    Args:
        cameras: Only rows of these cameras; empty for all.
        identities: Only rows of these identities; empty for all.
        without_cameras: No rows of these cameras.
        without_identities: No rows of these identities.

    >>> row = Row(0, "a.jpg", 0, 0, "", "anna", "door")
    >>> RowFilter(cameras=frozenset({"door"}))(row), RowFilter(without_identities=frozenset({"anna"}))(row)
    (True, False)
    """

    cameras: Names = NONE
    identities: Names = NONE
    without_cameras: Names = NONE
    without_identities: Names = NONE

    def __bool__(self) -> bool:
        return self != RowFilter()

    def __call__(self, row: Row) -> bool:
        """Return whether a row passes the filter."""
        return (
            (not self.cameras or row.camera in self.cameras)
            and (not self.identities or row.identity in self.identities)
            and row.camera not in self.without_cameras
            and row.identity not in self.without_identities
        )
