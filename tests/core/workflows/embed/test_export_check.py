"""An export is refused if its vectors differ, or if its format cannot hold the encoder."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from core.encoders.test_openvino_model import arrays, tower

from scing_cli.core.encoders.clip import empty_clip
from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.errors import ScingError, SettingError
from scing_cli.core.workflows.embed import export_check
from scing_cli.core.workflows.embed.export_place import ONNX, OPEN_CLIP, TRANSFORMERS


def unit(count, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_smallest_cosine_of_all_images_and_descriptors_is_returned():
    own, other = unit(4), unit(4)
    other[2, 0] += 0.005
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    least = export_check.check_parity({"projected": own, "concat": own}, {"projected": own, "concat": other})
    assert least == pytest.approx(float((own[2] * other[2]).sum()), abs=1e-6)
    assert export_check.LEAST_COSINE <= least < 0.999999


@pytest.mark.parametrize("wrong", [-1.0, 0.98, np.nan])
def test_one_vector_that_differs_is_enough_to_refuse(wrong):
    other = unit(4)
    other[3] *= wrong
    with pytest.raises(
        ScingError, match=r"Nothing was exported: on 4 images, the smallest cosine .* 0.9999 is required"
    ):
        export_check.check_parity({"projected": unit(4)}, {"projected": other})


def test_a_model_that_is_too_large_for_one_file_is_refused():
    with pytest.raises(SettingError, match=r"2\.4 GB of weights; an ONNX file holds less than 2 GB"):
        export_check.check_size(empty_clip("ViT-H-14").image)
    export_check.check_size(empty_clip("ViT-L-14").image)


def test_folders_of_other_programs_cannot_hold_deep_prompts():
    geometry = Geometry(32, 32, 8, 8)
    for chosen in (OPEN_CLIP, TRANSFORMERS):
        with pytest.raises(SettingError) as refused:
            export_check.check_holds(chosen, geometry, cameras=False, prompts=True, kind="projected")
        assert refused.value.what == f"--export-format {chosen} cannot hold the deep prompts of this encoder."
        assert refused.value.remedy == "Use ONNX: --export NAME.onnx."
    export_check.check_holds(ONNX, geometry, cameras=False, prompts=True, kind="concat")


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_either_engine_checks_a_file(engine, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip(engine)
    from scing_cli.core.encoders.onnx_tower import image_onnx

    encoder = tower("quick gelu")
    size = encoder.geometry
    onnx.save_model(image_onnx(arrays(encoder), size, encoder.config, kind="concat"), tmp_path / "e.onnx")
    found = importlib.util.find_spec
    if engine == "onnxruntime":
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else found(name))
    pixels = np.random.default_rng(0).integers(0, 255, (3, 3, size.height, size.width), np.uint8)
    vectors = export_check.onnx_vectors(tmp_path / "e.onnx", pixels, size, "concat")
    assert export_check.check_parity(export_check.encoder_vectors(encoder, pixels), vectors) > 0.99999
