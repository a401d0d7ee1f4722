"""Vectors of graph files: equal to torch's in every form of input, by OpenVINO and by ONNX Runtime; refusals."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph_models import DIM, HEIGHT, WIDTH, as_ir, export, osnet, reference

from scing_cli.core.encoders.graph_files.engines import OnnxRuntimeEngine
from scing_cli.core.encoders.graph_files.graph_encoder import (
    AT_ONCE,
    LARGEST,
    GraphEncoder,
    load_graph_encoder,
    open_graph_file,
    unit_length,
)
from scing_cli.core.encoders.graph_files.preparation import IMAGENET
from scing_cli.core.errors import DataError, WeightsError

onnx = pytest.importorskip("onnx")
pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)
helper, FLOAT = onnx.helper, 1
PIXELS = np.random.default_rng(1).integers(0, 256, (5, 3, HEIGHT, WIDTH), np.uint8)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("graphs") / "encoder.onnx", osnet())


def vectors(path: Path, pixels: Any = PIXELS, **options: str) -> Any:
    ((tag, found),) = load_graph_encoder(open_graph_file(path, **options)).stream([("tag", pixels)])
    assert tag == "tag"
    return unit_length(found)


def write(target: Path, nodes: Any, *, weights: Any = (), shape: Any = ("b", 3, HEIGHT, WIDTH), element: int = FLOAT):
    """Write a graph from `x` to `y`; a constant is the one in `weights` of its name."""
    inputs = [helper.make_tensor_value_info("x", element, shape)]
    outputs = [helper.make_tensor_value_info("y", FLOAT, None)]
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in dict(weights).items()]
    graph = helper.make_graph(
        [helper.make_node(*each[:3], **each[3]) for each in nodes], "g", inputs, outputs, constants
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    target.write_bytes(made.SerializeToString())
    return target


def test_vectors_are_those_of_torch(encoder: Path) -> None:
    np.testing.assert_allclose(vectors(encoder), reference(osnet(), PIXELS, *IMAGENET), atol=1e-5)
    half = (0.5, 0.5, 0.5)
    np.testing.assert_allclose(vectors(encoder, statistics="half"), reference(osnet(), PIXELS, half, half), atol=1e-5)


def test_both_engines_give_equal_vectors(encoder: Path) -> None:
    pytest.importorskip("onnxruntime")
    file = open_graph_file(encoder)
    other = GraphEncoder(file, OnnxRuntimeEngine(file.content), "fp32")
    ((_, found),) = other.stream([(None, PIXELS)])
    assert other.engine == "onnxruntime"
    assert other.width == DIM
    np.testing.assert_allclose(unit_length(found), vectors(encoder), atol=1e-4)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_fixed_batch_size_gives_the_same_vectors(tmp_path: Path, encoder: Path, batch: int) -> None:
    fixed = export(tmp_path / "encoder.onnx", osnet(), batch=batch)
    np.testing.assert_allclose(vectors(fixed), vectors(encoder), atol=1e-5)


def test_batches_keep_their_tags_and_order(encoder: Path) -> None:
    many = np.random.default_rng(2).integers(0, 256, (2 * AT_ONCE + 3, 3, HEIGHT, WIDTH), np.uint8)
    loaded = load_graph_encoder(open_graph_file(encoder))
    parts = {"a": many[:3], "b": many[3:4], "c": many[4:]}
    found = dict(loaded.stream(parts.items()))
    assert list(found) == ["a", "b", "c"]
    assert {name: len(each) for name, each in found.items()} == {name: len(each) for name, each in parts.items()}
    np.testing.assert_allclose(unit_length(np.concatenate(list(found.values()))), vectors(encoder, many), atol=1e-5)


def test_an_ir_and_a_stated_free_size_give_the_same_vectors(tmp_path: Path, encoder: Path) -> None:
    np.testing.assert_allclose(vectors(as_ir(encoder, tmp_path / "ir.xml")), vectors(encoder), atol=1e-5)
    free = export(tmp_path / "free.onnx", osnet(), free_size=True, stated={"height": HEIGHT, "width": WIDTH})
    np.testing.assert_allclose(vectors(free), vectors(encoder), atol=1e-5)


@pytest.mark.parametrize("element", ["uint8", "float16"])
@pytest.mark.parametrize("last", [False, True])
def test_every_form_of_input(tmp_path: Path, element: str, last: bool) -> None:
    """The graph sums each channel, so that its vector shows which pixels it got."""
    number = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(element))
    shape = ("b", HEIGHT, WIDTH, 3) if last else ("b", 3, HEIGHT, WIDTH)
    nodes = [
        ("Cast", ["x"], ["f"], {"to": FLOAT}),
        ("ReduceMean", ["f"], ["y"], {"axes": [1, 2] if last else [2, 3], "keepdims": 0}),
    ]
    path = write(tmp_path / "encoder.onnx", nodes, shape=shape, element=number)
    (tmp_path / "encoder.json").write_text(json.dumps({"range": 255, "channels": "bgr"}))
    expected = PIXELS[:, ::-1].astype(np.float64).mean(axis=(2, 3))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors(path), expected, atol=1e-3)


@pytest.mark.parametrize(("form", "width"), [("map", 16), ("class token", 16), ("both", DIM)])
def test_other_outputs_become_one_vector(tmp_path: Path, form: str, width: int) -> None:
    model = osnet(form=form)
    path = export(tmp_path / "encoder.onnx", model, outputs=("maps", "vectors") if form == "both" else ("o",))
    assert vectors(path).shape == (5, width)
    if form == "both":
        path.with_suffix(".json").write_text('{"output": "maps"}')
        np.testing.assert_allclose(vectors(path), vectors(export(tmp_path / "maps.onnx", osnet(form="map"))), atol=1e-5)


@pytest.mark.parametrize(
    ("form", "reason"),
    [("tokens", "has 128 tokens per image, and none is a class token"), ("pair", "it has several outputs")],
)
def test_unclear_outputs_are_refused(tmp_path: Path, form: str, reason: str) -> None:
    path = export(tmp_path / "encoder.onnx", osnet(form=form), outputs=("a", "b") if form == "pair" else ("a",))
    with pytest.raises(WeightsError, match=f"encoder.onnx cannot be used: .*{reason}"):
        vectors(path)


MEAN = ("ReduceMean", ["x"], ["m"], {"axes": [2, 3], "keepdims": 0})
CENTRED = [
    ("ReduceMean", ["x"], ["a"], {"axes": [0], "keepdims": 1}),
    ("Sub", ["x", "a"], ["d"], {}),
    ("ReduceMean", ["d"], ["e"], {"axes": [2, 3], "keepdims": 0}),
    ("Add", ["e", "one"], ["y"], {}),
]
LARGE = [  # only batches of more than two images change it
    ("Shape", ["x"], ["s"], {"start": 0, "end": 1}),
    ("Greater", ["s", "two"], ["g"], {}),
    ("Cast", ["g"], ["f"], {"to": FLOAT}),
    ("ReduceMean", ["x"], ["a"], {"axes": [0], "keepdims": 1}),
    ("Mul", ["a", "f"], ["b"], {}),
    ("Sub", ["x", "b"], ["d"], {}),
    ("ReduceMean", ["d"], ["e"], {"axes": [2, 3], "keepdims": 0}),
    ("Add", ["e", "one"], ["y"], {}),
]
LARGE_WEIGHTS = {"two": np.int64([2]), "one": np.float32([1, 2, 3])}
FAULTS = {
    "depends on the batch": (CENTRED, {"one": np.float32([1, 2, 3])}, "other vectors for 16 images at once"),
    "one vector for all": (
        [MEAN, ("Reshape", ["m", "s"], ["y"], {})],
        {"s": np.int64([1, -1])},
        "it gives 1 vectors for 16 images",
    ),
    "two images do not run": (
        [MEAN, ("Reshape", ["m", "s"], ["y"], {})],
        {"s": np.int64([1, 3])},
        "it takes one image, but not 16 at once",
    ),
    "not finite": (
        [MEAN, ("Sub", ["m", "large"], ["n"], {}), ("Log", ["n"], ["y"], {})],
        {"large": np.float32([1e6] * 3)},
        "it gives numbers that are not finite",
    ),
    "depends on large batches": (LARGE, LARGE_WEIGHTS, "other vectors for 16 images at once"),
    "zero": ([MEAN, ("Mul", ["m", "zero"], ["y"], {})], {"zero": np.float32(0)}, "it gives zero for every image"),
    "constant": (
        [MEAN, ("Mul", ["m", "zero"], ["n"], {}), ("Add", ["n", "one"], ["y"], {})],
        {"zero": np.float32(0), "one": np.float32([1, 2, 3])},
        "it gives the same vector for different images",
    ),
    "unknown operator": ([("NoSuchOperator", ["x"], ["y"], {})], {}, r"it does not run \(.*NoSuchOperator"),
}


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("case", FAULTS)
def test_graphs_without_sound_vectors_are_refused(tmp_path: Path, case: str, engine: str, monkeypatch) -> None:
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime")
        monkeypatch.setattr("scing_cli.core.encoders.graph_files.graph_encoder.openvino_installed", lambda: False)
    nodes, weights, reason = FAULTS[case]
    path = write(tmp_path / "encoder.onnx", nodes, weights=weights)
    with pytest.raises(WeightsError, match=f"encoder.onnx cannot be used: .*{reason}"):
        vectors(path)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_is_probed_whole(tmp_path: Path, batch: int) -> None:
    """Its last image gets no part of the others, and different images get different vectors."""
    path, constants = tmp_path / "encoder.onnx", {"one": np.float32([1, 2, 3]), "zero": np.float32(0)}
    shape = (batch, 3, HEIGHT, WIDTH)
    if batch > 1:
        with pytest.raises(WeightsError, match="it gives other vectors for 4 images at once than for each alone"):
            vectors(write(path, LARGE, weights=LARGE_WEIGHTS, shape=shape))
    constant = [MEAN, ("Mul", ["m", "zero"], ["n"], {}), ("Add", ["n", "one"], ["y"], {})]
    with pytest.raises(WeightsError, match="it gives the same vector for different images"):
        vectors(write(path, constant, weights=constants, shape=shape))


def test_the_digest_is_of_all_that_the_vectors_depend_on(tmp_path: Path, encoder: Path) -> None:
    path = tmp_path / "encoder.onnx"
    path.write_bytes(encoder.read_bytes())
    plain = open_graph_file(path).digest
    assert plain == open_graph_file(encoder).digest  # not on the place
    found = {
        plain,
        open_graph_file(path, statistics="clip").digest,
        open_graph_file(path, interpolation="bicubic").digest,
    }
    for stated in ({"channels": "bgr"}, {"range": 255}, {"output": "vectors"}, {"mean": [0.1, 0.2, 0.3]}):
        path.with_suffix(".json").write_text(json.dumps(stated))
        found.add(open_graph_file(path).digest)
    path.with_suffix(".json").write_text('{"made_by": "hand", "interpolation": "bilinear"}')
    assert open_graph_file(path).digest == plain
    path.with_suffix(".json").unlink()
    found.add(open_graph_file(export(path, osnet(seed=1))).digest)
    ir = as_ir(encoder, tmp_path / "ir.xml")
    before = open_graph_file(ir).digest
    changed = bytearray(ir.with_suffix(".bin").read_bytes())
    changed[5] ^= 1
    ir.with_suffix(".bin").write_bytes(changed)
    assert len(found | {before, open_graph_file(ir).digest}) == 10


def test_missing_and_absurd_files(tmp_path: Path, encoder: Path) -> None:
    with pytest.raises(WeightsError, match=r"nothing\.onnx does not exist"):
        open_graph_file(tmp_path / "nothing.onnx")
    with pytest.raises(DataError, match="is not a file: scing reads local files"):
        open_graph_file(Path("https://example.org/encoder.onnx"))
    ir = as_ir(encoder, tmp_path / "ir.xml")
    ir.with_suffix(".bin").unlink()
    with pytest.raises(WeightsError, match=r"ir\.bin does not exist") as failure:
        open_graph_file(ir)
    assert "The weights of ir.xml belong next to it" in failure.value.remedy
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "pipe.onnx")
    for name in ("folder.onnx", "pipe.onnx"):
        with pytest.raises(WeightsError, match=f"{name} cannot be read: it is not a regular file"):
            open_graph_file(tmp_path / name)
    with (tmp_path / "large.onnx").open("wb") as stream:
        stream.truncate(LARGEST + 1)  # sparse: it takes no room
    with pytest.raises(WeightsError, match="has 2,147,483,648 bytes; at most 2,147,483,647 are read"):
        open_graph_file(tmp_path / "large.onnx")


@pytest.mark.parametrize("suffix", [".bin", ".json"])
def test_a_file_next_to_a_graph_is_not_a_link_to_a_place_outside(encoder: Path, tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    ir = as_ir(encoder, folder / "ir.xml")
    beside, elsewhere = ir.with_suffix(suffix), tmp_path / f"elsewhere{suffix}"
    elsewhere.write_bytes(beside.read_bytes() if beside.exists() else b"{}")
    beside.unlink(missing_ok=True)
    beside.symlink_to(elsewhere)
    with pytest.raises(WeightsError, match=r"is a link to .*outside its folder: it was not opened"):
        open_graph_file(ir)
    linked = tmp_path / "links" / "ir.xml"  # links to all files of one folder are sound
    linked.parent.mkdir()
    beside.unlink()
    elsewhere.rename(beside)
    for file in folder.iterdir():
        linked.with_suffix(file.suffix).symlink_to(file)
    assert open_graph_file(linked).digest == open_graph_file(ir).digest
