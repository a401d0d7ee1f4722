"""What the methods cost: the paper's totals, and a small model counted in another way."""

from __future__ import annotations

import dataclasses
import doctest
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from built import prompt_task_of, visual_task_of
from patience import HANG
from tiny import TINY_MODEL, tiny_clip

from scing_cli.core.devices import device_name
from scing_cli.core.errors import SettingError
from scing_cli.core.methods import Batch, Similarity, Task
from scing_cli.core.settings import METHODS, PromptSettings, VisualSettings
from scing_cli.core.workflows.paper import efficiency, throughput
from scing_cli.core.workflows.paper.efficiency import Efficiency, Setting, count_costs
from scing_cli.core.workflows.shared.machine import Machine

ROOT = Path(__file__).parents[4]
SCRIPT = ROOT / "examples" / "efficiency.py"
TOTALS = {"clip-reid": 126_551_808, "cocoop": 126_585_120, "scing": 126_946_176}
PUBLISHED = [name for name, method in METHODS.items() if method.published]
SMALL = Setting(TINY_MODEL, stride=4, identities=3, cameras=2)
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
    ),
]


@pytest.fixture(scope="module")
def table_4() -> Efficiency:
    return count_costs()


def test_the_parts_of_table_4(table_4: Efficiency) -> None:
    assert table_4.setting == Setting("ViT-B-16-quickgelu", 12, 665, 2)
    assert {method: cost.parts.total() for method, cost in table_4.methods.items()} == TOTALS
    visual = {"clip-reid": 0, "cocoop": 33_312, "scing": 394_368}
    for method, cost in table_4.methods.items():
        assert dataclasses.asdict(cost.parts) == {
            "image_encoder": 86_203_392,
            "text_encoder": 38_131_200,
            "heads": 1_280 * 665,
            "necks": 2_560,
            "tokens": 2_048 * 665,
            "cameras": 1_536,
            "visual": visual[method],
        }
        assert cost.stage1 == 2_048 * 665 + visual[method]
        assert cost.stage2 == 86_203_392 + 1_536 + 1_280 * 665 + 1_280  # of the necks, biases stay at zero
        assert cost.inference == 86_203_392 + 1_536


def test_the_published_rows_are_these_figures_rounded(table_4: Efficiency) -> None:
    assert set(table_4.methods) == set(PUBLISHED)
    for cost in table_4.methods.values():
        assert round(cost.parts.total() / 1e6, 2) == cost.published.parameters
        assert round(table_4.hooked_flops / 1e9, 2) == cost.published.flops
    assert round(table_4.flops / 1e9, 2) == 37.73


def moments(task: Task) -> int:
    """Numbers that Adam keeps a moment of after one step: those that the losses reach."""
    optimiser = torch.optim.Adam(task.trainable().parameters())
    pixels = torch.randn(6, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    task.losses(Batch(range(6), {"pixels": pixels}), (0, "test", 0, 0)).total().backward()
    optimiser.step()
    return sum(state["exp_avg"].numel() for state in optimiser.state.values())


@pytest.mark.parametrize("method", PUBLISHED)
def test_a_small_model_with_weights_trains_as_many(method: str) -> None:
    cost = count_costs(SMALL).methods[method]
    clip = tiny_clip(stride=4)
    labels, vectors = torch.arange(3).repeat(2), torch.randn(6, 16, generator=torch.Generator().manual_seed(1))
    prompts = PromptSettings(method=method)
    first = prompt_task_of(method, prompts, clip=clip, features=vectors, labels=labels, precision="fp32")
    assert moments(first) == cost.stage1
    whole = dict(clip.text.state_dict())
    del whole["token_embedding.weight"]
    assert sum(tensor.numel() for tensor in whole.values()) == cost.parts.text_encoder
    assert sum(tensor.numel() for tensor in clip.image.state_dict().values()) == cost.parts.image_encoder
    clip.image.learn_cameras(["a", "b"], 0)
    second = visual_task_of(
        method,
        VisualSettings(stage2_loss="clip-reid"),
        encoder=clip.image,
        texts=vectors[:3],
        similarity=Similarity("cosine", clip.logit_scale),
        labels=labels,
        cameras=labels % 2,
        precision="fp32",
    )
    assert moments(second) == cost.stage2
    assert sum(tensor.numel() for tensor in clip.image.state_dict().values()) == cost.inference
    biases = cost.parts.necks // 2
    assert cost.stage1 + cost.stage2 + cost.parts.text_encoder + biases == cost.parts.total()


def test_without_cameras_there_are_no_vectors() -> None:
    cost = count_costs(dataclasses.replace(SMALL, cameras=0)).methods["scing"]
    assert cost.parts.cameras == 0
    assert cost.inference == cost.parts.image_encoder


def test_too_few_are_refused() -> None:
    with pytest.raises(SettingError, match="--identities 0: must be at least 1"):
        Setting(identities=0)
    with pytest.raises(SettingError, match="--cameras -1: must be at least 0"):
        Setting(cameras=-1)
    with pytest.raises(SettingError, match="--repeats 0: must be at least 1"):
        throughput.measure_rate(TINY_MODEL, repeats=0)


@pytest.mark.parametrize("device", DEVICES)
def test_the_rate_is_of_the_median_pass_after_a_first_one(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 90.0, 100.0, 101.0, 200.0, 204.0, 300.0, 302.0])  # passes of 90 s, 1 s, 4 s, 2 s
    monkeypatch.setattr(throughput, "perf_counter", lambda: next(clock))
    found = throughput.measure_rate(TINY_MODEL, repeats=3, machine=Machine(device, batch_size=8))
    assert (found.slowest, found.images_per_second, found.fastest) == (2.0, 4.0, 8.0)
    assert (found.repeats, found.batch_size, found.precision) == (3, 8, "fp32")
    assert found.threads == torch.get_num_threads()
    assert found.device == device_name(torch.device(device))


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run the example in this process, in a terminal 80 columns wide."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["efficiency.py", *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")

    return run


def test_the_guide_shows_what_the_example_prints(
    example: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    example("--no-rate")
    lines = capsys.readouterr().out.splitlines()
    page = (ROOT / "examples" / "guide" / "tables.md").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("│") for line in lines) == 19
    assert [line for line in lines if line.rstrip() not in page and line not in page] == []


def test_the_example_times_a_small_model_and_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "costs.json"
    small = ("--model", TINY_MODEL, "--stride", 4, "--identities", 3, "--batch-size", 4, "--repeats", 2, "--threads", 1)
    command = [sys.executable, str(SCRIPT), *map(str, small), "--json", str(file)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=HANG, env={**os.environ, "COLUMNS": "80"}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "random weights" in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "images per second" in done.stdout
    assert "Table 4 is of another model" in done.stdout
    content = json.loads(file.read_text(encoding="utf-8"))
    costs = count_costs(SMALL)
    assert content["flops"] == costs.flops
    assert {method: cost["total"] for method, cost in content["methods"].items()} == {
        method: cost.parts.total() for method, cost in costs.methods.items()
    }
    assert content["rate"]["slowest"] <= content["rate"]["images_per_second"] <= content["rate"]["fastest"]
    assert (content["rate"]["batch_size"], content["rate"]["threads"]) == (4, 1)


def test_the_example_names_what_cannot_be_used(example: Callable[..., None]) -> None:
    with pytest.raises(SystemExit, match=r"^Error: --stride 17 does not fit patches of 16 pixels\."):
        example("--stride", 17, "--no-rate")


def test_the_examples_of_the_docstrings() -> None:
    assert doctest.testmod(efficiency) == (0, 2)
