"""Which rows of an index a search may find: by camera and by identity, in and out."""

from __future__ import annotations

import dataclasses

from scing_cli.core.index.rows import Row

Names = frozenset[str]
NONE: Names = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class RowFilter:
    """What a row must show, and must not.

    Args:
        cameras: Only rows of these; empty for any.
        identities: Only rows of these; empty for any.
        without_cameras: No rows of these.
        without_identities: No rows of these.

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
        """Tell whether a row may be found."""
        return (
            (not self.cameras or row.camera in self.cameras)
            and (not self.identities or row.identity in self.identities)
            and row.camera not in self.without_cameras
            and row.identity not in self.without_identities
        )
