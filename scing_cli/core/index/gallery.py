"""The gallery index in memory: search, add, remove, write.

Q queries, N vectors, D width. Vectors are unit length, so an inner product is a cosine (Eq. 21).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.errors import INDEX_AGAIN, DataError, IndexFileError, SettingError
from scing_cli.core.index.disk import check_name, commit, load, write_lock
from scing_cli.core.index.index_stamp import Stamp, read_stamp
from scing_cli.core.index.kinds import KINDS, choose_kind
from scing_cli.core.index.nearest import nearest
from scing_cli.core.index.rows import Entry, Hit, Row, RowFilter, best_of_each
from scing_cli.core.index.store import Store, check_unit
from scing_cli.core.index.tuning import measured_recall, tune

Vectors = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
LABELS = ("identity", "camera", "scene")


class GalleryIndex:
    """Unit vectors with stable int64 ids, and one row of metadata per vector. Made by `create` or `read`.

    Args:
        store: The vectors, in ascending order of ids.
        rows: One per vector, in order of ids.
        stamp: Model, descriptor and counts of the index.
        path: The file it was read from or last written to.
    """

    def __init__(self, store: Store, rows: Sequence[Row], stamp: Stamp, path: Path | None = None) -> None:
        self._store = store
        self._rows = {row.id: row for row in rows}
        self._stamp = self._committed = stamp
        self._path = path

    @classmethod
    def create(
        cls,
        vectors: Vectors,
        entries: Sequence[Entry],
        *,
        model_digest: str,
        model: Mapping[str, Any],
        descriptor: str,
        kind: str = "auto",
    ) -> GalleryIndex:
        """Create an index of new vectors. Ids start at 0.

        Args:
            vectors: Shape (N, D), float32, unit length.
            entries: The N images.
            model_digest: Digest of the image encoder.
            model: Where to find the encoder, as in `Stamp.model`.
            descriptor: `projected` or `concat`.
            kind: The index type: `auto` (by the number of vectors), `flat`, `ivf` or `hnsw`.

        Raises:
            SettingError: If the kind is unknown.
            DataError: If there are no vectors, or one is not finite or not of unit length.
        """
        if len(vectors) == 0:
            raise DataError("There is no image to index.")
        width = vectors.shape[1]
        chosen = KINDS[choose_kind(kind, len(vectors))]
        stamp = Stamp(model_digest, model, descriptor, width, kind=chosen.kind)
        index = cls(chosen(chosen.empty(width)), (), stamp)
        index.add(vectors, entries)
        return index

    @classmethod
    def read(cls, path: Path) -> GalleryIndex:
        """Read an index with its rows. Another process may write the index at the same time.

        Raises:
            IndexFileError: If it is missing, was not written by scing, is damaged, or its rows are missing.
        """
        return cls(*load(path), path)

    @property
    def stamp(self) -> Stamp:
        """The index's stamp; generation and digests are those of the last write."""
        return self._stamp

    @property
    def width(self) -> int:
        """D, the width of the vectors."""
        return self._stamp.width

    @property
    def is_approximate(self) -> bool:
        """Whether a search may miss a row."""
        return self._store.approximate

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> list[Row]:
        """Return the rows in order of ids."""
        return list(self._rows.values())

    def vectors(self, ids: Sequence[int] | None = None) -> Vectors:
        """Return a copy of the vectors of M ids, shape (M, D), or of all vectors in order of ids, shape (N, D)."""
        if ids is None:
            return np.array(self._store.stored()[1])
        return np.array(self._store.vectors(np.array(ids, dtype=np.int64)))

    def add(self, vectors: Vectors, entries: Sequence[Entry]) -> list[int]:
        """Add vectors under new ids and return these ids. The disk changes only with `write`.

        Args:
            vectors: Shape (N, D), float32, unit length.
            entries: The N images.

        Raises:
            IndexFileError: If the vectors are not D wide.
            DataError: If a vector is not finite or not of unit length; the message names the image.
        """
        if len(vectors) != len(entries):
            raise ValueError(f"{len(vectors)} vectors, {len(entries)} images")
        self._check_width(vectors)
        check_unit(vectors, [entry.path for entry in entries])
        first = self._stamp.next_id
        ids = range(first, first + len(entries))
        retrained = False
        if ids:
            retrained = self._store.add(np.ascontiguousarray(vectors, dtype=np.float32), np.array(ids, dtype=np.int64))
        self._rows |= {number: Row.of(number, entry) for number, entry in zip(ids, entries, strict=True)}
        self._stamp = dataclasses.replace(self._stamp, count=len(self._rows), next_id=ids.stop)
        if retrained:
            tune(self._store)
        return list(ids)

    def remove(self, ids: Collection[int]) -> None:
        """Remove rows. Their ids are never used again. The disk changes only with `write`.

        Raises:
            ValueError: If an id is unknown.
        """
        if unknown := set(ids) - self._rows.keys():
            raise ValueError(f"no rows {sorted(unknown)}")
        if not ids:
            return
        changed = self._store.remove(np.array(sorted(ids), dtype=np.int64))
        self._rows = {number: row for number, row in self._rows.items() if number not in ids}
        self._stamp = dataclasses.replace(self._stamp, count=len(self._rows))
        if changed:
            tune(self._store)

    def relabel(self, labels: Mapping[int, tuple[str, str] | tuple[str, str, str]]) -> None:
        """Give rows other labels; ids and vectors stay. The disk changes only with `write`.

        Args:
            labels: Identity and camera by id, and the scene if it is another one too.

        Raises:
            ValueError: If an id is unknown.
        """
        if unknown := labels.keys() - self._rows.keys():
            raise ValueError(f"no rows {sorted(unknown)}")
        for number, named in labels.items():
            self._rows[number] = self._rows[number]._replace(**dict[str, Any](zip(LABELS, named, strict=False)))

    def name_model(self, model: Mapping[str, Any]) -> None:
        """Say where the encoder is now, as in `Stamp.model`. The disk changes only with `write`."""
        self._stamp = dataclasses.replace(self._stamp, model=model)

    def write(self, path: Path, *, locked: bool = False) -> Stamp:
        """Write the index and its rows; one rename commits both.

        Args:
            path: The `.faiss` file.
            locked: True if the caller already holds its `write_lock`.

        Raises:
            IndexFileError: If the name does not end in `.faiss`, another process is writing the file or has changed it
                since this index was read from it, or faiss cannot write.
        """
        check_name(path)
        with contextlib.nullcontext() if locked else write_lock(path):
            self._check_unchanged(path)
            stamp = commit(path, self._store.index, self.rows(), self._stamp)
        self._stamp, self._committed, self._path = stamp, stamp, path
        return stamp

    def search(
        self, vectors: Vectors, k: int, *, allowed: RowFilter | None = None, each_identity_once: bool = False
    ) -> list[list[Hit]]:
        """Find the k nearest rows of each query, best first.

        Scores are computed pair by pair in float64, and equal scores are ordered by id, so the hits of a query depend
        neither on the other queries nor on the machine.

        Args:
            vectors: Shape (Q, D), float32, unit length.
            k: Number of rows; all rows if k is greater.
            allowed: Which rows may be returned; None for all.
            each_identity_once: Return the best row of each of k identities; a row without one counts as an identity.

        Raises:
            SettingError: If k is below 1.
            IndexFileError: If the queries are not D wide.
            DataError: If a query is not finite or not of unit length.
        """
        if k < 1:
            raise SettingError(f"-k {k}: at least one row must be asked for.")
        self._check_width(vectors)
        check_unit(vectors, [f"query {i}" for i in range(len(vectors))])
        ids = np.array([row.id for row in self._rows.values() if allowed(row)], np.int64) if allowed else None
        there = len(self) if ids is None else len(ids)
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        if not each_identity_once:
            return self._nearest(queries, min(k, there), ids)
        return self._people(queries, k, there, ids)

    def _nearest(self, queries: Vectors, k: int, allowed: IntArray | None) -> list[list[Hit]]:
        if k == 0 or len(queries) == 0:
            return [[] for _ in queries]
        return [
            [Hit(float(score), self._rows[int(number)]) for score, number in zip(scores, ids, strict=True)]
            for scores, ids in nearest(self._store, queries, k, allowed=allowed)
        ]

    def _people(self, queries: Vectors, k: int, there: int, allowed: IntArray | None) -> list[list[Hit]]:
        """Return the best hit of each of k identities, for every query."""
        answers: list[list[Hit]] = [[] for _ in queries]
        named = [row.identity or row.id for row in self._rows.values()]
        if allowed is not None:
            kept = set(allowed.tolist())
            named = [name for name, row in zip(named, self._rows.values(), strict=True) if row.id in kept]
        k = min(k, len(set(named)))
        open_places, reach = list(range(len(queries))), k
        while open_places:  # the queries whose hits show fewer than k identities so far: fetch four times as many
            reach = min(4 * reach, there)
            found = self._nearest(queries[open_places], reach, allowed)
            for place, hits in zip(open_places, found, strict=True):
                answers[place] = best_of_each(hits)[:k]
            open_places = [place for place in open_places if len(answers[place]) < k and reach < there]
        return answers

    def recall(self) -> float:
        """Return recall@10 compared with a flat index, with stored vectors as queries; 1 for a flat index."""
        return measured_recall(self._store)

    def check_model(self, digest: str, *, descriptor: str, width: int, name: str) -> None:
        """Check that a model's vectors can be compared with those of this index.

        Args:
            digest: Digest of the model's image encoder.
            descriptor: The descriptor of the queries: `projected` or `concat`.
            width: D of the queries.
            name: The model's name in the message, such as `runs/market`.

        Raises:
            IndexFileError: If the index was made by another model or with another descriptor.
        """
        own = self._stamp
        if (digest, descriptor, width) == (own.model_digest, own.descriptor, own.width):
            return
        if digest == own.model_digest:
            raise IndexFileError(
                f"{self._name} holds the descriptor {own.descriptor}, {own.width} wide; {name} was asked for "
                f"{descriptor}, {width} wide.",
                f"Use --descriptor {own.descriptor}, or embed the gallery again: {INDEX_AGAIN}",
            )
        ours = f"visual {own.model_digest[:8]}…, {own.descriptor}, {own.width} wide"
        theirs = f"visual {digest[:8]}…, {descriptor}, {width} wide"
        made_by = f"Use the model that made it: {own.made_by()}, or embed" if own.made_by() else "Embed"
        raise IndexFileError(
            f"{self._name} was made by another model ({ours}) than {name} ({theirs}).",
            f"{made_by} the gallery again: {INDEX_AGAIN}",
        )

    @property
    def _name(self) -> str:
        return "The index" if self._path is None else str(self._path)

    def _check_width(self, vectors: Vectors) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self.width:
            raise IndexFileError(
                f"{self._name} holds vectors {self.width} wide; these are {vectors.shape[-1]} wide.",
                f"Use the model and descriptor that made it, or embed again: {INDEX_AGAIN}",
            )

    def _check_unchanged(self, path: Path) -> None:
        """Raise if another process has changed the file since this index was read from it."""
        if self._path is None or self._path.absolute() != path.absolute() or not path.exists():
            return
        if read_stamp(path) != self._committed:
            raise IndexFileError(f"{path} was changed by another process after it was read.", "Run the command again.")
