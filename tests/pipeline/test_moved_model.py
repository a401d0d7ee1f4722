"""Plain CLIPs in files that were moved or deleted: an index finds them, a search takes their new place, remedies work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file
from tiny import TINY_MODEL, tiny_clip

from scing_cli.core.encoders.clip_folders import OPEN_CLIP, clip_state, write_clip_folder
from scing_cli.core.index import read_stamp

ORDER = "scing search --model PLACE"
EXACT = ("--precision", "fp32")  # so that a search needs the model itself, not its OpenVINO copy


@pytest.fixture(scope="module")
def place(world, tmp_path_factory):
    """A folder with two CLIPs of random weights, one as a folder and one as a weights file, and images."""
    folder = tmp_path_factory.mktemp("place")
    for name, seed in (("clip", 1), ("other", 2)):
        (folder / name).mkdir()
        write_clip_folder(folder / name, tiny_clip(seed=seed), OPEN_CLIP, {})
    save_file(clip_state(tiny_clip(seed=3)), folder / "weights.safetensors")
    shutil.copytree(world / "query", folder / "crops")
    return folder


MODELS = {
    "folder": ("--model", "clip"),
    "weights": ("--model", TINY_MODEL, "--pretrained", "weights.safetensors"),
}
FILE = {"folder": "clip", "weights": "weights.safetensors"}  # what is moved


@pytest.fixture(params=MODELS)
def made(request, place, scing, tmp_path, monkeypatch):
    """A working folder with the models and the index of one of them; returns the kind and the hits of a search."""
    folder = Path(shutil.copytree(place, tmp_path / "first"))
    monkeypatch.chdir(folder)
    done = scing("embed", "--images", "crops", *MODELS[request.param], *EXACT, "--output", "g.faiss")
    assert done.code == 0, done.err
    return request.param, hits(search(scing))


def search(scing, *options):
    photo = min(Path("crops").iterdir())
    return scing("search", photo, "--index", "g.faiss", *EXACT, "--json", *options)


def hits(found):
    assert found.code == 0, found.err
    return [(hit["rank"], hit["score"]) for result in found.json["results"] for hit in result["hits"]]


def test_a_moved_folder_with_model_and_index_is_searched(scing, made, tmp_path, monkeypatch):
    kind, expected = made
    monkeypatch.chdir(Path.cwd().rename(tmp_path / "second"))
    found = search(scing)
    assert hits(found) == expected
    assert "The index's model was found at" in found.err
    assert "second" in found.err
    file = "clip/open_clip_model.safetensors" if kind == "folder" else "weights.safetensors"
    assert read_stamp(Path("g.faiss")).model["relative_pretrained"] == file


def test_another_model_near_the_index_is_not_taken(scing, made, tmp_path, monkeypatch):
    kind, expected = made
    second = Path(shutil.copytree(Path.cwd(), tmp_path / "second"))
    near = second / ("clip/open_clip_model.safetensors" if kind == "folder" else "weights.safetensors")
    shutil.copy("other/open_clip_model.safetensors", near)
    monkeypatch.chdir(second)
    assert hits(search(scing)) == expected


def test_a_search_takes_the_new_place_and_checks_it(scing, made):
    kind, expected = made
    Path("new").mkdir()
    moved = Path(FILE[kind]).rename(Path("new") / FILE[kind])
    lost = search(scing)
    assert lost.code == 2
    assert "g.faiss was made by a model that cannot be used: " in lost.err
    assert ORDER in lost.err
    assert "scing embed --force, with the options of before" in lost.err
    assert "--pretrained FILE" not in lost.err
    places = [moved, *moved.glob("*.safetensors")] if kind == "folder" else [moved, moved.parent]
    for place in places:
        assert hits(search(scing, "--model", place)) == expected
    for wrong in ("other", "other/open_clip_model.safetensors"):
        refused = search(scing, "--model", wrong)
        assert refused.code == 2
        assert "g.faiss was made by another model" in refused.err or "cannot be used" in refused.err
        assert ORDER in refused.err
    nothing = search(scing, "--model", "nowhere")
    assert nothing.code == 2
    assert "--model nowhere does not exist. Name the model that made g.faiss where it is now; it was at" in nothing.err


def test_a_renamed_file_is_taken(scing, made):
    kind, expected = made
    if kind == "folder":
        Path("clip").rename("renamed")
        Path("renamed/open_clip_model.safetensors").rename("renamed/model.safetensors")
        Path("renamed/open_clip_config.json").rename("renamed/config.json")
    else:
        Path("weights.safetensors").rename("renamed.safetensors")
    assert hits(search(scing, "--model", "renamed" if kind == "folder" else "renamed.safetensors")) == expected


def test_a_model_that_is_no_file_is_named(scing, place, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    photo, encoder, index = min(Path("crops").iterdir()), tmp_path / "x.onnx", tmp_path / "tiny.faiss"
    encoder.write_bytes(b"anything")
    assert scing("embed", "--images", "crops", "--model", "scing-tiny", "--output", index).code == 0
    for named in (encoder, "clip", "scing-tiny"):
        refused = scing("search", photo, "--index", index, "--model", named)
        assert refused.code == 2
        text = (
            f"--model {named}: {index} was not made by the model that you name, but by scing-tiny. Leave --model out."
        )
        assert text in refused.err
    theirs = finished.parent / "gallery.faiss"
    for named in (encoder, "clip"):
        refused = scing("search", photo, "--index", theirs, "--model", named)
        assert refused.code == 2
        assert f"but by {finished}. Leave --model out. If the run was moved, give its folder: --run DIR." in refused.err
