"""Which OpenVINO IRs are refused before OpenVINO sees them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.encoders.graph_files.graph_facts import GraphInput
from scing_cli.core.encoders.graph_files.ir_graph import LARGEST, read_ir
from scing_cli.core.errors import WeightsError

runtime = pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)
SOURCE = Path("encoder.xml")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """The text of an IR that OpenVINO wrote, and the size of its weights."""
    ops, openvino = runtime.ops, runtime.openvino
    pixels = ops.parameter([-1, 3, 64, 32], np.float32, name="image")
    shifted = ops.add(pixels, ops.constant(np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1)))
    graph = openvino.Model([ops.reduce_mean(shifted, ops.constant([2, 3]), keep_dims=False)], [pixels], "encoder")
    graph.set_rt_info('{"format": 1, "range": 255}', ["scing"])
    target = tmp_path_factory.mktemp("ir") / "encoder.xml"
    openvino.save_model(graph, target)
    return target.read_text(), target.with_suffix(".bin").stat().st_size


def test_inputs_and_metadata_are_read(saved: tuple[str, int]) -> None:
    text, size = saved
    facts = read_ir(text.encode(), size, SOURCE)
    assert facts.inputs == (GraphInput("image", "f32", (None, 3, 64, 32)),)
    assert facts.statement == '{"format": 1, "range": 255}'
    ranges = text.replace('shape="?,3,64,32"', 'shape="1..8,3,64,-1"')
    assert read_ir(ranges.encode(), size, SOURCE).inputs[0].shape == (None, 3, 64, None)
    assert read_ir(text.replace('shape="?,3,64,32"', 'shape="..."').encode(), size, SOURCE).inputs[0].shape is None


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            'type="Add" version="opset1"',
            'type="Add" version="extension"',
            r"its operation Add is not of a standard set",
        ),
        ('type="Add" version="opset1"', 'type="Add"', r"its operation Add is not of a standard set \(\)"),
        ('type="Add"', 'type="TensorIterator"', "it has the operation TensorIterator: it may run without end"),
        ('type="Add"', 'type="ReadValue"', "it has the operation ReadValue"),
        ("<net ", '<!DOCTYPE net [<!ENTITY a SYSTEM "file:///etc/passwd">]>\n<net ', "it declares a document type"),
        ("</net>", "", "it is not an OpenVINO IR, or it is damaged"),
        ('offset="0"', 'offset="many"', "it is not an OpenVINO IR, or it is damaged"),
        ('offset="0"', 'offset="-8"', "are not in its .bin"),
        ('offset="0"', 'offset="999"', "are not in its .bin, which is cut short or of another model"),
        ('<?xml version="1.0"?>', '<?xml version="1.0" encoding="nonsense"?>', "it is not an OpenVINO IR"),
    ],
)
def test_what_could_load_or_run_anything_else_is_refused(
    saved: tuple[str, int], old: str, new: str, reason: str
) -> None:
    text, size = saved
    assert old in text
    with pytest.raises(WeightsError, match=f"encoder.xml cannot be used: .*{reason}"):
        read_ir(text.replace(old, new, 1).encode(), size, SOURCE)


@pytest.mark.parametrize("content", [b"", b"<html/>", b"<net/>", b"<net><layers/></net>", bytes(10), b"\xff\xfe<"])
def test_other_files_are_named(content: bytes) -> None:
    with pytest.raises(WeightsError, match="it is not an OpenVINO IR"):
        read_ir(content, 0, SOURCE)


def test_a_size_is_too_much() -> None:
    with pytest.raises(WeightsError, match=r"it has more than 67,108,864 bytes"):
        read_ir(bytes(LARGEST + 1), 0, SOURCE)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 4000), st.binary(max_size=8))
def test_damage_is_refused_or_read(saved: tuple[str, int], place: int, noise: bytes) -> None:
    content = bytearray(saved[0].encode())
    content[place : place + len(noise)] = noise
    with contextlib.suppress(WeightsError):
        assert len(read_ir(bytes(content), saved[1], SOURCE).inputs) <= 1
