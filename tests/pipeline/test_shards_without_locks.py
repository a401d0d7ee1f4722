"""Shards on a file system without locks, where two processes may make the same one at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pipeline.test_shards import bytes_of

from scing_cli.core.artifacts import files
from scing_cli.core.workflows.embed import embed_shards

SHARD = ("--shards", "2", "--shard", "1", "--batch-size", "8")


@pytest.fixture
def no_locks(monkeypatch):
    """Every process is told that it has the lock, as where locks do not reach other machines."""
    monkeypatch.setattr(files, "_lock", lambda _: True)


class Steps:
    """The steps of a process on files; at one of them, something else happens first."""

    def __init__(self, monkeypatch):
        self.count, self.at, self.do = 0, 0, None
        for place, name in ((Path, "replace"), (Path, "unlink"), (os, "fsync")):
            monkeypatch.setattr(place, name, self._counted(getattr(place, name)))

    def _counted(self, real):
        def step(*given, **named):
            self.count += 1
            if self.count == self.at:
                self.at, do = 0, self.do
                do()
            return real(*given, **named)

        return step


@pytest.mark.parametrize("minutes", ["10", "0"])
def test_a_process_that_makes_a_shard_amid_another_does_no_harm(
    scing, finished, crops, here, monkeypatch, minutes, no_locks
):
    """At each step of the first, the second does all of its own: the shard is whole, and both end well."""
    own = ("embed", "--run", finished, "--images", crops, "--output")
    assert scing(*own, "one.faiss", "--batch-size", "8").code == 0
    shard, steps, tried = ("--save-minutes", minutes, *SHARD), Steps(monkeypatch), 0
    while True:
        index, tried = here / f"{tried}.faiss", tried + 1
        assert scing(*own, index, *SHARD[:2], "--shard", "0", *SHARD[4:]).code == 0
        others: list = []
        steps.count, steps.at = 0, tried
        steps.do = lambda index=index, others=others: others.append(scing(*own, index, *shard))
        first = scing(*own, index, *shard)
        steps.at = 0
        assert (first.code, [other.code for other in others]) == (0, [0] * len(others)), (tried, first.err, others)
        done = scing("embed", "--merge", "--output", index)
        assert done.code == 0, (tried, done.err)
        assert bytes_of(index) == bytes_of(here / "one.faiss")
        assert not index.with_suffix(".shards").exists()
        if not others:
            break
    assert tried > 10


def test_who_lists_the_images_longer_takes_the_plan_of_another(scing, finished, crops, here, monkeypatch, no_locks):
    """It used to remove the shards that were finished by then."""
    own = ("embed", "--run", finished, "--images", crops, "--batch-size", "8", "--output")
    assert scing(*own, "one.faiss").code == 0
    shards, real, others = (*own, "g.faiss", "--shards", "2", "--shard"), embed_shards.open_and_list, []

    def slow(*given, **named):
        listed = real(*given, **named)
        if not others:
            others.append(None)
            others[0] = scing(*shards, "0")
        return listed

    monkeypatch.setattr(embed_shards, "open_and_list", slow)
    assert scing(*shards, "1").code == others[0].code == 0
    assert scing("embed", "--merge", "--output", "g.faiss").code == 0
    assert bytes_of(here / "g.faiss") == bytes_of(here / "one.faiss")
