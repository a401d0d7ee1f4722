"""`embed`, `search` and `evaluate` with an address of Milvus, as a user types them, beside the same with index files."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys

import pytest
from milvus_servers import milvus_server
from patience import HANG
from PIL import Image
from pipeline.conftest import MODEL

from scing_cli.core.index import as_location, partial_file

pytestmark = pytest.mark.milvus


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with milvus_server(tmp_path_factory.mktemp("milvus")) as running:
        yield running


@pytest.fixture
def address(server, request):
    return f"{server.address}/{request.node.name.translate(str.maketrans('[]-', '___'))}"


def hits(file):
    with file.open() as stream:
        return list(csv.reader(stream))


def test_all_commands_give_what_an_index_file_gives(scing, finished, world, here, address):
    own = ("--run", finished)
    for output in ("g.faiss", address):
        done = scing("embed", *own, "--data", world, "--output", output, "--json")
        assert done.code == 0, done.err
        assert (done.json["index"], done.json["kind"], done.json["recall"]) == (str(output), "flat", None)
    photos = sorted((world / "query").glob("*.jpg"))[:3]
    camera = photos[0].name.split("_c")[1][0]
    for more in ((), ("--group", "identity"), ("--exclude-camera", camera), ("--rerank",), ("--join", "mean")):
        for name, index in (("a.csv", "g.faiss"), ("b.csv", address)):
            done = scing("search", *photos, "--index", index, "-k", "7", "--csv", name, *more)
            assert done.code == 0, done.err
        assert hits(here / "a.csv") == hits(here / "b.csv")
    theirs, ours = (
        scing("evaluate", *own, "--data", world, "--index", index, "--json").json for index in ("g.faiss", address)
    )
    assert {key: theirs[key] for key in ("mAP", "rank1", "gallery")} == {
        key: ours[key] for key in ("mAP", "rank1", "gallery")
    }
    assert "known: " in scing("search", photos[0], "--index", address, "--camera", "nowhere").err


def test_a_gallery_grows_shrinks_and_is_replaced(scing, finished, crops, here, address):
    own = ("--run", finished, "--images", crops, "--output", address)
    files = sorted(crops.iterdir())
    assert scing("embed", *own, "--json").json["added"] == 30
    refused = scing("embed", *own)
    assert refused.code == 2
    assert f"{address} is there already." in refused.err
    Image.new("RGB", (40, 90), "red").save(files[0])
    files[1].unlink()
    Image.new("RGB", (40, 90), "blue").save(crops / "new.png")
    (crops / "broken.jpg").write_bytes(b"no image")
    counts = scing("embed", *own, "--append", "--prune", "--json").json
    assert [counts[name] for name in ("added", "replaced", "removed", "skipped", "count")] == [1, 1, 1, 28, 30]
    listed = list(here.glob("*.left-out.csv"))
    assert len(listed) == 1
    again = scing("embed", *own, "--append", "--json").json
    assert (again["added"], again["count"]) == (0, 30)
    files[2].unlink()
    assert scing("embed", "--output", address, "--prune", "--json").json["count"] == 29
    assert scing("embed", *own, "--force", "--json").json["count"] == 29
    assert (
        scing("search", files[5], "--index", address, "-k", "1", "--json")
        .json["results"][0]["hits"][0]["path"]
        .endswith(files[5].name)
    )


def test_a_gallery_of_another_model_or_width_is_refused_and_stays_whole(scing, finished, world, crops, address):
    own = ("--run", finished, "--images", crops, "--output", address)
    assert scing("embed", *own).code == 0
    rows, vectors = as_location(address).open().rows(), as_location(address).open().vectors()
    photo = next(crops.iterdir())
    for command, told in (
        (("embed", *MODEL, "--images", crops, "--output", address, "--append"), "was made by another model"),
        (("evaluate", *MODEL, "--data", world, "--index", address), "was made by another model"),
        (("search", photo, "--index", address, "--model", "elsewhere.json"), address),
        (("embed", *own, "--append", "--descriptor", "concat"), "a collection's width never changes"),
        (("embed", *own, "--force", "--descriptor", "concat"), "a collection's width never changes"),
    ):
        done = scing(*command)
        assert (done.code, done.out) == (2, ""), command
        assert done.err.count("Error") == 1
        assert address in done.err
        assert told in done.err
    left = as_location(address).open()
    assert left.rows() == rows
    assert left.vectors().tolist() == vectors.tolist()


def test_names_that_mean_something_elsewhere_are_only_names(scing, finished, world, here, address):
    names = ('a"b', "a'b", "a\\", "\u202ex", '"] or id > 0 or camera_key in ["')
    files = sorted(world.glob("*/*.jpg"))[:30]
    with (here / "people.csv").open("w", encoding="utf-8", newline="") as stream:
        rows = [(file, names[n % 5], names[n // 5 % 5], "gallery") for n, file in enumerate(files)]
        csv.writer(stream).writerows([("path", "identity", "camera", "split"), *rows])
    for output in ("g.faiss", address):
        assert (
            scing("embed", "--run", finished, "--data", "people.csv", "--output", output, "--json").json["count"] == 30
        )
    for name in names:
        for more in (("--camera", name), ("--exclude-camera", name), ("--identity", name, "--group", "identity")):
            for table, index in (("a.csv", "g.faiss"), ("b.csv", address)):
                done = scing("search", files[3], "--index", index, "-k", "9", "--csv", table, *more)
                assert done.code == 0, done.err
            assert hits(here / "a.csv") == hits(here / "b.csv")
    unknown = scing("search", files[3], "--index", address, "--camera", "\u202ey")
    assert (unknown.code, unknown.err.count("Error")) == (2, 1)
    assert "\u202e" not in unknown.err


def test_where_no_server_runs_one_message_says_so(scing, finished, crops, here):
    away = "milvus://127.0.0.1:9/people"
    photo = next(crops.iterdir())
    for command in (
        ("embed", "--run", finished, "--images", crops, "--output", away),
        ("search", photo, "--index", away),
        ("evaluate", "--run", finished, "--data", crops.parent, "--index", away),
    ):
        done = scing(*command)
        assert (done.code, done.out, done.err.count("Error")) == (2, "", 1)
        assert f"{away} cannot be used" in done.err
        assert "Does the server run at http://127.0.0.1:9?" in done.err
    assert not list(here.glob("people-*"))


def test_what_an_address_cannot_do_is_refused_before_any_work(scing, crops, address):
    own = ("embed", *MODEL, "--images", crops, "--output", address)
    for more, message in (
        (("--index-type", "hnsw"), "--index-type hnsw has no effect"),
        (("--append", "--compact"), "Milvus compacts by itself"),
        (("--shards", "3"), "--shards makes index files"),
    ):
        done = scing(*own, *more)
        assert (done.code, done.out) == (2, "")
        assert message in done.err
    assert "--merge makes index files" in scing("embed", "--merge", "--output", address).err
    assert "a password does not belong" in scing("search", "x.jpg", "--index", "milvus://me:pw@host/x").err


DYING = """
import os, signal, sys
from scing_cli.__main__ import main
from scing_cli.core.index.milvus.server import Server
from scing_cli.core.workflows.embed import partial_index

server, ask, partial_index.WORTH = int(sys.argv.pop(1)), Server.ask, 0.0

def dying(self, call, **given):
    if call == "upsert" and given["data"][0]["id"] >= 0:  # rows, not the lease
        os.kill(server, signal.SIGKILL)
    return ask(self, call, **given)

Server.ask = dying
main()
"""


def test_a_server_that_dies_amid_a_write_costs_nothing(scing, server, finished, crops, address):
    """The former gallery is there, what was embedded is kept, and the same command ends the work."""
    own = ("embed", "--run", finished, "--images", crops, "--output", address)
    assert scing(*own).code == 0
    for color in ("red", "blue"):
        Image.new("RGB", (40, 90), color).save(crops / f"{color}.png")
    run = [sys.executable, "-c", DYING, server.pid, *own, "--append"]
    done = subprocess.run(list(map(str, run)), capture_output=True, text=True, timeout=HANG, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.count("Error") == done.stderr.count(f"{address} cannot be used") == 1
    assert "Traceback" not in done.stderr
    assert partial_file(as_location(address).local).exists()
    server.kill()
    server.start()
    former = as_location(address).open()
    assert [row.id for row in former.rows()] == list(range(30))
    again = scing(*own, "--append", "--json")
    assert (again.json["added"], again.json["skipped"], again.json["count"]) == (2, 30, 32)
    assert "2 images were embedded before the interruption" in again.err
    assert not partial_file(as_location(address).local).exists()
    assert len(as_location(address).open()) == 32


def test_without_the_client_a_message_says_what_to_install(here):
    code = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'pymilvus' else find(name, *more)\n"
        "from scing_cli.__main__ import main; sys.argv = ['scing', 'search', 'x.jpg', '--index', 'milvus://host/x']\n"
        "main()"
    )
    (here / "x.jpg").write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, env=os.environ, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "pip install '.[milvus]'" in done.stderr
    assert json.dumps(done.stdout) == '""'
