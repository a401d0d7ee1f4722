"""Which rows are found: filters by camera and identity, and each identity once; against plain sorting."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from core.index.test_gallery import entries, gallery, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.artifacts import file_digest
from scing_cli.core.index import KINDS, Row, RowFilter, observed_images, sizes_of
from scing_cli.core.index.memory_rows import MemoryRows
from scing_cli.core.index.row_table import RowTable, write_rows
from scing_cli.core.spectra import View

PEOPLE = [f"{number:04d}" for number in range(4)]
names = st.frozensets


def ranked(vectors, rows, query):
    """All rows, best first, by their float64 pair scores and then by id."""
    scores = [float((query.astype(np.float64) * vector.astype(np.float64)).sum()) for vector in vectors]
    return [row for _, row in sorted(zip(scores, rows, strict=True), key=lambda pair: (-pair[0], pair[1].id))]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 80),
    k=st.integers(1, 12),
    cameras=names(st.sampled_from("012")),
    identities=names(st.sampled_from([*PEOPLE, "nobody"])),
    without_cameras=names(st.sampled_from("012"), max_size=2),
    without_identities=names(st.sampled_from(PEOPLE), max_size=3),
    once=st.booleans(),
)
def test_filters_and_people_equal_plain_sorting(seed, count, k, once, **named):
    rng = np.random.default_rng(seed)
    vectors = unit(20, width=16, seed=seed)[rng.integers(0, 20, count)]  # some are equal
    rows = [
        dataclasses.replace(entry, identity="" if rng.random() < 0.2 else entry.identity) for entry in entries(count)
    ]
    index = gallery(vectors, rows)
    allowed = RowFilter(**named)
    for query, hits in zip(
        unit(3, 16, seed + 1),
        index.search(unit(3, 16, seed + 1), k, allowed=allowed, each_identity_once=once),
        strict=True,
    ):
        expected, seen = [], set()
        for row in ranked(vectors, index.rows(), query):
            if named["cameras"] and row.camera not in named["cameras"]:
                continue
            if named["identities"] and row.identity not in named["identities"]:
                continue
            if row.camera in named["without_cameras"] or row.identity in named["without_identities"]:
                continue
            if once and row.identity and row.identity in seen:
                continue
            seen.add(row.identity)
            expected.append(row)
        assert [hit.row for hit in hits] == expected[:k]


@pytest.mark.parametrize("kind", KINDS)
def test_each_identity_once_looks_as_far_down_as_it_must(kind):
    """One person fills the first places: the next ones stand far below."""
    near = unit(1, width=16)
    crowd = near + 0.01 * unit(300, width=16, seed=1)
    vectors = np.concatenate([crowd, unit(5, width=16, seed=2)])
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    people = ["crowd"] * 300 + ["a", "b", "c", "d", "e"]
    rows = [dataclasses.replace(entry, identity=person) for entry, person in zip(entries(305), people, strict=True)]
    index = gallery(vectors, rows, kind=kind)
    (hits,) = index.search(near, 4, each_identity_once=True)
    assert len(hits) == 4
    assert hits[0].row.identity == "crowd"
    assert len({hit.row.identity for hit in hits}) == 4
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    (fewer,) = index.search(near, 50, each_identity_once=True)
    assert len(fewer) == 6


def test_a_filter_that_asks_nothing_is_none():
    assert not RowFilter()
    assert RowFilter(cameras=frozenset({"1"}))


def test_a_file_without_observations_has_the_columns_that_it_always_had(tmp_path):
    plain, observed = (tmp_path / name for name in ("plain", "observed"))
    row = Row(0, "/a.jpg", 1, 2, "d" * 64, "anna", "door")
    write_rows(plain, MemoryRows([row]))
    with contextlib.closing(sqlite3.connect(plain)) as base:
        ((text,),) = base.execute("SELECT sql FROM sqlite_master WHERE name = 'rows'")
    assert "views" not in text
    assert " ".join(text.split()) == (
        "CREATE TABLE rows (id INTEGER PRIMARY KEY, path TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL, "
        "digest TEXT NOT NULL, identity TEXT NOT NULL, camera TEXT NOT NULL)"
    )
    assert list(RowTable.open(plain, digest=file_digest(plain))) == [row]
    rows = [row, row._replace(id=1, scene="night"), row._replace(id=2, views='[["tir","/t.jpg",null,4,5]]')]
    write_rows(observed, MemoryRows(rows))
    assert list(RowTable.open(observed, digest=file_digest(observed))) == rows
    assert rows[2].images == {"tir": View(Path("/t.jpg"))}
    assert rows[0].images == {"rgb": View(Path("/a.jpg"))}
    assert rows[2].record()["views"]
    assert "views" not in rows[0].record()


@pytest.mark.parametrize(
    "views", ["", "no JSON", "[1]", '[["tir"]]', '[["tir", 3, null]]', '[["tir", "/a", "b"]]', "{}"]
)
def test_damaged_images_of_a_row_are_none(views):
    assert observed_images(views) == {}
    assert sizes_of(views) == {}
