"""The fields of a collection, and filters over them as Milvus's expressions.

Text from outside never stands in an expression: names are compared by a digest, which has a field of its own. So no
quote, backslash or other character of a name can change what an expression means.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from scing_cli.core.index.rows import Row, RowFilter

TEXT = ("path", "digest", "identity", "camera", "views", "scene")
NUMBERS = ("size", "mtime")
KEYED = ("path", "identity", "camera")
FIELDS = ("id", *NUMBERS, *TEXT)
VECTOR = "vector"
MOST_TEXT = 65_535  # bytes of a field of text
KEY_LENGTH = 32
LISTED = 1000  # values in one list of an expression
Value = TypeVar("Value")


def key_of(text: str) -> str:
    """Return the digest by which a name is compared: 32 hexadecimal digits."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:KEY_LENGTH]


def entity(row: Row, vector: Any) -> dict[str, Any]:
    """Return a row and its vector as Milvus takes them."""
    own = {name: getattr(row, name) for name in FIELDS}
    return {**own, **{f"{name}_key": key_of(own[name]) for name in KEYED}, VECTOR: vector}


def row_of(found: Any) -> Row:
    """Return the row of an entity."""
    return Row(**{name: found[name] for name in FIELDS})


def among(field: str, values: Iterable[str | int], *, inside: bool = True) -> str:
    """Return the expression for a field with one of some values, or with none of them.

    Args:
        field: A field; the values of one in `KEYED` are compared by digest.
        values: The values.
        inside: Whether the value must be one of them.

    >>> among("id", [3, 4])
    'id in [3, 4]'
    """
    own = [key_of(str(value)) if field in KEYED else value for value in values]
    name, how, glue = (f"{field}_key" if field in KEYED else field), "in" if inside else "not in", " or "
    parts = [f"{name} {how} [{', '.join(map(_literal, some))}]" for some in portions(own)]
    text = (glue if inside else " and ").join(parts)
    return f"({text})" if len(parts) > 1 else text


def portions(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Yield values in portions that fit into one list of an expression."""
    return (values[start : start + LISTED] for start in range(0, len(values), LISTED))


def passing(allowed: RowFilter | None) -> str:
    """Return the expression of a filter; empty without one."""
    if not allowed:
        return ""
    named = [("camera", allowed.cameras, True), ("identity", allowed.identities, True)]
    named += [("camera", allowed.without_cameras, False), ("identity", allowed.without_identities, False)]
    return both(*(among(field, sorted(names), inside=inside) for field, names, inside in named if names))


def both(*expressions: str) -> str:
    """Join expressions of which all must hold; empty ones always do.

    >>> both("id >= 0", "", "size > 3")
    'id >= 0 and size > 3'
    """
    return " and ".join(filter(None, expressions))


def _literal(value: str | int) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
