"""Options of a search for its input, its rows and its output, through the command line."""

from __future__ import annotations

import csv
import io
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from scing_cli.core.figures.montage_style import Style
from scing_cli.core.index import GalleryIndex

COLUMNS = ["query", "rank", "score", "identity", "camera", "path"]


@pytest.fixture(scope="module")
def index(finished):
    return finished.parent / "gallery.faiss"


@pytest.fixture
def photos(world):
    return sorted((world / "query").glob("*.jpg"))


@pytest.fixture
def hits(scing, index, photos):
    """Search with a photo and return its hits: `hits("--camera", 1)`."""

    def run(*options, asked=None):
        result = scing("search", *(asked or photos[:1]), "--index", index, "-k", "50", "--json", *options)
        assert result.code == 0, result.err
        return result.json["results"][0]["hits"]

    return run


def test_filters_keep_and_leave_out_cameras_and_identities(hits):
    everything = hits()
    people = sorted({hit["identity"] for hit in everything})
    for options, kept in (
        (("--camera", "1"), lambda hit: hit["camera"] == "1"),
        (("--camera", "1", "--camera", "3"), lambda hit: hit["camera"] in "13"),
        (("--exclude-camera", "2"), lambda hit: hit["camera"] != "2"),
        (("--identity", people[0], "--identity", people[2]), lambda hit: hit["identity"] in (people[0], people[2])),
        (("--exclude-identity", people[1]), lambda hit: hit["identity"] != people[1]),
        (
            ("--camera", "1", "--exclude-identity", people[1]),
            lambda hit: hit["camera"] == "1" and hit["identity"] != people[1],
        ),
    ):
        expected = [hit["path"] for hit in everything if kept(hit)]
        assert [hit["path"] for hit in hits(*options)] == expected
        assert 0 < len(expected) < len(everything)


def test_names_that_the_index_does_not_know_are_refused_or_told(scing, index, photos):
    """Every filter; with --allow-missing the search goes on."""
    for option in ("--camera", "--exclude-camera", "--identity", "--exclude-identity"):
        known = "1, 2, 3" if "camera" in option else "0007"
        given = ("search", photos[0], "--index", index, option, "9999")
        refused = scing(*given)
        assert (refused.code, refused.out) == (2, "")
        assert f"Error: {option} 9999: the index has no row of that" in refused.err
        assert known in refused.err
        assert "--allow-missing" in refused.err
        allowed = scing(*given, "--allow-missing")
        assert allowed.code == 0
        assert f"Warning: {option} 9999: the index has no row of that" in allowed.err
    mixed = scing("search", photos[0], "--index", index, "--camera", "1", "--camera", "01", "--identity", "x")
    assert mixed.code == 2
    assert "--camera 01" in mixed.err
    assert "--identity x" in mixed.err
    result = scing("search", photos[0], "--index", index, "--identity", "9999", "--camera", "7", "--allow-missing")
    assert result.code == 0
    assert "--identity 9999: the index has no row of that identity; known: " in result.err
    assert "--camera 7: the index has no row of that camera; known: 1, 2, 3." in result.err
    assert "The filters leave no row: there are no hits." in result.err


def test_each_identity_is_shown_once_by_its_best_row(hits):
    everything, once = hits(), hits("--group", "identity")
    first = {}
    for hit in everything:
        first.setdefault(hit["identity"], hit["path"])
    assert [hit["path"] for hit in once] == list(first.values())
    assert [hit["rank"] for hit in once] == list(range(1, len(first) + 1))


def test_photos_of_one_person_are_joined(scing, index, photos, hits):
    alone = [hits(asked=[photo]) for photo in photos[:2]]
    result = scing("search", *photos[:2], "--index", index, "-k", "50", "--join", "mean", "--json")
    (joined,) = result.json["results"]
    assert joined["joined"] == [str(photo) for photo in photos[:2]]
    assert "2 photos make one query, named after the first." in result.err
    scores = [{hit["path"]: hit["score"] for hit in own} for own in alone]
    sums = {path: scores[0][path] + scores[1][path] for path in scores[0]}
    best = max(sums, key=sums.__getitem__)
    assert joined["hits"][0]["path"] == best
    found = np.array([hit["score"] for hit in joined["hits"]])
    expected = np.array([sums[hit["path"]] for hit in joined["hits"]])
    np.testing.assert_allclose(found / found[0], expected / expected[0], rtol=1e-4)  # the mean's length divides all
    assert found[0] >= expected[0] / 2


def test_paths_come_from_standard_input(scing, index, photos, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{photo}\n" for photo in photos[:3])))
    result = scing("search", "-", photos[4], "--index", index, "--json")
    assert [entry["query"] for entry in result.json["results"]] == [str(photo) for photo in (*photos[:3], photos[4])]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    nothing = scing("search", "-", "--index", index)
    assert nothing.code == 2
    assert "there is no path on standard input" in nothing.err


def test_hits_are_written_as_a_table(scing, index, photos, tmp_path):
    target = tmp_path / "found" / "hits.csv"
    result = scing("search", *photos[:2], "--index", index, "-k", "3", "--csv", target, "--json")
    rows = list(csv.reader(target.open(encoding="utf-8", newline="")))
    assert rows[0] == COLUMNS
    expected = [
        [entry["query"], *(str(hit[name]) for name in COLUMNS[1:])]
        for entry in result.json["results"]
        for hit in entry["hits"]
    ]
    assert rows[1:] == expected
    assert scing("search", photos[0], "--index", index, "--csv", target).code == 0  # a table of hits is replaced
    printed = scing("search", *photos[:2], "--index", index, "-k", "3", "--csv", "-")
    assert list(csv.reader(io.StringIO(printed.out))) == rows


def test_a_table_of_hits_holds_a_name_with_a_line_break(scing, index, photos, tmp_path):
    photo = tmp_path / "one\rtwo.jpg"
    photo.write_bytes(photos[0].read_bytes())
    assert scing("search", photo, "--index", index, "-k", "2", "--csv", tmp_path / "hits.csv").code == 0
    rows = list(csv.reader((tmp_path / "hits.csv").open(encoding="utf-8", newline="")))
    assert [row[0] for row in rows] == ["query", str(photo), str(photo)]


def test_a_table_does_not_replace_other_files(scing, index, photos, tmp_path):
    other = tmp_path / "mine.csv"
    other.write_text("path,identity\n")
    refused = scing("search", photos[0], "--index", index, "--csv", other)
    assert refused.code == 2
    assert "is there already, and is not a table of hits" in refused.err
    assert other.read_text() == "path,identity\n"
    assert "is a folder" in scing("search", photos[0], "--index", index, "--csv", tmp_path).err
    assert "standard output is taken" in scing("search", photos[0], "--index", index, "--csv", "-", "--json").err


@pytest.mark.parametrize(("size", "told"), [((300, 200), True), ((400, 900), True), ((64, 128), False)])
def test_a_photo_that_is_no_crop_gets_a_hint(scing, index, photos, tmp_path, size, told):
    photo = tmp_path / "street.jpg"
    Image.open(photos[0]).resize(size).save(photo)
    result = scing("search", photo, "--index", index)
    assert result.code == 0
    assert (f"street.jpg ({size[0]}x{size[1]}) looks like a whole scene" in result.err) == told
    boxed = scing("search", photo, "--index", index, "--box", "1,1,40,60")
    assert "whole scene" not in boxed.err


@pytest.mark.parametrize(("option", "value"), [("--group", "camera"), ("--join", "max")])
def test_unknown_words_list_the_known_ones(scing, index, photos, option, value):
    refused = scing("search", photos[0], "--index", index, option, value)
    assert refused.code == 2
    assert option in refused.err
    assert "Known: " in refused.err


def test_the_index_is_left_as_it_is(index, hits):
    before = GalleryIndex.read(index).rows()
    hits("--group", "identity", "--camera", "1")
    assert GalleryIndex.read(index).rows() == before


def test_an_odd_exif_orientation_is_no_hindrance(scing, index, photos, tmp_path):
    image = Image.open(photos[0])
    image.load()
    entry = struct.pack("<HHI4s", 0x0112, 2, 2, b"6")  # the orientation as text, where a number should be
    exif = b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 1) + entry + bytes(4)
    image.save(tmp_path / "odd.jpg", exif=exif)
    assert isinstance(Image.open(tmp_path / "odd.jpg").getexif()[0x0112], str)
    assert scing("search", tmp_path / "odd.jpg", "--index", index).code == 0


def test_names_that_are_no_text_come_in_and_go_out(index, photos, tmp_path):
    photo = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    photo.write_bytes(photos[0].read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "scing_cli", "search", "-", "--index", str(index), "--csv", "-", "-k", "1"],
        input=os.fsencode(photo) + b"\n",
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith(os.fsencode(photo) + b",1,")


def test_a_table_that_cannot_be_written_is_refused_before_the_search(scing, index, photos, tmp_path):
    (tmp_path / "file").write_text("here")
    result = scing("search", photos[0], "--index", index, "--csv", tmp_path / "file" / "hits.csv")
    assert (result.code, result.out) == (2, "") or result.code == 1
    assert "cannot be written. Name another file." in result.err
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert scing("search", photos[0], "--index", index, "--csv", empty).code == 0
    assert empty.read_text(encoding="utf-8").startswith(",".join(COLUMNS))


def test_a_way_to_join_that_is_unknown_is_refused_before_any_work(scing, index, photos):
    result = scing("search", photos[0], "--index", index, "--join", "sum")
    assert "--join 'sum' is unknown. Known: mean." in result.err
    assert "photo makes" not in result.err


def lines_below_the_query(file):
    """How many lines of text stand below the query's picture."""
    style = Style.fitting(1)
    top = style.margin + 2 * style.line + style.outer[1] + 2
    with Image.open(file) as picture:
        text = np.asarray(picture.convert("L"))[top:, style.margin : style.margin + style.width]
    inked = np.concatenate([[False], (text < 200).any(axis=1)])
    return int((inked[1:] & ~inked[:-1]).sum())


def test_a_picture_names_identity_and_camera_of_a_photo_that_the_run_knows(scing, index, photos, tmp_path):
    stranger = tmp_path / photos[0].name
    stranger.write_bytes(photos[0].read_bytes())
    found = []
    for number, photo in enumerate((photos[0], stranger)):
        picture = tmp_path / f"{number}.png"
        assert scing("search", photo, "--index", index, "-k", "3", "--montage", picture).code == 0
        found.append(lines_below_the_query(picture))
    assert found == [3, 2]
