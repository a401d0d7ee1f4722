"""The ONNX graph computes the descriptors of the tower, for every batch size, in onnxruntime and in OpenVINO."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from core.encoders.test_openvino_model import TOWERS, arrays, pixels, tower

from scing_cli.core.encoders.geometry import DESCRIPTORS
from scing_cli.core.encoders.image import descriptor

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
PLAIN = [name for name in TOWERS if name != "cameras"]


def built(encoder, kind):
    from scing_cli.core.encoders.onnx_tower import image_onnx

    return image_onnx(arrays(encoder), encoder.geometry, encoder.config, kind=kind)


def expected(encoder, given, kind):
    with torch.no_grad():
        return descriptor(encoder(torch.from_numpy(given)), kind).numpy()


@pytest.mark.parametrize("kind", DESCRIPTORS)
@pytest.mark.parametrize("name", PLAIN)
def test_the_graph_computes_what_the_tower_computes(name, kind):
    encoder = tower(name)
    model = built(encoder, kind)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    size = encoder.geometry
    assert (given.name, given.shape) == ("images", ["batch", 3, size.height, size.width])
    assert result.shape == ["batch", encoder.embed_dim + (encoder.width if kind == "concat" else 0)]
    for count in (1, 3, 64):
        images = pixels(encoder, count)
        (found,) = session.run(None, {"images": images})
        np.testing.assert_allclose(found, expected(encoder, images, kind), atol=2e-6)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_openvino_reads_the_graph(name, tmp_path):
    runtime = pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)
    encoder = tower(name)
    onnx.save_model(built(encoder, "concat"), tmp_path / "encoder.onnx")
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = runtime.openvino_core().compile_model(tmp_path / "encoder.onnx", "CPU", settings)
    for count in (1, 5):
        images = pixels(encoder, count)
        np.testing.assert_allclose(
            compiled({"images": images})["vectors"], expected(encoder, images, "concat"), atol=2e-5
        )


def test_equal_towers_give_equal_files():
    one, two = (built(tower("plain"), "projected").SerializeToString() for _ in range(2))
    assert one == two
    assert one != built(tower("plain", seed=1), "projected").SerializeToString()


def test_a_class_token_without_length_gives_zeros_as_torch_does():
    encoder = tower("plain")
    with torch.no_grad():
        encoder.proj.zero_()
    session = onnxruntime.InferenceSession(built(encoder, "projected").SerializeToString())
    assert not session.run(None, {"images": pixels(encoder, 2)})[0].any()
