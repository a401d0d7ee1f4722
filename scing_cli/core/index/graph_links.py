"""Links of an HNSW graph: every vector must have a path from every place where a search can start.

A search descends greedily through the upper levels, and ends at some vector that they hold. From there it follows the
links of level 0 alone. These are directed and pruned, so a build can leave vectors that no search finds, however many
candidates it keeps. `connect` gives such vectors a link from the nearest vector that has room for one.

N vectors, D width.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.index.store import IntArray, Vectors, faiss

BoolArray = npt.NDArray[np.bool_]
Links = npt.NDArray[np.int32]
NO_LINK = -1


def connect(graph: Any, vectors: Vectors) -> int:
    """Add links of level 0 until every vector is reached from every start of a search.

    Args:
        graph: A faiss HNSW index by inner product; its links are changed in place.
        vectors: Its vectors, shape (N, D).

    Returns:
        The number of added links.
    """
    if graph.ntotal < 2:
        return 0
    links = _Links(graph.hnsw)
    added = _reach_all(links, vectors)
    added += _reach_entry(links, vectors)
    if added:
        links.write()
    return added


class _Links:
    """The links of level 0.

    Args:
        hnsw: faiss's graph.
    """

    def __init__(self, hnsw: Any) -> None:
        self._hnsw = hnsw
        self._all = faiss.vector_to_array(hnsw.neighbors)
        self.neighbours: Links = self._all[self._slots()]  # (N, links), -1 where there is no link
        self.entry = int(hnsw.entry_point)
        above = np.flatnonzero(faiss.vector_to_array(hnsw.levels) > 1)  # a vector of level 0 alone has 1 level
        self.starts: IntArray = np.union1d(above, [self.entry])

    @property
    def room(self) -> BoolArray:
        """Which vectors can have one more link, shape (N,)."""
        room: BoolArray = (self.neighbours == NO_LINK).any(axis=1)
        return room

    def add(self, start: int, end: int) -> None:
        """Add a link to a vector that has room, behind its others: faiss reads up to the first place without one."""
        self.neighbours[start, np.argmax(self.neighbours[start] == NO_LINK)] = end

    def reached(self, starts: IntArray, known: BoolArray | None = None) -> BoolArray:
        """Return which vectors are reached from some starts or known, shape (N,); `known` is changed in place."""
        known = np.zeros(len(self.neighbours), bool) if known is None else known
        front = starts[~known[starts]]
        while len(front):
            known[front] = True
            ends = np.unique(self.neighbours[front])
            ends = ends[ends >= 0]
            front = ends[~known[ends]].astype(np.int64)
        return known

    def reaching(self, end: int) -> BoolArray:
        """Return which vectors reach a vector, shape (N,); it stops once all starts are known to."""
        known = np.zeros(len(self.neighbours) + 1, bool)  # the last one is where there is no link
        known[end] = True
        while not known[self.starts].all():
            rest = np.flatnonzero(~known[:-1])
            more = rest[known[self.neighbours[rest]].any(axis=1)]
            if not len(more):
                break
            known[more] = True
        return known[:-1]

    def write(self) -> None:
        """Write the links into the graph."""
        self._all[self._slots()] = self.neighbours
        faiss.copy_array_to_vector(self._all, self._hnsw.neighbors)

    def _slots(self) -> IntArray:
        """Return where the links are among those of all levels, shape (N, links)."""
        first = faiss.vector_to_array(self._hnsw.offsets)[:-1].astype(np.int64)
        slots: IntArray = first[:, None] + np.arange(self._hnsw.nb_neighbors(0))
        return slots


def _reach_all(links: _Links, vectors: Vectors) -> int:
    """Give every vector a path from the entry point."""
    known, added = links.reached(np.array([links.entry])), 0
    room = links.room
    for missed in np.flatnonzero(~known).tolist():
        if known[missed]:  # reached from a vector that was linked just now
            continue
        start = _nearest(vectors, missed, known & room)
        if start is None:
            return added
        links.add(start, missed)
        room[start] = bool((links.neighbours[start] == NO_LINK).any())
        links.reached(np.array([missed]), known)
        added += 1
    return added


def _reach_entry(links: _Links, vectors: Vectors) -> int:
    """Give every start of a search a path to the entry point, from which all vectors are reached."""
    added = 0
    back = links.reaching(links.entry)
    while len(lost := links.starts[~back[links.starts]]):
        around = links.reached(lost[:1])
        start = _nearest(vectors, int(lost[0]), around & links.room)
        end = None if start is None else _nearest(vectors, start, back)
        if start is None or end is None:
            return added
        links.add(start, end)
        added += 1
        back = links.reaching(links.entry)
    return added


def _nearest(vectors: Vectors, position: int, allowed: BoolArray) -> int | None:
    """Return the allowed vector with the greatest inner product with one of them; None if none is allowed."""
    if not allowed.any():
        return None
    scores = np.where(allowed, vectors @ vectors[position], -np.inf)
    return int(np.argmax(scores))
