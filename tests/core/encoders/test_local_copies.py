"""Copies in the hub's cache are found by their names, with no network; links that lead out of a folder are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from oracles.openclip import twin
from tiny import TINY_MODEL
from weight_layouts import CONFIG, SQUARE, save, transformers_names

from scing_cli.core.encoders import hub
from scing_cli.core.encoders.architecture import find_architecture
from scing_cli.core.encoders.clip import load_clip, load_image_tower
from scing_cli.core.encoders.local_copies import hub_copy, is_file_name, repository_of
from scing_cli.core.errors import WeightsError
from scing_cli.core.runtime import Silent

OPENAI, LAION, TIMM = (
    "openai/clip-vit-base-patch16",
    "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    "timm/vit_base_patch16_clip_224.openai",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A square CLIP of a few weights."""
    config = tmp_path_factory.mktemp("square") / "square.json"
    config.write_text(json.dumps(SQUARE))
    return load_clip(str(config), "random", seed=4, size=(32, 32), reporter=Silent())


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub."""
    place = tmp_path / "hub"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SCING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place))
    return place


def store(cache, repository, commit="c1", *, main=True, **files):
    """Write a copy of a repository as huggingface_hub does: blobs, links to them, and the branch `main`."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (folder / "blobs").mkdir(exist_ok=True)
    for key, content in files.items():
        name = key.replace("__", ".")
        blob = folder / "blobs" / f"{commit}-{name}"
        if name.endswith(".json"):
            blob.write_text(json.dumps(content))
        else:
            save(blob, content)
        (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    if main:
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / "main").write_text(commit)
    return snapshot


def of_transformers(made):
    return {"config__json": CONFIG, "model__safetensors": transformers_names(twin(made).state_dict())}


def of_open_clip(made, **files):
    state = {name: tensor for name, tensor in twin(made).state_dict().items() if not name.endswith("attn_mask")}
    return {"open_clip_model__safetensors": state, **files}


def same(image, made):
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(image(pixels).projected, made.image(pixels).projected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [OPENAI, f"hf-hub:{OPENAI}"])
def test_a_copy_of_transformers_is_a_model_with_its_weights(cache, made, name):
    store(cache, OPENAI, **of_transformers(made))
    loaded = load_clip(name, size=(32, 32), reporter=Silent())
    assert (loaded.name, loaded.pretrained) == (OPENAI, OPENAI)
    same(loaded.image, made)
    assert hub.has_own_weights(name)
    again = load_clip(loaded.name, loaded.pretrained, size=(32, 32), reporter=Silent())
    same(again.image, made)


@pytest.mark.parametrize("repository", [LAION, TIMM])
def test_a_copy_of_open_clip(cache, made, repository):
    config = {"model_cfg": SQUARE, "preprocess_cfg": {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}}
    store(cache, repository, **of_open_clip(made, open_clip_config__json=config))
    loaded = load_clip(repository, size=(32, 32), reporter=Silent())
    same(loaded.image, made)
    assert loaded.image.geometry.mean == (0.48, 0.46, 0.41)
    assert load_image_tower(TINY_MODEL, repository, reporter=Silent()).pretrained == repository


@pytest.mark.parametrize(("repository", "model"), [(LAION, "ViT-B-16"), (TIMM, "ViT-B-16-quickgelu")])
def test_open_clip_fetches_no_description_the_table_of_open_clip_has_it(cache, made, repository, model):
    store(cache, repository, **of_open_clip(made))
    found, listed = find_architecture(repository), find_architecture(model)
    assert (found.name, found.image, found.text) == (repository, listed.image, listed.text)
    assert hub.locate(repository, None, reporter=Silent()).name == "open_clip_model.safetensors"


@pytest.mark.parametrize(
    ("model", "tag", "repository", "file"),
    [
        ("ViT-B-16-quickgelu", "openai", OPENAI, "model.safetensors"),
        ("ViT-B-16-quickgelu", "openai", TIMM, "open_clip_model.safetensors"),
        ("ViT-B-16", "laion2b_s34b_b88k", LAION, "open_clip_model.safetensors"),
        ("ViT-B-16", "laion2b-s34b-b88k", LAION, "model.safetensors"),
    ],
)
def test_a_tag_is_served_by_a_copy(cache, made, model, tag, repository, file):
    files = of_transformers(made) if file == "model.safetensors" else of_open_clip(made)
    snapshot = store(cache, repository, **files)
    assert hub.locate(model, tag, reporter=Silent()) == snapshot / file


def test_timms_own_file_does_not_serve_a_tag(cache):
    store(cache, TIMM, model__safetensors={"patch_embed.proj.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="cannot be fetched"):
        hub.locate("ViT-B-16-quickgelu", "openai", reporter=Silent())


def test_the_copy_of_main_is_preferred_and_its_folder_can_be_named(cache, made):
    new = store(cache, OPENAI, "c1", **of_transformers(made))
    store(cache, OPENAI, "c2", main=False, **of_transformers(made))
    assert hub_copy(OPENAI) == new
    for folder in (new, new.parents[1]):
        loaded = load_clip(str(folder), size=(32, 32), reporter=Silent())
        assert Path(loaded.pretrained) == new / "model.safetensors"
        assert load_image_tower(TINY_MODEL, str(folder), reporter=Silent()).pretrained == loaded.pretrained
    (new.parents[1] / "refs" / "main").unlink()
    assert hub_copy(OPENAI) is not None


def test_the_variables_say_where_the_cache_is(cache, made, scing_process, tmp_path):
    store(cache, OPENAI, **of_transformers(made))
    (tmp_path / "a").mkdir()
    cache.rename(tmp_path / "a" / "hub")
    for variable, place in (("HF_HOME", tmp_path / "a"), ("HF_HUB_CACHE", tmp_path / "a" / "hub")):
        done = scing_process(
            "from scing_cli.core.encoders import hub; from scing_cli.core.runtime import Silent\n"
            f"print(hub.locate({OPENAI!r}, None, reporter=Silent()))",
            {variable: str(place)},
        )
        assert str(tmp_path / "a" / "hub") in done


@pytest.fixture
def scing_process():
    """Runs Python code in a process with more variables; returns its output."""
    import subprocess
    import sys

    def run(code, variables):
        return subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=True
        ).stdout

    return run


def test_what_is_not_in_the_cache_is_told_with_its_command():
    with pytest.raises(WeightsError, match=f"There is no model '{OPENAI}'") as caught:
        find_architecture(OPENAI)
    assert f"hf download {OPENAI}." in caught.value.remedy
    with pytest.raises(WeightsError, match="does not exist") as caught:
        hub.locate(TINY_MODEL, OPENAI, reporter=Silent())
    assert f"hf download {OPENAI}" in caught.value.remedy
    with pytest.raises(WeightsError, match="There is no model") as caught:
        find_architecture("ViT-B/16-quickgelu")
    assert "Close matches: ViT-B-16-quickgelu" in caught.value.remedy


def test_other_things_than_a_model_are_named(tmp_path):
    with pytest.raises(WeightsError, match="names a weights file, not a model") as caught:
        find_architecture("runs/a/visual/image_encoder.safetensors")
    assert "--model NAME --pretrained FILE" in caught.value.remedy
    (tmp_path / "run.json").touch()
    with pytest.raises(WeightsError, match="the folder has no") as caught:
        find_architecture(str(tmp_path))
    assert f"It is a run: --run {tmp_path}" in caught.value.remedy
    with pytest.raises(WeightsError, match="There is no model"):
        find_architecture("a" * 5000)


def test_weights_in_several_files_are_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    for model, pretrained in ((str(tmp_path), None), (TINY_MODEL, str(tmp_path))):
        with pytest.raises(WeightsError, match=r"in several files \(model\.safetensors\.index\.json lists them\)"):
            hub.locate(model, pretrained, reporter=Silent())


def test_what_names_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("plain").touch()
    Path("openai").mkdir()
    assert all(is_file_name(name) for name in ("a.pt", "w/openai", "b.safetensors", "plain"))
    assert not any(is_file_name(name) for name in ("openai", "laion2b_s34b_b88k", "missing"))


def test_names_that_are_not_repositories(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a/b").mkdir(parents=True)
    for name in ("ViT-B-16", "a/b", "../b", "/a/b", "a/b/c", "https://a/b", "a b/c"):
        assert repository_of(name) is None


@pytest.mark.parametrize("name", ["model.safetensors", "open_clip_pytorch_model.bin", "image_encoder.safetensors"])
def test_weights_outside_the_folder_are_not_opened(tmp_path, name):
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere.bin"
    folder.mkdir()
    elsewhere.write_bytes(b"secret")
    (folder / name).symlink_to(elsewhere)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for model, pretrained in ((str(folder), None), (TINY_MODEL, str(folder))):
        with pytest.raises(WeightsError, match=r"is a link to .*elsewhere\.bin, outside its folder") as caught:
            load_clip(model, pretrained, reporter=Silent())
        assert f"--pretrained {elsewhere}" in caught.value.remedy
    inside = folder / "real.bin"
    inside.write_bytes(b"")
    (folder / name).unlink()
    (folder / name).symlink_to("real.bin")
    assert hub.locate(str(folder), None, reporter=Silent()) == folder / name


def test_linked_folders_and_configurations_that_lead_out_are_not_opened(tmp_path):
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "image_encoder.safetensors").write_bytes(b"secret")
    (folder / "visual").symlink_to(elsewhere)
    with pytest.raises(WeightsError, match=r"is a link to .*elsewhere/image_encoder\.safetensors, outside its folder"):
        load_clip(TINY_MODEL, str(folder), reporter=Silent())
    (elsewhere / "config.json").write_text(json.dumps(CONFIG))
    (folder / "config.json").symlink_to(elsewhere / "config.json")
    with pytest.raises(WeightsError, match=r"is a link to .*elsewhere/config\.json, outside its folder"):
        find_architecture(str(folder))
    (tmp_path / "link").symlink_to(elsewhere)  # the folder that was named may be a link
    assert find_architecture(str(tmp_path / "link")).image.width == find_architecture(str(elsewhere)).image.width
    with pytest.raises(WeightsError, match=r"--model .*gone: there is no such folder"):
        find_architecture(str(tmp_path / "gone"))
