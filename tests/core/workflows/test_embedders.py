"""Which embedder a command uses: the copy where it does what was asked, else torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import TINY_MODEL

from scing_cli.core import runtime
from scing_cli.core.embeddings.copied import CopyEmbedder
from scing_cli.core.embeddings.tower import TowerEmbedder
from scing_cli.core.encoders.inference import WEIGHTS
from scing_cli.core.errors import SettingError
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows import embedders
from scing_cli.core.workflows.embedders import FEW, Crops, choose_embedder, copy_serves
from scing_cli.core.workflows.machine import Machine
from scing_cli.core.workflows.models import ModelChoice, OpenedModel, open_model

pytest.importorskip("scing_cli.core.encoders.quiet_openvino", exc_type=ImportError)


class Listening(Silent):
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedders, "may_have_gpu", lambda: False)
    monkeypatch.setattr(embedders, "cpu_has_bf16", lambda: True)


@pytest.fixture
def model() -> OpenedModel:
    return open_model(ModelChoice(model=TINY_MODEL, pretrained="random"), reporter=Silent())


@pytest.fixture
def crops(tmp_path: Path) -> Crops:
    draw = np.random.default_rng(0)
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for file in files:
        Image.fromarray(draw.integers(0, 256, (40, 20, 3), np.uint8)).save(file)
    return Crops(files)


@pytest.mark.parametrize(
    ("machine", "serves"),
    [
        ({}, True),
        ({"device": "cpu"}, True),
        ({"precision": "bf16"}, True),
        ({"precision": "fp32"}, False),
        ({"device": "cuda"}, False),
    ],
)
def test_the_copy_serves_where_neither_float32_nor_a_gpu_is_asked_for(machine: dict[str, Any], serves: bool) -> None:
    assert copy_serves(Machine(**machine)) is serves


def test_bf16_is_for_processors_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedders, "cpu_has_bf16", lambda: False)
    assert not copy_serves(Machine(precision="bf16"))
    assert copy_serves(Machine())


def test_where_there_may_be_a_gpu_the_copy_serves_few_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that is there without a GPU that torch can use: `Machine.place` finds the CPU in the end."""
    monkeypatch.setattr(embedders, "may_have_gpu", lambda: True)
    asked = []
    monkeypatch.setattr(runtime, "choose_device", asked.append)
    assert copy_serves(Machine(), count=FEW)
    assert copy_serves(Machine(device="cpu"), count=10 * FEW)
    assert not asked


def test_without_openvino_torch_embeds(model: OpenedModel, crops: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedders, "can_copy", lambda: False)
    found = choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=Silent())
    assert isinstance(found, TowerEmbedder)
    assert not model.copy.exists()


def test_a_copy_is_made_once_and_then_loaded_without_the_model(model: OpenedModel, crops: Crops) -> None:
    reporter = Listening()
    without = choose_embedder(model, Machine(), kind="projected", reporter=reporter)
    assert isinstance(without, TowerEmbedder)
    made = choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=reporter)
    assert isinstance(made, CopyEmbedder)
    assert reporter.notes == [f"Inference copy, for searches that start without torch: {model.copy}"]
    left = (model.copy / WEIGHTS).stat().st_mtime_ns
    again = OpenedModel(model.digest, model.where, None, (), model.copy, lambda: pytest.fail("the model was loaded"))
    loaded = choose_embedder(again, Machine(), kind="concat", crops=crops, reporter=reporter)
    assert isinstance(loaded, CopyEmbedder)
    assert (model.copy / WEIGHTS).stat().st_mtime_ns == left
    assert len(reporter.notes) == 1


def test_a_damaged_copy_is_told_and_made_anew_where_there_are_crops(model: OpenedModel, crops: Crops) -> None:
    choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=Silent())
    weights = model.copy / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    reporter = Listening()
    assert isinstance(choose_embedder(model, Machine(), kind="projected", reporter=reporter), TowerEmbedder)
    assert "the digests differ. scing embed makes it anew; until then torch is used" in reporter.warnings[0]
    mended = choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=reporter)
    assert isinstance(mended, CopyEmbedder)
    assert mended.files(crops.files, reporter=Silent(), text="x").shape == (3, mended.width)


def test_the_copy_of_another_model_does_not_count(model: OpenedModel, crops: Crops) -> None:
    choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=Silent())
    other = OpenedModel("another digest", model.where, None, (), model.copy, model.load)
    assert isinstance(choose_embedder(other, Machine(), kind="projected", reporter=Silent()), TowerEmbedder)


def test_an_unknown_descriptor_is_refused_first(model: OpenedModel) -> None:
    with pytest.raises(SettingError, match="--descriptor 'whole' is unknown"):
        choose_embedder(model, Machine(), kind="whole", reporter=Silent())
