"""An encoder as ONNX or OpenVINO IR through the commands: embed, search, evaluate, report; and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from graph_models import DIM, HEIGHT, WIDTH, as_ir, export, osnet
from patience import HANG
from PIL import Image

import scing_cli
from scing_cli.core.errors import DataError, IndexFileError, SettingError
from scing_cli.core.index import GalleryIndex, read_stamp
from scing_cli.core.runtime import Silent

pytest.importorskip("onnx")
pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)
STATED = {"format": 1, "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "channels": "rgb", "range": 1.0}
WITHOUT = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in HIDDEN else found(name, package)
from scing_cli.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("encoder") / "encoder.onnx", osnet(), stated=STATED)


@pytest.fixture(scope="module")
def gallery(trained: Path, world: Path) -> Path:
    """An index next to the encoder that made it."""
    index = trained.with_name("gallery.faiss")
    choice = scing_cli.ModelChoice(model=trained)
    scing_cli.embed(choice, scing_cli.GalleryChoice(data=world), output=index, reporter=Silent())
    return index


@pytest.fixture
def place(gallery: Path, tmp_path: Path) -> Path:
    """A copy of the index and its encoder that a test may change."""
    return Path(shutil.copytree(gallery.parent, tmp_path / "place"))


@pytest.fixture
def photo(world: Path) -> Path:
    return min((world / "query").glob("*.jpg"))


def hits(found) -> list[tuple[str, float]]:
    assert found.code == 0, found.err
    return [(hit["path"], hit["score"]) for result in found.json["results"] for hit in result["hits"]]


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_embed_search_evaluate_and_report(scing, world, trained, photo, tmp_path, suffix) -> None:
    encoder = trained if suffix == ".onnx" else as_ir(trained, tmp_path / "encoder.xml", STATED)
    index, report = tmp_path / "g.faiss", tmp_path / "report"
    done = scing("embed", "--images", world / "bounding_box_test", "--model", encoder, "--output", index)
    assert done.code == 0, done.err
    assert f"encoder{suffix}: {HEIGHT}x{WIDTH} pixels." in done.err  # nothing is assumed
    assert f"of width {DIM}." in done.out
    itself = min((world / "bounding_box_test").glob("*.jpg"))
    found = hits(scing("search", itself, "--index", index, "-k", "3", "--json"))
    assert Path(found[0][0]).name == itself.name
    assert found[0][1] == pytest.approx(1, abs=1e-4)
    scored = scing("evaluate", "--model", encoder, "--data", world, "--output", report)
    assert scored.code == 0, scored.err
    assert (report / "report.html").is_file()
    index.unlink()
    assert scing("embed", "--data", world, "--model", encoder, "--output", index, "--force").code == 0
    by_index = scing("evaluate", "--model", encoder, "--data", world, "--index", index, "--json").json
    whole = json.loads((report / "report.json").read_text())
    assert by_index["mAP"] == pytest.approx(whole["mAP"])
    limited = scing("search", photo, "--index", index, "--false-match-rate", "0.2", "--report", report)
    assert limited.code == 0, limited.err
    assert "false-match rate 0.2" in limited.err


def test_what_is_assumed_is_said_once(scing, world, tmp_path) -> None:
    encoder = export(tmp_path / "plain.onnx", osnet())
    done = scing("embed", "--images", world / "query", "--model", encoder, "--output", tmp_path / "g.faiss")
    said = "not stated, so assumed: ImageNet's mean and deviation, range 0 to 1, RGB, bilinear."
    assert done.err.count(said) == 1
    found = scing("search", world / "query", "--index", tmp_path / "g.faiss")
    assert found.code == 0
    assert "assumed" not in found.err


def test_images_are_appended_and_options_are_part_of_the_model(scing, world, place) -> None:
    index, options = place / "gallery.faiss", ("--model", place / "encoder.onnx", "--output", place / "gallery.faiss")
    before = len(GalleryIndex.read(index))
    added = scing("embed", "--images", world / "query", *options, "--append")
    assert added.code == 0, added.err
    assert len(GalleryIndex.read(index)) == before + len(list((world / "query").glob("*.jpg")))
    other = scing("embed", "--images", world / "query", *options, "--append", "--statistics", "imagenet")
    assert other.code == 2
    assert f"{index} was made by another model" in other.err


def test_an_encoder_is_found_next_to_its_index_or_where_it_is_named(scing, gallery, place, photo) -> None:
    expected = hits(scing("search", photo, "--index", gallery, "--json"))
    assert hits(scing("search", photo, "--index", place / "gallery.faiss", "--json")) == expected
    (place / "moved").mkdir()
    (place / "encoder.onnx").rename(place / "moved" / "encoder.onnx")
    stamp = read_stamp(place / "gallery.faiss")
    assert stamp.model["relative_model"] == "encoder.onnx"
    moved = place / "moved" / "encoder.onnx"
    assert hits(scing("search", photo, "--index", place / "gallery.faiss", "--model", moved, "--json")) == expected


def test_options_of_the_embedding_hold_in_every_search(scing, world, place, photo) -> None:
    encoder, index = place / "encoder.onnx", place / "clip.faiss"
    options = ("--statistics", "clip", "--interpolation", "bilinear")
    assert scing("embed", "--data", world, "--model", encoder, *options, "--output", index).code == 0
    expected = hits(scing("search", photo, "--index", index, "--json"))
    moved = encoder.rename(place / "other.onnx")
    assert hits(scing("search", photo, "--index", index, "--model", moved, "--json")) == expected
    lost = scing("search", photo, "--index", index)
    assert lost.code == 2
    assert "encoder.onnx does not exist" in lost.err
    assert "scing search --model FILE" in lost.err


def test_a_changed_file_or_statement_is_refused(scing, place, photo) -> None:
    index = place / "gallery.faiss"
    (place / "encoder.json").write_text('{"channels": "bgr"}')
    stated = scing("search", photo, "--index", index, "--model", place / "encoder.onnx")
    assert stated.code == 2
    assert "encoder.onnx is another model" in stated.err
    (place / "encoder.json").unlink()
    assert scing("search", photo, "--index", index, "--model", place / "encoder.onnx").code == 0
    export(place / "encoder.onnx", osnet(seed=3), stated=STATED)
    changed = scing("search", photo, "--index", index, "--model", place / "encoder.onnx")
    assert changed.code == 2
    assert f"{index} was not made by the model that was found" in changed.err


def test_indexes_of_other_models_are_refused_both_ways(scing, finished, world, place, photo) -> None:
    theirs, ours = finished.parent / "gallery.faiss", place / "gallery.faiss"
    encoder = ("--model", place / "encoder.onnx")
    refused = [
        scing("search", photo, "--index", theirs, *encoder),
        scing("search", photo, "--index", ours, "--run", finished),
        scing("evaluate", "--index", theirs, "--data", world, *encoder),
        scing("evaluate", "--index", ours, "--run", finished),
        scing("embed", "--images", world / "query", "--output", ours, "--append", "--run", finished),
    ]
    for found in refused:
        assert found.code == 2
        assert "was made by another model" in found.err or "was not made by the model" in found.err


@pytest.mark.parametrize(
    "command",
    [
        ("train-prompts", "--model", "encoder.onnx"),
        ("train-prompts", "--model", "ENCODER.XML"),
        ("train-prompts", "--model", "scing-tiny", "--pretrained", "encoder.onnx"),
        ("embed", "--model", "scing-tiny", "--pretrained", "encoder.onnx"),
    ],
)
def test_a_finished_graph_is_not_a_clip(scing, world, command) -> None:
    found = scing(*command, "--data", world)
    assert found.code == 2
    assert "is an encoder as ONNX or OpenVINO IR: a finished graph, which cannot be trained" in found.err
    assert "Use it with embed, evaluate and search: --model FILE" in found.err


def test_stage_2_does_not_start_from_a_graph(scing, own_run, world) -> None:
    shutil.rmtree(own_run / "visual")
    found = scing("train-visual", "--run", own_run, "--pretrained", "encoder.onnx", "--data", world)
    assert found.code == 2
    assert "encoder.onnx is an encoder as ONNX or OpenVINO IR" in found.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--pretrained", "openai"), "--pretrained has no effect with --model"),
        (("--stride", "12"), "--stride has no effect with --model"),
        (("--cameras", "1,2"), "--cameras has no effect with --model"),
        (("--camera-factor", "2"), "--camera-factor has no effect with --model"),
        (("--descriptor", "concat"), "--descriptor concat needs a CLIP"),
        (("--statistics", "mean"), "--statistics 'mean' is unknown. Known: auto, half, clip, imagenet."),
    ],
)
def test_options_of_a_clip_are_refused(scing, world, trained, tmp_path, options, reason) -> None:
    index = tmp_path / "g.faiss"
    found = scing("embed", "--images", world / "query", "--model", trained, *options, "--output", index)
    assert found.code == 2
    assert reason in found.err
    assert not index.exists()


@pytest.mark.parametrize("number", [0.0, float("nan")])
def test_images_without_a_vector_are_named_with_what_to_do(scing, photo, tmp_path, number) -> None:
    """The graph gives nothing for black images."""
    import onnx
    from onnx import helper

    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMax", ["mean"], ["most"], axes=[1], keepdims=1),
        helper.make_node("Greater", ["most", "low"], ["light"]),
        helper.make_node("Where", ["light", "mean", "number"], ["y"]),
    ]
    weights = {"low": np.float32(0.1), "number": np.float32(number)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ("b", 3, HEIGHT, WIDTH))],
        [helper.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model.metadata_props.add(key="scing", value=json.dumps({"mean": [0.0] * 3, "std": [1.0] * 3}))
    encoder, crops = tmp_path / "sight.onnx", tmp_path / "crops"
    encoder.write_bytes(model.SerializeToString())
    crops.mkdir()
    shutil.copy(photo, crops / "a.jpg")
    Image.new("RGB", (WIDTH, HEIGHT)).save(crops / "black.png")
    found = scing("embed", "--images", crops, "--model", encoder, "--output", tmp_path / "g.faiss")
    assert found.code == 2
    assert f"1 vector is zero or not finite, of {crops / 'black.png'}." in found.err
    assert "sight.onnx cannot describe such images: leave them out, or use another encoder." in found.err
    with pytest.raises(DataError, match="A vector is zero or not finite") as failure:
        scing_cli.load_model(model=encoder, reporter=Silent()).embed([Image.new("RGB", (9, 9))])
    assert "sight.onnx cannot describe such images" in failure.value.remedy


def test_saliency_and_other_models_of_a_search_are_refused(scing, gallery, trained, finished, photo, tmp_path) -> None:
    drawn = scing("search", photo, "--index", gallery, "--saliency", tmp_path / "s.png")
    assert drawn.code == 2
    assert f"--saliency needs a CLIP: {trained} is a finished graph" in drawn.err
    named = scing("search", photo, "--index", gallery, "--model", "scing-tiny")
    assert named.code == 2
    assert f"--model scing-tiny: {gallery} was not made by the model that you name, but by {trained}." in named.err
    assert f"Leave --model out. If {trained} was moved, name its new place." in named.err
    both = scing("search", photo, "--index", gallery, "--model", trained, "--run", finished)
    assert both.code == 2
    assert "--run and --model were both given." in both.err


def test_the_library_opens_it(trained, gallery, photo) -> None:
    model = scing_cli.load_model(model=trained, reporter=Silent())
    vectors = model.embed([photo, Image.open(photo)])
    assert vectors.shape == (2, model.width) == (2, DIM)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    index = scing_cli.load_index(gallery, reporter=Silent())
    assert index.model.digest == model.digest
    assert index.search(vectors[:1], k=3) == index.search([photo], k=3)
    with pytest.raises(IndexFileError, match="was made by another model"):
        index.search([photo], model=scing_cli.load_model(model="scing-tiny", reporter=Silent()))
    with pytest.raises(SettingError, match="--descriptor concat needs a CLIP"):
        scing_cli.load_model(model=str(trained), descriptor="concat", reporter=Silent()).embed([photo])


def without(hidden: tuple[str, ...], *arguments: object) -> subprocess.CompletedProcess[str]:
    code = f"HIDDEN = {hidden!r}\n{WITHOUT}"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=HANG, env=os.environ
    )


def test_without_openvino_onnx_runtime_gives_the_same_vectors(world, trained, tmp_path) -> None:
    pytest.importorskip("onnxruntime")
    options = ("embed", "--images", world / "query", "--model", trained, "--output")
    for hidden in (("torch",), ("torch", "openvino")):  # and no torch either
        done = without(hidden, *options, tmp_path / f"{len(hidden)}.faiss")
        assert done.returncode == 0, done.stderr
    one, other = (GalleryIndex.read(tmp_path / f"{count}.faiss") for count in (1, 2))
    np.testing.assert_allclose(one.vectors(), other.vectors(), atol=1e-4)
    assert one.stamp.model_digest == other.stamp.model_digest
    found = without(("torch", "openvino", "onnxruntime"), *options, tmp_path / "none.faiss")
    assert found.returncode == 2
    assert "it needs OpenVINO or ONNX Runtime" in found.stderr
    assert "pip install 'scing-cli[onnx]'" in found.stderr
