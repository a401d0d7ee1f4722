"""A write at any call of which Milvus fails: what the message says is what a reader then sees."""

from __future__ import annotations

import importlib.util
import itertools

import pytest
from milvus_servers import entries, made, milvus_server, put

from scing_cli.core.errors import IndexFileError
from scing_cli.core.index import as_location
from scing_cli.core.index.milvus import milvus_location, milvus_writer
from scing_cli.core.index.milvus.milvus_writer import AMID, BEFORE, FORMER, LEASE, PENDING, WRITTEN, Writer
from scing_cli.core.index.milvus.server import Server, ServerError

pytestmark = pytest.mark.milvus

REFUSED = "refused"
OUTCOMES = (BEFORE, AMID, PENDING, WRITTEN, FORMER)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with milvus_server(tmp_path_factory.mktemp("outcomes")) as running:
        yield running


@pytest.fixture(params=["server", "lite"])
def address(request, tmp_path):
    if request.param == "lite":
        if importlib.util.find_spec("milvus_lite") is None:
            pytest.skip("pip install milvus-lite")
        return f"milvus://{tmp_path}/people.db"
    return f"{request.getfixturevalue('server').address}/{request.node.name.translate(str.maketrans('[]-', '___'))}"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    monkeypatch.setattr(milvus_writer, "is_dead", lambda _: True)  # what failed leaves its lease behind
    monkeypatch.setattr(milvus_writer, "SETTLE", 0.0)
    monkeypatch.setattr(milvus_writer, "PAUSE", 0.0)
    monkeypatch.setattr(milvus_location, "PAUSE", 0.0)


class Failing:
    """Lets Milvus refuse one call after some others; a batch may be written before that, as if its answer were lost."""

    def __init__(self, monkeypatch, *, lost):
        ask, self.left, self.failed = Server.ask, None, ""

        def asked(server, call, **given):
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    self.left, self.failed = None, call
                    if lost:
                        ask(server, call, **given)
                    return ask(server, "query", collection_name=given["collection_name"], filter="id >>> 3")
            return ask(server, call, **given)

        monkeypatch.setattr(Server, "ask", asked)

    def failure(self, calls, work):
        """Return the outcome that the message of a failure names; None if all calls were done before."""
        self.left = calls
        try:
            work()
        except ServerError as error:
            return " ".join(outcome for outcome in OUTCOMES if outcome in error.remedy)
        finally:
            self.left = None
        return None


def state_of(gallery):
    return [(row.id, row.path, row.identity) for row in gallery.table]


def seen_by_a_reader(address, location):
    try:
        return state_of((as_location(address) if "127" in address else location).open())
    except IndexFileError as error:
        return REFUSED if "a change was interrupted" in error.what else error.what


@pytest.mark.parametrize(("journal", "lost"), [(False, True), (True, False), (True, True)])
def test_the_message_says_what_a_reader_sees(address, monkeypatch, journal, lost):
    location, more = put(address, made(60)), made(10, seed=4)
    failing, named = Failing(monkeypatch, lost=lost), {}
    for calls in itertools.count(0):
        gallery = location.open_to_change()
        before, first = state_of(gallery), gallery.stamp.next_id
        after = before + [(first + n, entry.path, entry.identity) for n, entry in enumerate(entries(10))]
        gallery.borrow(lambda: more, more.table.ids())
        if journal:
            gone, other = before[0], before[1]
            gallery.remove([gone[0]])
            gallery.relabel({other[0]: (f"n{calls}", "c", "")})
            after = [(other[0], other[1], f"n{calls}"), *after[2:]]
        outcome = failing.failure(calls, lambda gallery=gallery: location.write(gallery))
        seen = seen_by_a_reader(address, location)
        if outcome is None:
            break
        possible = {BEFORE: [before], AMID: [before, after, REFUSED], PENDING: [REFUSED, after], WRITTEN: [after]}
        possible[""] = [before]  # no lease was taken yet
        assert seen in possible[outcome], (failing.failed, outcome)
        named.setdefault(outcome, []).append(seen)
        if outcome == PENDING:
            assert state_of(location.open_to_change()) == after
    assert seen == after
    assert [outcome for outcome in OUTCOMES if outcome in named] == [
        BEFORE,
        AMID,
        *([PENDING] if journal else []),
        WRITTEN,
    ]
    assert len(named[BEFORE]) > 5
    assert not journal or REFUSED in named[PENDING]


def test_ending_an_earlier_change_is_told_apart_from_ones_own(address, monkeypatch):
    location, failing = put(address, made(60)), Failing(monkeypatch, lost=False)
    gallery = location.open_to_change()
    gallery.remove([3])
    carry_out = Writer.carry_out
    monkeypatch.setattr(Writer, "carry_out", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception, match="killed"):
        location.write(gallery)
    monkeypatch.setattr(Writer, "carry_out", carry_out)
    outcomes = set()
    for calls in itertools.count(0):
        outcome = failing.failure(calls, location.open_to_change)
        if outcome is None:
            break
        outcomes.add(outcome)
        assert outcome in ("", FORMER)
    assert FORMER in outcomes
    assert len(location.open()) == 59


def test_another_writer_after_the_stamp_is_told_with_what_became_of_the_change(address, monkeypatch):
    location = put(address, made(60))
    gallery = location.open_to_change()
    gallery.remove([3])
    carry_out = Writer.carry_out

    def overtaken(self, record):
        other = Writer(self._server)
        other.token = "another"
        other._write_lease(24)
        return carry_out(self, record)

    monkeypatch.setattr(Writer, "carry_out", overtaken)
    with pytest.raises(IndexFileError, match="Another process is writing") as caught:
        location.write(gallery)
    assert caught.value.remedy == PENDING
    monkeypatch.setattr(Writer, "carry_out", carry_out)
    assert seen_by_a_reader(address, location) == REFUSED
    location.open_to_change()
    assert len(location.open()) == 59


def test_a_collection_that_is_dropped_amid_a_write_is_no_gallery_as_it_was(address, monkeypatch):
    location, more = put(address, made(60)), made(10, seed=4)
    gallery, ask = location.open_to_change(), Server.ask
    gallery.borrow(lambda: more, more.table.ids())

    def dropping(self, call, **given):
        if call == "upsert" and given["data"][0]["id"] > LEASE:
            ask(self, "drop_collection", collection_name=given["collection_name"])
        return ask(self, call, **given)

    monkeypatch.setattr(Server, "ask", dropping)
    with pytest.raises(ServerError) as caught:
        location.write(gallery)
    assert caught.value.remedy == f"Another program has dropped the collection. {BEFORE}"
