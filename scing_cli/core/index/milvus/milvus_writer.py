"""Writes to a collection of Milvus: its fields, batches of rows, records, and the lease that one writer has at a time.

Records have ids below 0. A stamp is one, and the newest counts; it says which range of ids belongs to the gallery, so
that rows of an unfinished write are never seen. Milvus commits nothing as a whole: what changes rows that are there
(other labels, removals) is first written down as a journal. The stamp that names the journal is the commit; whoever
writes next carries the journal out, if its writer was killed. Milvus has no locks either: a writer renews its lease
with each batch, and another one waits until it is gone, or has not changed for `PATIENCE` seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scing_cli.core.errors import IndexFileError, spelled
from scing_cli.core.index.milvus.collection_load import load_collection
from scing_cli.core.index.milvus.collection_schema import checked_size, collection_schema
from scing_cli.core.index.milvus.expressions import (
    FIELDS,
    KEYED,
    NUMBERS,
    TEXT,
    VECTOR,
    among,
    entity,
    portions,
    row_of,
)
from scing_cli.core.index.milvus.lease_owner import is_dead, this_machine
from scing_cli.core.index.milvus.milvus_rows import MilvusRows
from scing_cli.core.index.milvus.server import STRONG, Server, ServerError
from scing_cli.core.index.milvus.stamp_record import StampRecord, parse_stamp, stamp_text
from scing_cli.core.index.rows import Labels, Row, labelled
from scing_cli.core.index.store import Vectors

LEASE = -1  # its id; that of a stamp is -2 - generation, those of a journal are far below
JOURNAL, GENERATION = -(2**62), 2**20  # the lowest id of a journal; ids of each generation
RECORD = "views"  # the field that has the text of a record
JOURNAL_BYTES = 60_000  # of one record of the journal
MOST_BYTES = 8 << 20  # of one batch
PATIENCE, PAUSE, SETTLE = 100.0, 1.0, 0.3  # seconds: until a lease counts as left behind, between looks, before a check
BEFORE = "This command has changed nothing that readers see: run it again."
AMID = "Whether the change is written is not known: run the command again."
PENDING = (
    "The change is written, but perhaps not carried out, and until then the gallery is refused: "
    "any scing embed --append or --prune ends it."
)
WRITTEN = "The change is written; what it replaced may be left, which the next write deletes."
FORMER = "This command was ending an earlier change that had been interrupted: run it again."
Change = Labels | tuple[str, str] | None
"""Other labels of a row; None to remove it."""


class Writer:
    """Reads and writes a collection.

    Args:
        server: The connection.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.token = ""
        self._outcome = BEFORE  # what is to be said if Milvus fails now

    def prepare(self, width: int) -> None:
        """Create the collection with an exact index and load it, as far as that is not done."""
        import pymilvus

        if not self._server.exists():
            self._server("create_collection", schema=collection_schema(width), consistency_level=STRONG)
        if not self._server("list_indexes"):
            index = pymilvus.MilvusClient.prepare_index_params()
            index.add_index(VECTOR, index_type="FLAT", metric_type="IP")
            self._server("create_index", index_params=index)
        load_collection(self._server, start=True)

    def read(self, *, load: bool = False) -> StampRecord | None:
        """Return the newest stamp; None if there is no collection, or one without a stamp.

        Args:
            load: Load the collection of a server if it is not; that of a file always is.

        Raises:
            IndexFileError: If the collection is not one of scing or not loaded, or its newest stamp is damaged.
        """
        if not self._server.exists():
            return None
        self._check_own()
        if not self._server("list_indexes"):  # its writer was killed before it could be read
            return None
        load_collection(self._server, start=load or self._server.address.file is not None)
        found = self._records(f"id > {JOURNAL // 2} and id < {LEASE}")
        return parse_stamp(found[0][RECORD], self._server.address.text) if found else None

    def write_stamp(self, record: StampRecord, *, again: bool = False) -> StampRecord:
        """Write a stamp, which counts from then on, remove the older ones, and return it as it was read again.

        Args:
            record: The stamp.
            again: Whether it replaces one of the same generation.
        """
        text = stamp_text(dataclasses.replace(record, writer=self.token))
        own, number = parse_stamp(text, self._server.address.text), -2 - record.stamp.generation
        self._renew(record.stamp.width)
        if not again and self._records(f"id == {number}"):
            raise self._other(self._lease())
        if not again:
            self._outcome = AMID
        self._put_record(number, text, record.stamp.width)
        if self.read() != own:
            raise self._other(self._lease())
        if self._outcome != FORMER:
            self._outcome = PENDING if record.journal else WRITTEN
        self._server("delete", filter=f"id > {number} and id < {LEASE}")
        return own

    def upsert(self, rows: Sequence[Row], vectors: Vectors) -> None:
        """Write rows with their vectors, in batches.

        Raises:
            IndexFileError: If a name cannot be stored in Milvus, another process has taken the lease, or Milvus fails.
        """
        longest = max(map(checked_size, rows)) + 400  # what a row is longer than its text
        size = max(1, MOST_BYTES // (4 * vectors.shape[1] + longest))
        for start in range(0, len(rows), size):
            self._renew(vectors.shape[1])
            some = zip(rows[start : start + size], vectors[start : start + size], strict=True)
            self._server("upsert", data=[entity(row, vector) for row, vector in some])

    def write_journal(self, changes: Mapping[int, Change], generation: int, width: int) -> int:
        """Write down changes of rows that are there, for the stamp of a generation; return the number of records."""
        texts, left = [""], JOURNAL_BYTES
        for number in sorted(changes):
            text = f'"{number}": {json.dumps(changes[number])}'
            if left < len(text):
                texts, left = [*texts, ""], JOURNAL_BYTES
            texts[-1] += f", {text}" if texts[-1] else text
            left -= len(text) + 2
        written = list(filter(None, texts))
        for record, text in enumerate(written):
            self._renew(width)
            self._put_record(_journal_of(generation) + record, f"{{{text}}}", width)
        return len(written)

    def carry_out(self, record: StampRecord) -> StampRecord:
        """Change the rows as the journal of the newest stamp says, and write the stamp without it.

        Raises:
            IndexFileError: If a record of the journal is missing, another process has the lease, or Milvus fails.
        """
        if not record.journal:
            return record
        rows, width = MilvusRows(self._server, record.first, record.stamp.next_id), record.stamp.width
        start = _journal_of(record.stamp.generation)
        for number in range(start, start + record.journal):
            found = self._records(f"id == {number}")
            if not found:
                raise IndexFileError(
                    f"The journal of {self._server.address.text} is damaged: a record is missing.",
                    "Embed the gallery again with --force.",
                )
            changes = {int(name): change for name, change in json.loads(found[0][RECORD]).items()}
            labels = {name: tuple(change) for name, change in changes.items() if change is not None}
            there = list(rows.of(sorted(labels), [*FIELDS, VECTOR]))
            if there:
                vectors = np.array([own[VECTOR] for own in there], np.float32)
                self.upsert([labelled(row_of(own), labels[own["id"]]) for own in there], vectors)
            self._delete(sorted(changes.keys() - labels.keys()), width)
        return self.write_stamp(dataclasses.replace(record, journal=0), again=True)

    def delete_unfinished(self, end: int, width: int) -> None:
        """Delete the rows of a write that was never finished: nobody has seen them."""
        self._renew(width)
        self._server("delete", filter=f"id >= {end}")

    def delete_former(self, record: StampRecord) -> None:
        """Delete the rows of a gallery that was replaced, and the records of journals that were carried out."""
        self._renew(record.stamp.width)
        if record.first:
            self._server("delete", filter=f"id >= 0 and id < {record.first}")
        self._server("delete", filter=f"id < {_journal_of(record.stamp.generation + 1)}")

    @contextlib.contextmanager
    def leased(self, width: int, outcome: str = BEFORE) -> Iterator[None]:
        """Keep other processes of scing from writing to the collection.

        Args:
            width: D.
            outcome: What an error of Milvus means until a stamp is written: `BEFORE`, or `FORMER`, which stays.

        Raises:
            IndexFileError: If another one is writing, or Milvus fails; the message says what has been written.
        """
        self._outcome = outcome
        self._wait()
        self.token = uuid.uuid4().hex
        self._write_lease(width)
        time.sleep(SETTLE)  # two that found no lease at the same moment both left one: the later one counts
        self._check_mine()
        try:
            yield
        except ServerError as error:  # the lease stays behind, as after a kill
            raise ServerError(error.what, f"{error.remedy} {self._outcome}".strip()) from error
        except BaseException:
            with contextlib.suppress(IndexFileError):
                self._release()
            raise
        with contextlib.suppress(IndexFileError):
            self._release()

    def _release(self) -> None:
        if self._lease().get("token") == self.token:
            self._server("delete", filter=f"id == {LEASE}")

    def _renew(self, width: int) -> None:
        self._check_mine()
        self._write_lease(width)

    def _wait(self) -> None:
        seen, since = self._lease(), time.monotonic()
        while seen and not is_dead(seen):
            time.sleep(PAUSE)
            now = self._lease()
            if now and now != seen:
                raise self._other(now)
            if not now or time.monotonic() - since > PATIENCE:
                return

    def _write_lease(self, width: int) -> None:
        lease = {"token": self.token, "pid": os.getpid(), "turn": uuid.uuid4().hex, **this_machine()}
        self._put_record(LEASE, json.dumps(lease), width)

    def _check_mine(self) -> None:
        found = self._lease()
        if found.get("token") != self.token:
            raise self._other(found)

    def _lease(self) -> dict[str, Any]:
        found = self._records(f"id == {LEASE}")
        return dict(json.loads(found[0][RECORD])) if found else {}

    def _other(self, lease: Mapping[str, Any]) -> IndexFileError:
        who = f" (process {lease['pid']} on {spelled(lease['host'])})" if lease else ""
        again = "Run the command again when it has ended; what was embedded is kept."
        remedy = self._outcome if self._outcome in (PENDING, WRITTEN) else again
        return IndexFileError(f"Another process is writing {self._server.address.text}{who}.", remedy)

    def _delete(self, ids: Collection[int], width: int) -> None:
        for some in portions(sorted(ids)):
            self._renew(width)
            self._server("delete", filter=among("id", some))

    def _put_record(self, number: int, text: str, width: int) -> None:
        row = Row(number, "", 0, 0, "", "", "", views=text)
        self._server("upsert", data=[entity(row, np.zeros(width, np.float32))])

    def _records(self, expression: str) -> list[Any]:
        """Return records, the newest stamps first."""
        found = self._server("query", filter=expression, output_fields=["id", RECORD], consistency_level=STRONG)
        return sorted(found, key=lambda one: one["id"])

    def _check_own(self) -> None:
        fields = {field["name"] for field in self._server("describe_collection")["fields"]}
        own = {"id", VECTOR, *NUMBERS, *TEXT, *(f"{name}_key" for name in KEYED)}
        if fields != own:
            raise IndexFileError(
                f"{self._server.address.text} is a collection of something else: it was not made by scing.",
                "Name another collection; scing changes no collection that it did not make.",
            )


def _journal_of(generation: int) -> int:
    """Return the first id of the journal of a generation; those of later ones are greater."""
    return JOURNAL + generation * GENERATION
