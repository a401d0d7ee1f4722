"""Which ONNX files are refused before an engine sees them, compared with the package `onnx`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.encoders.graph_files.graph_facts import GraphInput, image_input
from scing_cli.core.encoders.graph_files.onnx_graph import DOMAINS, read_onnx
from scing_cli.core.errors import WeightsError

onnx = pytest.importorskip("onnx")
DecodeError = pytest.importorskip("google.protobuf.message").DecodeError
helper, numpy_helper, FLOAT = onnx.helper, onnx.numpy_helper, 1
SOURCE = Path("encoder.onnx")
IMAGE = ("x", FLOAT, ["batch", 3, 64, 32])
MEAN = helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)


def graph(*nodes: Any, inputs: Any = (IMAGE,), weights: Any = (), name: str = "y") -> Any:
    values = [helper.make_tensor_value_info(*each) for each in inputs]
    return helper.make_graph(
        list(nodes), "g", values, [helper.make_tensor_value_info(name, FLOAT, None)], list(weights)
    )


def model(*nodes: Any, **given_: Any) -> Any:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]  # an unused set harms nobody
    return helper.make_model(graph(*(nodes or (MEAN,)), **given_), opset_imports=opsets)


def read(made: Any) -> Any:
    return read_onnx(made.SerializeToString(), SOURCE)


def weight(name: str = "w", *, external: bool = False) -> Any:
    tensor = numpy_helper.from_array(np.ones((3, 3), np.float32), name)
    if external:
        onnx.external_data_helper.set_external_data(tensor, location="../../../etc/passwd")
        tensor.ClearField("raw_data")
    return tensor


def branch(*nodes: Any, weights: Any = ()) -> Any:
    return helper.make_node(
        "If", ["c"], ["y"], then_branch=(one := graph(*nodes, inputs=(), weights=weights)), else_branch=one
    )


def test_inputs_and_metadata_are_read() -> None:
    made = model(MEAN, weights=[weight()], inputs=(IMAGE, ("w", FLOAT, [3, 3])))  # old files list weights as inputs
    made.metadata_props.add(key="other", value="{}")
    made.metadata_props.add(key="scing", value='{"format": 1}')
    facts = read(made)
    assert facts.inputs == (GraphInput("x", "f32", (None, 3, 64, 32)),)
    assert facts.statement == '{"format": 1}'
    assert read(model()).statement is None


CUSTOM = helper.make_node("Foo", ["x"], ["y"], domain="com.microsoft")
EXTERNAL = weight("w\n", external=True)
CONSTANT = helper.make_node("Constant", [], ["k"], value=EXTERNAL)
SPARSE = helper.make_sparse_tensor(EXTERNAL, numpy_helper.from_array(np.zeros((9, 2), np.int64), "places"), [3, 3])
REFUSED = {
    "domain": (model(CUSTOM), "operators of the domain com.microsoft"),
    "domain in a branch": (model(branch(CUSTOM)), "operators of the domain com.microsoft"),
    "domain in a branch of a branch": (model(branch(branch(CUSTOM))), "operators of the domain com.microsoft"),
    "training domain": (
        model(helper.make_node("Gradient", ["x"], ["y"], domain="ai.onnx.preview.training")),
        "operators of the domain ai.onnx.preview.training",
    ),
    "external weights": (model(MEAN, weights=[EXTERNAL]), r"weights are in another file \(tensor w\\n\)"),
    "external constant": (model(MEAN, CONSTANT), "weights are in another file"),
    "external in a branch": (model(branch(MEAN, weights=[EXTERNAL])), "weights are in another file"),
    "external sparse constant": (
        model(MEAN, helper.make_node("Constant", [], ["k"], sparse_value=SPARSE)),
        "weights are in another file",
    ),
    "loop": (model(helper.make_node("Loop", ["", ""], ["y"], body=graph(MEAN))), "the operator Loop, which may run"),
    "scan": (model(branch(helper.make_node("Scan", ["x"], ["y"], body=graph(MEAN)))), "the operator Scan"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_load_or_run_anything_else_is_refused(case: str) -> None:
    made, reason = REFUSED[case]
    with pytest.raises(WeightsError, match=f"encoder.onnx cannot be used: .*{reason}"):
        read(made)


def test_functions_training_and_deep_graphs_are_refused() -> None:
    made = model()
    made.functions.add(name="Foo", domain="own")
    with pytest.raises(WeightsError, match="it defines functions of its own"):
        read(made)
    made = model()
    made.training_info.add()
    with pytest.raises(WeightsError, match="instructions for training"):
        read(made)
    node = MEAN
    for _ in range(12):
        node = branch(node)
    with pytest.raises(WeightsError, match="graphs inside graphs"):
        read(model(node))


def test_a_field_that_occurs_twice_is_checked_twice() -> None:
    """Parsers join the graphs of two model fields; a later domain replaces an earlier one."""
    with pytest.raises(WeightsError, match=r"com\.microsoft"):
        read_onnx(model().SerializeToString() + model(CUSTOM).SerializeToString(), SOURCE)
    with pytest.raises(WeightsError, match=r"com\.microsoft"):
        read_onnx(model(CUSTOM).SerializeToString() + model().SerializeToString(), SOURCE)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04" + bytes(40), b"version https://git-lfs", b"\x08\x09", b"<net/>"]
)
def test_other_files_are_named(content: bytes) -> None:
    with pytest.raises(WeightsError, match="it is not an ONNX file, or it is damaged"):
        read_onnx(content, SOURCE)


def tensors(found: Any) -> Any:
    """Yield every tensor of a graph, also of its branches."""
    yield from found.initializer
    for sparse in found.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in found.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from tensors(inner)


def nodes(found: Any) -> Any:
    for node in found.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes(inner)


SEEDS = [made.SerializeToString() for made, _ in REFUSED.values()] + [
    model(MEAN, weights=[weight()]).SerializeToString()
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=3)), max_size=4))
def test_whatever_is_accepted_holds_nothing_foreign(content: bytes, changes: Any) -> None:
    """Damage at any place: a file is refused, or the package `onnx` finds nothing in it that should have been."""
    damaged = bytearray(content)
    for place, noise in changes:
        damaged[place % len(damaged) : place % len(damaged) + len(noise)] = noise
    try:
        read_onnx(bytes(damaged), SOURCE)
    except WeightsError:
        return
    found = onnx.ModelProto()
    try:
        found.ParseFromString(bytes(damaged))
    except DecodeError:  # the engines use this parser: they refuse it
        return
    assert all(node.domain in DOMAINS and node.op_type not in {"Loop", "Scan"} for node in nodes(found.graph))
    assert not any(tensor.external_data or tensor.data_location for tensor in tensors(found.graph))
    assert not found.functions


@given(st.binary(max_size=300))
def test_garbage_is_refused(content: bytes) -> None:
    with pytest.raises(WeightsError):
        read_onnx(content, SOURCE)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ((), r"it has 0 inputs"),
        ((IMAGE, ("mask", FLOAT, [1, 4])), r"it has 2 inputs \(x, mask\)"),
        ((("ids", 7, ["b", 77]),), r"its input ids is not an image: \(\?, 77\) of i64"),
        ((("x", 7, ["b", 3, 64, 32]),), r"is not an image: \(\?, 3, 64, 32\) of i64"),
        ((("x", FLOAT, ["b", 1, 64, 32]),), r"is not an image: \(\?, 1, 64, 32\) of f32"),
        ((("x", FLOAT, None),), r"its input x is not an image"),
        ((("x", FLOAT, [10**9, 3, 64, 32]),), r"it reads 1,000,000,000 images at once; at most 256"),
    ],
)
def test_only_one_image_is_an_input(inputs: Any, reason: str) -> None:
    with pytest.raises(WeightsError, match=f"cannot be used: .*{reason}"):
        image_input(read(model(inputs=inputs)), SOURCE)


def test_layout_and_free_sides_are_read() -> None:
    def of(shape: list[Any], element: int = FLOAT) -> tuple[Any, ...]:
        found = image_input(read(model(inputs=(("x", element, shape),))), SOURCE)
        return found.element, found.batch, found.height, found.width, found.channels_last

    assert of(["b", 3, 64, 32]) == ("f32", None, 64, 32, False)
    assert of([1, 64, 32, 3], 2) == ("u8", 1, 64, 32, True)
    assert of([8, 3, "h", "w"], 10) == ("f16", 8, None, None, False)
    assert of(["b", "c", "h", "w"]) == ("f32", None, None, None, False)
    assert of([0, 3, 3, 3]) == ("f32", None, 3, 3, False)
