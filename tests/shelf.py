"""A gallery engine for tests: galleries in the memory of this process, with addresses such as `shelf://people`.

It is the least that an engine needs: one module with `location`, and one row in `ENGINES`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

import numpy as np

from scing_cli.core.errors import IndexFileError, SettingError
from scing_cli.core.index import Gallery, GalleryLocation, Hit
from scing_cli.core.index.hits import best_hits
from scing_cli.core.index.memory_rows import MemoryRows
from scing_cli.core.index.rows import labelled
from scing_cli.core.pairs import pair_scores

SHELF: dict[str, tuple] = {}
"""What was written to each address: the stamp, the rows, and the vectors by id."""


class ShelfGallery(Gallery):
    def __init__(self, name, stamp, rows=(), vectors=()):
        self._name, self._stamp = name, stamp
        self._table, self._vectors = MemoryRows(rows), dict(vectors)

    @property
    def name(self):
        return self._name

    @property
    def stamp(self):
        return self._stamp

    @property
    def is_approximate(self):
        return False

    @property
    def table(self):
        return self._table

    def vectors(self, ids=None):
        numbers = self._table.ids() if ids is None else ids
        return np.array([self._vectors[int(number)] for number in numbers], np.float32).reshape(-1, self.width)

    def recall(self):
        return None

    def borrow(self, lender, ids, labels=None):
        lent = lender()
        there = lent.table.find(ids)
        for place, (number, vector) in enumerate(zip(ids, lent.vectors(ids), strict=True)):
            new = self._stamp.next_id
            row = there[int(number)]._replace(id=new)
            self._table.put({new: row if labels is None else labelled(row, labels[place])})
            self._vectors[new] = vector
            self._stamp = dataclasses.replace(self._stamp, next_id=new + 1, count=len(self))

    def remove(self, ids):
        self._check_known(ids)
        self._table.drop(ids)
        self._stamp = dataclasses.replace(self._stamp, count=len(self))

    def relabel(self, labels):
        self._check_known(labels.keys())
        found = self._table.find(labels)
        self._table.put({number: labelled(row, labels[number]) for number, row in found.items()})

    def name_model(self, model):
        self._stamp = dataclasses.replace(self._stamp, model=model)

    def _find(self, queries, k, *, allowed, each_identity_once):
        ids = self._table.ids(allowed)
        rows, vectors = self._table.find(ids), self.vectors(ids)

        def nearest(some, reach):
            answers = []
            for query in some:
                scores = np.clip(pair_scores(query, vectors), -1.0, 1.0)
                order = np.lexsort((ids, -scores))[:reach]
                answers.append([Hit(float(scores[place]), rows[int(ids[place])]) for place in order])
            return answers

        people = self._table.people(allowed) if each_identity_once else None
        return best_hits(nearest, queries, k, there=len(ids), people=people)

    def state(self):
        return self._stamp, tuple(self._table), dict(self._vectors)


class ShelfLocation(GalleryLocation):
    def __init__(self, text):
        self._text = text

    @property
    def named(self):
        return self._text

    @property
    def local(self):
        return Path(f"{self._text.partition('://')[2]}.shelf.faiss")

    def exists(self):
        return self._text in SHELF

    def check_writable(self):
        pass

    def state(self):
        return SHELF[self._text][0].generation if self.exists() else None

    def check_width(self, width):
        pass

    def stamp(self):
        return self.open().stamp

    def rows(self):
        return self.open().table

    def open(self):
        if not self.exists():
            raise IndexFileError(f"There is no gallery {self}.")
        return ShelfGallery(self._text, *SHELF[self._text])

    def check_kind(self, kind):
        if kind not in ("auto", "flat"):
            raise SettingError(f"--index-type {kind} has no effect on {self}.")

    def check_compact(self):
        raise SettingError(f"--compact has no effect on {self}.")

    def create(self, stamp, count):
        return ShelfGallery(self._text, dataclasses.replace(stamp, kind="flat"))

    def lock(self):
        return contextlib.nullcontext()

    def write(self, gallery, *, compact=False):
        stamp, *rest = gallery.state()
        SHELF[self._text] = (dataclasses.replace(stamp, generation=stamp.generation + 1), *rest)


def location(text, reporter):
    return ShelfLocation(text)
