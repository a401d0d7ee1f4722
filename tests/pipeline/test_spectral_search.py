"""`scing embed` and `scing search` on observations of three spectra: rows, queries of any spectra, pictures, faults."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from observed import FOLDERS, read_table, spectral_run, write_observations, write_table
from PIL import Image

import scing_cli
from scing_cli.core.index import GalleryIndex
from scing_cli.core.spectra import Observation, View


@pytest.fixture(scope="module")
def data(world, tmp_path_factory):
    return write_observations(tmp_path_factory.mktemp("observed") / "data", world)


@pytest.fixture(scope="module")
def spectral(finished, tmp_path_factory):
    return spectral_run(finished, tmp_path_factory.mktemp("spectral") / "run")


@pytest.fixture(scope="module")
def gallery(data, spectral, tmp_path_factory):
    from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice, embed
    from scing_cli.core.workflows.shared.model import ModelChoice

    output = tmp_path_factory.mktemp("index") / "gallery.faiss"
    embed(ModelChoice(run=spectral), GalleryChoice(data=data), output=output)
    return output


@pytest.fixture
def own_data(data, tmp_path):
    return Path(shutil.copytree(data.parent, tmp_path / "data")) / data.name


def images_of(data: Path, number: int = 0, split: str = "query") -> list[Path]:
    """The three images of a row."""
    row = [row for row in read_table(data) if row[3] == split][number]
    return [data.parent / row[column] for column in (0, 4, 5)]


def options(images: list[Path], spectra: tuple[str, ...]) -> list[object]:
    rgb, nir, tir = images
    given = {"rgb": [rgb], "nir": ["--near-infrared", nir], "tir": ["--thermal", tir]}
    return [part for spectrum in spectra for part in given[spectrum]]


@pytest.mark.parametrize("spectra", [("rgb",), ("nir",), ("tir",), ("rgb", "tir"), ("nir", "tir"), FOLDERS])
def test_a_query_has_any_of_the_spectra(scing, data, spectral, gallery, spectra) -> None:
    images = images_of(data, 2, "gallery")
    found = scing("search", *options(images, spectra), "--index", gallery, "--json", "-k", "12")
    model = scing_cli.load_model(spectral)
    views = tuple(View(file) if name in spectra else None for name, file in zip(FOLDERS, images, strict=True))
    scores = model.embed(Observation(views)) @ GalleryIndex.read(gallery).vectors().T
    (result,) = found.json["results"]
    assert [hit["score"] for hit in result["hits"]] == pytest.approx(sorted(scores[0], reverse=True), abs=1e-5)
    names = dict(zip(FOLDERS, ("photo", "near_infrared", "thermal"), strict=True))
    named = {names[name]: str(file) for name, file in zip(FOLDERS, images, strict=True) if name in spectra}
    assert result["query"] == (str(images[0]) if spectra == ("rgb",) else named)
    if spectra == FOLDERS:
        assert result["hits"][0]["path"] == images[0].as_posix()
        assert result["hits"][0]["images"]["thermal"] == images[2].as_posix()


def test_several_queries_are_paired_in_their_order(scing, data, gallery, tmp_path) -> None:
    first, second = images_of(data, 0, "gallery"), images_of(data, 5, "gallery")
    table = tmp_path / "hits.csv"
    given = [first[0], second[0], "--thermal", first[2], "--near-infrared", first[1], "--near-infrared", second[1]]
    done = scing("search", *given, "--thermal", second[2], "--index", gallery, "-k", "1", "--csv", table)
    assert done.code == 0
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [row["path"] for row in rows] == [first[0].as_posix(), second[0].as_posix()]
    assert rows[0]["query"] == " + ".join(map(str, first))
    joined = scing("search", *given, "--thermal", second[2], "--index", gallery, "--join", "mean", "--json").json
    assert joined["results"][0]["joined"] == [str(first[0]), str(second[0])]


def test_folders_of_each_spectrum_are_paired_too(scing, data, gallery) -> None:
    folders = [data.parent / name for name in FOLDERS]
    found = scing("search", *options(folders, FOLDERS), "--index", gallery, "-k", "1", "--json").json["results"]
    assert len(found) == 24
    for own in found:
        assert len({Path(file).name for file in own["query"].values()}) == 1


def test_words_join_images_of_several_spectra(scing, data, gallery) -> None:
    images = images_of(data)
    asked = ("--index", gallery, "--json", "--text", "a man in a red coat")
    both = scing("search", *options(images, ("rgb", "tir")), *asked).json["results"][0]
    assert both["query"] == {
        "text": "a man in a red coat",
        "photo": str(images[0]),
        "thermal": str(images[2]),
    }
    (alone,) = scing("search", *asked).json["results"]
    assert len(alone["hits"]) == 10


def test_words_are_compared_with_the_mean_of_the_spectra(spectral, data) -> None:
    model = scing_cli.load_model(spectral, machine=scing_cli.Machine(precision="fp32"))
    (words,), (image,) = model.embed_texts("a man"), model.embed(Observation((*map(View, images_of(data)),)))
    blocks = image.reshape(3, -1)
    mean = blocks.sum(axis=0) @ words[: blocks.shape[1]]
    assert words @ image == pytest.approx(mean, abs=1e-6)
    np.testing.assert_allclose(np.linalg.norm(words), 1, atol=1e-6)


def test_a_box_is_cut_from_every_image(scing, data, spectral, gallery, tmp_path) -> None:
    images = images_of(data)
    with Image.open(images[0]) as image:
        width, height = image.size
    cut = [tmp_path / f"{name}.png" for name in FOLDERS]
    for file, target in zip(images, cut, strict=True):
        with Image.open(file) as image:
            image.crop((2, 4, width, height)).save(target)
    box = f"2,4,{width - 2},{height - 4}"
    asked = ("--index", gallery, "--json", "--precision", "fp32")
    boxed = scing("search", *options(images, ("rgb", "tir")), "--box", box, *asked).json["results"][0]["hits"]
    plain = scing("search", *options(cut, ("rgb", "tir")), *asked).json["results"][0]["hits"]
    assert [(hit["path"], pytest.approx(hit["score"], abs=1e-5)) for hit in boxed] == [
        (hit["path"], hit["score"]) for hit in plain
    ]


def test_pictures_show_all_images_of_query_and_hits(scing, data, gallery, tmp_path) -> None:
    montage, saliency = tmp_path / "montage.png", tmp_path / "saliency.png"
    pictures = ("--montage", montage, "--saliency", saliency)
    done = scing("search", *options(images_of(data, 1, "gallery"), FOLDERS), "--index", gallery, "-k", "2", *pictures)
    assert done.code == 0
    thermal = images_of(data, 1, "gallery")[2]
    with Image.open(montage) as drawn, Image.open(thermal) as shown:
        pixels = np.asarray(drawn.convert("RGB"), np.float32)
        warm = np.asarray(shown.convert("RGB").resize((62, 124), Image.Resampling.LANCZOS), np.float32)
    # somewhere in the query's cell stands its thermal image
    cell = pixels[60:200, 28:232]
    best = min(
        np.abs(cell[top : top + 100, left : left + 50] - warm[12:112, 6:56]).mean()
        for top in range(cell.shape[0] - 100)
        for left in range(100, cell.shape[1] - 50)
    )
    assert best < 12
    assert saliency.stat().st_size > 0


def test_an_ordinary_model_says_what_it_reads(scing, data, finished) -> None:
    images = images_of(data)
    done = scing("search", *options(images, FOLDERS), "--index", finished.parent / "gallery.faiss")
    assert done.code != 0
    assert "--near-infrared and --thermal:" in done.err
    assert "reads one image of each query, the visible one" in done.err
    assert "--spectra" in done.err


def test_a_model_of_two_spectra_says_what_it_reads(scing, data, finished, tmp_path) -> None:
    run = spectral_run(finished, tmp_path / "run", spectra=("nir", "tir"))
    index = tmp_path / "gallery.faiss"
    scing("embed", "--run", run, "--data", data, "--output", index)
    images = images_of(data)
    refused = scing("search", images[0], "--index", index)
    assert "reads near-infrared and thermal images, no visible ones" in refused.err
    assert "--near-infrared and --thermal" in refused.err
    assert scing("search", *options(images, ("tir",)), "--index", index, "--json").code == 0


def test_across_spectra_a_thermal_image_finds_visible_ones(scing, own_data, spectral, tmp_path) -> None:
    write_table(own_data, [(*row[:4], "", "", row[6]) for row in read_table(own_data)])
    index = tmp_path / "gallery.faiss"
    scing("embed", "--run", spectral, "--data", own_data, "--output", index)
    thermal = next((own_data.parent / "tir").iterdir())
    done = scing("search", "--thermal", thermal, "--index", index, "--json")
    assert len(done.json["results"][0]["hits"]) == 10
    assert "compared across spectra" in done.err


def test_different_numbers_and_one_file_twice_are_refused(scing, data, gallery) -> None:
    first, second = images_of(data, 0), images_of(data, 1)
    counts = scing("search", first[0], second[0], "--thermal", first[2], "--index", gallery)
    assert counts.code != 0
    assert "2 photos, 1 --thermal: the images of a query belong together in their order" in counts.err
    twice = scing("search", first[0], "--thermal", first[0], "--index", gallery)
    assert twice.code != 0
    assert "is given as photo and as --thermal of one query" in twice.err
    other = scing("search", "--near-infrared", first[1], "--thermal", first[1], "--index", gallery)
    assert "is given as --near-infrared and as --thermal" in other.err


def test_a_damaged_thermal_image_is_named(scing, data, gallery, tmp_path) -> None:
    first, second = images_of(data, 0), images_of(data, 1)
    broken = tmp_path / "broken.png"
    broken.write_bytes(first[2].read_bytes()[:100])
    alone = scing("search", first[0], "--thermal", broken, "--index", gallery)
    assert alone.code != 0
    assert "broken.png" in alone.err
    given = [first[0], second[0], "--thermal", broken, "--thermal", second[2]]
    found = scing("search", *given, "--index", gallery, "--json").json
    assert [own["query"]["photo"] for own in found["results"]] == [str(second[0])]
    assert "broken.png" in found["left_out"][0]["reason"]
    missing = scing("search", first[0], "--thermal", tmp_path / "none.png", "--index", gallery)
    assert "none.png is missing" in missing.err


def strips(data: Path, target: Path) -> Path:
    """The same data with the three images of a row in one file, side by side."""
    target.mkdir()
    lines = []
    for row in read_table(data):
        read = [Image.open(data.parent / row[column]).convert("RGB") for column in (0, 4, 5)]
        size = read[0].size
        strip = Image.new("RGB", (3 * size[0], size[1]))
        for part, image in enumerate(read):
            strip.paste(image, (part * size[0], 0))
        name = f"{Path(row[0]).stem}.png"
        strip.save(target / name)
        lines.append((name, row[1], row[2], row[3], row[6], "3x1"))
    with (target / "strips.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "identity", "camera", "split", "scene", "crops"), *lines])
    return target / "strips.csv"


def test_strips_give_the_same_hits(scing, data, spectral, gallery, finished, tmp_path) -> None:
    table, index = strips(data, tmp_path / "strips"), tmp_path / "gallery.faiss"
    scing("embed", "--run", spectral, "--data", table, "--output", index)
    np.testing.assert_allclose(GalleryIndex.read(index).vectors(), GalleryIndex.read(gallery).vectors(), atol=1e-5)
    query = table.parent / images_of(data)[0].name
    done = scing("search", query, "--index", index, "--json", "--montage", tmp_path / "m.png")
    assert "1 photo is read as a strip of three images" in done.err
    assert "whole scene" not in done.err
    own = scing("search", *options(images_of(data), FOLDERS), "--index", gallery, "--json").json["results"][0]
    (found,) = done.json["results"]
    assert [hit["score"] for hit in found["hits"]] == pytest.approx([hit["score"] for hit in own["hits"]], abs=1e-5)
    assert found["query"] == str(query)
    plain = scing("evaluate", "--run", finished, "--data", table, "--json").json["mAP"]
    assert plain == pytest.approx(scing("evaluate", "--run", finished, "--data", data, "--json").json["mAP"], abs=1e-4)


def test_strips_are_known_wherever_the_gallery_lies_now(scing, data, spectral, tmp_path) -> None:
    table, index = strips(data, tmp_path / "strips"), tmp_path / "gallery.faiss"
    scing("embed", "--run", spectral, "--data", table, "--output", index)
    query = Path(shutil.copy(table.parent / images_of(data)[0].name, tmp_path / "query.png"))
    as_made = scing("search", query, "--index", index, "--json").json["results"]
    table.parent.rename(tmp_path / "moved")
    found = scing("search", query, "--index", index, "--data", tmp_path / "moved", "--json")
    scores = [[hit["score"] for hit in own[0]["hits"]] for own in (found.json["results"], as_made)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    lost = scing("search", query, "--index", index)
    assert "none is found on this machine" in lost.err
    assert "--data" in lost.err


def test_a_model_without_the_visible_image_reads_strips(scing, data, finished, tmp_path) -> None:
    table, index = strips(data, tmp_path / "strips"), tmp_path / "gallery.faiss"
    run = spectral_run(finished, tmp_path / "run", spectra=("nir", "tir"))
    scing("embed", "--run", run, "--data", table, "--output", index)
    query = table.parent / images_of(data)[0].name
    done = scing("search", query, "--index", index, "--json")
    assert "read as a strip" in done.err
    own = scing("search", *options(images_of(data), ("nir", "tir")), "--index", index, "--json").json["results"][0]
    (found,) = done.json["results"]
    assert [hit["score"] for hit in found["hits"]] == pytest.approx([hit["score"] for hit in own["hits"]], abs=1e-5)
    refused = scing("search", images_of(data)[0], "--index", index)
    assert refused.code == 2
    assert "no visible ones" in refused.err


def test_a_strip_among_single_images_gets_a_hint(scing, data, gallery, tmp_path) -> None:
    table = strips(data, tmp_path / "strips")
    done = scing("search", table.parent / images_of(data)[0].name, "--index", gallery)
    assert "looks like a whole scene" in done.err


def test_changes_of_any_image_are_noticed(scing, own_data, spectral, tmp_path) -> None:
    index = tmp_path / "gallery.faiss"
    asked = ("embed", "--run", spectral, "--data", own_data, "--output", index, "--json")
    images = images_of(own_data, 3, "gallery")
    for file in images:
        file.write_bytes(file.read_bytes().ljust(20_000, b"\0"))
    assert scing(*asked).json["added"] == 12
    assert scing(*asked, "--append").json["skipped"] == 12
    state = images[1].stat()
    images[2].write_bytes(images[1].read_bytes())  # of the same size ...
    os.utime(images[2], ns=(state.st_atime_ns, state.st_mtime_ns - 10**12))  # ... and older than the others
    assert scing(*asked, "--append").json["replaced"] == 1
    assert scing(*asked, "--append").json["skipped"] == 12
    rows = read_table(own_data)
    without = [(*row[:5], "", row[6]) if row[3] == "gallery" else row for row in rows]
    write_table(own_data, without)
    assert scing(*asked, "--append").json["replaced"] == 12
    write_table(own_data, [(*row[:6], "night") for row in without])
    changed = scing(*asked, "--append").json
    assert (changed["replaced"], changed["relabelled"]) == (0, 12)
    assert {row.scene for row in GalleryIndex.read(index).rows()} == {"night"}


def test_a_row_is_dropped_when_all_its_images_are_gone(scing, own_data, spectral, tmp_path) -> None:
    index = tmp_path / "gallery.faiss"
    scing("embed", "--run", spectral, "--data", own_data, "--output", index)
    images = images_of(own_data, 0, "gallery")
    images[0].unlink()
    prune = ("embed", "--output", index, "--prune", "--json")
    assert scing(*prune).json["removed"] == 0
    images[1].unlink()
    images[2].unlink()
    assert scing(*prune).json["removed"] == 1


def test_an_observation_stays_one_row_when_its_first_image_goes_or_comes(scing, own_data, spectral, tmp_path) -> None:
    index, rows = tmp_path / "gallery.faiss", read_table(own_data)
    asked = ("embed", "--run", spectral, "--data", own_data, "--output", index, "--append", "--json")
    assert scing(*asked).json["added"] == 12
    place = next(number for number, row in enumerate(rows) if row[3] == "gallery")
    write_table(own_data, [("", *row[1:]) if number == place else row for number, row in enumerate(rows)])
    without = scing(*asked).json
    assert (without["added"], without["replaced"], without["count"]) == (0, 1, 12)
    write_table(own_data, rows)
    again = scing(*asked).json
    assert (again["added"], again["replaced"], again["count"]) == (0, 1, 12)


def test_an_index_of_visible_images_knows_nothing_of_the_others(scing, own_data, finished, tmp_path) -> None:
    index = tmp_path / "gallery.faiss"
    asked = ("embed", "--run", finished, "--data", own_data, "--output", index, "--append", "--json")
    images = [images_of(own_data, number, "gallery") for number in range(3)]
    images[0][2].unlink()
    assert scing(*asked).json["added"] == 12
    images[1][1].write_bytes(images[2][1].read_bytes())
    assert scing(*asked).json["skipped"] == 12
    images[2][0].unlink()
    assert scing("embed", "--output", index, "--prune", "--json").json["removed"] == 1


def test_moved_images_are_found_again(scing, own_data, spectral, tmp_path) -> None:
    index = tmp_path / "gallery.faiss"
    scing("embed", "--run", spectral, "--data", own_data, "--output", index)
    moved = own_data.parent.rename(tmp_path / "elsewhere")
    query = images_of(moved / own_data.name)
    found = scing("search", *options(query, ("rgb",)), "--index", index, "--data", moved, "--json", "-k", "1")
    assert "gone" not in found.err
    (hit,) = found.json["results"][0]["hits"]
    assert all(Path(file).is_file() and Path(file).is_relative_to(moved) for file in hit["images"].values())


def test_a_row_with_a_damaged_image_is_left_out_of_the_index(scing, own_data, spectral, tmp_path) -> None:
    images_of(own_data, 0, "gallery")[2].write_bytes(b"nothing")
    images_of(own_data, 1, "gallery")[1].unlink()
    done = scing("embed", "--run", spectral, "--data", own_data, "--output", tmp_path / "gallery.faiss", "--json")
    assert done.json["added"] == 10
    reasons = " ".join(fault["reason"] for fault in done.json["left_out"])
    assert "/tir/" in reasons
    assert "/nir/" in reasons


def test_the_library_embeds_and_searches_observations(data, spectral, gallery) -> None:
    machine = scing_cli.Machine(precision="fp32")
    model, index = scing_cli.load_model(spectral, machine=machine), scing_cli.load_index(gallery, machine=machine)
    assert model.spectra == FOLDERS
    images = images_of(data, 4, "gallery")
    whole = Observation(tuple(map(View, images)))
    best = index.search([whole, Observation((None, None, View(images[2])))], k=1)
    assert [hit.query for hit in best] == [0, 1]
    assert best[0].path == images[0].as_posix()
    np.testing.assert_allclose(model.embed([images[0]]), model.embed(Observation((View(images[0]), None, None))))
    drawn = scing_cli.draw_hits([whole, images[0]], index.search([whole, images[0]], k=2))
    assert drawn.width > 600
    with pytest.raises(scing_cli.ScingError, match=r"An observation has 1 image; .* reads 3: visible"):
        model.embed(Observation((View(images[0]),)))
    record = index.rows()[0]
    assert record["scene"].startswith("s")
    assert "tir" in record["views"]
