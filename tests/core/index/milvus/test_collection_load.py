"""Collections that a server loads slowly: how long commands wait, and what they show."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from milvus_servers import found, made, milvus_server, one_message, put

from scing_cli.core.errors import IndexFileError
from scing_cli.core.index import as_location
from scing_cli.core.index.milvus import collection_load
from scing_cli.core.index.milvus.server import Server
from scing_cli.core.library import load_index
from scing_cli.core.runtime import Silent

pytestmark = pytest.mark.milvus


class Bars(Silent):
    """Remembers the bars, and where each has got to."""

    def __init__(self):
        self.shown = {}

    @contextlib.contextmanager
    def progress(self, description, total):
        steps = self.shown.setdefault((description, total), [])
        yield lambda more, text="": steps.append((steps or [0])[-1] + more)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with milvus_server(tmp_path_factory.mktemp("loading")) as running:
        yield running


@pytest.fixture(scope="module")
def address(server):
    address = f"{server.address}/people"
    put(address, made(80))
    return address


def slow(monkeypatch, percents):
    """Let the server tell percents while it loads, before it tells that all is loaded; return the calls of loading."""
    ask, left, calls = Server.ask, iter(percents), []

    def asked(self, call, **given):
        if call == "load_collection":
            calls.append(given)
            given = {**given, "_async": False}
        if call == "get_load_state" and (calls or "Loaded" in str(ask(self, call, **given))):
            percent = next(left, None)
            if percent is not None:
                return {"state": "Loading", "progress": percent}
        return ask(self, call, **given)

    monkeypatch.setattr(Server, "ask", asked)
    return calls


def test_loading_is_waited_for_and_shown_as_long_as_it_makes_progress(address, monkeypatch):
    index, bars = made(80), Bars()
    as_location(address)._server("release_collection")
    with pytest.raises(IndexFileError, match="is not loaded, so Milvus cannot search it") as caught:
        as_location(address).open()
    assert "scing embed --append does it too" in one_message(caught)
    monkeypatch.setattr(collection_load, "STUCK", 0.0)
    monkeypatch.setattr(collection_load, "PAUSE", 0.01)
    calls = slow(monkeypatch, [3, 40, 41, 99])
    gallery = as_location(address, bars).open_to_change()
    assert len(calls) == 1
    assert bars.shown == {(f"Loading {address} (%)", 100): [3, 40, 41, 99, 100]}
    assert found(gallery, index.vectors([1]), 3) == found(index, index.vectors([1]), 3)


def test_a_reader_waits_for_what_another_one_loads(address, monkeypatch):
    bars = Bars()
    monkeypatch.setattr(collection_load, "PAUSE", 0.01)
    calls = slow(monkeypatch, [0, 0, 50, 50])
    assert len(load_index(address, reporter=bars)) == 80
    assert not calls
    assert list(bars.shown.values()) == [[50, 100]]


def test_loading_that_does_not_move_is_said(address, monkeypatch):
    monkeypatch.setattr(collection_load, "PAUSE", 0.01)
    monkeypatch.setattr(collection_load, "STUCK", 0.05)
    slow(monkeypatch, itertools.chain([10, 20], itertools.repeat(20)))
    with pytest.raises(IndexFileError, match="does not get loaded: Milvus has been at 20 %") as caught:
        as_location(address).open()
    assert "run the command again later" in one_message(caught)


def test_a_gallery_that_is_loaded_opens_without_a_bar(address):
    bars = Bars()
    assert len(as_location(address, bars).open()) == 80
    assert bars.shown == {}
