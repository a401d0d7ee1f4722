"""Writes to a collection of Milvus: its fields, batches of rows, stamps, and the lease that one writer has at a time.

Milvus has no locks and commits nothing as a whole. A writer leaves a lease in the collection and renews it with each
batch; another one waits until it is gone, or has not changed for `PATIENCE` seconds. Rows that no stamp includes yet
are not seen. Each write has a stamp of its own, and the newest one counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scing_cli.core.artifacts.json_files import CHECKSUM, content_digest, with_checksum
from scing_cli.core.errors import INDEX_AGAIN, IndexFileError, spelled
from scing_cli.core.index.index_stamp import Stamp
from scing_cli.core.index.milvus.expressions import (
    KEY_LENGTH,
    KEYED,
    MOST_TEXT,
    NUMBERS,
    TEXT,
    VECTOR,
    among,
    entity,
    portions,
)
from scing_cli.core.index.milvus.server import STRONG, Server
from scing_cli.core.index.rows import Row
from scing_cli.core.index.store import Vectors

LEASE = -1  # its id; that of a stamp is -2 - generation
KEEPING = "views"  # the field that has the text of a stamp or a lease
MOST_BYTES = 8 << 20  # of one batch
PATIENCE, PAUSE, SETTLE = 60.0, 1.0, 0.3  # seconds: until a lease counts as left behind, between looks, before a check
FORMAT = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """A stamp, and the lowest id of the gallery."""

    stamp: Stamp
    first: int


class Writer:
    """Reads and writes what a collection has besides rows.

    Args:
        server: The connection.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._token = ""

    def create(self, width: int) -> None:
        """Create the collection, with an exact index."""
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
        index = pymilvus.MilvusClient.prepare_index_params()
        index.add_index(VECTOR, index_type="FLAT", metric_type="IP")
        self._server("create_collection", schema=schema, index_params=index, consistency_level=STRONG)

    def read(self) -> Kept | None:
        """Return the newest stamp; None if there is no collection, or one without a stamp.

        Raises:
            IndexFileError: If the collection is not one of scing, or its newest stamp is damaged.
        """
        if not self._server.exists():
            return None
        self._check_own()
        found = self._keeping(f"id < {LEASE}")
        return _parsed(found[0][KEEPING], self._server.address.text) if found else None

    def stamp(self, kept: Kept) -> None:
        """Write a stamp, which counts from then on, and remove the older ones."""
        own = -2 - kept.stamp.generation
        content = dataclasses.asdict(kept.stamp) | {"model": dict(kept.stamp.model), "first": kept.first}
        content |= {"format": FORMAT, "metric": "inner product"}
        self._keep(own, json.dumps(with_checksum(content), ensure_ascii=True, allow_nan=False), kept.stamp.width)
        self._server("delete", filter=f"id > {own} and id < {LEASE}")

    def upsert(self, rows: Sequence[Row], vectors: Vectors) -> None:
        """Write rows with their vectors, in batches; renews the lease before each."""
        # several bytes for a sign of a name, and what a row is longer than its text
        longest = max(sum(len(getattr(row, name)) for name in TEXT) for row in rows) * 2 + 400
        size = max(1, MOST_BYTES // (4 * vectors.shape[1] + longest))
        for start in range(0, len(rows), size):
            self.renew(vectors.shape[1])
            some = zip(rows[start : start + size], vectors[start : start + size], strict=True)
            self._server("upsert", data=[entity(row, vector) for row, vector in some])

    def delete(self, ids: Sequence[int]) -> None:
        """Delete rows."""
        for some in portions(ids):
            self._server("delete", filter=among("id", some))

    def delete_outside(self, first: int, end: int) -> None:
        """Delete the rows that are in no range of ids: those of an unfinished write, or of a replaced gallery."""
        self._server("delete", filter=f"id >= {end}")
        if first:
            self._server("delete", filter=f"id >= 0 and id < {first}")

    @contextlib.contextmanager
    def leased(self, width: int) -> Iterator[None]:
        """Keep other processes of scing from writing to the collection.

        Raises:
            IndexFileError: If another one is writing.
        """
        self._wait()
        self._token = uuid.uuid4().hex
        self._beat(width)
        time.sleep(SETTLE)  # two that found no lease at the same moment both left one: the later one counts
        self._check_mine()
        try:
            yield
        finally:
            with contextlib.suppress(IndexFileError):  # the lease is left behind, as after a kill
                if self._lease().get("token") == self._token:
                    self.delete([LEASE])

    def renew(self, width: int) -> None:
        """Renew the lease.

        Raises:
            IndexFileError: If another process has taken it.
        """
        self._check_mine()
        self._beat(width)

    def _wait(self) -> None:
        seen, since = self._lease(), time.monotonic()
        while seen and not _is_dead(seen):
            time.sleep(PAUSE)
            now = self._lease()
            if now and now != seen:
                raise self._other(now)
            if not now or time.monotonic() - since > PATIENCE:
                return

    def _beat(self, width: int) -> None:
        held = {"token": self._token, "host": socket.gethostname(), "pid": os.getpid(), "beat": uuid.uuid4().hex}
        self._keep(LEASE, json.dumps(held), width)

    def _check_mine(self) -> None:
        found = self._lease()
        if found.get("token") != self._token:
            raise self._other(found)

    def _lease(self) -> dict[str, Any]:
        found = self._keeping(f"id == {LEASE}")
        return dict(json.loads(found[0][KEEPING])) if found else {}

    def _other(self, lease: dict[str, Any]) -> IndexFileError:
        who = f" (process {lease['pid']} on {spelled(lease['host'])})" if lease else ""
        return IndexFileError(
            f"Another process is writing {self._server.address.text}{who}.",
            "Run the command again when it has ended; what was embedded is kept.",
        )

    def _keep(self, number: int, text: str, width: int) -> None:
        row = Row(number, "", 0, 0, "", "", "", views=text)
        self._server("upsert", data=[entity(row, np.zeros(width, np.float32))])

    def _keeping(self, expression: str) -> list[Any]:
        """Return what is kept under negative ids, newest stamps first."""
        found = self._server("query", filter=expression, output_fields=["id", KEEPING], consistency_level=STRONG)
        return sorted(found, key=lambda one: one["id"])

    def _check_own(self) -> None:
        fields = {field["name"] for field in self._server("describe_collection")["fields"]}
        own = {"id", VECTOR, *NUMBERS, *TEXT, *(f"{name}_key" for name in KEYED)}
        if fields != own:
            raise IndexFileError(
                f"{self._server.address.text} is a collection of something else: it was not made by scing.",
                "Name another collection; scing changes no collection that it did not make.",
            )


def _parsed(text: str, source: str) -> Kept:
    from scing_cli.core.artifacts.schema_faults import find_fault  # imports pydantic

    try:
        content = json.loads(text)
        intact = content.pop(CHECKSUM, None) == content_digest(content)
        newer = content.pop("format") != FORMAT
        first, _ = int(content.pop("first")), content.pop("metric")
        fault = "its checksum does not match" if not intact else "" if newer else find_fault("index stamp", content)
    except (ValueError, AttributeError, KeyError, TypeError):
        fault, newer = "it cannot be read", False
    if fault:
        raise IndexFileError(f"The stamp of {source} is damaged: {fault}.", f"Embed the gallery again: {INDEX_AGAIN}")
    if newer:
        raise IndexFileError(f"{source} was written by a newer scing.", "Install a newer scing-cli.")
    return Kept(Stamp(**{**content, "segments": ()}), first)


def _is_dead(lease: dict[str, Any]) -> bool:
    """Return whether a lease is of a process of this host that is gone."""
    if lease.get("host") != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(int(lease["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, KeyError):
        return False
    return False
