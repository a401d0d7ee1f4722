"""The fields of a collection, and which rows fit into them."""

from __future__ import annotations

from typing import Any

from scing_cli.core.errors import IndexFileError, spelled
from scing_cli.core.index.milvus.expressions import KEY_LENGTH, KEYED, MOST_TEXT, NUMBERS, TEXT, VECTOR
from scing_cli.core.index.rows import Row


def collection_schema(width: int) -> Any:
    """Return the schema of a collection for vectors of a width."""
    import pymilvus

    kinds = pymilvus.DataType
    schema = pymilvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", kinds.INT64, is_primary=True)
    schema.add_field(VECTOR, kinds.FLOAT_VECTOR, dim=width)
    for name in NUMBERS:
        schema.add_field(name, kinds.INT64)
    for name in TEXT:
        schema.add_field(name, kinds.VARCHAR, max_length=MOST_TEXT)
    for name in KEYED:
        schema.add_field(f"{name}_key", kinds.VARCHAR, max_length=KEY_LENGTH)
    return schema


def checked_size(row: Row) -> int:
    """Return the bytes of a row's text.

    Raises:
        IndexFileError: If a text is not Unicode, or too long.
    """
    return sum(size_of(getattr(row, name), f"The {name} of {spelled(row.path)}", MOST_TEXT) for name in TEXT)


def size_of(text: str, what: str, most: int) -> int:
    """Return the bytes of a text.

    Raises:
        IndexFileError: If it is not Unicode, or longer than `most`; the message begins with `what`.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise IndexFileError(
            f"{what} is not UTF-8, which is all that Milvus stores.", "Rename it, or write an index file."
        ) from None
    if size > most:
        raise IndexFileError(f"{what} has {size:,} bytes; Milvus stores {most:,}.", "Write an index file.")
    return size
