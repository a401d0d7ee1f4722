"""Galleries in a real Milvus server, and in a file of milvus-lite, against the same galleries in FAISS."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import milvus_servers
import numpy as np
import pytest
from milvus_servers import MADE_BY, NAMES, WIDTH, entries, found, made, milvus_server, put, unit
from patience import HANG

from scing_cli.core.errors import IndexFileError, SettingError
from scing_cli.core.index import GalleryIndex, RowFilter, Stamp, as_location
from scing_cli.core.index.milvus import milvus_gallery, milvus_location, milvus_rows, milvus_writer
from scing_cli.core.index.milvus.milvus_writer import Writer
from scing_cli.core.index.milvus.server import Server
from scing_cli.core.workflows.embed.upkeep import keep_index

pytestmark = pytest.mark.milvus


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with milvus_server(tmp_path_factory.mktemp("milvus")) as running:
        yield running


@pytest.fixture(params=["server", "lite"])
def address(request, tmp_path):
    """An address where nothing is yet."""
    if request.param == "lite":
        if importlib.util.find_spec("milvus_lite") is None:
            pytest.skip("pip install milvus-lite")
        return f"milvus://{tmp_path}/people.db"
    name = f"people_{time.monotonic_ns()}"
    return f"{request.getfixturevalue('server').address}/{name}"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(milvus_writer, "PATIENCE", 4.0)
    monkeypatch.setattr(milvus_location, "WAITS", 2)


def test_every_search_has_the_hits_scores_and_order_of_faiss(address):
    index = made(20_000 if "127.0.0.1" in address else 3000)
    gallery = put(address, index).open()
    queries = np.concatenate([index.vectors([0, 5]), index.vectors([len(index) // 3 + 7]), unit(2, seed=9)])
    some = RowFilter(cameras=frozenset(NAMES[1:3]), without_identities=frozenset({"p3", "p4"}))
    once = {"each_identity_once": True}
    for k, options in itertools.product((1, 20, 70), ({}, once, {"allowed": some}, {**once, "allowed": some})):
        assert found(gallery, queries, k, **options) == found(index, queries, k, **options)
    for name in NAMES:
        own = RowFilter(cameras=frozenset({name}))
        assert found(gallery, queries, 5, allowed=own) == found(index, queries, 5, allowed=own)
    assert found(gallery, queries[:1], len(index)) == found(index, queries[:1], len(index))
    assert not gallery.is_approximate


def test_the_rows_are_those_of_faiss(address):
    index = made(700)
    gallery = put(address, index).open()
    mine, theirs = gallery.table, index.table
    some = RowFilter(without_cameras=frozenset({NAMES[1]}), identities=frozenset({"p1", "p2", "p3"}))
    assert list(mine) == list(theirs)
    assert (len(mine), mine.count(some), mine.people(some)) == (len(theirs), theirs.count(some), theirs.people(some))
    assert mine.ids(some).tolist() == theirs.ids(some).tolist()
    assert mine.counts("camera", some) == theirs.counts("camera", some)
    assert mine.known("camera", [*NAMES, "nobody"]) == {*NAMES}
    assert mine.folders() == theirs.folders()
    assert mine.at([entry.path for entry in entries(9)] + ["/no"]) == theirs.at([entry.path for entry in entries(9)])
    assert mine.find([3, 699, 700, -1]) == theirs.find([3, 699, 700, -1])
    assert (mine.have("identity"), mine.have("scene"), list(mine.observations())) == (True, False, [])
    assert np.array_equal(gallery.vectors(), index.vectors())
    assert np.array_equal(gallery.vectors([5, 5, 2]), index.vectors([5, 5, 2]))


def test_paths_that_are_read_take_the_memory_of_a_page(server, monkeypatch):
    monkeypatch.setattr(milvus_rows, "PAGE", 20)
    count, length = 800, 10_000
    images = [dataclasses.replace(entry, path=f"/d/{entry.path.rjust(length, '_')}") for entry in entries(count)]
    index = GalleryIndex.create(unit(count), images, **MADE_BY, kind="flat")
    table = put(f"{server.address}/long_paths", index).open().table
    assert len(table.at([images[0].path])) == 1  # the client has been imported as a whole
    tracemalloc.start()
    try:
        folders, peak = table.folders(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert folders == index.table.folders()
    assert peak < count * length / 4


def test_names_of_any_characters_are_told_apart_as_in_faiss(address):
    index = made(700)
    index.relabel({number: (NAMES[number % 7], NAMES[number % 5], NAMES[number % 3]) for number in range(700)})
    gallery, queries = put(address, index).open(), index.vectors([0, 300])
    assert list(gallery.table) == list(index.table)
    for name in NAMES[1:]:
        one = frozenset({name})
        for some in (
            RowFilter(identities=one),
            RowFilter(without_identities=one),
            RowFilter(cameras=one, without_identities=one),
        ):
            for once in (False, True):
                options = {"allowed": some, "each_identity_once": once}
                assert found(gallery, queries, 9, **options) == found(index, queries, 9, **options)
    assert gallery.table.known("identity", [*NAMES, 'a"', "x"]) == {*NAMES}
    path = next(row.path for row in index.table if "\u202e" in row.path)
    assert [row.path for row in gallery.table.at([path])] == [path]


def test_the_stamp_is_read_once_for_what_follows_at_once(address, monkeypatch):
    """And again after a search: what another process changed in between is noticed."""
    location, ask, asked = put(address, made(80)), Server.ask, []

    def counted(self, call, **given):
        asked.append((call, given.get("filter", "")))
        return ask(self, call, **given)

    def stamps():
        return sum(call == "query" and str(milvus_writer.LEASE) in expression for call, expression in asked)

    monkeypatch.setattr(Server, "ask", counted)
    assert location.stamp().count == 80
    assert location.rows().known("camera", [NAMES[1]])
    gallery = location.open()
    assert stamps() == 1
    gallery.search(unit(1), 3)
    assert stamps() == 2
    location.open()
    assert stamps() == 3
    location.stamp()
    other = as_location(address) if "127" in address else location
    changed = other.open_to_change()
    changed.relabel({1: ("n", "c", "")})
    other.write(changed)
    gallery = location.open()
    if other is location:  # its own write: it reads again
        assert gallery.search(unit(1), 80)
    else:
        with pytest.raises(IndexFileError, match="changed by another process"):
            gallery.search(unit(1), 80)
    monkeypatch.setattr(milvus_location, "RECENT", 0.0)
    location.stamp()
    assert {row.identity for row in location.open().rows()} >= {"n"}


def test_changes_give_what_faiss_has_after_them(address, tmp_path):
    index = made(300)
    index.write(tmp_path / "g.faiss")
    location, rng = put(address, index), np.random.default_rng(0)
    for turn in range(3):
        gallery = location.open_to_change()
        ids = index.table.ids()
        gone, named = rng.choice(ids, 40, replace=False).tolist(), rng.choice(ids, 30, replace=False).tolist()
        labels = dict.fromkeys(named, (f"n{turn}", NAMES[turn + 1], f"s{turn}"))
        more = GalleryIndex.create(unit(50, seed=10 + turn), entries(50, 1000 * turn), **MADE_BY, kind="flat")
        for one in (gallery, index):
            one.relabel(labels)
            one.remove(gone)
            one.borrow(lambda more=more: more, more.table.ids(), [(f"q{turn}", "c", "")] * 50)
        location.write(gallery)
        index.write(tmp_path / "g.faiss")
        for reader in (gallery, location.open()):
            assert list(reader.table) == list(index.table)
            assert found(reader, unit(3, seed=turn), 400) == found(index, unit(3, seed=turn), 400)
            assert (reader.stamp.count, reader.stamp.next_id) == (len(index), index.stamp.next_id)
    assert location.open().stamp.generation == 4


def test_a_replaced_gallery_has_new_ids_and_none_of_the_old_rows(address):
    location = put(address, made(200))
    other = made(90, seed=3)
    gallery = location.create(Stamp(**MADE_BY, width=WIDTH), 90)
    gallery.borrow(lambda: other, other.table.ids())
    assert len(location.open()) == 200  # until it is written
    location.write(gallery)
    opened = location.open()
    assert [row.id for row in opened.table] == list(range(200, 290))
    assert np.array_equal(opened.vectors(), other.vectors())
    with pytest.raises(IndexFileError, match="a collection's width never changes"):
        location.create(Stamp(**MADE_BY, width=WIDTH + 1), 1)


class Cut(BaseException):
    """The process is gone."""


def state_of(gallery):
    return [(row.path, row.identity) for row in gallery.table]


def seen_by_a_reader(location):
    try:
        return state_of(location.open())
    except IndexFileError as error:
        return "refused" if "a change was interrupted" in error.what else error


def test_a_write_that_is_cut_at_any_call_gives_the_former_gallery_or_the_new_one(address, monkeypatch):
    """Readers never see a mixture; after the commit, whoever writes next carries the rest out."""
    index, more = made(80), made(50, seed=4)
    location = put(address, index)
    before = state_of(location.open())
    stale, named = [3, 4, 5], {7: ("new", "c", ""), 8: ("newer", "", "")}
    renamed = {7: "new", 8: "newer"}
    after = [(row.path, renamed.get(row.id, row.identity)) for row in index.table if row.id not in stale]
    after += [(entry.path, entry.identity) for entry in entries(10)]
    ask, left = Server.ask, [0]

    def cut(self, call, **given):
        if call in ("upsert", "delete", "create_index", "load_collection"):
            left[0] -= 1
            if left[0] < 0:
                raise Cut
        return ask(self, call, **given)

    monkeypatch.setattr(milvus_writer, "is_dead", lambda _: True)  # a cut process leaves its lease behind
    monkeypatch.setattr(milvus_writer, "SETTLE", 0.0)
    seen = []
    for calls in itertools.count(0):
        gallery = location.open_to_change()
        if (now := state_of(gallery)) == after:
            break
        assert now == before
        gallery.remove(stale)
        gallery.relabel(named)
        gallery.borrow(lambda: more, more.table.ids()[:10])
        left[0] = calls
        monkeypatch.setattr(Server, "ask", cut)
        with pytest.raises(Cut):
            location.write(gallery)
        monkeypatch.setattr(Server, "ask", ask)
        seen.append(seen_by_a_reader(location))
        assert seen[-1] in (before, after, "refused")
    assert calls > 6
    assert before in seen
    assert seen[-1] == "refused"
    assert state_of(location.open()) == after
    assert len(location.open()) == 87


def test_a_journal_is_carried_out_from_any_call_on(address, monkeypatch):
    index = made(300)
    location = put(address, index)
    monkeypatch.setattr(milvus_writer, "JOURNAL_BYTES", 300)  # many records
    monkeypatch.setattr(milvus_writer, "is_dead", lambda _: True)
    monkeypatch.setattr(milvus_writer, "SETTLE", 0.0)
    gallery = location.open_to_change()
    gallery.remove(range(50))
    gallery.relabel({number: (f"n{number}", '\u202e"', "s") for number in range(40, 90)})
    monkeypatch.setattr(Writer, "carry_out", lambda *_: (_ for _ in ()).throw(Cut))
    with pytest.raises(Cut):
        location.write(gallery)
    monkeypatch.undo()
    monkeypatch.setattr(milvus_location, "WAITS", 1)
    monkeypatch.setattr(milvus_writer, "is_dead", lambda _: True)
    ask = Server.ask
    for allowed in (2, 7, 12):
        left = [allowed]

        def cut(self, call, left=left, **given):
            left[0] -= call in ("upsert", "delete")
            if left[0] < 0:
                raise Cut
            return ask(self, call, **given)

        monkeypatch.setattr(Server, "ask", cut)
        with pytest.raises(Cut):
            location.open_to_change()
        monkeypatch.setattr(Server, "ask", ask)
        with pytest.raises(IndexFileError, match="a change was interrupted"):
            location.open()
    rows = list(location.open_to_change().table)
    assert [row.id for row in rows] == list(range(50, 300))
    assert [row.identity for row in rows[:41]] == [*(f"n{number}" for number in range(50, 90)), "p0" if 90 % 11 else ""]
    assert len(location.open()) == 250


def test_of_two_writers_one_is_refused(address, monkeypatch):
    location, more = put(address, made(60)), made(30, seed=5)
    first, second = location.open_to_change(), as_location(address).open_to_change() if "127" in address else None
    second = second or location.open_to_change()
    for one in (first, second):
        one.borrow(lambda: more, more.table.ids())
    location.write(first)
    with pytest.raises(IndexFileError, match="changed by another process"):
        location.write(second)
    assert len(location.open()) == 90
    # one is writing: its lease changes
    third = location.open_to_change()
    third.borrow(lambda: more, more.table.ids())
    writer = Writer(Server(location._address) if "127" in address else location._server)
    with writer.leased(WIDTH):
        monkeypatch.setattr(milvus_writer.time, "sleep", lambda _: writer._renew(WIDTH))
        with pytest.raises(IndexFileError, match="Another process is writing"):
            location.write(third)
    monkeypatch.undo()
    assert len(location.open()) == 90
    # one took the lease from another that was asleep
    with writer.leased(WIDTH):
        Writer(writer._server)._write_lease(WIDTH)
        with pytest.raises(IndexFileError, match="Another process is writing"):
            writer._renew(WIDTH)


def test_what_scing_did_not_make_is_left_alone(address):
    import pymilvus

    location = as_location(address)
    client = location._server._client
    client.create_collection(location._address.collection, dimension=8, metric_type="IP")
    assert isinstance(client, pymilvus.MilvusClient)
    for use in (location.exists, location.open, location.stamp, location.check_writable):
        with pytest.raises(IndexFileError, match="a collection of something else"):
            use()
    assert client.has_collection(location._address.collection)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"checksum": "0"}', '{"format": 99, "checksum": "0"}', "\ud83d"])
def test_a_damaged_stamp_is_refused(address, text):
    location = put(address, made(80))
    Writer(location._server)._put_record(-9, text.encode("utf-8", "replace").decode(), WIDTH)
    with pytest.raises(IndexFileError, match="stamp"):
        location.open()


def test_a_collection_without_a_stamp_is_not_whole(address):
    location = as_location(address)
    with pytest.raises(IndexFileError, match="There is no gallery"):
        location.open()
    Writer(location._server).prepare(WIDTH)
    assert not location.exists()
    with pytest.raises(IndexFileError, match="is not whole"):
        location.open()
    put(address, made(80)) if "127" in address else None


def test_another_process_opens_it(address):
    """A file of milvus-lite is used by one process at a time, and not loaded in the next one."""
    begin = (
        f"import sys; sys.path.insert(0, {str(Path(milvus_servers.__file__).parent)!r}); import milvus_servers as m; "
    )
    for work, told in (
        ("m.put(sys.argv[1], m.made(80))", ""),
        ("print(len(m.as_location(sys.argv[1]).open()))", "80"),
        ("g = m.as_location(sys.argv[1]); a = g.open_to_change(); a.remove([5]); g.write(a)", ""),
        ("print(len(m.as_location(sys.argv[1]).open()))", "79"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", begin + work, address], capture_output=True, text=True, timeout=HANG, check=False
        )
        assert (done.returncode, done.stdout.strip()) == (0, told), done.stderr


def test_labels_that_cannot_be_stored_are_refused_before_anything_is_written(address):
    location = put(address, made(80))
    gallery = location.open_to_change()
    for label, message in (("a\udcff", "is not UTF-8"), ("\u4e00" * 2000, "has 6,000 bytes")):
        with pytest.raises(IndexFileError, match=message):
            gallery.relabel({3: ("a", label, "")})
    longest = "\u4e00" * 1000
    gallery.relabel(dict.fromkeys(range(40), (longest, longest, longest)))
    gallery.relabel({3: ("short", "")})
    location.write(gallery)
    rows = location.open().table.find([2, 3])
    assert rows[2].identity == rows[2].scene == rows[3].scene == longest
    assert rows[3].identity == "short"


def test_an_error_of_ones_own_leaves_no_lease_behind(address, monkeypatch):
    location = put(address, made(80))
    gallery, other = location.open_to_change(), location.open_to_change()
    other.name_model({"model": "elsewhere"})
    location.write(other)
    with pytest.raises(IndexFileError, match="changed by another process"):
        location.write(gallery)
    monkeypatch.setattr(Writer, "_wait", lambda self: pytest.fail("a lease") if self._lease() else None)
    location.write(location.open_to_change())


def test_a_gallery_without_rows_has_no_next_command(address):
    location = put(address, made(60))
    gallery = location.open_to_change()
    gallery.remove(range(60))
    location.write(gallery)
    report = keep_index(address, prune=True)
    assert (report.count, report.example) == (0, None)
    assert location.open().search(unit(1), 3) == [[]]


def test_other_index_types_and_compaction_are_refused(address):
    location = as_location(address)
    location.check_kind("flat")
    with pytest.raises(SettingError, match="--index-type ivf has no effect"):
        location.check_kind("ivf")
    with pytest.raises(SettingError, match="Milvus compacts by itself"):
        location.check_compact()


def test_more_rows_than_milvus_returns_are_compared_one_by_one(address, monkeypatch):
    monkeypatch.setattr(milvus_gallery, "MOST_FOUND", 40)
    index = made(400)
    gallery, queries = put(address, index).open(), index.vectors([140, 7])
    for k in (3, 30, 45, 400):
        assert found(gallery, queries, k) == found(index, queries, k)


def test_an_approximate_index_of_the_owner_is_noticed(server):
    address = f"{server.address}/approximate"
    location, index = put(address, made(500)), made(500)
    client, name = location._server._client, "approximate"
    client.release_collection(name)
    client.drop_index(name, index_name="vector")
    params = client.prepare_index_params()
    params.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 16, "efConstruction": 64})
    client.create_index(name, params)
    client.load_collection(name)
    gallery = location.open()
    assert gallery.is_approximate
    assert gallery.recall() is None
    (hits,) = gallery.search(index.vectors([9]), 5)
    assert hits[0].row.id == 9
