"""Device, precision, seeds and progress."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from devices import needs_gpu
from hypothesis import given
from hypothesis import strategies as st
from patience import HANG

from scing_cli.core import devices, runtime, threads
from scing_cli.core.errors import ScingError, SettingError

CPU = torch.device("cpu")
KEYS = st.lists(
    st.one_of(
        st.integers(-5, 2**63), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
    ),
    max_size=4,
).map(tuple)


def test_devices_are_chosen_by_name() -> None:
    assert devices.choose_device("cpu") == CPU
    assert devices.choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(SettingError, match=r"(?s)--device 'gpu' is unknown\..*auto, cpu, cuda"):
        devices.choose_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_that_is_missing_is_refused() -> None:
    with pytest.raises(SettingError, match=r"(?s)finds no CUDA device.*--device cpu"):
        devices.choose_device("cuda")


def test_precision_is_bf16_only_where_the_caller_wants_it_and_the_machine_has_it(monkeypatch) -> None:
    for has, auto, chosen in [(True, "bf16", "bf16"), (False, "bf16", "fp32"), (True, "fp32", "fp32")]:
        monkeypatch.setattr(devices, "has_bf16", lambda _device, has=has: has)
        assert devices.choose_precision("auto", CPU, auto=auto) == chosen
        assert devices.choose_precision("bf16", CPU, auto=auto) == "bf16"
        assert devices.choose_precision("fp32", CPU, auto=auto) == "fp32"
    with pytest.raises(SettingError, match=r"(?s)--precision 'fp16' is unknown\..*auto, fp32, bf16"):
        devices.choose_precision("fp16", CPU, auto="bf16")


def test_a_cpu_is_named_with_its_cores(monkeypatch) -> None:
    for cores, end in ((3, "3 cores"), (1, "1 core")):
        monkeypatch.setattr(devices.os, "cpu_count", lambda cores=cores: cores)
        assert re.fullmatch(rf"\S.*, {end}", devices.device_name(CPU))


def test_bf16_of_this_cpu_is_a_plain_answer() -> None:
    assert isinstance(devices.has_bf16(CPU), bool)


def test_a_limit_of_onednn_takes_bf16_away(monkeypatch) -> None:
    """oneDNN computes torch's products: what it may not use, the processor has not for us."""
    monkeypatch.setattr(devices.Path, "read_text", lambda *_, **__: "flags : avx512f avx512_bf16 amx_bf16")
    for limit, has in [("ALL", True), ("AVX512_CORE_BF16", True), ("AVX512_CORE_VNNI", False), ("avx2", False)]:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
        assert devices.cpu_has_bf16() is has, limit
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert devices.cpu_has_bf16()


def test_autocast_covers_its_block_only() -> None:
    left, right = torch.ones(4, 4), torch.ones(4, 4)
    with runtime.autocast(CPU, "bf16"):
        assert (left @ right).dtype == torch.bfloat16
    with runtime.autocast(CPU, "fp32"):
        assert (left @ right).dtype == torch.float32
    assert (left @ right).dtype == torch.float32


def test_free_memory_of_a_cpu_is_some_of_all_there_is() -> None:
    if not Path("/proc/meminfo").exists():
        assert devices.free_memory(CPU) == 0
        return
    everything = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < devices.free_memory(CPU) <= everything


@needs_gpu
@pytest.mark.parametrize("size", [100, 3_000_000])  # copied from where they are, and from pinned memory beside the rest
def test_numbers_reach_a_gpu_whole_whatever_it_is_busy_with(size: int) -> None:
    device = devices.choose_device("cuda")
    busy = torch.ones(2_000, 2_000, device=device)
    for number in range(20):
        values = np.arange(number, number + size, dtype=np.float32)
        busy = busy @ busy / 2_000
        brought = devices.to_device(values, device)
        values.fill(-1)  # it was taken, or waited for
        doubled = 2 * brought
        del brought
        assert torch.equal(doubled.cpu(), 2 * torch.arange(number, number + size, dtype=torch.float32))


@needs_gpu
def test_what_torch_keeps_on_a_gpu_for_later_counts_as_free() -> None:
    device = devices.choose_device("cuda")
    before = devices.free_memory(device)
    held = torch.empty(2**30, dtype=torch.uint8, device=device)
    assert before - devices.free_memory(device) >= 2**30
    del held
    assert abs(devices.free_memory(device) - before) < 2**28


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 2), (16, 16), (128, 16)])
def test_workers_are_as_many_as_cores_and_at_most_sixteen(cores: int, workers: int, monkeypatch) -> None:
    monkeypatch.setattr(threads, "_cores", lambda: cores)
    assert threads.default_workers() == workers


@given(KEYS, KEYS)
def test_a_draw_is_a_function_of_its_key_alone(one, other) -> None:
    seed = runtime.draw_seed(*one)
    assert 0 <= seed < 2**63
    assert (seed == runtime.draw_seed(*other)) == (one == other)


def test_draws_do_not_change_between_versions() -> None:
    assert runtime.draw_seed(0, "train-prompts", 3, 17) == 1992110529926511286


def test_kinds_of_integers_do_not_matter_but_text_does() -> None:
    assert runtime.draw_seed(np.int64(3), "a") == runtime.draw_seed(3, "a")
    assert runtime.draw_seed("3", "a") != runtime.draw_seed(3, "a")
    with pytest.raises(TypeError):
        runtime.draw_seed(0.5)  # type: ignore[arg-type]


def test_generators_are_fresh_and_equal_for_equal_keys() -> None:
    one, other = (torch.rand(3, generator=runtime.generator(7, "crop")) for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, torch.rand(3, generator=runtime.generator(7, "flip")))


def test_a_seeded_block_leaves_the_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    drawn = []
    for _ in range(2):
        with runtime.seeded(5):
            drawn.append(torch.nn.Linear(2, 2).weight)
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    "failure",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 40 bytes"),
        MemoryError(),
    ],
)
def test_memory_that_ran_out_names_the_options_that_help(failure: BaseException) -> None:
    with (
        pytest.raises(ScingError, match=r"(?s)ran out of memory\..*Options that help: --batch-size"),
        devices.memory_advice("--batch-size"),
    ):
        raise failure


def test_a_real_allocation_that_fails_is_recognised() -> None:
    with pytest.raises(ScingError, match="This machine ran out of memory"), devices.memory_advice("--batch-size"):
        torch.empty(2**59, dtype=torch.uint8)


def test_other_failures_pass_through() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"), devices.memory_advice("--batch-size"):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_the_silent_reporter_takes_every_call() -> None:
    reporter: runtime.Reporter = runtime.Silent()
    with reporter.progress("Embedding", 3) as advance:
        advance(1)
        advance(steps=1, text="loss 0.5")
    reporter.note("a")
    reporter.warn("b")


@pytest.mark.parametrize(("wanted", "expected"), [("3", 3), ("", None), ("0", None), ("4,2", None)])
def test_threads_follow_the_environment(wanted: str, expected: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads.default_threads() == (expected or cores)


@pytest.mark.parametrize(
    ("platform", "node", "expected"),
    [("linux", False, False), ("linux", True, True), ("darwin", True, False), ("win32", False, True)],
)
def test_a_gpu_is_ruled_out_only_where_there_is_surely_none(
    platform: str, node: bool, expected: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "nvidiactl"
    if node:
        place.touch()
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(devices, "GPU_NODES", (str(place),))
    assert devices.may_have_gpu() is expected


def test_memory_that_ran_out_is_told_without_torch() -> None:
    code = (
        "import sys\n"
        "from scing_cli.core.errors import ScingError\n"
        "from scing_cli.core.devices import memory_advice\n"
        "try:\n"
        "    with memory_advice('--few'):\n"
        "        raise MemoryError\n"
        "except ScingError as error:\n"
        "    print(str(error).replace('\\n', ' '), 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG)
    assert done.stdout.strip() == "This machine ran out of memory. Options that help: --few. False", done.stderr
