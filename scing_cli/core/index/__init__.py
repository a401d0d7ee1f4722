"""The gallery index: a plain faiss inner-product index, and next to it a table with one row per vector."""

from scing_cli.core.index.disk import open_index_rows
from scing_cli.core.index.gallery import GalleryIndex
from scing_cli.core.index.gallery_location import GalleryLocation, as_file, as_location
from scing_cli.core.index.gallery_type import Gallery
from scing_cli.core.index.index_files import check_complete, check_writable, files_of, partial_file
from scing_cli.core.index.index_lock import write_lock
from scing_cli.core.index.index_stamp import Stamp, read_stamp
from scing_cli.core.index.joined import join
from scing_cli.core.index.kinds import KINDS, choose_kind
from scing_cli.core.index.memory_rows import Rows
from scing_cli.core.index.observed import (
    file_state,
    joint_digest,
    observed_images,
    observed_state,
    shape_of,
    sizes_of,
    with_files,
)
from scing_cli.core.index.rows import Entry, Hit, Row, RowFilter, best_of_each, entry_of
from scing_cli.core.paths import file_keys

__all__ = [
    "KINDS",
    "Entry",
    "Gallery",
    "GalleryIndex",
    "GalleryLocation",
    "Hit",
    "Row",
    "RowFilter",
    "Rows",
    "Stamp",
    "as_file",
    "as_location",
    "best_of_each",
    "check_complete",
    "check_writable",
    "choose_kind",
    "entry_of",
    "file_keys",
    "file_state",
    "files_of",
    "join",
    "joint_digest",
    "observed_images",
    "observed_state",
    "open_index_rows",
    "partial_file",
    "read_stamp",
    "shape_of",
    "sizes_of",
    "with_files",
    "write_lock",
]
