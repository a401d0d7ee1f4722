"""Accepted input: unusual images, unusual names, small data; and the warnings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pipeline.conftest import FAST, MODEL


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def person(number, camera):
    """A drawn figure: two bands of colour that belong to the person, on the camera's grey."""
    draw = np.random.default_rng(number)
    pixels = np.full((64, 32, 3), 90 + 20 * camera, np.uint8)
    pixels[10:35, 8:24] = draw.integers(0, 255, 3)
    pixels[35:60, 10:22] = draw.integers(0, 255, 3)
    return Image.fromarray(pixels)


def odd_forms(image):
    """The image in every mode a camera or a tool may leave it in."""
    grey16 = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    turned = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees to the right"
    return {
        "grey.png": (image.convert("L"), {}),
        "palette.png": (image.quantize(16), {}),
        "cmyk.jpg": (image.convert("CMYK"), {}),
        "sixteen bit.png": (grey16, {}),
        "alpha.png": (image.convert("RGBA"), {}),
        "turned.jpg": (turned, {"exif": exif}),
        "größe 人.png": (image, {}),
        "two.webp": (image, {}),
    }


def write_rows(folder, rows, *, cameras=True):
    lines = ["path,identity,camera,split"]
    for path, identity, camera, split in rows:
        lines.append(f"{path},{identity},{camera if cameras else ''},{split}")
    file = folder / "mine.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_every_odd_image_goes_the_whole_road(scing, here):
    folder = here / "crops of März"
    folder.mkdir()
    rows = []
    for number, (name, (image, options)) in enumerate(odd_forms(person(1, 1)).items()):
        image.save(folder / name, **options)
        rows.append((f"{folder.name}/{name}", f"p{number % 3}", "front door", "train"))
    for number in range(4):
        person(number, number % 2).save(folder / f"q{number}.png")
        rows.append(
            (f"{folder.name}/q{number}.png", f"t{number % 2}", f"c{number}", "query" if number < 2 else "gallery")
        )
    data = write_rows(here, rows)
    assert scing("prepare", data, "--json").json["unreadable"] == []
    assert scing("train-prompts", "--data", data, *MODEL, *FAST).code == 0
    assert scing("train-visual", *FAST).code == 0
    assert scing("embed", "--split", "all", "--json").json["count"] == 12
    assert scing("evaluate", "--json").json["valid_queries"] == 2
    for row in rows:
        (result,) = scing("search", row[0], "--index", "gallery.faiss", "-k", "1", "--json").json["results"]
        assert result["hits"][0]["score"] == pytest.approx(1, abs=1e-5)


def test_a_turned_photo_finds_its_upright_twin(scing, here, finished):
    folder = here / "crops"
    folder.mkdir()
    for number in range(5):
        person(number, 1).save(folder / f"{number}.png")
    image, options = odd_forms(person(2, 1))["turned.jpg"]
    image.save("turned.jpg", quality=95, **options)
    assert scing("embed", "--run", finished, "--images", folder).code == 0
    (result,) = scing("search", "turned.jpg", "--index", "gallery.faiss", "--json").json["results"]
    assert Path(result["hits"][0]["path"]).name == "2.png"


def test_one_image_per_identity(scing, here):
    rows = []
    for number in range(5):
        person(number, 0).save(f"{number}.png")
        rows.append((f"{number}.png", f"p{number}", "c1", "train"))
    data = write_rows(here, rows)
    assert scing("train-prompts", "--data", data, *MODEL, *FAST).code == 0
    assert scing("train-visual", *FAST).code == 0


def test_more_hits_than_rows_gives_all_rows_and_says_so(scing, finished, world, here):
    photo = min((world / "query").glob("*.jpg"))
    result = scing("search", photo, "--index", finished.parent / "gallery.faiss", "-k", "500", "--json")
    assert len(result.json["results"][0]["hits"]) == 18
    assert "18 rows: all are shown" in result.err


@pytest.mark.parametrize("cameras", [False, True], ids=["none", "one"])
def test_one_camera_or_none_is_evaluated_without_the_camera_filter_and_said(scing, finished, here, cameras):
    rows = []
    for number in range(6):
        person(number % 3, number).save(f"{number}.png")
        rows.append((f"{number}.png", f"p{number % 3}", "c1", "query" if number < 3 else "gallery"))
    data = write_rows(here, rows, cameras=cameras)
    result = scing("evaluate", "--run", finished, "--data", data, "--json")
    assert result.json["protocol"] == "no-camera"
    assert result.json["valid_queries"] == 3
    assert "Warning" in result.err
    assert "no-camera" in result.err


def test_cross_data_evaluation(scing, finished, here):
    from scing_cli.core.synthetic import write_world

    write_world(here / "other", identities=4, cameras=2, images_per_camera=1, seed=77, workers=2)
    result = scing("evaluate", "--run", finished, "--data", "other", "--json").json
    assert (result["data"], result["queries"], result["run"]) == ("other", 8, str(finished))
