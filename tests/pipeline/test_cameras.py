"""`train-visual --camera-embedding`: camera vectors from training to search, and where they are not used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pipeline.conftest import FAST, MODEL

from scing_cli.core.encoders.encoder_file import load_image_encoder
from scing_cli.core.index import GalleryIndex

WITHOUT = "not from a camera of the model's training"


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """A run whose encoder knows the drawn world's three cameras."""
    from tiny import TINY_MODEL

    from scing_cli.core.settings import PromptSettings, VisualSettings
    from scing_cli.core.workflows.train.prompts_stage import train_prompts
    from scing_cli.core.workflows.train.visual_stage import train_visual

    run = tmp_path_factory.mktemp("cameras") / "run"
    settings = {"epochs": 2, "batch_size": 16, "lr": 1e-2}
    train_prompts(world, PromptSettings(model=TINY_MODEL, pretrained="random", **settings), run=run)
    train_visual(VisualSettings(camera_embedding=True, warmup_epochs=0, **settings), run=run)
    return run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_run_keeps_a_learnt_vector_for_each_camera(trained):
    encoder, stamp = load_image_encoder(trained / "visual", verify=True)
    assert encoder.cameras == ("1", "2", "3")
    assert stamp["model"]["cameras"] == ["1", "2", "3"]
    drawn, _ = load_image_encoder(trained / "visual")
    drawn.learn_cameras(encoder.cameras, seed=0)
    assert not np.allclose(encoder.camera_embedding.detach(), drawn.camera_embedding.detach(), atol=1e-4)


def test_the_runs_own_rows_get_their_cameras_vectors_and_other_images_do_not(scing, trained, world, here):
    own = scing("embed", "--run", trained, "--split", "gallery", "--output", "own.faiss")
    assert own.code == 0
    assert WITHOUT not in own.err
    plain = scing("embed", "--run", trained, "--images", world / "bounding_box_test", "--output", "plain.faiss")
    assert plain.code == 0
    assert f"18 images are {WITHOUT}" in plain.err
    vectors = []
    for name in ("own.faiss", "plain.faiss"):
        index = GalleryIndex.read(Path(name))
        order = np.argsort([row.path for row in index.rows()])
        vectors.append(np.asarray(index.vectors())[order])
    cosines = (vectors[0] * vectors[1]).sum(axis=1)
    assert cosines.max() < 0.99999
    assert cosines.min() > 0.5


def test_a_photo_of_an_unknown_camera_goes_without_and_it_is_said(scing, trained, world, here):
    scing("embed", "--run", trained, "--output", "g.faiss")
    photo = min((world / "query").glob("*.jpg"))
    found = scing("search", photo, "--index", "g.faiss", "--json")
    assert found.code == 0
    assert f"1 image is {WITHOUT}" in found.err
    assert len(found.json["results"][0]["hits"]) == 10


def test_shards_are_embedded_with_their_cameras(scing, trained, here):
    own = ("embed", "--run", trained, "--split", "all", "--batch-size", "4")
    assert scing(*own, "--output", "one.faiss").code == 0
    assert scing(*own, "--output", "g.faiss", "--shards", "3").code == 0
    assert scing("embed", "--merge", "--output", "g.faiss").code == 0
    for suffix in ("faiss", "rows-1"):
        assert (here / f"g.{suffix}").read_bytes() == (here / f"one.{suffix}").read_bytes()


def test_no_format_holds_camera_vectors(scing, trained, here):
    for name, chosen in (("e.onnx", "onnx"), ("clip", "open_clip")):
        refused = scing("embed", "--run", trained, "--export", name)
        assert refused.code == 2
        assert f"--export: {chosen} cannot hold the camera vectors of this encoder" in refused.err
    assert not any(here.iterdir())


def test_camera_1_of_other_data_is_another_camera(scing, trained, world, here):
    assert WITHOUT not in scing("evaluate", "--run", trained, "--data", world).err
    other = Path(shutil.copytree(world, here / "other"))
    min((other / "bounding_box_train").glob("*.jpg")).unlink()
    result = scing("evaluate", "--run", trained, "--data", other)
    assert result.code == 0
    assert result.err.count(WITHOUT) == 2  # queries and gallery


def test_vectors_kept_with_cameras_are_not_taken_for_those_without(scing, trained, world, here):
    run = Path(shutil.copytree(trained, here / "run"))
    first = scing("evaluate", "--run", run, "--json").json
    again = scing("evaluate", "--run", run, "--json")
    assert "kept from before" in again.err
    assert again.json["mAP"] == first["mAP"]
    info = json.loads((run / "run.json").read_text())
    other = Path(shutil.copytree(world, here / world.name))
    min((other / "bounding_box_train").glob("*.jpg")).unlink()
    assert info["data"]["name"] == other.name
    assert "kept from before" not in scing("evaluate", "--run", run, "--data", other).err


@pytest.mark.parametrize(("cameras", "message"), [("", "names no camera"), ("1", "knows 1 camera")])
def test_data_without_two_cameras_is_refused(scing, world, here, cameras, message):
    rows = [f"{file},{file.name[:4]},{cameras},train" for file in sorted((world / "bounding_box_train").glob("*.jpg"))]
    Path("mine.csv").write_text("\n".join(["path,identity,camera,split", *rows]) + "\n")
    assert scing("train-prompts", "--data", "mine.csv", *MODEL, *FAST, "--run", "run").code == 0
    refused = scing("train-visual", "--run", "run", "--camera-embedding", *FAST)
    assert refused.code == 2
    assert "--camera-embedding: the training part of mine" in refused.err
    assert message in refused.err
    assert not Path("run/visual").exists()


def test_training_images_of_no_camera_are_counted(scing, world, here):
    files = sorted((world / "bounding_box_train").glob("*.jpg"))
    rows = [f"{file},{file.name[:4]},{file.name[6] if place else ''},train" for place, file in enumerate(files)]
    Path("mine.csv").write_text("\n".join(["path,identity,camera,split", *rows]) + "\n")
    assert scing("train-prompts", "--data", "mine.csv", *MODEL, *FAST, "--run", "run").code == 0
    done = scing("train-visual", "--run", "run", "--camera-embedding", *FAST)
    assert done.code == 0
    assert "1 training image has no known camera" in done.err


@pytest.fixture
def clip_reid(trained, here):
    """The trained encoder in CLIP-ReID's layout: the camera vectors without the names of the cameras."""
    import torch
    from safetensors.torch import load_file

    names = load_file(trained / "visual" / "image_encoder.safetensors")
    tower = {f"image_encoder.{name}": tensor for name, tensor in names.items() if name != "camera_embedding"}
    torch.save({**tower, "cv_embed": names["camera_embedding"], "classifier.weight": torch.zeros(2, 2)}, "sie.pth")
    return Path("sie.pth")


def test_vectors_of_a_file_are_used_for_the_cameras_that_the_user_names(scing, trained, clip_reid, world):
    plain = (*MODEL[:2], "--pretrained", clip_reid, "--data", world, "--precision", "fp32", "--json")
    run = scing("evaluate", "--run", trained, "--data", world, "--precision", "fp32", "--json").json
    with_names = scing("evaluate", *plain, "--cameras", "1,2,3")
    assert with_names.code == 0, with_names.err
    assert WITHOUT not in with_names.err
    assert (with_names.json["mAP"], with_names.json["mINP"]) == (run["mAP"], run["mINP"])
    without = scing("evaluate", *plain)
    assert "3 camera vectors, but the file does not name the cameras" in without.err
    others = scing("evaluate", *plain, "--cameras", "a,b,c")
    assert others.err.count(WITHOUT) == 2
    assert others.json["mAP"] == without.json["mAP"]


def test_an_index_opens_such_a_model_again(scing, clip_reid, world):
    model = (*MODEL[:2], "--pretrained", clip_reid, "--cameras", "1,2,3", "--camera-factor", "2")
    made = scing("embed", "--data", world, *model, "--output", "g.faiss")
    assert made.code == 0, made.err
    assert WITHOUT not in made.err
    found = scing("search", min((world / "query").glob("*.jpg")), "--index", "g.faiss", "--device", "cpu")
    assert found.code == 0, found.err
    assert f"1 image is {WITHOUT}" in found.err
    other = scing("embed", "--data", world, *model[:-1], "1", "--output", "g.faiss", "--append")
    assert other.code == 2
    assert "was made by another model" in other.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--cameras", "1,2"), "--cameras needs --model: a run has its own"),
        ((*MODEL[:2], "--cameras", "1,,2"), "each camera needs a name of its own"),
        ((*MODEL[:2], "--cameras", "1,1"), "each camera needs a name of its own"),
        ((*MODEL[:2], "--camera-factor", "3"), "--camera-factor needs --cameras"),
        ((*MODEL[:2], "--cameras", "1", "--camera-factor", "0"), "must be above 0"),
        ((*MODEL[:2], "--cameras", "1", "--camera-factor", "nan"), "must be above 0"),
        ((*MODEL[:2], "--cameras", "1", "--pretrained", "random"), "has no camera vectors"),
    ],
)
def test_names_that_cannot_be_used(scing, world, here, options, message):
    for command in ("embed", "evaluate"):
        result = scing(command, "--data", world, *options)
        assert result.code == 2
        assert message in result.err
