"""Folders that were moved or copied: an index finds its run, and a search finds the gallery's images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pipeline.test_refused import refuse

from scing_cli.core.artifacts import read_json, write_json
from scing_cli.core.index import GalleryIndex, observed, read_stamp, rows


@pytest.fixture
def place(finished, world, scing, tmp_path, monkeypatch):
    """A folder with a run, images, an index of them, and a photo; it is the working folder."""
    folder = tmp_path / "first"
    shutil.copytree(finished, folder / "runs" / "one")
    shutil.copytree(world / "bounding_box_test", folder / "crops" / "some")
    shutil.copy(min((world / "query").glob("*.jpg")), folder / "photo.jpg")
    monkeypatch.chdir(folder)
    assert scing("embed", "--run", "runs/one", "--images", "crops").code == 0
    return folder


def test_the_index_is_gallery_faiss_unless_another_is_named(scing, place):
    assert scing("search", "photo.jpg", "--json").json == (
        scing("search", "photo.jpg", "--index", "gallery.faiss", "--json").json
    )
    for file in place.glob("gallery.*"):
        file.unlink()
    refuse(scing("search", "photo.jpg"), "There is no index gallery.faiss.", "scing embed")


def test_a_copied_folder_uses_its_own_run(scing, place, monkeypatch):
    second = Path(shutil.copytree(place, place.parent / "second"))
    monkeypatch.chdir(second)
    found = scing("search", "photo.jpg")
    assert found.code == 0
    assert f"The index's run was found at {second / 'runs' / 'one'}." in found.err
    shutil.rmtree(place)  # as on another machine
    assert scing("search", "photo.jpg").code == 0
    assert scing("evaluate", "--run", "runs/one", "--index", "gallery.faiss").code == 2  # no labels, but no other run


def test_another_model_at_the_same_place_is_not_taken(scing, place, monkeypatch):
    second = Path(shutil.copytree(place, place.parent / "second"))
    stamp = second / "runs" / "one" / "visual" / "stamp.json"
    content = read_json(stamp)
    write_json(stamp, content | {"digest": "0" * 64})
    monkeypatch.chdir(second)
    found = scing("search", "photo.jpg")
    assert found.code == 0
    assert "was found at" not in found.err  # the run that the index names


def test_an_index_without_a_relative_path_opens_as_before(scing, place):
    index = GalleryIndex.read(Path("gallery.faiss"))
    assert index.stamp.model == {"run": str(place / "runs" / "one"), "relative_run": "runs/one"}
    index.name_model({"run": str(place / "runs" / "one")})
    index.write(Path("gallery.faiss"))
    assert scing("search", "photo.jpg").code == 0
    shutil.move("runs/one", "runs/two")
    refuse(scing("search", "photo.jpg"), "--run FOLDER")
    assert scing("embed", "--run", "runs/two", "--images", ".", "--append").code == 0
    assert read_stamp(Path("gallery.faiss")).model["relative_run"] == "runs/two"
    assert scing("search", "photo.jpg").code == 0


def test_moved_images_are_found_and_gone_ones_are_counted(scing, place):
    paths = [hit["path"] for hit in scing("search", "photo.jpg", "--json").json["results"][0]["hits"]]
    shutil.move("crops/some", "elsewhere")
    gone = scing("search", "photo.jpg", "--montage", "gone.png", "--json")
    assert gone.code == 0
    assert "Warning: 10 of 10 images among the hits are gone, such as" in gone.err
    assert "--data DIR" in gone.err
    found = scing("search", "photo.jpg", "--data", "elsewhere", "--montage", "found.png", "--json")
    assert "are gone" not in found.err
    moved = [Path(hit["path"]) for hit in found.json["results"][0]["hits"]]
    assert moved == [place / "elsewhere" / Path(path).name for path in paths]
    assert Path("found.png").stat().st_size > 2 * Path("gone.png").stat().st_size
    moved[0].unlink()
    moved[1].write_bytes(b"another picture of that name")
    fewer = scing("search", "photo.jpg", "--data", "elsewhere", "--json")
    assert "Warning: 2 of 10 images among the hits are gone" in fewer.err
    Path("deep/crops").mkdir(parents=True)
    shutil.move("elsewhere", "deep/crops/some")
    for folder in ("deep", "deep/crops", "deep/crops/some"):
        again = scing("search", "photo.jpg", "--data", folder, "--json")
        assert "Warning: 2 of 10 images among the hits are gone" in again.err
        assert again.json["results"][0]["hits"][2]["path"] == str(place / "deep/crops/some" / moved[2].name)
    refuse(scing("search", "photo.jpg", "--data", "nowhere"), "--data nowhere: there is no such folder")


def test_a_stamp_that_leads_anywhere_is_harmless(scing, place):
    for relative, valid in (("../" * 300, True), ("nowhere", True), ("..", True), ("x" * 100_000, False)):
        index = GalleryIndex.read(Path("gallery.faiss"))
        index.name_model({"run": str(place / "runs" / "one"), "relative_run": relative})
        index.write(Path("gallery.faiss"))
        result = scing("search", "photo.jpg", "--json")
        assert ("results" in result.json) == valid
        assert valid or "gallery.faiss has an invalid value: model.relative_run" in result.err


def test_rows_do_not_lead_through_the_folder_that_they_were_made_in(scing, finished, crops, here, monkeypatch):
    """`--images ../crops` used to be written as `/.../work/../crops`, which is nowhere once `work` is gone."""
    index, work = here / "g.faiss", here / "work"
    own = ("embed", "--run", finished, "--output", index, "--json")
    for place in (rows, observed):
        monkeypatch.setattr(place, "lasting", Path.absolute)
    work.mkdir()
    monkeypatch.chdir(work)
    assert scing(*own, "--images", "../crops").code == 0
    former = [row.path for row in GalleryIndex.read(index).rows()]
    assert former[0].startswith(f"{work}/../crops/")  # as in an index of an earlier version
    monkeypatch.undo()
    monkeypatch.chdir(work)
    again = scing(*own, "--images", "../crops", "--append")
    assert (again.json["added"], again.json["skipped"]) == (0, 30)
    assert scing(*own, "--images", "../crops", "--force").code == 0
    assert [row.path for row in GalleryIndex.read(index).rows()] == [str(file) for file in sorted(crops.iterdir())]
    monkeypatch.chdir(here)
    work.rmdir()
    assert scing("embed", "--prune", "--output", index, "--json").json["removed"] == 0
