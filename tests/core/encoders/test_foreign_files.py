"""A file that is not a CLIP is named by what it looks like, with what to do; hostile files are refused and run nothing."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.openclip import twin
from tiny import TINY_MODEL, tiny_clip
from weight_layouts import clip_reid_names, save, transformers_names

from scing_cli.core.encoders.clip import load_clip, load_image_tower
from scing_cli.core.encoders.weights import read_weights
from scing_cli.core.errors import WeightsError
from scing_cli.core.runtime import Silent

ONNX = "--model encoder.onnx"


@pytest.fixture(scope="module")
def state():
    return {name: tensor.detach() for name, tensor in twin(tiny_clip(seed=4)).state_dict().items()}


def refused(path, message):
    """Read a file as weights; return the remedy."""
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(Path(path))
    return caught.value.remedy


OTHERS = {
    "OSNet": ({"conv1.conv.weight": (64, 3, 7, 7), "conv2.0.conv2a.0.conv1.weight": (16, 16, 1, 1)}, "an OSNet"),
    "ResNet": ({"conv1.weight": (64, 3, 7, 7), "layer1.0.conv1.weight": (64, 64, 1, 1)}, "a ResNet"),
    "detector": ({"model.0.conv.weight": (16, 3, 3, 3), "model.22.cv2.0.0.conv.weight": (1, 1, 1, 1)}, "a detector"),
    "TransReID": ({"base.patch_embed.proj.weight": (768, 3, 16, 16)}, "a vision transformer of timm"),
    "CLIP's ResNet": (
        {"visual.conv1.weight": (32, 3, 3, 3), "visual.layer1.0.conv1.weight": (1,)},
        "a CLIP with a ResNet",
    ),
    "CLIP-ReID's ResNet": (
        {"image_encoder.conv1.weight": (32, 3, 3, 3), "image_encoder.layer1.0.conv1.weight": (1,)},
        "looks like a CLIP with a ResNet as image encoder, which scing cannot use",
    ),
    "SigLIP": ({"visual.trunk.blocks.0.attn.qkv.weight": (1,)}, "image encoder of timm, such as a SigLIP"),
    "Swin": ({"backbone.layers.0.blocks.0.attn.qkv.weight": (1,)}, "a Swin"),
    "language model": ({"model.embed_tokens.weight": (1,), "lm_head.weight": (1,)}, "a language model"),
    "unknown": ({"encoder.weight": (2, 2)}, r"is not a CLIP\. Its tensors are named encoder\.weight"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_model_is_recognised_as_such(tmp_path, other):
    shapes, message = OTHERS[other]
    content = {name: torch.zeros(shape) for name, shape in shapes.items()}
    content["bn.num_batches_tracked"] = torch.tensor(5)
    assert ONNX in refused(save(tmp_path / "model.pth", {"state_dict": content, "epoch": 60}), message)


STARTS = {
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "a pointer of Git LFS",
        "git lfs pull",
    ),
    "html": (b"\n<!DOCTYPE html><html><title>Sign in</title>", "an HTML page", "Download it again; the address"),
    "commented": (b"<!-- a page --><html>", "an HTML page", "Download it again"),
    "gguf": (b"GGUF\x03\x00\x00\x00" + bytes(40), "a GGUF file", ONNX),
    "onnx": (b"\x08\x08\x12\x07pytorch" + bytes(40), "an ONNX graph", "--model FILE"),
    "openvino": (b'<?xml version="1.0"?>\n<net name="osnet" version="11">', "an OpenVINO graph", "--model FILE"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML file", "Download it again"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file", ONNX),
    "numpy": (b"\x93NUMPY\x01\x00" + bytes(40), "an array of numpy", "Use a CLIP"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(40), "a compressed file", "Unpack it"),
    "picture": (b"\xff\xd8\xff\xe0" + bytes(40), "a picture", "Use a CLIP"),
    "json": (b'{"model_type": "clip"}', "a JSON file", "--model DIR"),
}


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".safetensors"])
@pytest.mark.parametrize("kind", STARTS)
def test_a_file_of_another_format_is_named(tmp_path, kind, suffix):
    content, message, remedy = STARTS[kind]
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(content)
    assert remedy in refused(file, message)


def test_the_state_of_an_optimizer(tmp_path):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))])
    optimizer.param_groups[0]["params"][0].sum().backward()
    optimizer.step()
    assert "Name the file that the training wrote" in refused(
        save(tmp_path / "optimizer.pt", optimizer.state_dict()), "is the state of an optimizer"
    )
    refused(save(tmp_path / "epoch.pt", {"epoch": 3, "lr": 0.1}), "does not contain named tensors: it has epoch, lr")


def test_a_torchscript_archive_of_another_network(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    torch.jit.save(torch.jit.trace(network, torch.zeros(1, 3, 8, 8)), tmp_path / "network.pt")
    assert ONNX in refused(tmp_path / "network.pt", "is a TorchScript archive, but not of a CLIP")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((768, 12, 16, 512), "the sizes of .*ViT-B-16-quickgelu.*: choose one of them as --model"),
        ((48, 1, 16, 24), r"No model of open_clip has an image encoder of its sizes \(width 48, 1 layers"),
    ],
)
def test_weights_of_another_size_name_the_models_that_fit(tmp_path, sizes, message):
    width, layers, patch, dimensions = sizes
    content = {
        "visual.conv1.weight": torch.zeros(width, 3, patch, patch),
        "visual.proj": torch.zeros(width, dimensions),
        **{f"visual.transformer.resblocks.{layer}.ln_1.bias": torch.zeros(width) for layer in range(layers)},
    }
    with pytest.raises(WeightsError, match="does not fit the model") as caught:
        load_image_tower(TINY_MODEL, save(tmp_path / "w.pt", content), reporter=Silent())
    assert re.search(message, caught.value.remedy)


class Caller:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.made = (function, arguments)

    def __reduce__(self):
        return self.made


LAYOUTS = {
    "open_clip": dict,
    "parallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "transformers": transformers_names,
    "CLIP-ReID": clip_reid_names,
    "image tower": lambda state: {n.removeprefix("visual."): t for n, t in state.items() if n.startswith("visual.")},
}


def nested(trace):
    """Return a pickle in a pickle: the outer one would unpickle the inner one, which makes a folder."""
    return Caller(pickle.loads, pickle.dumps(Caller(os.mkdir, str(trace))))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "pickle"])
@pytest.mark.parametrize("attack", ["a tensor", "a key", "beside", "nested", "optimizer"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_layout_runs_code(tmp_path, state, layout, attack, zipped):
    trace, tensors = tmp_path / "trace", LAYOUTS[layout](state)
    caller = Caller(os.mkdir, str(trace))
    content = {
        "a tensor": {**tensors, next(iter(tensors)): caller},
        "a key": {"state_dict": tensors, caller: 1},
        "beside": {"state_dict": tensors, "log": caller},
        "nested": {"state_dict": tensors, "log": nested(trace)},
        "optimizer": {"state_dict": tensors, "optimizer": {"state": {0: caller}, "param_groups": [nested(trace)]}},
    }[attack]
    torch.save(content, tmp_path / "evil.pt", _use_new_zipfile_serialization=zipped)
    for load in (load_clip, load_image_tower):
        with pytest.raises(WeightsError, match="It was not loaded: it might run code"):
            load(TINY_MODEL, str(tmp_path / "evil.pt"), reporter=Silent())
    assert not trace.exists()


@pytest.mark.parametrize("member", ["/etc/evil", "../evil", "w/../../evil", "C:\\evil", "\\\\host\\evil"])
def test_a_zip_with_paths_that_lead_out_is_not_read(tmp_path, state, member):
    file = Path(save(tmp_path / "w.pt", state))
    with zipfile.ZipFile(file, "a") as container:
        container.writestr(zipfile.ZipInfo(member), b"evil")
    refused(file, "has a member with the path .*evil.* it was not read")


def header(content, *, length=None):
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text


def tensor(shape, end, *, start=0, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "content",
    [
        header({}, length=2**62),
        header({}, length=2**64 - 1),
        header({"visual.proj": tensor([2**40, 2**40], 2**63)}),
        header({"visual.proj": tensor([2**62, 4], 8)}),
        header({"visual.proj": tensor([-1], 4)}),
        header({"visual.proj": tensor([1], 4, start=8)}) + bytes(8),
        header({"a": tensor([2], 8), "b": tensor([2], 8)}) + bytes(8),
        header({"visual.proj": tensor([1], 4, dtype="code")}) + bytes(4),
        header([1]) + bytes(4),
    ],
)
def test_a_safetensors_header_with_absurd_sizes_is_refused(tmp_path, content):
    file = tmp_path / "w.safetensors"
    file.write_bytes(content)
    refused(file, "is damaged or not a safetensors file")


def test_arrays_of_objects_are_not_unpickled(tmp_path, state):
    trace = tmp_path / "trace"
    stream = io.BytesIO()
    np.save(stream, np.array([Caller(os.mkdir, str(trace))], dtype=object), allow_pickle=True)
    (tmp_path / "w.pt").write_bytes(stream.getvalue())
    refused(tmp_path / "w.pt", "an array of numpy")
    file = save(tmp_path / "v.pt", {"state_dict": state, "log": np.array([Caller(os.mkdir, str(trace))], dtype=object)})
    refused(file, "it might run code")
    assert not trace.exists()
