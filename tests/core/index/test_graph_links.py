"""Links of a graph: wherever a search starts, it can find every vector, and the written index as well."""

from __future__ import annotations

from collections import deque

import faiss
import numpy as np
import pytest
from core.index.test_gallery import unit
from core.index.test_kinds import Use
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.index.graph_links import connect

WIDTH = 8


def built(vectors, links=4):
    graph = faiss.IndexHNSWFlat(vectors.shape[1], links, faiss.METRIC_INNER_PRODUCT)
    graph.add(vectors)
    return graph


def level_0(graph):
    """The links of each vector on level 0, and the vectors at which a search can begin there."""
    hnsw = graph.hnsw
    every, first = faiss.vector_to_array(hnsw.neighbors), faiss.vector_to_array(hnsw.offsets)
    links = [[end for end in every[int(low) : int(low) + hnsw.nb_neighbors(0)] if end >= 0] for low in first[:-1]]
    return links, {hnsw.entry_point} | set(np.flatnonzero(faiss.vector_to_array(hnsw.levels) > 1).tolist())


def missed(graph):
    """The vectors that are not reached from some start, by a plain walk from each."""
    links, starts = level_0(graph)
    found = set()
    for start in starts:
        seen, waiting = {start}, deque([start])
        while waiting:
            for end in links[waiting.popleft()]:
                if end not in seen:
                    seen.add(int(end))
                    waiting.append(int(end))
        found |= set(range(len(links))) - seen
    return found


def cut(graph, share, seed):
    """Remove some links of level 0, as a build that prunes too much."""
    hnsw, dice = graph.hnsw, np.random.default_rng(seed)
    every, first = faiss.vector_to_array(hnsw.neighbors), faiss.vector_to_array(hnsw.offsets)
    for low in first[:-1].astype(int):
        own = every[low : low + hnsw.nb_neighbors(0)]
        kept = own[(own >= 0) & (dice.random(len(own)) >= share)]
        own[:] = [*kept, *[-1] * (len(own) - len(kept))]  # faiss reads a list up to its first -1
    faiss.copy_array_to_vector(every, hnsw.neighbors)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 150), st.integers(0, 99), st.sampled_from([0.0, 0.5, 0.8, 0.95, 1.0]))
def test_after_it_every_vector_is_reached_from_every_start(count, seed, share):
    vectors = unit(count, WIDTH, seed=seed)
    graph = built(vectors)
    cut(graph, share, seed)
    before = level_0(graph)[0]
    lacking = missed(graph)
    added = connect(graph, vectors)
    assert missed(graph) == set()
    assert bool(added) == bool(lacking)
    after = level_0(graph)[0]
    assert all(set(own) <= set(now) for own, now in zip(before, after, strict=True))  # no link is lost
    assert sum(map(len, after)) == sum(map(len, before)) + added
    assert connect(graph, vectors) == 0
    graph.hnsw.efSearch = count
    assert graph.search(vectors, 1)[1].ravel().tolist() == list(range(count))


@pytest.mark.parametrize("copies", [2, 40])
def test_copies_of_a_vector_are_all_reached(copies):
    vectors = np.repeat(unit(5, WIDTH), copies, axis=0)
    graph = built(vectors)
    connect(graph, vectors)
    assert missed(graph) == set()


def test_a_row_that_faiss_left_without_a_path_is_found_also_after_reading(tmp_path):
    state = type("Use_hnsw", (Use,), {"kind": "hnsw"})()
    state.begin(count=114, seed=0, spread=0.3)
    vectors = np.array([state.held[number] for number in sorted(state.held)])
    graph = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 200
    graph.add(vectors)
    assert missed(graph) == {59}
    state.every_kept_row_is_its_own_nearest()
    state.write_and_read(compact=False)
    state.every_kept_row_is_its_own_nearest()
    plain = faiss.read_index(str(state.path))
    faiss.downcast_index(plain.index).hnsw.efSearch = 114
    assert plain.search(vectors, 1)[1].ravel().tolist() == list(range(114))
    state.teardown()
