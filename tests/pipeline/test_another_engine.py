"""An engine that is not part of scing: one module and one row of `ENGINES` give it all commands and functions."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys

import pytest
import shelf
from patience import HANG

from scing_cli.core.errors import DataError
from scing_cli.core.index import as_location
from scing_cli.core.library import load_index
from scing_cli.core.paths import ENGINES, as_path

ADDRESS = "shelf://people"
SAME = ("mAP", "rank1", "queries", "gallery")


@pytest.fixture(autouse=True)
def _engine(monkeypatch):
    monkeypatch.setitem(ENGINES, "shelf", shelf.__name__)
    monkeypatch.setattr(shelf, "SHELF", {})


def both(scing, *arguments, option="--index", there=ADDRESS):
    """The same command with a file and with the engine."""
    done = [scing(*arguments, option, place) for place in ("g.faiss", there)]
    assert [each.code for each in done] == [0, 0], [each.err for each in done]
    return done


def rows(file):
    with file.open() as stream:
        return list(csv.reader(stream))


def test_every_command_gives_what_it_gives_with_a_file(scing, finished, world, here):
    own, photos = ("--run", finished), sorted((world / "query").glob("*.jpg"))[:3]
    in_file, there = both(scing, "embed", *own, "--data", world, "--json", option="--output")
    assert in_file.json | {"index": ADDRESS} == there.json
    camera = photos[0].name.split("_c")[1][0]
    for more in ((), ("--group", "identity"), ("--exclude-camera", camera), ("--rerank",), ("--join", "mean")):
        found = []
        for place in ("g.faiss", ADDRESS):
            done = scing("search", *photos, "--index", place, "-k", "7", "--csv", "hits.csv", *more)
            assert done.code == 0, done.err
            found.append(rows(here / "hits.csv"))
        assert found[0] == found[1]
        assert len(found[0]) > 1
    in_file, there = both(scing, "evaluate", *own, "--data", world, "--json")
    assert {key: in_file.json[key] for key in SAME} == {key: there.json[key] for key in SAME}
    found = [load_index(place).search([photos[0]]) for place in ("g.faiss", ADDRESS)]
    assert found[0] == found[1]


def test_a_gallery_grows_and_shrinks_as_a_file_does(scing, finished, crops, here):
    own = ("--run", finished, "--images", crops, "--json")
    both(scing, "embed", *own, option="--output")
    files = sorted(crops.iterdir())
    shutil.copy(files[0], crops / "new.jpg")
    files[1].unlink()
    files[2].write_bytes(files[3].read_bytes())
    in_file, there = both(scing, "embed", *own, "--append", "--prune", option="--output")
    assert in_file.json | {"index": ADDRESS} == there.json
    assert [there.json[name] for name in ("added", "replaced", "removed", "count")] == [1, 1, 1, len(files)]
    files[4].unlink()
    in_file, there = both(scing, "embed", "--prune", "--json", option="--output")
    assert in_file.json | {"index": ADDRESS} == there.json
    galleries = [as_location(place).open() for place in ("g.faiss", ADDRESS)]
    assert list(galleries[0].table) == list(galleries[1].table)
    assert galleries[0].vectors().tobytes() == galleries[1].vectors().tobytes()


def test_what_the_engine_refuses_is_refused_before_any_work(scing, finished, crops, here):
    own = ("--run", finished, "--images", crops, "--output", ADDRESS)
    for option in (("--append", "--compact"), ("--index-type", "ivf")):
        done = scing("embed", *own, *option)
        assert (done.code, ADDRESS in done.err) == (2, True)
    assert not as_location(ADDRESS).exists()
    assert scing("embed", *own).code == 0
    again = scing("embed", *own)
    assert (again.code, f"{ADDRESS} is there already." in again.err) == (2, True)


def test_an_engine_that_nobody_added_is_no_engine(monkeypatch):
    assert as_location(ADDRESS).named == ADDRESS
    with pytest.raises(DataError, match="scing reads local files"):
        as_path("shelf:/people")
    monkeypatch.delitem(ENGINES, "shelf")
    assert as_location("shelf-people.faiss").named.name == "shelf-people.faiss"


def test_its_addresses_stand_in_the_help():
    code = "from scing_cli.core.paths import ENGINES; ENGINES['shelf'] = 'shelf'; from scing_cli.commands.options import GALLERY"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(GALLERY)"], capture_output=True, text=True, timeout=HANG, check=True
    )
    assert done.stdout.strip() == "FILE|milvus://…|shelf://…"
