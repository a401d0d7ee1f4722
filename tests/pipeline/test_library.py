"""The library: what a notebook opens, embeds, searches and draws, and paths given as text."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from fixtures import put
from PIL import Image
from tiny import TINY_MODEL

import scing_cli as scing
from scing_cli.core.imagefile import read_image
from scing_cli.core.runtime import Silent

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def gallery(finished):
    return str(finished.parent / "gallery.faiss")


@pytest.fixture(scope="module")
def model(finished):
    return scing.load_model(str(finished), machine=scing.Machine(precision="fp32"))


@pytest.fixture(scope="module")
def photos(world):
    return sorted(map(str, (world / "query").glob("*.jpg")))[:3]


def test_importing_it_costs_nothing_and_it_names_all_it_has() -> None:
    code = (
        "import sys, scing_cli\n"
        "print(sorted({'torch', 'numpy', 'faiss', 'PIL', 'typer', 'pydantic', 'open_clip', 'openvino'} & set(sys.modules)))\n"
        "print(all(hasattr(scing_cli, name) for name in dir(scing_cli)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split("\n")[:2] == ["[]", "True"], done.stderr
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        scing.serach  # noqa: B018


def test_files_pil_images_and_arrays_give_the_same_unit_vectors(model, photos) -> None:
    files = model.embed(photos)
    assert files.shape == (3, model.width)
    assert files.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(files, axis=1), 1, atol=1e-5)
    images = [Image.open(photo) for photo in photos]
    arrays = [np.asarray(read_image(Path(photo))) for photo in photos]
    np.testing.assert_allclose(model.embed(images), files, atol=1e-6)
    np.testing.assert_allclose(model.embed(np.stack(arrays)), files, atol=1e-6)
    mixed = model.embed([images[2], photos[1], arrays[0], Path(photos[2])])
    np.testing.assert_allclose(mixed, files[[2, 1, 0, 2]], atol=1e-6)


def test_a_single_image_is_one_row(model, photos) -> None:
    for one in (photos[0], Path(photos[0]), Image.open(photos[0]), np.asarray(read_image(Path(photos[0])))):
        assert model.embed(one).shape == (1, model.width)
    assert model.embed([]).shape == (0, model.width)


def test_pil_images_are_turned_and_flattened_as_files_are(model, tmp_path) -> None:
    put(tmp_path / "a.png", 1, 1)
    image = Image.open(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    clear = image.convert("RGBA")
    clear.putalpha(Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[:, None] * 4, (1, 32))))
    clear.save(tmp_path / "clear.png")
    Image.fromarray(np.linspace(0, 65535, 64 * 32).reshape(64, 32).astype(np.uint16)).save(tmp_path / "deep.png")
    for name in ("turned.jpg", "clear.png", "deep.png"):
        opened = Image.open(tmp_path / name)
        np.testing.assert_allclose(model.embed(opened), model.embed(str(tmp_path / name)), atol=1e-6)


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros(7, np.uint8)])
def test_an_array_that_is_not_an_image_is_refused(model, wrong) -> None:
    with pytest.raises(scing.ScingError, match="is not an image"):
        model.embed(wrong)


def test_hits_are_the_command_lines(gallery, model, photos, finished) -> None:
    index = scing.load_index(gallery)
    hits = index.search(model.embed(photos), k=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scing.ScingWarning)
        report = scing.search(photos, gallery, run=str(finished), k=4, machine=scing.Machine(precision="fp32"))
    expected = [
        (number, rank, hit.score, hit.row.identity, hit.row.camera, hit.row.path, hit.row.id)
        for number, result in enumerate(report.results)
        for rank, hit in enumerate(result.hits, 1)
    ]
    assert [tuple(hit) for hit in hits] == expected
    assert scing.HitRecord._fields == ("query", "rank", "score", "identity", "camera", "path", "id")


def test_an_index_knows_its_rows_its_model_and_takes_images(gallery, finished, photos) -> None:
    index = scing.load_index(gallery, machine=scing.Machine(precision="fp32"))
    assert len(index) == len(index.rows()) == len(index.vectors())
    assert index.model.name == str(finished)
    assert index.search(photos[0], k=2) == index.search(index.model.embed(photos[0]), k=2)
    only = index.search(Image.open(photos[0]), k=3, allowed=scing.RowFilter(cameras=frozenset({"2"})))
    assert {hit.camera for hit in only} == {"2"}
    vector = index.vectors()[3].astype(np.float64)  # one query, of another float type
    assert index.search(vector, k=1)[0].id == index.rows()[3]["id"]
    assert repr(index) == f"Index({gallery!r}, {len(index)} rows, width={index.width})"


def test_another_model_is_refused(gallery, photos) -> None:
    other = scing.load_model(model="scing-tiny", machine=scing.Machine(precision="fp32"))
    with pytest.raises(scing.ScingError, match="was made by another model"):
        scing.load_index(gallery).search(photos[0], model=other)
    with pytest.raises(scing.ScingError, match="holds vectors"):
        scing.load_index(gallery).search(other.embed(photos[0]))
    with pytest.raises(scing.ScingError, match="Both an index and a model"):
        scing.load_model("run", index=gallery)


def test_a_ranking_is_drawn_with_frames_where_people_are_known(gallery, photos) -> None:
    index = scing.load_index(gallery)
    hits = index.search(photos, k=3)
    plain = scing.draw_hits([Image.open(photo) for photo in photos], hits)
    framed = scing.draw_hits(photos, hits, identities=["0007", "0007", "0007"])
    assert plain.mode == framed.mode == "RGB"
    assert plain.tobytes() != framed.tobytes()
    with pytest.raises(scing.ScingError, match="more than 1 query"):
        scing.draw_hits(photos[0], hits)


def test_text_serves_as_a_path_everywhere(world, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    quiet = {"reporter": Silent()}
    scing.prepare(str(world), output="m.csv", sheet="sheet.png", **quiet)
    settings = {"epochs": 1, "batch_size": 16}
    first = scing.train_prompts(
        str(world), scing.PromptSettings(model=TINY_MODEL, pretrained="random", **settings), run="run", **quiet
    )
    assert first.run.path == Path("run")
    scing.train_visual(scing.VisualSettings(**settings), run="run", data=str(world), **quiet)
    choice = scing.ModelChoice(run="run")
    written = scing.embed(choice, scing.GalleryChoice(data=str(world)), output="g.faiss", **quiet)
    assert written.index == Path("g.faiss")
    more = scing.embed(choice, scing.GalleryChoice(images=str(world / "query")), output="g.faiss", append=True, **quiet)
    assert more.added == len(list((world / "query").glob("*.jpg")))
    scing.evaluate(choice, data=str(world), output="report", **quiet)
    photo = str(next((world / "query").glob("*.jpg")))
    wanted = scing.MatchRule(false_match_rate=0.5, report="report")
    report = scing.search(photo, "g.faiss", run="run", montage="m.png", saliency="s.png", wanted=wanted, **quiet)
    assert report.results[0].query == Path(photo)
    assert Path("m.png").is_file()
    assert scing.read_data(str(world)).layout == "market1501"


def test_without_a_reporter_the_library_warns_where_it_was_called(world, finished, tmp_path, caplog) -> None:
    lines = ["path,identity,split"]
    for split in ("query", "gallery"):
        lines += [f"{file},{file.name[:4]},{split}" for file in sorted((world / "query").glob("*.jpg"))]
    (tmp_path / "plain.csv").write_text("\n".join(lines))
    with pytest.warns(scing.ScingWarning, match="no camera") as caught, caplog.at_level(logging.INFO, "scing_cli"):
        scing.evaluate(scing.ModelChoice(run=finished), data=tmp_path / "plain.csv")
    assert {Path(warning.filename).name for warning in caught} == {Path(__file__).name}
    assert "paths are outside the file's folder" in caplog.text  # a note


def test_the_notebook_runs(finished, gallery, photos, tmp_path) -> None:
    script = ROOT / "examples" / "notebook.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 25
    done = subprocess.run(
        [sys.executable, script, finished, gallery, *photos], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert f"3 unit vectors of width {scing.load_index(gallery).width}" in done.stdout
    assert done.stdout.count("\n") == 1 + 3 * 5
    with Image.open(tmp_path / "hits.png") as drawn:
        assert drawn.width > 300
