"""An exported ONNX file is a model here: `--model encoder.onnx` gives the run's vectors and its ranking."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx")
import numpy as np

import scing_cli

openvino = pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError).openvino


@pytest.mark.parametrize("kind", ["projected", "concat"])
def test_an_exported_file_gives_the_runs_vectors_and_ranking(scing, finished, world, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    assert scing("embed", "--run", finished, "--export", "encoder.onnx", "--descriptor", kind).code == 0
    photos = sorted((world / "query").glob("*.jpg"))[:5]
    exact = scing_cli.Machine(device="cpu", precision="fp32")
    run = scing_cli.load_model(finished, descriptor=kind, machine=exact).embed(photos)
    np.testing.assert_allclose(scing_cli.load_model(model="encoder.onnx").embed(photos), run, atol=1e-4)
    openvino.save_model(openvino.convert_model("encoder.onnx"), "encoder.xml", compress_to_fp16=False)
    np.testing.assert_allclose(scing_cli.load_model(model="encoder.xml").embed(photos), run, atol=1e-4)
    ranked = []
    for name, model in (("run", ("--run", finished, "--descriptor", kind)), ("file", ("--model", "encoder.onnx"))):
        made = scing("embed", *model, "--images", world / "query", "--output", f"{name}.faiss", "--precision", "fp32")
        assert made.code == 0, made.err
        found = scing("search", *photos, "--index", f"{name}.faiss", "--precision", "fp32", "--json").json["results"]
        ranked.append([(own["hits"][0]["path"], [hit["score"] for hit in own["hits"]]) for own in found])
    for (first, scores), (other, others) in zip(*ranked, strict=True):
        assert first == other
        np.testing.assert_allclose(scores, others, atol=1e-4)
