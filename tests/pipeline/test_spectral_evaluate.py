"""`scing evaluate` on observations of three spectra: protocol, spectra that are away, kept vectors, copies."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from observed import read_table, spectral_run, write_observations, write_table
from oracles.ranking import evaluate_by_loops
from PIL import Image
from safetensors.numpy import load_file

from scing_cli.core.library import load_model
from scing_cli.core.spectra import SPECTRA, Observation, View
from scing_cli.core.workflows.shared.machine import Machine


@pytest.fixture(scope="module")
def data(world, tmp_path_factory):
    return write_observations(tmp_path_factory.mktemp("observed") / "data", world)


@pytest.fixture(scope="module")
def spectral(finished, tmp_path_factory):
    return spectral_run(finished, tmp_path_factory.mktemp("spectral") / "run")


@pytest.fixture
def own_data(data, tmp_path):
    return Path(shutil.copytree(data.parent, tmp_path / "data")) / data.name


def sides(table: Path, run: Path, away: set[str]) -> dict:
    """Both sides of a table as the loops take them, embedded by the library; a spectrum that is away is None."""
    model, case = load_model(run, machine=Machine(precision="fp32")), {}
    for split in ("query", "gallery"):
        rows = [row for row in read_table(table) if row[3] == split]
        views = [
            [
                View(table.parent / name) if name and spectrum not in away else None
                for spectrum, name in zip(SPECTRA, (row[0], row[4], row[5]), strict=True)
            ]
            for row in rows
        ]
        case[split] = model.embed([Observation(tuple(own)) for own in views])
        case |= {f"{split}_identities": [row[1] for row in rows], f"{split}_cameras": [row[2] for row in rows]}
        case[f"{split}_scenes"] = [row[6] for row in rows]
    return case


def test_the_querys_scene_is_left_out(scing, data, spectral) -> None:
    found = scing("evaluate", "--run", spectral, "--data", data, "--protocol", "scene", "--json").json
    assert found["protocol"] == "scene"
    case = sides(data, spectral, set())
    assert found["mAP"] == pytest.approx(evaluate_by_loops(**case, protocol="scene")[0], abs=1e-6)
    market = scing("evaluate", "--run", spectral, "--data", data, "--protocol", "market", "--json").json
    assert market["mAP"] == pytest.approx(evaluate_by_loops(**case, protocol="market")[0], abs=1e-6)


def test_each_case_of_spectra_that_are_away_is_a_row(scing, data, spectral) -> None:
    found = scing("evaluate", "--run", spectral, "--data", data, "--drop", "each", "--json").json["evaluations"]
    cases = [["rgb"], ["nir"], ["tir"], ["rgb", "nir"], ["rgb", "tir"], ["nir", "tir"]]
    assert [own["drop"] for own in found] == cases
    for own in found:
        case = sides(data, spectral, set(own["drop"]))
        assert own["mAP"] == pytest.approx(evaluate_by_loops(**case, protocol=own["protocol"])[0], abs=1e-6)
    table = scing("evaluate", "--run", spectral, "--data", data, "--drop", "each").out
    assert "without near-infrared" in table
    assert table.count("12 of 12 queries are valid") == len(cases)


def test_the_visible_alone_scores_as_the_ordinary_model(scing, data, spectral, finished) -> None:
    alone = scing("evaluate", "--run", spectral, "--data", data, "--drop", "near-infrared,thermal", "--json")
    plain = scing("evaluate", "--run", finished, "--data", data, "--json")
    assert alone.json["mAP"] == pytest.approx(plain.json["mAP"], abs=1e-6)
    assert "reads the visible image: the near-infrared and thermal images have no effect" in plain.err


@pytest.mark.parametrize(
    ("drop", "said"),
    [
        ("heat", "there is no spectrum 'heat'"),
        ("rgb,nir,tir", "nothing is left that"),
        ("tir,tir", "stands there twice"),
    ],
)
def test_what_cannot_be_taken_away_is_refused(scing, data, spectral, drop, said) -> None:
    done = scing("evaluate", "--run", spectral, "--data", data, "--drop", drop)
    assert done.code == 2 or done.code == 1
    assert said in done.err


def test_an_ordinary_model_has_nothing_to_take_away(scing, data, finished, tmp_path) -> None:
    done = scing("evaluate", "--run", finished, "--data", data, "--drop", "thermal")
    assert done.code != 0
    assert "reads one image of each row, so there is no thermal image to take away" in done.err
    both = scing("evaluate", "--run", finished, "--data", data, "--drop", "each", "--output", tmp_path / "report")
    assert "a report is of one case of --drop each" in both.err


def test_rows_without_what_is_left_are_counted(scing, own_data, spectral) -> None:
    rows = read_table(own_data)
    kept = [(*row[:5], "", *row[6:]) if number == 0 else row for number, row in enumerate(rows)]
    write_table(own_data, kept)
    done = scing("evaluate", "--run", spectral, "--data", own_data, "--drop", "rgb,nir", "--json")
    assert done.json["unseen"] == 1
    assert done.json["queries"] == sum(row[3] == "query" for row in rows) - 1
    assert "1 of 24 rows has no thermal image, and is left out" in done.err
    whole = scing("evaluate", "--run", spectral, "--data", own_data, "--json").json
    assert whole["queries"] == sum(row[3] == "query" for row in rows)


def test_kept_vectors_are_of_one_case_and_of_unchanged_files(scing, own_data, finished, tmp_path) -> None:
    run = spectral_run(finished, tmp_path / "run")
    asked = ("evaluate", "--run", run, "--data", own_data, "--json")
    first = scing(*asked)
    assert "kept from before" not in first.err
    away = scing(*asked, "--drop", "thermal")
    assert "kept from before" not in away.err
    again = scing(*asked)
    assert again.err.count("kept from before") == 2
    assert again.json["mAP"] == first.json["mAP"]
    thermal = own_data.parent / "tir" / Path(read_table(own_data)[0][5]).name
    shutil.copy(own_data.parent / "nir" / thermal.name, thermal)
    assert "Vectors of query: kept" not in scing(*asked).err
    assert scing(*asked, "--drop", "thermal").err.count("kept from before") == 2  # they do not depend on it


def test_another_value_of_missing_makes_new_vectors(scing, own_data, finished, tmp_path) -> None:
    mean, zero = (spectral_run(finished, tmp_path / how, missing=how) for how in ("mean", "zero"))
    asked = ("--data", own_data, "--drop", "thermal", "--json")
    other = [scing("evaluate", "--run", run, *asked).json["mAP"] for run in (mean, zero)][1]
    shutil.copytree(mean / "embeddings", zero / "embeddings", dirs_exist_ok=True)
    after = scing("evaluate", "--run", zero, *asked)
    assert "kept from before" not in after.err
    assert after.json["mAP"] == other
    vectors = [sides(own_data, run, {"tir"})["query"] for run in (mean, zero)]
    assert not np.allclose(*vectors, atol=1e-3)  # the figures of so few images may be equal


def test_a_run_can_be_evaluated_with_either_reading_of_missing_spectra(scing, data, finished, tmp_path) -> None:
    mean, zero = (spectral_run(finished, tmp_path / how, missing=how) for how in ("mean", "zero"))
    asked = ("--data", data, "--drop", "thermal", "--json")
    trained = {run: scing("evaluate", "--run", run, *asked).json for run in (mean, zero)}
    for run, other, name in ((mean, zero, "zero"), (zero, mean, "mean")):
        found = scing("evaluate", "--run", run, "--missing", name, *asked).json
        assert found["mAP"] == trained[other]["mAP"]
        (ours,), (theirs,) = (
            [load_file(file)["vectors"] for file in (each / "embeddings").glob("*-query*.safetensors")]
            for each in (run, other)
        )
        np.testing.assert_array_equal(ours, theirs)  # kept vectors are those of the last evaluation
        scing("evaluate", "--run", run, *asked)
    own = scing("evaluate", "--run", mean, "--missing", "mean", *asked).json
    assert own["mAP"] == trained[mean]["mAP"]
    index, query = tmp_path / "grey.faiss", data.parent / read_table(data)[0][5]
    scing("embed", "--run", mean, "--missing", "zero", "--data", data, "--output", index)
    found = scing("search", "--thermal", query, "--index", index, "--json").json["results"][0]["hits"]
    scing("embed", "--run", zero, "--data", data, "--output", tmp_path / "zero.faiss")
    same = scing("search", "--thermal", query, "--index", tmp_path / "zero.faiss", "--json").json["results"][0]["hits"]
    assert [(hit["path"], hit["score"]) for hit in found] == [(hit["path"], hit["score"]) for hit in same]
    assert "was made by another model" in scing("search", "--thermal", query, "--index", index, "--run", mean).err
    refused = scing("evaluate", "--run", finished, "--missing", "zero", "--data", data)
    assert "reads one image of each observation" in refused.err


def test_a_damaged_thermal_image_leaves_its_row_out_and_is_named(scing, own_data, spectral) -> None:
    name = Path(next(row[5] for row in read_table(own_data) if row[3] == "query")).name
    (own_data.parent / "tir" / name).write_bytes(b"no image")
    done = scing("evaluate", "--run", spectral, "--data", own_data, "--json")
    (fault,) = done.json["left_out"]
    assert f"tir/{name}" in fault["reason"]
    assert done.json["queries"] == 11
    strict = scing("evaluate", "--run", spectral, "--data", own_data, "--strict")
    assert strict.code != 0
    assert f"tir/{name}" in strict.err


def test_only_equal_bytes_of_all_images_are_copies(scing, own_data, spectral) -> None:
    rows = read_table(own_data)
    query = next(row for row in rows if row[3] == "query")
    other = next(n for n, row in enumerate(rows) if row[3] == "gallery" and row[1] == query[1] and row[6] != query[6])
    for column, folder in ((0, "rgb"), (4, "nir")):
        shutil.copy(own_data.parent / query[column], own_data.parent / folder / Path(rows[other][column]).name)
    asked = ("evaluate", "--run", spectral, "--data", own_data, "--json")
    assert scing(*asked).json["cautions"] == []
    shutil.copy(own_data.parent / query[5], own_data.parent / rows[other][5])
    (caution,) = scing(*asked).json["cautions"]
    assert (caution["kind"], caution["count"]) == ("copies", 1)


def test_the_report_shows_all_images(scing, data, spectral, tmp_path) -> None:
    report = tmp_path / "report"
    scing("evaluate", "--run", spectral, "--data", data, "--drop", "thermal", "--protocol", "scene", "--output", report)
    assert "observations, without thermal: evaluation" in (report / "report.html").read_text(encoding="utf-8")
    written = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert (written["drop"], written["protocol"]) == (["tir"], "scene")


def rankings(report: Path) -> list[Image.Image]:
    """The pictures of the rankings in a report's page."""
    page = (report / "report.html").read_text(encoding="utf-8")
    found = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    assert len(found) == 6  # worst, median and best, light and dark
    return [Image.open(io.BytesIO(base64.b64decode(own))) for own in found]


def test_the_rankings_of_a_report_show_what_the_model_reads(scing, own_data, spectral, finished, tmp_path) -> None:
    colours = {"nir": (0, 255, 255), "tir": (255, 0, 255)}
    for folder, colour in colours.items():
        for file in (own_data.parent / folder).iterdir():
            with Image.open(file) as image:
                Image.new("RGB", image.size, colour).save(file)
    cases = {
        "three": (("--run", spectral), set(colours)),
        "two": (("--run", spectral, "--drop", "thermal"), {"nir"}),
        "one": (("--run", finished), set()),
    }
    for name, (asked, expected) in cases.items():
        scing("evaluate", *asked, "--data", own_data, "--output", tmp_path / name)
        for picture in rankings(tmp_path / name):
            pixels = np.asarray(picture.convert("RGB")).astype(int)
            near = {own: (abs(pixels - colour).max(2) < 40).mean() for own, colour in colours.items()}
            assert {own for own, share in near.items() if share > 0.01} == expected


def test_a_grey_file_for_missing_images_takes_no_row_away(scing, own_data, spectral) -> None:
    rows, grey = read_table(own_data), own_data.parent / "grey.png"
    shutil.copy(own_data.parent / rows[0][5], grey)
    changed = [(*row[:5], "grey.png", row[6]) if number % 3 == 0 else row for number, row in enumerate(rows)]
    write_table(own_data, changed)
    found = scing("evaluate", "--run", spectral, "--data", own_data, "--protocol", "no-camera", "--json").json
    case = sides(own_data, spectral, set())
    del case["query_scenes"], case["gallery_scenes"]
    assert found["mAP"] == pytest.approx(evaluate_by_loops(**case, protocol="no-camera")[0], abs=1e-6)


def test_copies_are_those_of_the_images_that_are_read(scing, own_data, spectral, finished) -> None:
    rows = read_table(own_data)
    query = next(row for row in rows if row[3] == "query")
    other = next(row for row in rows if row[3] == "gallery" and row[1] == query[1] and row[2] != query[2])
    shutil.copy(own_data.parent / query[0], own_data.parent / other[0])
    assert scing("evaluate", "--run", spectral, "--data", own_data, "--json").json["cautions"] == []
    for asked in (("--run", spectral, "--drop", "near-infrared,thermal"), ("--run", finished)):
        cautions = scing("evaluate", *asked, "--data", own_data, "--json").json["cautions"]
        assert ("copies", 1) in [(own["kind"], own["count"]) for own in cautions]


def test_cases_with_other_rows_and_sides_without_a_common_spectrum_are_told(scing, own_data, spectral) -> None:
    rows = read_table(own_data)
    write_table(own_data, [(*row[:5], "", row[6]) if number % 4 == 0 else row for number, row in enumerate(rows)])
    asked = ("evaluate", "--run", spectral, "--data", own_data, "--drop", "visible,near-infrared", "--json")
    cautions = {own["kind"]: own for own in scing(*asked).json["cautions"]}
    assert cautions["other-rows"]["count"] == sum(number % 4 == 0 for number in range(len(rows)))
    thermal, visible = (
        (("", *row[1:4], "", row[5], row[6]) for row in rows),
        ((*row[:4], "", "", row[6]) for row in rows),
    )
    apart = [one if one[3] == "query" else two for one, two in zip(thermal, visible, strict=True)]
    write_table(own_data, apart)
    assert "are compared across spectra" in scing("evaluate", "--run", spectral, "--data", own_data).err
    index = own_data.with_name("visible.faiss")
    scing("embed", "--run", spectral, "--data", own_data, "--output", index, "--precision", "fp32")
    against = scing("evaluate", "--run", spectral, "--data", own_data, "--index", index)
    assert "are compared across spectra" in against.err


def test_an_index_keeps_the_scenes(scing, data, spectral, tmp_path) -> None:
    index = tmp_path / "gallery.faiss"
    exact = ("--precision", "fp32")
    scing("embed", "--run", spectral, "--data", data, "--output", index, *exact)
    asked = ("evaluate", "--run", spectral, "--data", data, "--protocol", "scene", "--json", *exact)
    assert scing(*asked, "--index", index).json["mAP"] == pytest.approx(scing(*asked).json["mAP"], abs=1e-6)
    assert scing(*asked, "--index", index).json["protocol"] == "scene"


def test_the_scenes_that_are_asked_for_must_be_known(scing, own_data, spectral) -> None:
    write_table(own_data, [(*row[:6], "") for row in read_table(own_data)])
    done = scing("evaluate", "--run", spectral, "--data", own_data, "--protocol", "scene")
    assert done.code != 0
    assert "no scene is known of the queries and the gallery" in done.err
    assert scing("evaluate", "--run", spectral, "--data", own_data, "--json").json["protocol"] == "market"


def test_blocks_of_missing_spectra_are_the_mean_of_the_others(data, spectral) -> None:
    rows, root = read_table(data), data.parent
    model = load_model(spectral, machine=Machine(precision="fp32"))
    thermal = Observation((None, None, View(root / rows[0][5])))
    (vector,) = model.embed(thermal)
    blocks = vector.reshape(len(SPECTRA), -1)
    np.testing.assert_allclose(blocks[0], blocks[2], atol=1e-6)
    np.testing.assert_allclose(blocks[1], blocks[2], atol=1e-6)
