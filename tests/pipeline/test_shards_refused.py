"""Folders, files and plans that `scing embed --shards` cannot work with: one message, before any work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import pytest

from scing_cli.core.artifacts import read_json, write_json
from scing_cli.core.index import GalleryIndex

SHARDS = ("--shards", "2", "--batch-size", "8")


@pytest.fixture
def embed(scing, finished, crops, here):
    def run(*more, output="g.faiss", run=finished):
        return scing("embed", "--run", run, "--images", crops, "--output", output, *more)

    return run


def refuse(done, *parts):
    assert done.code == 2, done.err
    assert "Internal error" not in done.err
    for part in parts:
        assert part in done.err


def crafted(folder, change, *, images=None):
    """Change the first line of the first shard, and make all digests fit."""
    plan, listing = read_json(folder / "plan.json"), folder / "listing.jsonl"
    lines, first = listing.read_bytes().splitlines(keepends=True), plan["shards"][0]
    own = [change, *lines[1 : first["images"]]]
    rest = lines[first["images"] :]
    listing.write_bytes(b"".join([*own, *rest]))
    size = sum(map(len, own))
    first |= {"size": size, "digest": hashlib.sha256(b"".join(own)).hexdigest()}
    first["images"] += images or 0
    plan["shards"][1]["start"] = size
    write_json(folder / "plan.json", plan)


@pytest.mark.parametrize(
    "line",
    [
        b"{}\n",
        b'["a.jpg","1"]\n',
        b"hello\n",
        b'[5,"1","1",[],null]\n',
        b'["a.jpg","1","1",5,null]\n',
        b'["a.jpg","1","1",[["scene",5]],null]\n',
        b'["a\\u0000.jpg","1","1",[],null]\n',
        b'["a\\ud800.jpg","1","1",[],null]\n',
        b'["","1","1",[],null]\n',
        b'["a.jpg","1","1",[],7]\n',
    ],
)
def test_a_listing_that_nobody_may_write(embed, here, line):
    assert embed(*SHARDS, "--shard", "1").code == 0
    crafted(here / "g.shards", line)
    refuse(embed(*SHARDS), "listing.jsonl has a line that is not one of scing")


def test_a_plan_whose_numbers_do_not_fit_its_listing(embed, scing, here):
    assert embed(*SHARDS, "--shard", "1").code == 0
    folder = here / "g.shards"
    line = folder.joinpath("listing.jsonl").read_bytes().splitlines(keepends=True)[0]
    whole = read_json(folder / "plan.json")
    crafted(folder, line, images=1)
    refuse(embed(*SHARDS), "does not have the number of images of the plan")
    for change in ({"size": 2**62}, {"start": 2**63 - 1}, {"start": 2**62, "size": 2**62}):
        plan = json.loads(json.dumps(whole))
        plan["shards"][0] |= change
        write_json(folder / "plan.json", plan)
        refuse(embed(*SHARDS), "listing.jsonl")
    for shard in whole["shards"]:
        shard["images"] = 0
    write_json(folder / "plan.json", whole)
    refuse(embed(*SHARDS), "plan.json plans no image")
    refuse(scing("embed", "--merge", "--output", "g.faiss"), "plan.json plans no image")


def test_a_pipe_in_place_of_the_listing_is_not_waited_for(embed, here):
    assert embed(*SHARDS, "--shard", "1").code == 0
    (here / "g.shards" / "listing.jsonl").unlink()
    os.mkfifo(here / "g.shards" / "listing.jsonl")
    refuse(embed(*SHARDS), "listing.jsonl cannot be read: it is not a regular file")


def test_folders_in_place_of_files(embed, scing, here):
    (here / "g.shards" / "0001.json").mkdir(parents=True)
    done = embed(*SHARDS)
    assert "Internal error" not in done.err
    (here / "g.shards" / "0001.json").rmdir()
    (here / "g.shards" / "0001.unfinished.faiss").mkdir()
    assert embed(*SHARDS).code == 0
    assert scing("embed", "--merge", "--output", "g.faiss").code == 0
    (here / "h.unfinished.faiss").mkdir()
    assert embed(output="h.faiss").code == 0
    assert len(GalleryIndex.read(here / "h.faiss")) == 30


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("mode", [0o000, 0o300, 0o600])
def test_a_folder_of_shards_that_this_user_may_not_read(embed, scing, here, mode):
    assert embed(*SHARDS, "--shard", "0").code == 0
    (here / "g.shards").chmod(mode)
    try:
        refuse(embed(*SHARDS), "g.shards")
        refuse(scing("embed", "--merge", "--output", "g.faiss"), "g.shards")
    finally:
        (here / "g.shards").chmod(0o700)


@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_what_the_system_refuses_of_a_folder_is_told(embed, scing, here, monkeypatch, call):
    """As for a user without the right, whoever runs the tests."""
    assert embed(*SHARDS, "--shard", "0").code == 0
    real = getattr(os, call)

    def denied(place=".", *given, **named):
        if str(place).startswith(str(here / "g.shards")) or str(place).startswith("g.shards"):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place, *given, **named)

    monkeypatch.setattr(os, call, denied)
    refuse(embed(*SHARDS), "g.shards cannot be read: Permission denied")
    refuse(scing("embed", "--merge", "--output", "g.faiss"), "g.shards cannot be read: Permission denied")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("n" * 237 + ".faiss", "name too long"),
        ("n" * 250 + ".faiss", "name too long"),
        ("n" * 260 + ".faiss", "name too long"),
        ("a.unfinished.faiss", "that of partial results"),
        ("pipe.faiss", "is not a regular file"),
    ],
)
@pytest.mark.parametrize("more", [(), SHARDS, ("--append",), ("--force",)], ids=["new", "shards", "append", "force"])
def test_names_that_cannot_become_an_index_are_refused_before_any_work(embed, here, name, message, more):
    os.mkfifo(here / "pipe.faiss")
    done = embed(*more, output=name)
    refuse(done)
    assert message in done.err or "is there already" in done.err
    assert {file.name for file in here.iterdir()} == {"pipe.faiss", "crops"}


def test_the_longest_name_serves_for_all_that_is_written(embed, scing, here):
    """Whatever passes the check can be written, resumed, merged and changed."""
    name = "n" * 300
    while embed("--shards", "2", output=f"{name}.faiss").code:
        name = name[:-1]
        assert len(name) > 150
    assert scing("embed", "--merge", "--output", f"{name}.faiss").code == 0
    assert embed("--append", "--save-minutes", "0", output=f"{name}.faiss").code == 0
    assert embed("--force", "--save-minutes", "0", output=f"{name}.faiss").code == 0


def test_names_that_are_not_utf_8_are_read_as_they_are_written(scing, finished, world, here):
    """Bytes that are no UTF-8 in the path of a run, an index or a table used to make stamps that nobody could read."""
    odd = os.fsdecode(b"K\xf6ln")
    place = here / odd
    shutil.copytree(finished, place / "run")
    own, photo = ("embed", "--run", place / "run", "--data", world), next((world / "query").glob("*.jpg"))
    for output in (place / "g.faiss", here / "g.faiss"):
        assert scing(*own, "--output", output).code == 0
        found = scing("search", photo, "--index", output, "--json")
        assert found.code == 0, found.err
        assert scing(*own, "--output", output, "--append", "--split", "query").code == 0
        assert scing("embed", "--output", output, "--prune").code == 0
    table = here / os.fsdecode(b"w\xff.csv")
    assert scing("prepare", world, "--output", "w.csv").code == 0
    (here / "w.csv").rename(table)
    data = ("embed", "--run", place / "run", "--data", table, "--output", here / "h.faiss")
    made = scing(*data, "--shards", "2")
    assert made.code == 0, made.err
    merged = scing("embed", "--merge", "--output", here / "h.faiss")
    assert merged.code == 0, merged.err
    assert scing("search", photo, "--index", here / "h.faiss", "--json").code == 0
