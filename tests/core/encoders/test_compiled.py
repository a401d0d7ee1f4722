"""Compiled blocks: the same function as `run_block`, one graph for all of them, and a message where torch cannot."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from tiny import tiny_clip
from torch._dynamo.testing import CompileCounterWithBackend

from scing_cli.core.devices import memory_advice
from scing_cli.core.encoders import compiled
from scing_cli.core.encoders.attention import run_block
from scing_cli.core.encoders.compiled import CompiledBlock, compile_advice, prepare_compiling
from scing_cli.core.encoders.image import build_transformer
from scing_cli.core.encoders.last_block import last_block, read_blocks
from scing_cli.core.errors import DataError, ScingError, SettingError
from scing_cli.core.runtime import Silent, autocast
from scing_cli.core.training.gradients import gradient_norms

CPU = torch.device("cpu")
LAYERS, WIDTH = 5, 32


@pytest.fixture
def graphs(monkeypatch):
    """Count the graphs that are made; they are run without compiling them to machine code."""
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(compiled, "ENGINE", counter)
    return counter


@pytest.fixture(scope="module")
def stack():
    torch.manual_seed(0)
    return build_transformer(width=WIDTH, layers=LAYERS, heads=2, mlp_ratio=2.0, quick_gelu=True).resblocks


def results(stack, tokens, run, *, causal, precision):
    """Return what the stack says at the first place, and the gradients of all weights and of the tokens."""
    leaf = tokens.clone().requires_grad_()
    with autocast(CPU, precision):
        read = read_blocks(stack, 1 * leaf, 2, last_block, causal=causal, run=run)
    wanted = [leaf, *stack.parameters()]
    gradients = torch.autograd.grad(read.final.float().square().sum(), wanted, allow_unused=True)
    return [read.previous, read.final, *(each for each in gradients if each is not None)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("causal", [True, False])
def test_one_graph_serves_all_blocks_and_is_the_same_function(graphs, stack, causal, precision):
    tokens, run = torch.randn(3, 7, WIDTH), CompiledBlock()
    for _ in range(2):
        found = results(stack, tokens, run, causal=causal, precision=precision)
        expected = results(stack, tokens, None, causal=causal, precision=precision)
        close = {"rtol": 1e-4, "atol": 1e-4} if precision == "fp32" else {"rtol": 0.05, "atol": 0.05}
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, **close)
    assert graphs.frame_count == 1


def test_what_does_not_come_first_is_not_compiled(graphs, stack):
    run, tokens = CompiledBlock(), torch.randn(4, 7, WIDTH)
    run(stack[0], tokens, None)
    assert graphs.frame_count == 1
    for other in (tokens[:3], tokens[:, :6], tokens.repeat(2, 1, 1)):
        assert torch.equal(run(stack[0], other, None), run_block(stack[0], other, None))
    with torch.no_grad():
        assert torch.equal(run(stack[0], tokens, None), run_block(stack[0], tokens, None))
    assert graphs.frame_count == 1


def test_each_has_its_own_graph_however_many_there_are(monkeypatch, stack, caplog):
    """torch gives up on a function after eight graphs; a process may train more often than that."""
    graphs = CompileCounterWithBackend("eager")
    monkeypatch.setattr(compiled, "ENGINE", graphs)
    with torch.no_grad():
        for places in range(3, 13):
            CompiledBlock()(stack[0], torch.randn(2, places, WIDTH), None)
    assert graphs.frame_count == 10
    assert "recompile" not in caplog.text


def test_towers_and_their_weights_know_nothing_of_it(graphs):
    image = tiny_clip().image.requires_grad_(True)
    names = list(image.state_dict())
    geometry = image.geometry
    pixels = torch.randn(2, 3, geometry.height, geometry.width)
    image(pixels, run=CompiledBlock()).projected.sum().backward()
    assert graphs.frame_count == 1
    twin = copy.deepcopy(image)
    assert list(image.state_dict()) == list(twin.state_dict()) == names
    gc.collect()
    torch.testing.assert_close(twin(pixels).projected, image(pixels).projected)
    assert graphs.frame_count == 1


@pytest.mark.parametrize("engine", ["aot_eager", "no such engine", "raises"])
def test_whether_torch_can_compile_is_tried_at_once(monkeypatch, engine):
    def failing(graph, inputs):
        raise RuntimeError("g++: not found\nat all\n\nmore than anybody wants to read")

    monkeypatch.setattr(compiled, "ENGINE", failing if engine == "raises" else engine)
    said = []
    reporter = Silent()
    reporter.note = said.append
    torch._dynamo.reset()
    if engine == "aot_eager":
        prepare_compiling(CPU, reporter)
        assert ["up to a minute" in one for one in said] == [True]
        return
    with pytest.raises(SettingError, match=r"--compile: torch cannot compile here") as refused:
        prepare_compiling(CPU, reporter)
    assert "remove --compile" in refused.value.remedy
    assert "\n" not in refused.value.what
    assert "anybody" not in refused.value.what
    assert ("g++: not found at all" in refused.value.what) == (engine == "raises")
    assert not said


def test_a_failure_to_compile_amid_a_training_is_one_message(monkeypatch, stack):
    def failing(graph, inputs):
        raise RuntimeError("x" * 1000)

    monkeypatch.setattr(compiled, "ENGINE", failing)
    with pytest.raises(SettingError, match="torch cannot compile here") as refused, compile_advice():
        CompiledBlock()(stack[0], torch.randn(2, 3, WIDTH), None)
    assert len(refused.value.what) < 400


def test_memory_that_runs_out_while_compiling_is_told_as_such(monkeypatch, stack):
    def failing(graph, inputs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    monkeypatch.setattr(compiled, "ENGINE", failing)
    told = pytest.raises(ScingError, match=r"(?s)The device ran out of memory\..*--batch-size")
    with told, memory_advice("--batch-size"), compile_advice():
        CompiledBlock()(stack[0], torch.randn(2, 3, WIDTH), None)


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), DataError("x"), KeyboardInterrupt()])
def test_other_failures_stay_what_they_are(error):
    with pytest.raises(type(error)) as raised, compile_advice():
        raise error
    assert raised.value is error


@pytest.mark.parametrize("engine", ["aot_eager", pytest.param("inductor", marks=pytest.mark.long)])
def test_a_compiled_block_keeps_its_graph_for_the_norms_of_several_terms(monkeypatch, tmp_path, stack, engine):
    """Also where inductor's cache of whole graphs was filled by one that did not keep its first graph."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiled, "ENGINE", engine)
    stack, tokens = copy.deepcopy(stack[:3]), torch.randn(3, 7, WIDTH)
    other = torch.compile(compiled.private_copy(run_block), backend=engine, dynamic=False)
    read_blocks(stack, 1 * tokens, 0, last_block, causal=False, run=other).final.sum().backward()
    stack.zero_grad()
    run = CompiledBlock()

    def terms(way):
        read = read_blocks(stack, 1 * tokens, 0, last_block, causal=False, run=way)
        return {"one": read.previous.square().sum(), "two": read.final.square().sum()}

    for _ in range(2):
        losses = terms(run)
        assert gradient_norms(losses, stack) == pytest.approx(gradient_norms(terms(None), stack), rel=1e-4)
        sum(losses.values()).backward()
