"""A server that goes away, and one that asks who is there."""

from __future__ import annotations

import time

import pytest
from milvus_servers import ROOT, found, made, milvus_server, one_message, put, state_of

from scing_cli.core.errors import IndexFileError
from scing_cli.core.index import as_location
from scing_cli.core.index.milvus import server as milvus_server_module

pytestmark = pytest.mark.milvus


def test_a_server_that_is_away_gives_one_message_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(milvus_server_module, "SECONDS", 5.0)
    index = made(3000)
    with milvus_server(tmp_path) as server:
        address = f"{server.address}/people"
        location = put(address, index)
        gallery = location.open()
        assert found(gallery, index.vectors([1]), 3) == found(index, index.vectors([1]), 3)
        server.kill()
        started = time.monotonic()
        with pytest.raises(IndexFileError, match="cannot be used"):
            gallery.search(index.vectors([1]), 3)
        with pytest.raises(IndexFileError, match="cannot be used"):
            as_location(address).open()
        assert time.monotonic() - started < 120
        monkeypatch.undo()  # a server that has just started loads its collections
        server.start()
        again = as_location(f"{server.address}/people").open()
        assert found(again, index.vectors([1]), 3) == found(index, index.vectors([1]), 3)


def test_a_user_who_may_only_read_changes_nothing(tmp_path, monkeypatch):
    with milvus_server(tmp_path, guarded=True) as server:
        address, index = f"{server.address}/people", made(80)
        monkeypatch.setenv("SCING_MILVUS_TOKEN", ROOT)
        location = put(address, index)
        before = state_of(location.open())
        client = location._server._client
        client.create_user("reader", "readers1")
        client.create_role("viewer")
        for kind, privilege in (
            ("Global", "DescribeCollection"),
            ("Global", "ShowCollections"),
            ("Collection", "IndexDetail"),
            ("Collection", "GetLoadState"),
            ("Collection", "Load"),
            ("Collection", "Query"),
            ("Collection", "Search"),
        ):
            client.grant_privilege("viewer", kind, privilege, "*")
        client.grant_role("reader", "viewer")
        monkeypatch.setenv("SCING_MILVUS_TOKEN", "reader:readers1")
        viewed = as_location(address)
        gallery = viewed.open_to_change()
        assert found(gallery, index.vectors([1]), 3) == found(index, index.vectors([1]), 3)
        gallery.remove([1])
        with pytest.raises(IndexFileError, match="cannot be used") as caught:
            viewed.write(gallery)
        assert "Set the token of a user who may use this collection" in one_message(caught)
        other = as_location(f"{server.address}/other")
        with pytest.raises(IndexFileError, match="cannot be used") as caught:
            put(str(other), index)
        assert "Set the token of a user who may use this collection" in one_message(caught)
        monkeypatch.setenv("SCING_MILVUS_TOKEN", ROOT)
        assert state_of(as_location(address).open()) == before
        assert not as_location(f"{server.address}/other").exists()


def test_the_token_comes_from_the_environment_and_is_never_shown(tmp_path, monkeypatch):
    with milvus_server(tmp_path, guarded=True) as server:
        address = f"{server.address}/people"
        monkeypatch.setenv("SCING_MILVUS_TOKEN", "root:wrongsecret")
        with pytest.raises(IndexFileError) as caught:
            as_location(address).exists()
        assert "wrongsecret" not in f"{caught.value.what}{caught.value.remedy}"
        assert "SCING_MILVUS_TOKEN" in caught.value.remedy
        monkeypatch.setenv("SCING_MILVUS_TOKEN", ROOT)
        location = put(address, made(80))
        assert len(location.open()) == 80
        client = location._server._client
        client.create_user("reader", "readers1")
        monkeypatch.setenv("SCING_MILVUS_TOKEN", "reader:readers1")
        with pytest.raises(IndexFileError) as caught:
            as_location(address).open()
        assert "Set the token of a user who may use this collection" in caught.value.remedy
        assert "readers1" not in f"{caught.value.what}{caught.value.remedy}"
