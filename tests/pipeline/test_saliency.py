"""`search --saliency` as a user types it: which score is explained, what is drawn, what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pipeline.conftest import MODEL
from pipeline.test_refused import nothing_in, refuse
from pipeline.test_search_and_index import noise

from scing_cli.core.batches import normalise
from scing_cli.core.encoders.image import descriptor
from scing_cli.core.figures import montage as drawing
from scing_cli.core.workflows.search import montage_file, saliency_file

STYLE = drawing.Style.fitting(1)


def cell(file, place, *, keyed):
    """The pixels of the query (place 0) or of a hit, as the first line of a picture shows them."""
    left = STYLE.margin + place * STYLE.step + (STYLE.gap if place else 0)
    top = STYLE.margin + (4 if keyed else 2) * STYLE.line
    with Image.open(file) as picture:
        return picture.crop((left, top, left + STYLE.outer[0], top + STYLE.outer[1])).tobytes()


def heated(place):
    return cell("regions.png", place, keyed=True) != cell("ranking.png", place, keyed=False)


def both(photo, index):
    return ("search", photo, "--index", index, "--montage", "ranking.png", "--saliency", "regions.png")


def test_every_image_that_can_be_read_gets_its_heat(scing, here):
    (here / "crops").mkdir()
    for number in range(5):
        noise(here / "crops" / f"{number}.png", number)
    assert scing("embed", *MODEL, "--images", "crops").code == 0
    command = both("crops/0.png", "gallery.faiss")
    hits = scing(*command, "-k", 4, "--json").json["results"][0]["hits"]
    assert [heated(place) for place in range(5)] == [True] * 5
    gone, spoilt = (Path(hits[rank]["path"]) for rank in (1, 2))
    gone.unlink()
    spoilt.write_bytes(b"no picture")
    result = scing(*command, "-k", 4, "--json")
    assert (result.json["montage"], result.json["saliency"]) == ("ranking.png", "regions.png")
    assert [heated(place) for place in range(5)] == [True, True, False, False, True]
    shown = scing(*command, "-k", 4).out
    assert "Picture: ranking.png\nPicture: regions.png" in shown


def test_without_hits_the_query_stays_as_it_is(scing, finished, world, here):
    photo = min((world / "query").glob("*.jpg"))
    command = both(photo, finished.parent / "gallery.faiss")
    assert scing(*command, "--exclude-camera", "1").code == 0
    assert heated(0)
    assert scing(*command, *(option for camera in "123" for option in ("--exclude-camera", camera))).code == 0
    assert not heated(0)


@pytest.mark.parametrize("kind", ["projected", "concat"])
def test_what_is_explained_are_the_scores_of_the_search(scing, finished, world, here, monkeypatch, kind):
    explained = []
    real = saliency_file.saliency

    def listening(encoder, pixels, targets, *, kind, missing):
        image = normalise(pixels, encoder.geometry.mean, encoder.geometry.std)
        with torch.no_grad():
            explained.append((descriptor(encoder(image), kind) * targets).sum(dim=1).numpy())
        return real(encoder, pixels, targets, kind=kind, missing=missing)

    monkeypatch.setattr(saliency_file, "saliency", listening)
    assert scing("embed", "--run", finished, "--descriptor", kind, "--precision", "fp32").code == 0
    photos = sorted((world / "query").glob("*.jpg"))[:2]
    command = (
        "search",
        *photos,
        "--index",
        "gallery.faiss",
        "-k",
        4,
        "--saliency",
        "regions.png",
        "--json",
        "--precision",
        "fp32",
    )
    given = ("--box", "3,5,40,90", "--exclude-camera", "2", "--batch-size", "2")
    results = scing(*command, *given).json["results"]
    scores = [[hit["score"] for hit in result["hits"]] for result in results]
    assert [len(part) for part in explained] == [2, 2, 1] * 2
    expected = np.concatenate([[np.mean(own), *own] for own in scores])  # a query's: the mean over its hits
    np.testing.assert_allclose(np.concatenate(explained), expected, atol=1e-5)
    assert np.ptp(expected) > 1e-4


def test_the_picture_changes_no_score(scing, finished, world, here):
    command = ("search", min((world / "query").glob("*.jpg")), "--index", finished.parent / "gallery.faiss", "-k", 4)
    plain = scing(*command, "--json").json["results"]
    assert scing(*command, "--saliency", "regions.png", "--json").json["results"] == plain


def test_it_shows_as_much_as_the_montage_and_says_so_once(scing, finished, world, here, monkeypatch):
    monkeypatch.setattr(montage_file, "DRAWN", 2)
    monkeypatch.setattr(montage_file, "HITS_DRAWN", 3)
    command = both(world / "query", finished.parent / "gallery.faiss")
    result = scing(*command)
    assert result.err.count("first 2 of 18 photos") == result.err.count("first 3 hits of each photo") == 1
    with Image.open("ranking.png") as ranking, Image.open("regions.png") as regions:
        assert (regions.width, regions.height) == (ranking.width, ranking.height + 2 * STYLE.line)


def test_a_picture_that_cannot_be_written_is_refused_before_the_work(scing, finished, world, here, monkeypatch):
    from scing_cli.core.index.gallery_location import IndexFile

    monkeypatch.setattr(IndexFile, "open", None)  # it would fail otherwise
    photo = min((world / "query").glob("*.jpg"))
    command = ("search", photo, "--index", finished.parent / "gallery.faiss", "--saliency")
    refuse(scing(*command, "a.xyz"), "--saliency a.xyz: unknown kind of picture", ".png")
    refuse(scing(*command, "a.png", "--montage", here / "a.png"), "--saliency a.png: the same file as --montage")
    nothing_in(here)
    other = Path(shutil.copy(photo, "other.jpg"))
    refuse(scing(*command, other), "--saliency other.jpg already exists and is not a picture written by scing")
    assert other.read_bytes() == photo.read_bytes()
