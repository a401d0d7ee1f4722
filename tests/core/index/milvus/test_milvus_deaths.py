"""A server that dies around a batch of a write, and starts again with what it has on its disk."""

from __future__ import annotations

import threading

import pytest
from milvus_servers import found, made, milvus_server, one_message, put, state_of

from scing_cli.core.errors import IndexFileError
from scing_cli.core.index import as_location
from scing_cli.core.index.milvus import milvus_writer
from scing_cli.core.index.milvus.milvus_writer import AMID, BEFORE, JOURNAL, LEASE
from scing_cli.core.index.milvus.server import Server

pytestmark = pytest.mark.milvus


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with milvus_server(tmp_path_factory.mktemp("dying")) as running:
        yield running


@pytest.mark.parametrize("moment", ["before a batch", "amid a batch", "after a batch", "after the stamp"])
def test_a_server_that_dies_leaves_the_former_gallery_or_the_new_one(server, moment, monkeypatch):
    index, more = made(300), made(900, seed=5)
    address = f"{server.address}/{moment.replace(' ', '_')}"
    before = state_of(put(address, index).open())
    index.remove([3, 4])
    index.relabel({7: ("new", 'c"', "s")})
    index.borrow(lambda: more, more.table.ids())

    def change(gallery):
        gallery.remove([3, 4])
        gallery.relabel({7: ("new", 'c"', "s")})
        gallery.borrow(lambda: more, more.table.ids())
        return gallery

    ask, batches, stamps = Server.ask, [], []

    def dying(self, call, **given):
        first = given["data"][0]["id"] if call == "upsert" else LEASE
        batches.extend([first] * (first >= 0))
        stamps.extend([first] * (JOURNAL // 2 < first < LEASE))
        second = first >= 0 and len(batches) == 2
        if second and moment == "before a batch":
            server.kill()
        if second and moment == "amid a batch":
            threading.Timer(0.002, server.kill).start()
        answer = ask(self, call, **given)
        if (second and moment == "after a batch") or (stamps and moment == "after the stamp"):
            server.kill()
        return answer

    monkeypatch.setattr(milvus_writer, "is_dead", lambda _: True)  # the next writer is this process too
    monkeypatch.setattr(milvus_writer, "MOST_BYTES", 200_000)  # several batches
    location = as_location(address)
    gallery = change(location.open_to_change())
    monkeypatch.setattr(Server, "ask", dying)
    with pytest.raises(IndexFileError, match="cannot be used") as caught:
        location.write(gallery)
    monkeypatch.setattr(Server, "ask", ask)
    assert f"Does the server run at http{server.address.removeprefix('milvus')}?" in one_message(caught)
    assert len(batches) >= 2
    assert (AMID if moment == "after the stamp" else BEFORE) in one_message(caught)
    server.kill()
    server.start()
    if moment == "after the stamp":
        with pytest.raises(IndexFileError, match="a change was interrupted"):
            as_location(address).open()
    else:
        assert not stamps
        assert state_of(as_location(address).open()) == before
        again = as_location(address)
        again.write(change(again.open_to_change()))
    as_location(address).open_to_change()
    rows, vectors = state_of(as_location(address).open())
    assert rows == list(index.table)
    assert vectors == index.vectors().tolist()


@pytest.mark.parametrize("moment", ["query", "search"])
def test_a_server_that_dies_amid_a_search_is_one_message(server, moment, monkeypatch):
    """Before it counts the rows, or before it compares them."""
    index, ask, died = made(300), Server.ask, []
    address = f"{server.address}/amid_a_{moment}"
    gallery = put(address, index).open()

    def dying(self, call, **given):
        if call == moment and not died:
            died.append(call)
            server.kill()
        return ask(self, call, **given)

    monkeypatch.setattr(Server, "ask", dying)
    with pytest.raises(IndexFileError, match="cannot be used") as caught:
        gallery.search(index.vectors([1, 2]), 5)
    assert "Does the server run at" in one_message(caught)
    server.start()
    assert found(as_location(address).open(), index.vectors([1, 2]), 5) == found(index, index.vectors([1, 2]), 5)
