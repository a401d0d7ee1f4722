"""Galleries in Milvus: one client for a server, a cluster, and a file for trying (milvus-lite).

Modules, from left to right: `address -> server -> expressions -> milvus_rows -> milvus_writer -> milvus_gallery ->
milvus_place`. A collection has the fields of `FIELDS`. Rows have ids from 0; those below 0 are for book-keeping:
stamps, and the lease of a writer. The newest stamp says which range of ids belongs to the gallery. It is written last,
so that rows of an unfinished write are never seen.
"""

from scing_cli.core.index.milvus.milvus_place import MilvusPlace, place

__all__ = ["MilvusPlace", "place"]
