"""`embed --export`: other programs load what was written and get the same vectors; what a format cannot hold is refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import graph_models
import numpy as np
import pytest
import torch
from core.encoders.test_weight_names import SQUARE
from pipeline.conftest import MODEL
from pipeline.elsewhere import ONNX, OPEN_CLIP, TRANSFORMERS, vectors_elsewhere
from safetensors.torch import save_file

import scing_cli
from scing_cli.core.artifacts import write_text
from scing_cli.core.errors import ScingError
from scing_cli.core.workflows.embed.export_place import replacing_folder

FOLDER = {"open_clip_config.json", "open_clip_model.safetensors"}
needs_onnx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))), reason="onnx and onnxruntime are not installed"
)
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def photos(world):
    return sorted((world / "query").glob("*.jpg"))[:5]


@pytest.fixture
def square(here):
    """A plain CLIP for images of 48x48 pixels, which transformers can hold."""
    vision = {**SQUARE["vision_cfg"], "image_size": [48, 48]}
    Path("square.json").write_text(json.dumps({**SQUARE, "vision_cfg": vision}))
    return ("--model", "square.json", "--pretrained", "random")


def exact(photos, **model):
    """The vectors of the model here, in float32."""
    machine = scing_cli.Machine(device="cpu", precision="fp32")
    return scing_cli.load_model(**model, machine=machine).embed(photos)


def check_equal(found, expected):
    many = np.concatenate([expected] * 64)[:64]
    for name, vectors in (("one", expected), ("three", expected[:3]), ("many", many)):
        np.testing.assert_allclose(found[name], vectors, atol=1e-5, err_msg=name)


@needs_onnx
@pytest.mark.parametrize("kind", ["projected", "concat"])
def test_onnxruntime_alone_gives_the_runs_vectors(scing, finished, photos, here, kind):
    made = scing("embed", "--run", finished, "--export", "encoder.onnx", "--descriptor", kind, "--json")
    assert made.code == 0, made.err
    width = {"projected": 16, "concat": 48}[kind]
    assert (made.json["export_format"], made.json["descriptor"], made.json["dimensions"]) == ("onnx", kind, width)
    assert made.json["images"] == 16
    assert made.json["least_cosine"] > 0.99999
    assert {file.name for file in here.iterdir()} == {"encoder.onnx"}
    found = vectors_elsewhere(ONNX, Path("encoder.onnx"), photos, here / "found.npz")
    check_equal(found, exact(photos, run=finished, descriptor=kind))
    assert str(found["digest"]) == made.json["digest"] == scing_cli.load_model(finished).digest


@needs_onnx
def test_overlapping_patches_and_the_pixels_of_a_plain_model_travel_too(scing, world, photos, here):
    plain = (*MODEL, "--stride", "4", "--statistics", "clip", "--interpolation", "bilinear")
    assert scing("embed", *plain, "--data", world, "--export", "encoder.onnx").code == 0
    found = vectors_elsewhere(ONNX, Path("encoder.onnx"), photos, here / "found.npz")
    assert scing("embed", *plain, "--images", world / "query", "--precision", "fp32", "--output", "g.faiss").code == 0
    check_equal(found, exact(photos, index="g.faiss"))


def test_open_clip_alone_gives_the_runs_vectors_and_the_folder_is_a_model_here(scing, finished, world, photos, here):
    made = scing("embed", "--run", finished, "--export", "clip")
    assert made.code == 0, made.err
    assert "clip: the image encoder of" in made.out
    assert "as open_clip: images of 32x16 pixels, unit vectors of width 16 (projected)." in made.out
    assert "Compared on 16 images: smallest cosine to the encoder's vectors 1.000000." in made.out
    assert {file.name for file in Path("clip").iterdir()} == FOLDER
    found = vectors_elsewhere(OPEN_CLIP, Path("clip"), photos, here / "found.npz")
    check_equal(found, exact(photos, run=finished))
    ranked = []
    for name, model in (("run", ("--run", finished)), ("folder", ("--model", "clip"))):
        assert scing("embed", *model, "--data", world, "--precision", "fp32", "--output", f"{name}.faiss").code == 0
        ranked.append(scing("search", *photos, "--index", f"{name}.faiss", "--precision", "fp32", "--json").json)
    assert ranked[0] == ranked[1]
    more = scing("embed", "--model", "clip", "--images", world / "query", "--append", "--output", "run.faiss", "--json")
    assert (more.code, more.json["added"]) == (0, len(list((world / "query").glob("*.jpg"))))  # the digest is the run's


@needs_transformers
@pytest.mark.long
def test_transformers_alone_gives_the_vectors_of_a_square_model(scing, square, world, photos, here):
    made = scing("embed", *square, "--data", world, "--export", "clip", "--export-format", "transformers")
    assert made.code == 0, made.err
    found = vectors_elsewhere(TRANSFORMERS, Path("clip"), photos, here / "found.npz")
    assert scing("embed", *square, "--images", world / "query", "--output", "g.faiss").code == 0
    check_equal(found, exact(photos, index="g.faiss"))


def test_a_folder_of_transformers_is_a_model_here(scing, square, world, photos, here):
    assert scing("embed", *square, "--export", "clip", "--export-format", "transformers").code == 0
    ranked = []
    for name, model in (("plain", square), ("folder", ("--model", "clip"))):
        assert scing("embed", *model, "--data", world, "--precision", "fp32", "--output", f"{name}.faiss").code == 0
        ranked.append(scing("search", *photos, "--index", f"{name}.faiss", "--precision", "fp32", "--json").json)
    assert ranked[0] == ranked[1]


def test_what_a_format_cannot_hold_is_refused_by_name(scing, finished, here):
    folder, plain = ("embed", "--export", "clip"), ("embed", *MODEL)
    refused = {
        (*folder, "--run", finished, "--export-format", "transformers"): (
            "--export-format transformers cannot hold images of 32x16 pixels: its CLIP takes square ones. "
            "Use ONNX (--export NAME.onnx) or open_clip's folder (--export-format open_clip)."
        ),
        (*folder, *MODEL, "--stride", "4"): (
            "--export-format open_clip cannot hold patches that overlap (--stride 4). Use ONNX: --export NAME.onnx."
        ),
        (*folder, "--run", finished, "--descriptor", "concat"): "cannot hold --descriptor concat",
        (*folder, "--run", finished, "--export-format", "torch"): (
            "--export-format 'torch' is unknown. Known: onnx, open_clip, transformers."
        ),
        (*folder, "--run", finished, "--export-format", "onnx"): "the name of an ONNX file ends in .onnx.",
        (*plain, "--export", "a.onnx", "--export-format", "open_clip"): "names an ONNX file",
        (*plain, "--export", "model.safetensors"): "no single file of this kind is written",
        (*plain, "--export", "."): "--export . does not name a new file or folder.",
        (*plain, "--export", "none/a.onnx"): "Cannot write none/a.onnx: there is no folder none.",
        (*plain, "--export", "a", "--append", "--strict"): "--append, --strict have no effect with --export.",
        (*plain, "--export", "a", "--output", "b.faiss"): "--output has no effect with --export.",
        (*plain, "--export", "a", "--descriptor", "x"): "--descriptor 'x' is unknown.",
        (*plain, "--export-format", "onnx"): "--export-format has no effect without --export.",
        ("embed", "--prune", "--export", "a"): "--export has no effect with --prune without --append.",
        ("embed", "--model", "osnet.onnx", "--export", "a.onnx"): "osnet.onnx is a finished graph, not a CLIP",
        (*plain, "--export", "a", "--images", "none"): "none is not a folder.",
    }
    for command, message in refused.items():
        result = scing(*command)
        assert result.code == 2, command
        assert message in result.err, (command, result.err)
    assert list(here.iterdir()) == []


def test_a_package_that_is_missing_is_named_with_the_line_that_installs_it(scing, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)  # Python's own way to make a package missing
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = scing("embed", *MODEL, "--export", "encoder.onnx")
    assert result.code == 2
    assert "--export to ONNX needs onnx and onnxruntime. Install it: pip install '.[onnx]'." in result.err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", [pytest.param("e.onnx", marks=needs_onnx), "clip"])
def test_a_former_export_is_replaced_only_with_force(scing, finished, here, name):
    command = ("embed", "--run", finished, "--export", name)
    assert scing(*command).code == 0
    place = Path(name)
    before = {file: file.read_bytes() for file in ([place] if place.is_file() else place.iterdir())}
    again = scing(*command)
    assert again.code == 2
    assert f"{name} is there already. Replace it with --force, or name another --export." in again.err
    assert {file: file.read_bytes() for file in before} == before
    for file, content in before.items():
        file.write_bytes(content.replace(b"bicubic", b"bicublc"))  # the facts remain
        assert file.read_bytes() != content
    assert scing(*command, "--force").code == 0
    assert {file: file.read_bytes() for file in before} == before
    assert [file.name for file in here.iterdir()] == [name]


def test_force_replaces_nothing_but_an_export(scing, finished, here):
    Path("mine").mkdir()
    Path("mine", "thesis.txt").write_text("years")
    Path("file").write_text("x")
    Path("folder.onnx").mkdir()
    command = ("embed", "--run", finished, "--force", "--export")
    assert "mine holds other files, such as thesis.txt: --force does not replace it." in scing(*command, "mine").err
    assert "file is not a folder; open_clip is a folder." in scing(*command, "file").err
    assert "folder.onnx is a folder; onnx is a file." in scing(*command, "folder.onnx").err
    assert Path("mine", "thesis.txt").read_text() == "years"


def save_tensors(path, metadata=None):
    save_file({"visual.proj": torch.zeros(2, 2)}, path, metadata=metadata)


FOREIGN = {
    "a transformers folder": {"config.json": "{}", "preprocessor_config.json": "{}", "model.safetensors": None},
    "an open_clip folder": {"open_clip_config.json": '{"model_cfg": {}}', "open_clip_model.safetensors": None},
    "weights alone": {"model.safetensors": None},
    "weights with a word of their own": {"model.safetensors": {"scing": '{"range": 1}'}},
    "pixels alone": {"preprocessor_config.json": "{}"},
    "damaged": {"config.json": "[", "model.safetensors": {"scing": "["}},
}


@pytest.mark.parametrize("case", FOREIGN)
def test_force_keeps_the_models_of_other_programs(scing, finished, here, case):
    Path("mine").mkdir()
    for name, content in FOREIGN[case].items():
        if isinstance(content, str):
            Path("mine", name).write_text(content)
        else:
            save_tensors(Path("mine", name), content)
    before = {file: file.read_bytes() for file in Path("mine").iterdir()}
    refused = scing("embed", "--run", finished, "--force", "--export", "mine")
    assert refused.code == 2
    assert "mine is not an export of scing" in refused.err
    assert "--force does not replace it. Name another folder." in refused.err
    assert {file: file.read_bytes() for file in Path("mine").iterdir()} == before


@needs_onnx
def test_force_keeps_an_encoder_of_another_program(scing, finished, here):
    for stated in (None, {"range": 255, "made_by": "torchreid"}):
        graph_models.export(Path("osnet.onnx"), graph_models.osnet(), stated=stated)
        before = Path("osnet.onnx").read_bytes()
        refused = scing("embed", "--run", finished, "--force", "--export", "osnet.onnx")
        assert "osnet.onnx is not an export of scing: --force does not replace it. Name another file." in refused.err
        assert Path("osnet.onnx").read_bytes() == before


def test_a_file_that_cannot_be_written_is_named_by_its_later_place(here):
    def write():
        with replacing_folder(Path("clip"), force=False) as made:
            (made / "config.json").mkdir()
            write_text(made / "config.json", "{}")

    with pytest.raises(ScingError, match=r"^Cannot write clip/config\.json: Is a directory"):
        write()
    assert list(here.iterdir()) == []


def test_without_images_drawn_people_are_compared(scing, here):
    made = scing("embed", *MODEL, "--export", "clip", "--json")
    assert made.code == 0, made.err
    assert made.json["images"] == 16
    assert "There are no images to compare with: drawn people are used. --data or --images names some." in made.err


def test_images_that_cannot_be_read_are_left_out_unless_all_are(scing, finished, photos, here):
    Path("crops").mkdir()
    Path("crops", "a.jpg").write_bytes(photos[0].read_bytes()[:300])
    command = ("embed", "--run", finished, "--images", "crops", "--export", "clip", "--json")
    assert "crops/a.jpg cannot be decoded" in scing(*command).err
    assert not Path("clip").exists()
    shutil.copy(photos[0], "crops/b.jpg")
    made = scing(*command)
    assert made.code == 0, made.err
    assert made.json["images"] == 1


def test_the_text_tower_must_be_there_for_a_folder(scing, own_run, here):
    shutil.rmtree(own_run / "prompts")
    result = scing("embed", "--run", own_run, "--export", "clip")
    assert result.code == 2
    assert "A folder needs CLIP's text encoder too:" in result.err
    assert "export the image encoder alone: --export NAME.onnx" in result.err
    assert list(here.iterdir()) == [own_run]


def test_the_library_exports_as_the_command_does(finished, here):
    report = scing_cli.export_encoder(scing_cli.ModelChoice(run=finished), "clip")
    assert isinstance(report, scing_cli.ExportReport)
    assert (report.path, report.export_format, report.height, report.width) == (Path("clip"), "open_clip", 32, 16)
