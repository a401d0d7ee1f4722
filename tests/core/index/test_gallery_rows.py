"""The rows of a gallery, whether they lie in a file, in memory, or are removed or changed: against a plain list."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.artifacts import file_digest
from scing_cli.core.errors import IndexFileError
from scing_cli.core.index import Row, RowFilter, row_table
from scing_cli.core.index.gallery_rows import GalleryRows
from scing_cli.core.index.memory_rows import MemoryRows
from scing_cli.core.index.row_table import RowTable, write_rows

NAMES = st.sampled_from(["", "anna", "bo'b", 'c"', "\udcff", "ゆき", "%", "1=1 --"])
SOME = st.frozensets(NAMES, max_size=3)
VIEWS = '[["tir","/t.jpg",null,4,5]]'


def row(number: int, identity: str, camera: str, views: str = "") -> Row:
    return Row(number, f"/d {number % 3}'/\udcff/{number % 7}.jpg", 10 + number, 5, "", identity, camera, views)


def on_disk(file: Path, rows: list[Row]) -> RowTable:
    return RowTable.open(file, digest=write_rows(file, MemoryRows(sorted(rows))))


@st.composite
def tables(draw: st.DrawFn) -> list[list[Row]]:
    """Tables with ascending ids, with gaps or without."""
    found, number = [], 0
    for count in draw(st.lists(st.integers(0, 12), min_size=1, max_size=4)):
        table, most = [], draw(st.sampled_from([1, 3]))
        for _ in range(count):
            number += draw(st.integers(1, most))
            table.append(row(number, draw(NAMES), draw(NAMES), draw(st.sampled_from(["", "", VIEWS]))))
        found.append(table)
    return found


@settings(deadline=None, max_examples=80)
@given(
    tables=tables(), in_memory=st.integers(0, 15), data=st.data(), cameras=SOME, identities=SOME, without=SOME, no=SOME
)
def test_every_question_has_the_answer_of_a_plain_list(
    tmp_path_factory, tables, in_memory, data, cameras, identities, without, no
):
    folder, opened = tmp_path_factory.mktemp("rows"), []
    for place, rows in enumerate(tables):
        if in_memory >> place & 1:
            opened.append(MemoryRows(rows))
        else:
            opened.append(on_disk(folder / f"rows-{place}", rows))
    plain = {own.id: own for rows in tables for own in rows}
    gone = data.draw(st.sets(st.sampled_from(sorted(plain)))) if plain else set()
    kept = sorted(set(plain) - gone)
    changed = (
        {number: row(number, "new", "door") for number in data.draw(st.sets(st.sampled_from(kept))) if kept}
        if kept
        else {}
    )
    first = data.draw(st.sets(st.sampled_from(sorted(gone)))) if gone else set()
    lying = [own.id for place, rows in enumerate(tables) if not in_memory >> place & 1 for own in rows]
    old = sorted(set(lying) - first)
    written = data.draw(st.sets(st.sampled_from(old))) if old else set()
    gallery = GalleryRows(
        opened, np.array(sorted(first), np.int64), on_disk(folder / "changed", [row(n, "old", "") for n in written])
    )
    assert gallery.ids(RowFilter(identities=frozenset({"old"}))).tolist() == sorted(written)
    gallery.remove(np.array(sorted(gone - first), np.int64))
    assert gallery.ids().tolist() == kept
    changed = {number: row(number, "old", "") for number in written - gone} | changed
    gallery.change(changed)
    rows = [changed.get(number, plain[number]) for number in kept]
    allowed = RowFilter(cameras, identities, without, no)
    passed = [own for own in rows if allowed(own)]

    assert (len(gallery), list(gallery)) == (len(rows), rows)
    assert gallery.ids().tolist() == kept
    assert gallery.ids(allowed).tolist() == [own.id for own in passed]
    for field in ("identity", "camera", "views", "scene", "path", "digest"):
        assert gallery.have(field) == any(getattr(own, field) for own in rows)
        assert gallery.counts(field) == Counter(getattr(own, field) for own in rows)
        assert gallery.counts(field, allowed) == Counter(getattr(own, field) for own in passed)
    for field in ("identity", "camera", "scene"):
        names = data.draw(st.sets(NAMES))
        assert gallery.known(field, names) == names & {getattr(own, field) for own in rows}
    assert gallery.count(allowed) == len(passed)
    wanted = data.draw(st.integers(1, 40))
    spread = gallery.sample(wanted)
    assert set(spread) <= set(rows)
    assert len(set(spread)) == len(spread) <= 2 * (wanted + len(tables))
    assert len(rows) > wanted or spread == rows
    assert gallery.people(allowed) == len({own.identity or own.id for own in passed})
    assert list(gallery.observations()) == [own for own in rows if own.views]
    assert {own.path[: own.path.rindex("/") + 1] for own in rows} <= gallery.folders()
    paths = data.draw(st.lists(st.sampled_from([own.path for own in plain.values()] + ["/d", "/none/1.jpg", ""])))
    assert gallery.at(paths) == [own for own in rows if own.path in set(paths)]
    asked = data.draw(st.lists(st.integers(0, 40)))
    assert gallery.find(asked) == {own.id: own for own in rows if own.id in set(asked)}
    assert {type(number) for number in gallery.find(np.array(asked, np.int64))} <= {int}
    count = data.draw(st.integers(1, len(tables)))
    last = max((own.id for table in tables[:count] for own in table), default=-1)
    sides = gallery.split(count, last)
    assert [list(side) for side in sides] == [
        [own for own in rows if own.id <= last],
        [own for own in rows if own.id > last],
    ]


def test_a_filter_of_more_names_than_a_statement_takes(tmp_path, monkeypatch):
    rows = [row(number, f"p{number % 9}", str(number % 3)) for number in range(60)]
    table = RowTable.open(tmp_path / "rows", digest=write_rows(tmp_path / "rows", MemoryRows(rows)))
    allowed = RowFilter(identities=frozenset(f"p{number}" for number in range(5)))
    expected = table.ids(allowed).tolist(), table.counts("camera", allowed)
    monkeypatch.setattr(row_table, "MOST_NAMES", 4)
    assert (table.ids(allowed).tolist(), table.counts("camera", allowed)) == expected
    assert expected[0] == [own.id for own in rows if allowed(own)]


def test_filters_use_an_index_of_the_table(tmp_path):
    """Without one, a filter would read every row."""
    table = RowTable.open(tmp_path / "rows", digest=write_rows(tmp_path / "rows", MemoryRows([row(1, "a", "b")])))
    for field in ("identity", "camera"):
        plan = table._base.execute(f"EXPLAIN QUERY PLAN SELECT id FROM rows WHERE {field} IN (CAST(? AS TEXT))", ["a"])
        assert f"USING COVERING INDEX {field}" in str(plan.fetchall())


def test_little_is_asked_for_little(tmp_path):
    """Of many rows, a sample, a filter's names and the number of rows are found without reading all of them."""
    digest = write_rows(tmp_path / "rows", MemoryRows([row(3 * number, f"p{number}", "") for number in range(5000)]))
    table, steps = RowTable.open(tmp_path / "rows", digest=digest, count=5000), [0]

    def step() -> int:
        steps[0] += 1
        return 0

    table._base.set_progress_handler(step, 100)  # calls it after every 100 instructions of SQLite's machine
    found = [own.id for own in table.sample(50)]
    assert (len(found), found) == (50, sorted(found))
    assert max(np.diff([0, *found, 15000])) <= 2 * 15000 // 50
    assert table.known("identity", {"p7", "p4999", "nobody"}) == {"p7", "p4999"}
    assert len(table.folders()) == 1
    assert (len(table), steps[0] <= 60) == (5000, True), steps
    assert table.ids().tolist() == list(range(0, 15000, 3))
    assert steps[0] > 60


def test_a_filter_of_what_must_not_be_reads_what_goes(tmp_path):
    """It used to read every row that stays."""
    rows = [row(number, f"p{number // 10}", "rare" if number % 100 == 7 else "door") for number in range(5000)]
    table, steps = on_disk(tmp_path / "rows", rows), [0]

    def step() -> int:
        steps[0] += 1
        return 0

    table._base.set_progress_handler(step, 100)
    for without in ({"without_cameras": frozenset({"rare"})}, {"without_identities": frozenset({"p3", "p499"})}):
        allowed = RowFilter(**without)
        assert table.ids(allowed).tolist() == [own.id for own in rows if allowed(own)]
        assert table.count(allowed) == sum(map(allowed, rows))
    assert steps[0] <= 60


@pytest.mark.parametrize(
    ("changed", "gone"),
    [([7], []), ([], [907]), (range(600), [*range(600, 900), 907]), ([], range(3000))],
    ids=["one relabelled", "one removed", "many of both", "the first third removed"],
)
def test_hidden_rows_cost_no_reading_of_the_others(tmp_path, monkeypatch, changed, gone):
    """As soon as one row was relabelled, every search with a photo used to read all rows of the gallery twice."""
    rows = [row(n, f"p{n // 10}", f"c{n % 3}", VIEWS if n % 900 == 7 else "") for n in range(9000)]
    gallery = GalleryRows(
        [on_disk(tmp_path / "rows", rows)],
        np.array(gone, np.int64),
        on_disk(tmp_path / "changed", [rows[number]._replace(identity="new") for number in changed]),
    )
    left = [own._replace(identity="new") if own.id in changed else own for own in rows if own.id not in gone]
    fetched, fetch = [0], RowTable._fetch

    def counting(self, *asked):
        found = fetch(self, *asked)
        fetched[0] += len(found)
        return found

    monkeypatch.setattr(RowTable, "_fetch", counting)
    assert list(gallery.observations()) == [own for own in left if own.views]
    assert gallery.have("views")
    assert gallery.have("identity")
    assert gallery.known("camera", {"c1", "c4"}) == {"c1"}
    assert gallery.known("identity", {"p0", "p70", "p300"}) == {own.identity for own in left} & {"p0", "p70", "p300"}
    few = RowFilter(identities=frozenset({"p1", "p800"}))
    assert gallery.count(few) == sum(map(few, left))
    assert gallery.counts("camera", few) == Counter(own.camera for own in left if few(own))
    assert fetched[0] < 200


@pytest.mark.parametrize("earlier", [False, True])
def test_rows_are_found_by_path_without_reading_all_of_them(tmp_path, earlier):
    """Else each portion of an append would read the whole table. A file of an earlier version has no index for that."""
    rows = [row(number, "", "")._replace(path=f"/d\udcff/{number % 40}/{number}.jpg") for number in range(5000)]
    file = tmp_path / "rows"
    write_rows(file, MemoryRows(rows))
    if earlier:
        with contextlib.closing(sqlite3.connect(file)) as base:
            base.execute("DROP INDEX path")
    table, steps = RowTable.open(file, digest=file_digest(file), count=5000), [0]

    def step() -> int:
        steps[0] += 1
        return 0

    table._base.set_progress_handler(step, 100)
    paths = [own.path for own in rows[4000:3900:-5]] + ["/none/1.jpg"]
    assert table.at(paths) == [own for own in rows if own.path in paths]
    assert (steps[0] > 60) == earlier, steps


def test_a_file_without_a_table_of_folders_is_read(tmp_path):
    rows, file = [row(number, "a", "b") for number in range(40)], tmp_path / "rows"
    write_rows(file, MemoryRows(rows))
    with contextlib.closing(sqlite3.connect(file)) as base:
        base.execute("DROP TABLE folders")
    table = RowTable.open(file, digest=file_digest(file))
    assert table.folders() == MemoryRows(rows).folders()


def test_a_table_that_was_opened_stays_what_it_was(tmp_path):
    file = tmp_path / "rows"
    table = RowTable.open(file, digest=write_rows(file, MemoryRows([row(1, "a", "b")])))
    write_rows(file, MemoryRows([row(number, "x", "y") for number in range(900)]))
    assert [own.identity for own in table] == ["a"]
    file.unlink()
    assert table.find([1])[1].camera == "b"


def test_another_file_is_refused(tmp_path):
    file = tmp_path / "rows"
    digest = write_rows(file, MemoryRows([row(1, "a", "b")]))
    write_rows(file, MemoryRows([row(2, "a", "b")]))
    with pytest.raises(IndexFileError, match="is not the table of rows that belongs to its index"):
        RowTable.open(file, digest=digest)
    with pytest.raises(FileNotFoundError):
        RowTable.open(tmp_path / "none", digest=digest)
    Path(file).write_bytes(b"no table" * 100)
    with pytest.raises(IndexFileError, match="cannot be read: "):
        RowTable.open(file, digest=file_digest(file))
