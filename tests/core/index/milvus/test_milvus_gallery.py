"""Galleries in a real Milvus server, and in a file of milvus-lite, against the same galleries in FAISS."""

from __future__ import annotations

import importlib.util
import itertools
import time

import numpy as np
import pytest
from milvus_servers import MADE_BY, NAMES, WIDTH, entries, found, made, milvus_server, put, unit

from scing_cli.core.errors import IndexFileError, SettingError
from scing_cli.core.index import GalleryIndex, RowFilter, Stamp, as_place
from scing_cli.core.index.milvus import milvus_gallery, milvus_place, milvus_writer
from scing_cli.core.index.milvus.milvus_writer import Writer
from scing_cli.core.index.milvus.server import Server

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
    monkeypatch.setattr(milvus_place, "WAITS", 2)


def test_every_search_has_the_hits_scores_and_order_of_faiss(address):
    index = made(20_000 if "127.0.0.1" in address else 3000)
    gallery = put(address, index).open()
    queries = np.concatenate([index.vectors([0, 5]), index.vectors([len(index) // 3 + 7]), unit(2, seed=9)])
    some = RowFilter(cameras=frozenset(NAMES[1:3]), without_identities=frozenset({"p3", "p4"}))
    for k, options in itertools.product((1, 20, 70), ({}, {"each_identity_once": True}, {"allowed": some})):
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


def test_changes_give_what_faiss_has_after_them(address, tmp_path):
    index = made(300)
    index.write(tmp_path / "g.faiss")
    place, rng = put(address, index), np.random.default_rng(0)
    for turn in range(3):
        gallery = place.open_to_change()
        ids = index.table.ids()
        gone, named = rng.choice(ids, 40, replace=False).tolist(), rng.choice(ids, 30, replace=False).tolist()
        labels = dict.fromkeys(named, (f"n{turn}", NAMES[turn + 1], f"s{turn}"))
        more = GalleryIndex.create(unit(50, seed=10 + turn), entries(50, 1000 * turn), **MADE_BY, kind="flat")
        for one in (gallery, index):
            one.relabel(labels)
            one.remove(gone)
            one.borrow(lambda more=more: more, more.table.ids(), [(f"q{turn}", "c", "")] * 50)
        place.write(gallery)
        index.write(tmp_path / "g.faiss")
        for reader in (gallery, place.open()):
            assert list(reader.table) == list(index.table)
            assert found(reader, unit(3, seed=turn), 400) == found(index, unit(3, seed=turn), 400)
            assert (reader.stamp.count, reader.stamp.next_id) == (len(index), index.stamp.next_id)
    assert place.open().stamp.generation == 4


def test_a_replaced_gallery_has_new_ids_and_none_of_the_old_rows(address):
    place = put(address, made(200))
    other = made(90, seed=3)
    gallery = place.create(Stamp(**MADE_BY, width=WIDTH), 90)
    gallery.borrow(lambda: other, other.table.ids())
    assert len(place.open()) == 200  # until it is written
    place.write(gallery)
    opened = place.open()
    assert [row.id for row in opened.table] == list(range(200, 290))
    assert np.array_equal(opened.vectors(), other.vectors())
    with pytest.raises(IndexFileError, match="a collection's width never changes"):
        place.create(Stamp(**MADE_BY, width=WIDTH + 1), 1)


class Cut(BaseException):
    """The process is gone."""


def test_a_write_that_is_cut_at_any_call_changes_nothing_or_is_settled_by_the_next(address, monkeypatch):
    place, more = put(address, made(80)), made(50, seed=4)
    before = list(place.open().table)
    ask, left = Server.ask, [0]

    def cut(self, call, **given):
        if call in ("upsert", "delete"):
            left[0] -= 1
            if left[0] < 0:
                raise Cut
        return ask(self, call, **given)

    for calls in itertools.count(0):
        gallery = place.open_to_change()
        stale = [row.id for row in gallery.table if row.path in {entry.path for entry in entries(10)}]
        gallery.remove(stale)
        gallery.borrow(lambda: more, more.table.ids()[:10])
        left[0] = calls
        monkeypatch.setattr(Server, "ask", cut)
        monkeypatch.setattr(milvus_writer, "_is_dead", lambda _: True)  # a cut process leaves its lease behind
        try:
            place.write(gallery)
        except Cut:
            monkeypatch.setattr(Server, "ask", ask)
            seen = place.open_to_change()
            rows = list(seen.table)
            assert {row.path for row in rows} <= {row.path for row in before}
            if seen.stamp.count == len(rows):
                assert len(rows) == 80
                continue
            with pytest.raises(IndexFileError, match="its stamp counts"):
                place.open()
            continue
        break
    monkeypatch.setattr(Server, "ask", ask)
    assert calls > 4
    settled = place.open()
    assert sorted(row.path for row in settled.table) == sorted(row.path for row in before)
    assert len(settled) == 80


def test_of_two_writers_one_is_refused(address, monkeypatch):
    place, more = put(address, made(60)), made(30, seed=5)
    first, second = place.open_to_change(), as_place(address).open_to_change() if "127" in address else None
    second = second or place.open_to_change()
    for one in (first, second):
        one.borrow(lambda: more, more.table.ids())
    place.write(first)
    with pytest.raises(IndexFileError, match="changed by another process"):
        place.write(second)
    assert len(place.open()) == 90
    # one is writing: its lease changes
    third = place.open_to_change()
    third.borrow(lambda: more, more.table.ids())
    writer = Writer(Server(place._address) if "127" in address else place._server)
    with writer.leased(WIDTH):
        monkeypatch.setattr(milvus_writer.time, "sleep", lambda _: writer.renew(WIDTH))
        with pytest.raises(IndexFileError, match="Another process is writing"):
            place.write(third)
    monkeypatch.undo()
    assert len(place.open()) == 90
    # one took the lease from another that was asleep
    with writer.leased(WIDTH):
        Writer(writer._server)._beat(WIDTH)
        with pytest.raises(IndexFileError, match="Another process is writing"):
            writer.renew(WIDTH)


def test_what_scing_did_not_make_is_left_alone(address):
    import pymilvus

    place = as_place(address)
    client = place._server._client
    client.create_collection(place._address.collection, dimension=8, metric_type="IP")
    assert isinstance(client, pymilvus.MilvusClient)
    for use in (place.exists, place.open, place.stamp, place.check_writable):
        with pytest.raises(IndexFileError, match="a collection of something else"):
            use()
    assert client.has_collection(place._address.collection)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"checksum": "0"}', '{"format": 99, "checksum": "0"}', "\ud83d"])
def test_a_damaged_stamp_is_refused(address, text):
    place = put(address, made(80))
    Writer(place._server)._keep(-9, text.encode("utf-8", "replace").decode(), WIDTH)
    with pytest.raises(IndexFileError, match="stamp"):
        place.open()


def test_a_collection_without_a_stamp_is_not_whole(address):
    place = as_place(address)
    with pytest.raises(IndexFileError, match="There is no gallery"):
        place.open()
    Writer(place._server).create(WIDTH)
    assert not place.exists()
    with pytest.raises(IndexFileError, match="is not whole"):
        place.open()
    put(address, made(80)) if "127" in address else None


def test_other_index_types_and_compaction_are_refused(address):
    place = as_place(address)
    place.check_kind("flat")
    with pytest.raises(SettingError, match="--index-type ivf has no effect"):
        place.check_kind("ivf")
    with pytest.raises(SettingError, match="Milvus compacts by itself"):
        place.check_compact()


def test_more_rows_than_milvus_returns_are_compared_one_by_one(address, monkeypatch):
    monkeypatch.setattr(milvus_gallery, "MOST_FOUND", 40)
    index = made(400)
    gallery, queries = put(address, index).open(), index.vectors([140, 7])
    for k in (3, 30, 45, 400):
        assert found(gallery, queries, k) == found(index, queries, k)


def test_an_approximate_index_of_the_owner_is_noticed(server):
    address = f"{server.address}/approximate"
    place, index = put(address, made(500)), made(500)
    client, name = place._server._client, "approximate"
    client.release_collection(name)
    client.drop_index(name, index_name="vector")
    params = client.prepare_index_params()
    params.add_index("vector", index_type="HNSW", metric_type="IP", params={"M": 16, "efConstruction": 64})
    client.create_index(name, params)
    client.load_collection(name)
    gallery = place.open()
    assert gallery.is_approximate
    assert gallery.recall() is None
    (hits,) = gallery.search(index.vectors([9]), 5)
    assert hits[0].row.id == 9
