"""Addresses of Milvus collections, such as `milvus://host:19530/people` and `milvus://./gallery.db`."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from scing_cli.core.errors import IndexFileError, spelled

PORT = 19530
FILE_SUFFIX = ".db"
TOKEN = "SCING_MILVUS_TOKEN"  # noqa: S105
DEFAULT_COLLECTION = "gallery"  # the collection of a file, if none is named
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")
FORMS = "milvus://HOST:PORT/COLLECTION, milvus://HOST:PORT/DATABASE/COLLECTION or milvus://FILE.db/COLLECTION"


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """A collection.

    Args:
        text: The address as it was given.
        uri: What the client connects to: a URL, or the path of a file.
        collection: The collection's name.
        database: The database on the server; empty for the usual one.
    """

    text: str
    uri: str
    collection: str
    database: str = ""

    @property
    def file(self) -> Path | None:
        """The file of milvus-lite; None for a server."""
        return None if "://" in self.uri else Path(self.uri)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address; `milvus+tls://` for an encrypted connection.

        Raises:
            IndexFileError: If it is not one, or holds a password.

        >>> Address.parse("milvus://localhost/people").uri
        'http://localhost:19530'
        >>> Address.parse("milvus://./lists/a.db").collection
        'gallery'
        """
        scheme, _, rest = text.partition("://")
        parts = rest.rstrip("/").split("/")
        files = [number for number, part in enumerate(parts) if part.endswith(FILE_SUFFIX) and part != FILE_SUFFIX]
        if "@" in (parts[0] if files else rest):
            raise IndexFileError(
                f"{scheme}://…@{spelled(rest.rpartition('@')[2])}: a password does not belong in an address, which "
                "is shown and stored.",
                f"Set it in the environment, as {TOKEN}=user:password or {TOKEN}=token.",
            )
        if scheme.lower() not in ("milvus", "milvus+tls"):
            raise _wrong(text, f"it begins with {spelled(scheme)}")
        if files and scheme.lower() == "milvus":
            end = files[-1] + 1
            return cls(text, "/".join(parts[:end]), _collection(text, parts[end:] or [DEFAULT_COLLECTION]))
        host, *inside = parts
        found = HOST.fullmatch(host)
        if found is None or int(found["port"] or PORT) > 65535:
            raise _wrong(text, f"{spelled(host) or 'nothing'} is not a host with a port")
        *databases, _ = inside or [""]
        if len(databases) > 1 or not all(map(NAME.fullmatch, databases)):
            raise _wrong(text, "between host and collection there may be one name, that of a database")
        secure = "https" if scheme.lower() == "milvus+tls" else "http"
        uri = f"{secure}://{found['host']}:{found['port'] or PORT}"
        return cls(text, uri, _collection(text, inside[len(databases) :]), "".join(databases))


def _collection(text: str, names: list[str]) -> str:
    if len(names) == 1 and NAME.fullmatch(names[0]):
        return names[0]
    what = spelled("/".join(names))
    raise _wrong(
        text,
        f"{what} is not the name of a collection: letters, digits and _, no digit first" if what else "no collection",
    )


def _wrong(text: str, why: str) -> IndexFileError:
    shown = text.partition("?")[0]  # what follows may be a token
    return IndexFileError(f"{spelled(shown)} is not the address of a Milvus collection: {why}.", f"Write {FORMS}.")
