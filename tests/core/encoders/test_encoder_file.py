"""The image tower on disk: what is written is what is read, and what was changed is refused."""

from __future__ import annotations

import dataclasses
import os

import pytest
import torch
from artifacts import edit_json
from tiny import tiny_clip

from scing_cli.core.artifacts import file_digest
from scing_cli.core.encoders.encoder_file import (
    encoder_digest,
    load_image_encoder,
    load_text_encoder,
    save_encoders,
    state_digest,
    text_encoder_digest,
)
from scing_cli.core.errors import RunError


@pytest.fixture
def saved(tmp_path):
    encoder = tiny_clip(stride=4, seed=2).image
    return encoder, save_encoders(tmp_path / "visual", encoder, {"epoch": 60, "digest": "not mine"}), tmp_path


def test_round_trip(saved):
    encoder, digest, folder = saved
    again, stamp = load_image_encoder(folder / "visual")
    assert again.geometry == encoder.geometry
    assert again.config == encoder.config
    assert not again.training
    pixels = torch.randn(2, 3, 32, 16)
    assert torch.equal(again(pixels).projected, encoder(pixels).projected)
    assert stamp["digest"] == digest == encoder_digest(again)
    assert (stamp["epoch"], stamp["grid"], stamp["embed_dim"], stamp["width"]) == (60, [7, 3], 16, 32)
    assert stamp["file_digest"] == file_digest(folder / "visual/image_encoder.safetensors")


def test_saving_again_gives_the_same_bytes(saved):
    encoder, digest, folder = saved
    assert save_encoders(folder / "again", encoder, {"epoch": 60}) == digest
    for name in ("image_encoder.safetensors", "stamp.json"):
        assert (folder / "again" / name).read_bytes() == (folder / "visual" / name).read_bytes()


def test_digest_tells_apart():
    encoder = tiny_clip().image
    state, geometry = encoder.state_dict(), encoder.geometry
    digest = state_digest(state, geometry)
    assert state_digest(dict(reversed(state.items())), geometry) == digest
    assert state_digest({name: tensor.clone() for name, tensor in state.items()}, geometry) == digest
    others = [
        state_digest(state, dataclasses.replace(geometry, mean=(0.4, 0.5, 0.5))),
        state_digest({**state, "proj": state["proj"] + 1e-7}, geometry),
        state_digest({**state, "proj": state["proj"].T.contiguous()}, geometry),
        state_digest({**state, "proj": state["proj"].half()}, geometry),
        state_digest({**state, "more": torch.tensor(1.0)}, geometry),
        state_digest(state, geometry, encoder.config),
        state_digest(state, geometry, {**encoder.config, "quick_gelu": False}),
    ]
    assert len({digest, *others}) == 1 + len(others)


def flip(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(bytes(content))


def test_changed_weights_are_refused(saved):
    _, _, folder = saved
    load_image_encoder(folder / "visual")
    flip(folder / "visual/image_encoder.safetensors")
    with pytest.raises(RunError, match="the digests differ"):
        load_image_encoder(folder / "visual")


def test_a_checked_file_is_remembered_unless_asked(saved):
    _, _, folder = saved
    path = folder / "visual/image_encoder.safetensors"
    load_image_encoder(folder / "visual")
    facts = path.stat()
    flip(path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # same size, time and inode
    load_image_encoder(folder / "visual")
    with pytest.raises(RunError, match="the digests differ"):
        load_image_encoder(folder / "visual", verify=True)


GEOMETRY = {
    "height": 32,
    "width": 16,
    "patch": 8,
    "stride": 8,
    "interpolation": "bicubic",
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"geometry": {"height": 32, "width": 16, "patch": 8, "stride": 8}},
            r"stamp\.json has an invalid value: geometry\.mean is missing",
        ),
        ({"geometry": {**GEOMETRY, "stride": 4, "mean": [0.4, 0.5, 0.5]}}, "digests differ"),
        ({"geometry": {**GEOMETRY, "stride": "4"}}, 'geometry.stride is "4": input should be a valid integer'),
        ({"geometry": {**GEOMETRY, "std": [0.5, 0.0, 0.5]}}, r"geometry\.std\.1 is 0\.0: "),
        ({"model": {}}, r"model\.width is missing"),
        ({"model": None}, "model is null: "),
        ({"geometry": None}, "geometry is null: "),
        ({"digest": "0" * 64}, "digests differ"),
        ({"file_digest": "0" * 64}, "digests differ"),
        ({"format": 99}, "has format 99"),
    ],
)
def test_changed_stamps_are_refused(saved, change, message):
    _, _, folder = saved
    edit_json(folder / "visual/stamp.json", lambda stamp: stamp.update(change))
    with pytest.raises(RunError, match=message):
        load_image_encoder(folder / "visual")


def test_another_activation_is_another_model(saved):
    encoder, _, folder = saved
    edit_json(
        folder / "visual/stamp.json", lambda stamp: stamp["model"].update(quick_gelu=not encoder.config["quick_gelu"])
    )
    with pytest.raises(RunError, match="digests differ"):
        load_image_encoder(folder / "visual", verify=True)


def test_damaged_or_missing_files_are_named(saved):
    _, _, folder = saved
    weights = folder / "visual/image_encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:-50])
    with pytest.raises(RunError, match=r"image_encoder\.safetensors does not match stamp\.json next to it"):
        load_image_encoder(folder / "visual")
    weights.unlink()
    with pytest.raises(RunError, match=r"image_encoder\.safetensors is missing"):
        load_image_encoder(folder / "visual")
    (folder / "visual/stamp.json").unlink()
    with pytest.raises(RunError, match=r"stamp\.json is missing"):
        load_image_encoder(folder / "visual")


@pytest.mark.parametrize("prompted", [False, True])
def test_both_towers_have_one_stamp(tmp_path, prompted):
    clip = tiny_clip(seed=2)
    for tower in (clip.image, clip.text) if prompted else ():
        tower.learn_prompts(3, 2, 0)
    digest = save_encoders(tmp_path / "visual", clip.image, {}, text=clip.text)
    image, stamp = load_image_encoder(tmp_path / "visual")
    text = load_text_encoder(tmp_path / "visual")
    assert (stamp["digest"], stamp["text"]["digest"]) == (digest, text_encoder_digest(clip.text))
    assert not text.training
    for own, again in ((clip.image, image), (clip.text, text)):
        assert own.config == again.config
        assert own.state_dict().keys() == again.state_dict().keys()
        assert all(torch.equal(value, again.state_dict()[name]) for name, value in own.state_dict().items())


def test_a_changed_text_tower_is_refused_and_a_missing_one_named(tmp_path, saved):
    clip = tiny_clip()
    save_encoders(tmp_path / "both", clip.image, {}, text=clip.text)
    flip(tmp_path / "both/text_encoder.safetensors")
    with pytest.raises(RunError, match=r"text_encoder\.safetensors does not match stamp\.json next to it"):
        load_text_encoder(tmp_path / "both")
    load_image_encoder(tmp_path / "both")
    with pytest.raises(RunError, match="has no text encoder"):
        load_text_encoder(tmp_path / "visual")
    save_encoders(tmp_path / "both", clip.image, {}, text=clip.text)
    edit_json(tmp_path / "both/stamp.json", lambda stamp: stamp["text"]["model"].update(layers=1))
    with pytest.raises(RunError, match=r"stamp\.json does not describe text_encoder\.safetensors next to it"):
        load_text_encoder(tmp_path / "both")
