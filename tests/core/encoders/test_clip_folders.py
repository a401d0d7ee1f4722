"""Folders of open_clip and transformers hold the whole CLIP, and are read back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from core.encoders.test_weight_names import SQUARE, transformers_names
from safetensors import safe_open
from safetensors.torch import load_file

from scing_cli.core.encoders.clip import load_clip
from scing_cli.core.encoders.clip_folders import (
    OPEN_CLIP,
    TRANSFORMERS,
    clip_state,
    transformers_state,
    write_clip_folder,
)
from scing_cli.core.encoders.encoder_file import encoder_digest
from scing_cli.core.encoders.export_facts import export_facts
from scing_cli.core.errors import WeightsError
from scing_cli.core.runtime import Silent


def square(folder: Path, **changes):
    """A CLIP for images of 48x48 pixels, larger than those of 32x32 that its file calls its own."""
    file = folder / "square.json"
    content = {**SQUARE, **changes}
    content["vision_cfg"] = {**SQUARE["vision_cfg"], "image_size": [48, 48], "mlp_ratio": 2.0}
    file.write_text(json.dumps(content))
    return load_clip(str(file), "random", seed=3, statistics="clip", interpolation="bilinear", reporter=Silent())


@pytest.mark.parametrize("quick_gelu", [True, False])
@pytest.mark.parametrize("kind", [OPEN_CLIP, TRANSFORMERS])
def test_a_folder_is_read_back_with_the_same_digest_pixels_and_text_tower(tmp_path, kind, quick_gelu):
    clip = square(tmp_path, quick_gelu=quick_gelu)
    folder = tmp_path / "folder"
    folder.mkdir()
    write_clip_folder(folder, clip, kind, export_facts(clip.image.geometry, kind="projected", digest="d1"))
    again = load_clip(str(folder), reporter=Silent())
    assert again.image.geometry == clip.image.geometry
    assert encoder_digest(again.image) == encoder_digest(clip.image)
    for name, tensor in clip.text.state_dict().items():
        assert torch.equal(again.text.state_dict()[name], tensor), name
    assert again.logit_scale == pytest.approx(clip.logit_scale, rel=1e-6)


def test_the_header_of_the_weights_states_the_facts(tmp_path):
    clip = square(tmp_path)
    facts = export_facts(clip.image.geometry, kind="projected", digest="d1")
    write_clip_folder(tmp_path, clip, OPEN_CLIP, facts)
    with safe_open(tmp_path / "open_clip_model.safetensors", "pt") as stream:
        assert json.loads(stream.metadata()["scing"]) == facts
    assert (facts["height"], facts["width"], facts["range"], facts["digest"]) == (48, 48, 1.0, "d1")
    assert set(load_file(tmp_path / "open_clip_model.safetensors")) == set(clip_state(clip))


def test_transformers_names_are_those_of_its_documentation(tmp_path):
    state = clip_state(square(tmp_path))
    documented = transformers_names(state)
    documented.pop("vision_model.embeddings.position_ids")
    found = transformers_state(state)
    assert set(found) == set(documented)
    assert all(torch.equal(found[name], documented[name]) for name in found)


@pytest.mark.parametrize("facts", [{}, {"height": "48", "width": 48}, {"height": 48}, {"height": 10**9, "width": 48}])
def test_a_size_that_cannot_be_is_refused(tmp_path, facts):
    write_clip_folder(tmp_path, square(tmp_path), TRANSFORMERS, facts)
    with pytest.raises(WeightsError, match="image_size must be a whole number from 1 to 4,096"):
        load_clip(str(tmp_path), reporter=Silent())


def test_equal_models_give_equal_files(tmp_path):
    clip = square(tmp_path)
    facts = export_facts(clip.image.geometry, kind="projected", digest="d1")
    written = set()
    for number in range(8):  # each writes its header in another order
        folder = tmp_path / str(number)
        folder.mkdir()
        write_clip_folder(folder, clip, OPEN_CLIP, facts)
        written.add((folder / "open_clip_model.safetensors").read_bytes())
    assert len(written) == 1
