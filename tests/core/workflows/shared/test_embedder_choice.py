"""Choice of the embedder: the OpenVINO model if it can do what was asked, else torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from devices import needs_gpu
from PIL import Image
from tiny import TINY_MODEL

from scing_cli.core.embeddings import openvino_embedder
from scing_cli.core.embeddings.openvino_embedder import OpenVinoEmbedder
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.encoders.openvino_model import WEIGHTS
from scing_cli.core.errors import SettingError
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.shared import embedder_choice
from scing_cli.core.workflows.shared import machine as machines
from scing_cli.core.workflows.shared.embedder_choice import (
    FEW_PHOTOS,
    Crops,
    can_use_openvino,
    choose_embedder,
    choose_in_background,
)
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel, open_model

pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)


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
    monkeypatch.setattr(embedder_choice, "may_have_gpu", lambda: False)
    monkeypatch.setattr(embedder_choice, "cpu_has_bf16", lambda: True)


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
    ],
)
def test_the_copy_serves_where_neither_float32_nor_a_gpu_is_asked_for(machine: dict[str, Any], serves: bool) -> None:
    assert can_use_openvino(Machine(**machine)) is serves


@needs_gpu
def test_a_gpu_that_is_asked_for_is_used() -> None:
    assert not can_use_openvino(Machine(device="cuda"))


def test_a_gpu_that_is_not_there_is_refused() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(SettingError, match="no CUDA device here"):
            Machine(device="cuda")


def test_bf16_is_for_processors_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder_choice, "cpu_has_bf16", lambda: False)
    assert not can_use_openvino(Machine(precision="bf16"))
    assert can_use_openvino(Machine())


def test_where_there_may_be_a_gpu_the_copy_serves_few_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch is asked about the GPU only for many images: a driver may be there without one that it can use."""
    monkeypatch.setattr(embedder_choice, "may_have_gpu", lambda: True)
    asked, found = [], "cuda"

    def choose(name: str, number: int | None = None) -> torch.device:
        asked.append(name)
        return torch.device(found)

    monkeypatch.setattr(machines, "choose_device", choose)
    assert can_use_openvino(Machine(), count=FEW_PHOTOS)
    assert can_use_openvino(Machine(device="cpu"), count=10 * FEW_PHOTOS)
    assert not asked
    assert not can_use_openvino(Machine(), count=FEW_PHOTOS + 1)
    assert not can_use_openvino(Machine())
    found = "cpu"
    assert can_use_openvino(Machine(), count=FEW_PHOTOS + 1)
    assert asked == ["auto"] * 3


def test_without_openvino_torch_embeds(model: OpenedModel, crops: Crops, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (embedder_choice, openvino_embedder):
        monkeypatch.setattr(room, "openvino_installed", lambda: False)
    found = choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=Silent())
    assert isinstance(found, TorchEmbedder)
    assert not model.openvino_folders[-1].exists()


def test_a_copy_is_made_once_and_then_loaded_without_the_model(model: OpenedModel, crops: Crops) -> None:
    reporter = Listening()
    without = choose_embedder(model, Machine(), kind="projected", reporter=reporter)
    assert isinstance(without, TorchEmbedder)
    made = choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=reporter)
    assert isinstance(made, OpenVinoEmbedder)
    assert reporter.notes == [f"OpenVINO model, for searches that start without torch: {model.openvino_folders[-1]}"]
    left = (model.openvino_folders[-1] / WEIGHTS).stat().st_mtime_ns
    again = OpenedModel(
        model.digest, model.where, None, (), model.openvino_folders, lambda: pytest.fail("the model was loaded")
    )
    loaded = choose_embedder(again, Machine(), kind="concat", crops=crops, reporter=reporter)
    assert isinstance(loaded, OpenVinoEmbedder)
    assert (model.openvino_folders[-1] / WEIGHTS).stat().st_mtime_ns == left
    assert len(reporter.notes) == 1


def test_a_damaged_copy_is_told_and_made_anew_where_there_are_crops(model: OpenedModel, crops: Crops) -> None:
    choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=Silent())
    weights = model.openvino_folders[-1] / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    reporter = Listening()
    assert isinstance(choose_embedder(model, Machine(), kind="projected", reporter=reporter), TorchEmbedder)
    assert "the digests differ. scing embed makes it again; until then torch is used" in reporter.warnings[0]
    mended = choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=reporter)
    assert isinstance(mended, OpenVinoEmbedder)
    assert mended.files(crops.files, reporter=Silent(), text="x").shape == (3, mended.width)


def test_the_copy_of_another_model_does_not_count(model: OpenedModel, crops: Crops) -> None:
    choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=Silent())
    other = OpenedModel("another digest", model.where, None, (), model.openvino_folders, model.load)
    assert isinstance(choose_embedder(other, Machine(), kind="projected", reporter=Silent()), TorchEmbedder)


@pytest.mark.parametrize("wishes", [{"precision": "fp32"}, {"device": "cpu", "precision": "fp32"}])
def test_a_copy_is_made_for_later_searches_also_where_torch_embeds(
    model: OpenedModel, crops: Crops, wishes: dict[str, Any]
) -> None:
    reporter = Listening()
    for _ in range(2):
        found = choose_embedder(model, Machine(**wishes), kind="projected", crops=crops, reporter=reporter)
        assert isinstance(found, TorchEmbedder)
    assert len(reporter.notes) == 1
    assert isinstance(choose_embedder(model, Machine(), kind="projected", reporter=reporter), OpenVinoEmbedder)


def test_a_run_that_cannot_be_written_gets_its_copy_in_the_users_cache(
    model: OpenedModel, crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    both = OpenedModel(model.digest, model.where, None, (), (run / "inference", *model.openvino_folders), model.load)
    allowed = embedder_choice.os.access
    monkeypatch.setattr(embedder_choice.os, "access", lambda place, mode: place != run and allowed(place, mode))
    assert isinstance(
        choose_embedder(both, Machine(), kind="projected", crops=crops, reporter=Silent()), OpenVinoEmbedder
    )
    assert not list(run.iterdir())
    assert isinstance(choose_embedder(both, Machine(), kind="projected", reporter=Silent()), OpenVinoEmbedder)


def test_where_another_copy_serves_nobody_is_warned_of_the_damaged_one(
    model: OpenedModel, crops: Crops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with a damaged copy, which cannot be replaced: a good one comes into the user's cache, and is used."""
    run = tmp_path / "run"
    inside = OpenedModel(model.digest, model.where, None, (), (run / "inference",), model.load)
    choose_embedder(inside, Machine(), kind="projected", crops=crops, reporter=Silent())
    weights = run / "inference" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1])
    both = OpenedModel(model.digest, model.where, None, (), (run / "inference", *model.openvino_folders), model.load)
    (model.openvino_folders[-1].parent).mkdir(parents=True)
    monkeypatch.setattr(embedder_choice.os, "access", lambda place, mode: run not in (place, *place.parents))
    reporter = Listening()
    made = choose_embedder(both, Machine(), kind="projected", crops=crops, reporter=reporter)
    assert isinstance(made, OpenVinoEmbedder)
    assert len(reporter.warnings) == 1
    assert reporter.notes == [f"OpenVINO model, for searches that start without torch: {model.openvino_folders[-1]}"]
    assert isinstance(
        choose_in_background(both, Machine(), kind="projected", count=1, reporter=reporter)(), OpenVinoEmbedder
    )
    assert len(reporter.warnings) == 1


def test_a_search_without_a_copy_says_how_to_get_one(model: OpenedModel) -> None:
    reporter = Listening()
    waiting = choose_in_background(model, Machine(), kind="projected", count=1, reporter=reporter)
    assert isinstance(waiting(), TorchEmbedder)
    assert reporter.notes == [
        f"{model.label()} has no usable OpenVINO model: torch starts, which takes longer. scing embed makes one."
    ]


def test_a_copy_loads_while_something_else_is_done(model: OpenedModel, crops: Crops) -> None:
    choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=Silent())
    waiting = choose_in_background(model, Machine(), kind="projected", count=1, reporter=Silent())
    assert isinstance(waiting(), OpenVinoEmbedder)
    plain = choose_in_background(model, Machine(precision="fp32"), kind="projected", count=1, reporter=Silent())
    assert isinstance(plain(), TorchEmbedder)


def test_an_openvino_that_cannot_be_imported_is_told_and_torch_embeds(
    model: OpenedModel, crops: Crops, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose_embedder(model, Machine(), kind="projected", crops=crops, reporter=Silent())
    monkeypatch.setitem(sys.modules, "scing_cli.core.encoders.openvino_runtime", None)
    reporter = Listening()
    waiting = choose_in_background(model, Machine(), kind="projected", count=1, reporter=reporter)
    assert isinstance(waiting(), TorchEmbedder)
    assert "cannot be used: import of scing_cli.core.encoders.openvino_runtime halted" in reporter.warnings[0]


def test_an_unknown_descriptor_is_refused_first(model: OpenedModel) -> None:
    with pytest.raises(SettingError, match="--descriptor 'whole' is unknown"):
        choose_embedder(model, Machine(), kind="whole", reporter=Silent())
