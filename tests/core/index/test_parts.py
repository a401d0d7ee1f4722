"""Which part has which vectors, against the definition, while parts are added, grow and shrink."""

from __future__ import annotations

import numpy as np
from core.index.test_gallery import unit
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.index.borrowed import BorrowedStore, Loan
from scing_cli.core.index.parts import Parts
from scing_cli.core.index.store import FlatStore

STEPS = st.lists(st.tuples(st.sampled_from(["part", "grow", "shrink", "ask"]), st.integers(0, 6)), min_size=4)


@settings(deadline=None, max_examples=100)
@given(steps=STEPS, data=st.data())
def test_each_vector_is_of_one_part(steps, data):
    """Parts may be empty, and the last one is the one that grows."""
    parts, next_id = Parts([FlatStore(FlatStore.empty(4))], 4), 0
    for step, count in (*steps, ("ask", 0)):
        known = [set(store.ids().tolist()) for store in parts.stores]
        every = sorted(set().union(*known))
        if step == "part":
            parts.stores.append(FlatStore(FlatStore.empty(4)))
        if step in {"part", "grow"} and count:
            parts.stores[-1].add(unit(count, 4), np.arange(next_id, next_id + count))
            next_id += count + 2
        if step == "shrink" and every:
            gone = data.draw(st.sets(st.sampled_from(every)))
            for store, own in zip(parts.stores, known, strict=True):
                store.remove(np.array(sorted(own & gone), np.int64))
        if step == "ask" and every:
            asked = data.draw(st.lists(st.sampled_from(every)))
            found = {number: places.tolist() for number, places in parts.owners(np.array(asked, np.int64))}
            expected = {n: [i for i, each in enumerate(asked) if each in own] for n, own in enumerate(known)}
            assert found == {number: places for number, places in expected.items() if places}


def test_a_piece_of_a_merge_asks_no_other_part(monkeypatch):
    """Each piece used to ask every shard where it ends: twenty minutes of a merge of ten thousand."""
    asked = []
    real = BorrowedStore.ends
    monkeypatch.setattr(BorrowedStore, "ends", lambda store: asked.append(0) or real(store))
    ids = np.arange(10)
    parts = Parts([BorrowedStore(Loan(lambda: None, ids, 10 * number), 4) for number in range(100)], 4)
    for start in range(0, 1000, 20):
        found = list(parts.owners(np.arange(start, start + 20)))
        assert [(number, places.tolist()) for number, places in found] == [
            (start // 10, list(range(10))),
            (start // 10 + 1, list(range(10, 20))),
        ]
    assert len(asked) <= 100
