"""OpenAI's TorchScript layout: read tensor for tensor, with no code run; hostile and damaged archives do nothing."""

from __future__ import annotations

import builtins
import collections
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles.openclip import twin
from tiny import TINY_MODEL, tiny_clip

from scing_cli.core.encoders.archive import is_archive, read_archive
from scing_cli.core.encoders.clip import load_clip
from scing_cli.core.encoders.weights import read_state
from scing_cli.core.errors import WeightsError


@pytest.fixture(scope="module")
def openai_file(tmp_path_factory):
    """A CLIP as OpenAI published its own: traced, fp16, with three sizes as buffers, saved by torch.jit."""
    clip = tiny_clip(seed=3)
    model = twin(clip)
    del model.context_length, model.vocab_size
    for name, number in (("input_resolution", 32), ("context_length", 77), ("vocab_size", 49408)):
        model.register_buffer(name, torch.tensor(number))
    example = (torch.randn(2, 3, 32, 16), torch.randint(0, 49408, (2, 77)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, example, check_trace=False).half()
        path = tmp_path_factory.mktemp("openai") / "ViT-tiny.pt"
        torch.jit.save(traced, path)
    return path


def test_openai_layout_tensor_for_tensor(openai_file, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = torch.jit.load(openai_file).state_dict()
    monkeypatch.setattr(torch.jit, "load", _forbidden)
    assert is_archive(openai_file)
    found = read_archive(openai_file)
    assert set(expected) <= set(found)
    assert "visual.transformer.resblocks.1.attn.in_proj_weight" in found
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name
    state = read_state(openai_file)
    assert not {"input_resolution", "context_length", "vocab_size", "attn_mask"} & set(state)
    assert all(tensor.dtype == torch.float32 for tensor in state.values())


def test_openai_layout_gives_the_same_model(openai_file):
    ours, theirs = load_clip(TINY_MODEL, str(openai_file)), twin(tiny_clip(seed=3)).half().float()
    pixels = torch.randn(2, 3, 32, 16)
    torch.testing.assert_close(ours.image(pixels).projected, theirs.encode_image(pixels), atol=1e-5, rtol=1e-5)
    assert ours.pretrained == openai_file.as_posix()
    assert ours.logit_scale == pytest.approx(tiny_clip().logit_scale, rel=1e-2)


def test_weights_only_refuses_such_a_file(openai_file):
    warnings.simplefilter("ignore")
    with pytest.raises((RuntimeError, pickle.UnpicklingError)):
        torch.load(openai_file, weights_only=True)


def _forbidden(*_args: object, **_kwargs: object) -> None:
    raise AssertionError("torch.jit.load was called")


class _Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def _archive(path: Path, description: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as container:
        container.writestr("archive/data.pkl", description)
        container.writestr("archive/constants.pkl", b"\x80\x02).")
        container.writestr("archive/code/__torch__.py", "raise SystemExit")
    return path


def _touch(trace: Path) -> str:
    return f"__import__('pathlib').Path({str(trace)!r}).touch()"


class _Module:
    """A module whose members are its attributes."""


def test_modules_that_contain_each_other_too_often_are_refused(tmp_path):
    module = _Module()
    for _ in range(40):
        module, inner = _Module(), module
        vars(module).update(a=inner, b=inner)
    with pytest.raises(WeightsError, match="its modules contain each other too often"):
        read_state(_archive(tmp_path / "knot.pt", pickle.dumps(module)))


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize("how", ["system", "eval", "exec", "nested"])
def test_hostile_archive_runs_nothing(tmp_path, how, protocol):
    trace = tmp_path / "trace"
    calls = {
        "system": _Call(os.system, f"touch {trace}"),
        "eval": _Call(builtins.eval, _touch(trace)),
        "exec": _Call(builtins.exec, _touch(trace)),
        "nested": {"visual": [_Call(builtins.eval, _touch(trace))]},
    }
    pickled = pickle.dumps(calls[how], protocol=protocol)
    path = _archive(tmp_path / "evil.pt", pickled)
    with pytest.raises(WeightsError):
        read_state(path)
    with pytest.raises(WeightsError):
        load_clip(TINY_MODEL, str(path))
    assert not trace.exists()
    pickle.loads(pickled)  # the same bytes do run where nothing holds them
    assert trace.exists()


def test_hostile_state_changes_no_class(tmp_path):
    before = dict(vars(collections.OrderedDict))
    for name in (b"collections\nOrderedDict", b"torch._utils\n_rebuild_tensor_v2", b"torch\nFloatStorage"):
        stream = b"\x80\x02c" + name + b"\nN}X\x03\x00\x00\x00popK\x01s\x86b."  # BUILD with a slot state
        with pytest.raises(
            WeightsError, match=r"cannot be read as a TorchScript archive|does not contain named tensors"
        ):
            read_state(_archive(tmp_path / "state.pt", stream))
    assert dict(vars(collections.OrderedDict)) == before


def test_module_that_holds_itself(tmp_path):
    stream = b"\x80\x02c__torch__\nM\n)\x81q\x00}X\x01\x00\x00\x00mh\x00sb."
    with pytest.raises(WeightsError, match="nested too deeply"):
        read_state(_archive(tmp_path / "loop.pt", stream))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_archive(tmp_path, openai_file, share):
    content = openai_file.read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"cut\.pt"):
        read_state(path)


@pytest.fixture(scope="module")
def small_parts(tmp_path_factory):
    """Name and bytes of each record of a small real archive."""
    path = tmp_path_factory.mktemp("small") / "small.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
        torch.jit.save(torch.jit.trace(module, torch.zeros(1, 3)), path)
    with zipfile.ZipFile(path) as container:
        return {name: container.read(name) for name in container.namelist()}


@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_description_gives_one_kind_of_error(tmp_path, small_parts, changes):
    parts = dict(small_parts)
    name = next(name for name in parts if name.endswith("/data.pkl"))
    description = bytearray(parts[name])
    for place, value in changes:
        description[place % len(description)] = value
    parts[name] = bytes(description)
    path = tmp_path / "damaged.pt"
    with zipfile.ZipFile(path, "w") as container:
        for each, content in parts.items():
            container.writestr(each, content)
    try:
        tensors = read_archive(path)
    except WeightsError:
        return
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())


def test_compressed_storage_is_refused(tmp_path, small_parts):
    path = tmp_path / "packed.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as container:
        for name, content in small_parts.items():
            container.writestr(name, content)
    with pytest.raises(WeightsError, match="compressed"):
        read_archive(path)


def test_missing_storage_is_named(tmp_path, small_parts):
    path = tmp_path / "hollow.pt"
    with zipfile.ZipFile(path, "w") as container:
        for name, content in small_parts.items():
            if not name.endswith("/data/0"):
                container.writestr(name, content)
    with pytest.raises(WeightsError, match="data/0"):
        read_archive(path)
