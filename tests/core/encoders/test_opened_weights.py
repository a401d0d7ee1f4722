"""What files next to the weights state is used or said: pixels, size and activation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from oracles.openclip import twin
from tiny import TINY_MODEL, tiny_clip
from weight_layouts import CONFIG, SQUARE, clip_reid_names, save, transformers_names

from scing_cli.core.encoders.clip import load_clip, load_image_tower
from scing_cli.core.encoders.encoder_file import save_encoders
from scing_cli.core.runtime import Silent

WRONG = "features will be wrong"


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.warnings, self.notes = [], []

    def warn(self, message):
        self.warnings.append(message)

    def note(self, message):
        self.notes.append(message)


@pytest.fixture(scope="module")
def state():
    return {name: tensor.detach() for name, tensor in twin(tiny_clip(seed=4)).state_dict().items()}


@pytest.fixture
def gelu(tmp_path):
    """The small model with GELU."""
    content = json.loads(Path(TINY_MODEL).read_text(encoding="utf-8"))
    return written(tmp_path / "gelu.json", {**content, "quick_gelu": False})


def written(path, content):
    path.write_text(json.dumps(content))
    return str(path)


def heard(model, pretrained):
    listener = Heard()
    image = load_image_tower(model, pretrained, reporter=listener).image
    return image, listener


def folder_of_open_clip(folder, state, *, quick_gelu=True, preprocess=None):
    folder.mkdir()
    content = {"model_cfg": {**SQUARE, "quick_gelu": quick_gelu}, "preprocess_cfg": preprocess or {}}
    written(folder / "open_clip_config.json", content)
    return save(folder / "open_clip_model.safetensors", state)


def folder_of_transformers(folder, state, *, activation="quick_gelu", preprocessor=None):
    folder.mkdir()
    sections = {part: CONFIG[part] | {"hidden_act": activation} for part in ("vision_config", "text_config")}
    written(folder / "config.json", CONFIG | sections)
    if preprocessor:
        written(folder / "preprocessor_config.json", preprocessor)
    return save(folder / "model.safetensors", transformers_names(state))


@pytest.mark.parametrize("form", ["open_clip", "transformers"])
@pytest.mark.parametrize("whole", [True, False])
def test_another_activation_than_the_folder_states_is_warned_of(tmp_path, state, gelu, form, whole):
    for quick in (True, False):
        place = tmp_path / f"{form}-{quick}"
        if form == "open_clip":
            file = folder_of_open_clip(place, state, quick_gelu=quick)
        else:
            file = folder_of_transformers(place, state, activation="quick_gelu" if quick else "gelu")
        given = str(place) if whole else file
        for model, ours in ((TINY_MODEL, True), (gelu, False)):
            warnings = heard(model, given)[1].warnings
            assert len(warnings) == (quick != ours)
            if quick != ours:
                theirs = "QuickGELU" if quick else "GELU"
                assert f"config.json says that the weights need {theirs}, but" in warnings[0]
                assert WRONG in warnings[0]
                assert f"Change quick_gelu in {model}." in warnings[0]


def test_the_activation_of_a_folder_is_that_of_its_model(tmp_path, state):
    for quick, activation in ((True, "quick_gelu"), (False, "gelu")):
        folder_of_open_clip(tmp_path / f"o{quick}", state, quick_gelu=quick)
        folder_of_transformers(tmp_path / f"t{quick}", state, activation=activation)
        for name in (f"o{quick}", f"t{quick}"):
            image, listener = heard(str(tmp_path / name), "random")
            assert image.config["quick_gelu"] is quick
            assert not [each for each in listener.warnings if WRONG in each]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sizes.pt", lambda state: {**state, "input_resolution": torch.tensor(32)}),
        ("clip_reid.pth", clip_reid_names),
        ("b16_400m.pt", lambda state: state),  # as MetaCLIP's file is called, which open_clip lists
    ],
)
def test_weights_that_are_known_to_need_quickgelu(tmp_path, state, gelu, name, change):
    file = save(tmp_path / name, change(state))
    (warning,) = heard(gelu, file)[1].warnings
    assert "QuickGELU" in warning
    assert WRONG in warning
    assert not heard(TINY_MODEL, file)[1].warnings


def test_weights_that_are_known_to_need_gelu(tmp_path, state):
    file = save(tmp_path / "vit_b_16-laion400m_e32-55e67d44.pt", state)
    (warning,) = heard(TINY_MODEL, file)[1].warnings
    assert "open_clip says that the weights need GELU" in warning


@pytest.mark.parametrize("form", ["open_clip", "transformers"])
def test_pixels_of_the_weights_folder_come_before_those_of_the_model(tmp_path, state, form):
    if form == "open_clip":
        stated = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear", "size": 224}
        folder_of_open_clip(tmp_path / "w", state, preprocess=stated)
    else:
        stated = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 2, "crop_size": 224}
        folder_of_transformers(tmp_path / "w", state, preprocessor=stated)
    (tmp_path / "model").mkdir()
    other = {"model_cfg": json.loads(Path(TINY_MODEL).read_text()), "preprocess_cfg": {"mean": [0.7] * 3}}
    written(tmp_path / "model" / "open_clip_config.json", other)
    for model in (TINY_MODEL, str(tmp_path / "model")):
        listener = Heard()
        geometry = load_image_tower(model, str(tmp_path / "w"), reporter=listener).image.geometry
        assert (geometry.mean, geometry.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
        assert geometry.interpolation == "bilinear"
        size = f"{geometry.height}x{geometry.width}"
        assert f"Images are resized to {size} pixels; {tmp_path}" in listener.notes[-1]
        assert "states 224x224, the size of its pretraining." in listener.notes[-1]


@pytest.mark.parametrize("stated", [{"height": 64, "width": 32}, [64, 32]])
def test_a_size_that_is_not_square_is_used(tmp_path, state, stated):
    folder_of_open_clip(tmp_path / "o", state, preprocess={"size": stated})
    folder_of_transformers(tmp_path / "t", state, preprocessor={"size": stated})
    for name in ("o", "t"):
        image, listener = heard(TINY_MODEL, str(tmp_path / name))
        assert (image.geometry.height, image.geometry.width) == (64, 32)
        assert not [note for note in listener.notes if "resized" in note]


def test_our_own_image_encoder_keeps_its_pixels_and_its_size(tmp_path):
    made = load_clip(
        TINY_MODEL, "random", size=(32, 32), statistics="clip", interpolation="bilinear", reporter=Silent()
    )
    save_encoders(tmp_path / "run" / "visual", made.image, {})
    for given in ("run/visual/image_encoder.safetensors", "run/visual", "run"):
        image, listener = heard(TINY_MODEL, str(tmp_path / given))
        assert image.geometry == made.image.geometry
        assert torch.equal(image.proj, made.image.proj)
        assert not listener.warnings


def test_a_file_that_states_nothing_of_a_model_is_passed_over(tmp_path, state):
    file = save(tmp_path / "w.safetensors", state)
    written(tmp_path / "config.json", {"optimizer": "adam"})
    image, listener = heard(TINY_MODEL, file)
    assert image.geometry == tiny_clip().image.geometry
    assert not listener.notes
    assert not listener.warnings
