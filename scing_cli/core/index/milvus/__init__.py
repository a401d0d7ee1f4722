"""Galleries in Milvus: one client for a server, a cluster, and a file for trying (milvus-lite).

Modules, from left to right: `address -> server -> expressions -> milvus_rows, collection_load, collection_schema,
stamp_record, lease_owner -> milvus_writer -> milvus_gallery -> milvus_location`. A collection has the vector, the
fields of a row, and digests of the names that filters compare. Rows have ids from 0; records below 0 are the stamp, the
journal and the lease of a writer.
"""

from scing_cli.core.index.milvus.milvus_location import MilvusLocation, location

__all__ = ["MilvusLocation", "location"]
