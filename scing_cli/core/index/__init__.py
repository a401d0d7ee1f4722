"""Vectors and rows on disk: an inner-product index that faiss opens plainly, and a table of rows beside it."""

from scing_cli.core.index.gallery import GalleryIndex, Hit
from scing_cli.core.index.rows import Entry, Row, entry_of
from scing_cli.core.index.stamp import Stamp, read_stamp

__all__ = ["Entry", "GalleryIndex", "Hit", "Row", "Stamp", "entry_of", "read_stamp"]
