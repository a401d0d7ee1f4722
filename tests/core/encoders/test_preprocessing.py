"""What a model's folder states of its pixels is used unless the user chooses; what cannot be used is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.encoders.geometry import CLIP_MEAN, CLIP_STD, HALF, STATISTICS
from scing_cli.core.encoders.preprocessing import choose_preprocessing
from scing_cli.core.errors import SettingError, WeightsError

CLIP = {"vision_config": {}, "text_config": {}}


def open_clip_folder(folder, stated):
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}, "preprocess_cfg": stated}))
    return str(folder)


def transformers_folder(folder, stated):
    (folder / "config.json").write_text(json.dumps(CLIP))
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    return str(folder)


def test_without_a_statement_it_is_half_and_bicubic(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CLIP))
    for name in ("scing-tiny", str(tmp_path), open_clip_folder(tmp_path, {})):
        found = choose_preprocessing(name)
        assert (found.mean, found.std, found.interpolation, found.source) == (HALF, HALF, "bicubic", None)


@pytest.mark.parametrize("kind", ["open_clip", "transformers"])
def test_a_statement_is_used_unless_the_user_chooses(tmp_path, kind):
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    if kind == "open_clip":
        name = open_clip_folder(tmp_path, {"mean": mean, "std": std, "interpolation": "bilinear"})
    else:
        name = transformers_folder(tmp_path, {"image_mean": mean, "image_std": std, "resample": 2, "do_resize": True})
    found = choose_preprocessing(name)
    assert (found.mean, found.std, found.interpolation) == (tuple(mean), tuple(std), "bilinear")
    assert found.source is not None
    assert found.source.parent == tmp_path
    chosen = choose_preprocessing(name, "clip", "bicubic")
    assert (chosen.mean, chosen.std, chosen.interpolation, chosen.source) == (CLIP_MEAN, CLIP_STD, "bicubic", None)
    assert choose_preprocessing(name, "half").interpolation == "bilinear"


@pytest.mark.parametrize("bad", [[0.5, 0.5], "half", [0.5, 0.5, "x"], [0.5, 0.5, True], [0, 0, 0], [124, 117, 104], {}])
def test_a_statement_that_cannot_be_used_is_refused(tmp_path, bad):
    with pytest.raises(WeightsError, match=r"open_clip_config\.json: std .* three numbers on a scale of 0 to 1"):
        choose_preprocessing(open_clip_folder(tmp_path, {"mean": [0.5] * 3, "std": bad}))


def test_what_the_user_chooses_need_not_be_stated_well(tmp_path):
    bad = open_clip_folder(tmp_path, {"mean": [124, 117, 104], "std": [1, 2, 3], "interpolation": "bilinear"})
    found = choose_preprocessing(bad, "clip")
    assert (found.mean, found.std, found.interpolation) == (CLIP_MEAN, CLIP_STD, "bilinear")
    other = open_clip_folder(tmp_path, {"mean": [0.1] * 3, "std": [0.2] * 3, "interpolation": "lanczos"})
    assert choose_preprocessing(other, interpolation="bicubic").mean == (0.1, 0.1, 0.1)
    with pytest.raises(WeightsError, match="lanczos"):
        choose_preprocessing(other, "clip")


@pytest.mark.parametrize("bad", [0, 9, True, "nearest", [3]])
def test_an_interpolation_that_is_not_offered_is_refused(tmp_path, bad):
    with pytest.raises(WeightsError, match=r"the interpolation .* is unknown"):
        choose_preprocessing(transformers_folder(tmp_path, {"image_mean": [0.5] * 3, "resample": bad}))


def test_a_choice_that_is_unknown_is_refused():
    with pytest.raises(SettingError, match="Pixel statistics 'imagenet' are unknown"):
        choose_preprocessing("scing-tiny", "imagenet")
    with pytest.raises(SettingError, match="Interpolation 'nearest' is unknown"):
        choose_preprocessing("scing-tiny", "auto", "nearest")


@given(st.sampled_from([*STATISTICS, "auto"]), st.sampled_from(["auto", "bicubic", "bilinear"]))
def test_a_plain_name_is_what_the_user_chooses(statistics, interpolation):
    found = choose_preprocessing("ViT-B-32", statistics, interpolation)
    assert (found.mean, found.std) == STATISTICS["half" if statistics == "auto" else statistics]
    assert found.interpolation == ("bicubic" if interpolation == "auto" else interpolation)
    assert CLIP_STD != HALF


@pytest.mark.parametrize("name", ["preprocessor_config.json", "open_clip_config.json"])
def test_a_statement_outside_the_folder_is_not_read(tmp_path, name):
    """Next to a model's description, and next to weights."""
    folder, weights = tmp_path / "model", tmp_path / "model" / "weights.pt"
    folder.mkdir()
    weights.touch()
    if name == "preprocessor_config.json":
        transformers_folder(folder, {"image_mean": [0.5] * 3})
    else:
        open_clip_folder(folder, {"mean": [0.5] * 3})
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(WeightsError, match="outside its folder: it was not opened"):
        choose_preprocessing(str(folder), weights=weights)
