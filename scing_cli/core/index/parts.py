"""The vectors of a gallery in several parts: those that were read, which do not change, and those that are new.

N vectors, D width, Q queries, M of some ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from scing_cli.core.index.flat_file import pieces
from scing_cli.core.index.gallery_rows import GalleryRows
from scing_cli.core.index.memory_rows import MemoryRows
from scing_cli.core.index.nearest import FloatArray, nearest
from scing_cli.core.index.store import IntArray, Store, Vectors
from scing_cli.core.index.tuning import tune


class Parts:
    """Vectors in several stores.

    Args:
        stores: The parts; all ids of one are greater than those of the parts before it.
        width: D.
    """

    def __init__(self, stores: Sequence[Store], width: int) -> None:
        self.stores = list(stores)
        self.width = width
        self._ends = np.empty(0, np.int64)  # of all stores but the last: only that one gets greater ids

    @property
    def approximate(self) -> bool:
        """Whether a search may miss a row."""
        return any(store.approximate for store in self.stores)

    def vectors(self, ids: IntArray) -> Vectors:
        """Return a copy of the vectors of M ids, all of which must be there, shape (M, D)."""
        found = np.empty((len(ids), self.width), np.float32)
        for number, places in self.owners(ids):
            for some in pieces(places, self.width):  # a store returns a copy
                found[some] = self.stores[number].vectors(ids[some])
        return found

    def owners(self, ids: IntArray) -> Iterator[tuple[int, IntArray]]:
        """Yield the number of each part that has some of these ids, and the places of its own in `ids`."""
        new = self.stores[len(self._ends) : -1]
        if new:  # an empty store has no id of its own
            self._ends = np.maximum.accumulate([*self._ends, *(store.ends()[1] for store in new)])
        owners = np.searchsorted(self._ends, ids)  # there may be thousands of parts, and few of them own these ids
        order = np.argsort(owners, kind="stable")
        starts = np.flatnonzero(np.diff(owners[order], prepend=-1))
        for places in np.split(order, starts[1:]) if len(ids) else ():
            yield int(owners[places[0]]), places

    def remove(self, ids: IntArray, rows: GalleryRows) -> None:
        """Remove vectors with their rows; of what was read from files, only the ids are noted.

        Args:
            ids: The ids, ascending; all must be there.
            rows: The rows, a table for each store.
        """
        for number, places in self.owners(ids):
            own, table, store = ids[places], rows.tables[number], self.stores[number]
            if isinstance(table, MemoryRows):
                changed = store.remove(own)
                table.drop(own.tolist())
                if changed:
                    tune(store)
            else:
                rows.remove(own)

    def nearest(
        self, queries: Vectors, k: int, allowed: IntArray | None, removed: IntArray
    ) -> list[tuple[FloatArray, IntArray]]:
        """Return each query's k best rows over all parts, as `nearest` does for one.

        Args:
            queries: Shape (Q, D), float32, unit length, contiguous.
            k: Number of hits; at most the number of allowed rows.
            allowed: The ids that may be returned, ascending; None for all but the removed ones.
            removed: Ids that do not count, ascending; only without `allowed`.
        """
        asked: list[tuple[Store, IntArray | None]]
        if allowed is None:
            asked = [(store, _without(store, removed)) for store in self.stores]
        else:
            asked = [(self.stores[number], allowed[places]) for number, places in self.owners(allowed)]
        counts = [len(store) if own is None else len(own) for store, own in asked]
        answers = [
            list(nearest(store, queries, min(k, there), allowed=own))
            for (store, own), there in zip(asked, counts, strict=True)
            if there and k
        ]
        if len(answers) == 1:
            return answers[0]
        return [_best([own[query] for own in answers], k) for query in range(len(queries))]

    def whole(self, ids: IntArray, removed: IntArray) -> Store:
        """Return all vectors as one store of the kind of the first part. An inverted file is the only copy of them.

        Args:
            ids: The ids that stay, ascending.
            removed: Ids of this index that do not stay.
        """
        first = self.stores[0]
        if len(self.stores) == 1 and not len(removed):
            return first
        added = ids[np.searchsorted(ids, first.ends()[1], side="right") :]
        known = first.ids()
        gone = known[np.isin(known, removed)]
        if len(added) and (len(gone) == len(known) or first.is_outgrown(len(ids))):
            fresh = type(first)(first.empty(self.width))
            changed = fresh.fill(ids, self.vectors)
        else:
            fresh, changed = first.without(gone)
            changed |= len(added) > 0 and fresh.fill(added, self.vectors)
        if changed:
            tune(fresh)
        return fresh


def _without(store: Store, removed: IntArray) -> IntArray | None:
    """Return the ids of a store that are not removed; None if none of them is.

    Args:
        store: The vectors.
        removed: Ids of any store, ascending.
    """
    if not len(removed):
        return None
    first, last = store.ends()
    own = removed[np.searchsorted(removed, first) : np.searchsorted(removed, last, side="right")]
    if len(own) == 0:
        return None
    ids = store.ids()
    return np.delete(ids, np.searchsorted(ids, own))


def _best(answers: Sequence[tuple[FloatArray, IntArray]], k: int) -> tuple[FloatArray, IntArray]:
    """Return the k best of several parts' hits, equal scores by id."""
    scores = np.concatenate([np.empty(0), *(own for own, _ in answers)])
    ids = np.concatenate([np.empty(0, np.int64), *(own for _, own in answers)])
    order = np.lexsort((ids, -scores))[:k]
    return scores[order], ids[order]
