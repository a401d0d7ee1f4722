"""Some rows of a side: their labels, and vectors that are read only when they are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scing_cli.core.evaluation import Side


class Reads:
    """Vectors that note which rows are read."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.shape = vectors.shape
        self.read: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, key: np.ndarray) -> np.ndarray:
        self.read.append(key.tolist())
        return self.vectors[key]


def test_some_rows_have_their_labels_and_read_no_other_vectors() -> None:
    vectors = Reads(np.arange(10, dtype=np.float32).reshape(5, 2))
    side = Side(vectors, identities=list("abcde"), cameras=list("12345"), names=list("vwxyz"), files=[Path("x")] * 5)
    part = side.rows(np.array([3, 0, 4])).rows(np.array([2, 0]))
    assert (part.identities, part.cameras, part.keys, part.names) == (["e", "d"], ["5", "4"], (), ["z", "y"])
    assert (len(part), part.width, len(part.files)) == (2, 2, 2)
    assert vectors.read == []
    assert part.vectors[:1].tolist() == [[8, 9]]
    assert vectors.read == [[4]]
