"""Every method and stage in several processes: the losses and the weights of one, and the same bits each time."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
from ranks import in_processes
from safetensors.torch import load_file
from tiny import TINY_MODEL

SHORT = {"epochs": 2, "batch_size": 16, "lr": 1e-4, "warmup_epochs": 0, "instances": 2}
TOWERS = {"prompt_tokens": 2, "prompt_depth": 2}
BOUND = {"specific_tokens": 2, "semantic_tokens": 3, "bind_tokens": 2}
PROMPTS = {
    "scing": {},
    "bank": {"views": "bank:2"},
    "query": {"condition": "raw", "negatives": "query", "consistency_target": "both"},
    "encoder": {"stage1_learns": "all", "encoder_lr_factor": 0.5},
    "clip-reid": {"method": "clip-reid"},
    "cocoop": {"method": "cocoop", "sampler": "random", "instances": None, "batch_size": 7},
    "few rows": {"method": "cocoop", "sampler": "random", "instances": None, "batch_size": 2},  # fewer than processes
    "pairs": {"method": "prompt-decoupling", "instances": None, "batch_size": 8, **TOWERS},
    "spectra": {"method": "dmpt", **BOUND},
}
VISUAL = {
    "paper": ("scing", {"occlusion": 0.5}),
    "centroids": ("scing", {"prototype_weight": 1, "view_weight": 1, "ema": 0.9}),
    "heads": ("scing", {"stage2_loss": "clip-reid", "camera_embedding": True}),
    "own images": ("encoder", {}),
    "both towers": ("pairs", {"instances": None, "batch_size": 8}),
}
USUAL = {2: ("scing", "heads"), 3: ("few rows",)}
EVERY = dict.fromkeys((2, 3), (*PROMPTS, *VISUAL))  # the long tier
AGAIN = ("scing", "heads")  # trained twice by two processes
LOSS = 1e-6  # relative
WEIGHTS = 1e-4  # of the norm


def prompts_job(name, run, data):
    given = {"model": TINY_MODEL, "pretrained": "random", **SHORT, **PROMPTS[name]}
    return ("train", {"stage": "prompts", "settings": given, "run": str(run), "data": str(data)})


def visual_job(name, run, start):
    """Stage 2 begins from the stage 1 of one process, so that its own differences show."""
    shutil.copytree(start, run)
    return ("train", {"stage": "visual", "settings": {**SHORT, **VISUAL[name][1]}, "run": str(run)})


def train_all(world, spectra, folder, plan):
    """Fill folders by number of processes, with a run for each name; trained twice where the name ends with `again`."""
    names = set(itertools.chain(*plan.values()))
    visual = [name for name in VISUAL if name in names]
    prompts = [name for name in PROMPTS if name in names or name in {VISUAL[later][0] for later in visual}]

    def data(name):
        return spectra if name == "spectra" else world

    def check(results):
        assert [error for every in results for error in every if error] == []

    alone = folder / "1"
    check(in_processes(1, [prompts_job(name, alone / name, data(name)) for name in prompts], folder / "a"))
    starts = {name: shutil.copytree(alone / VISUAL[name][0], folder / "starts" / name) for name in visual}
    check(in_processes(1, [visual_job(name, alone / name, starts[name]) for name in visual], folder / "b"))
    for size, own in plan.items():
        jobs = []
        for name, repeat in itertools.product(own, ("", " again")):
            if repeat and (size != 2 or name not in AGAIN):
                continue
            run = folder / str(size) / f"{name}{repeat}"
            jobs.append(prompts_job(name, run, data(name)) if name in PROMPTS else visual_job(name, run, starts[name]))
        check(in_processes(size, jobs, folder / f"c{size}"))
    return folder


@pytest.fixture(scope="module")
def trained(world, spectra, tmp_path_factory):
    return train_all(world, spectra, tmp_path_factory.mktemp("usual"), USUAL)


@pytest.fixture(scope="module")
def all_trained(world, spectra, tmp_path_factory):
    return train_all(world, spectra, tmp_path_factory.mktemp("every"), EVERY)


def epochs(run, stage):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {key: row[key] for key in row if key != "stage" and "second" not in key}
        for row in rows
        if row["stage"] == stage
    ]


def weights(run):
    """All weights that both stages saved, by file: one vector each."""
    files = sorted(run.glob("*/*.safetensors"))
    assert files
    return {f"{file.parent.name}/{file.name}": flat(load_file(file)) for file in files}


def flat(tensors):
    return torch.cat([tensors[name].double().flatten() for name in sorted(tensors)])


def cases(plan):
    pairs = [(size, name) for size, names in plan.items() for name in names]
    return pytest.mark.parametrize(("size", "name"), pairs, ids=[f"{size} {name}" for size, name in pairs])


@cases(USUAL)
def test_a_training_is_that_of_one_process(trained, size, name) -> None:
    check_equal(trained, size, name)


@pytest.mark.long
@cases(EVERY)
def test_every_training_is_that_of_one_process(all_trained, size, name) -> None:
    check_equal(all_trained, size, name)


def check_equal(trained, size, name):
    stage = "train-prompts" if name in PROMPTS else "train-visual"
    alone, run = trained / "1" / name, trained / str(size) / name
    assert {file.name for file in run.iterdir()} == {file.name for file in alone.iterdir()}
    expected, found = epochs(alone, stage), epochs(run, stage)
    assert len(found) == len(expected) == SHORT["epochs"]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=LOSS)
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-3, abs=1e-4), key
    expected, found = weights(alone), weights(run)
    assert found.keys() == expected.keys()
    for file, value in expected.items():
        assert float((found[file] - value).norm() / value.norm()) <= WEIGHTS, file


@pytest.mark.parametrize("name", AGAIN)
def test_as_many_processes_give_the_same_bits(trained, name) -> None:
    stage = "train-prompts" if name in PROMPTS else "train-visual"
    first, second = (trained / "2" / each for each in (name, f"{name} again"))
    assert epochs(first, stage) == epochs(second, stage)
    for file in Path(first, "prompts" if stage == "train-prompts" else "visual").glob("*.safetensors"):
        assert file.read_bytes() == (second / file.parent.name / file.name).read_bytes()


def test_an_image_that_breaks_amid_a_training_is_the_one_message(world, tmp_path) -> None:
    """Each process decodes a part of each batch, and only one of them sees the damage."""
    messages = []
    for size in (1, 2):
        copy = Path(shutil.copytree(world, tmp_path / "same name" / str(size) / "world"))
        image = max((copy / "bounding_box_train").iterdir())
        given = {"model": TINY_MODEL, "pretrained": "random", **SHORT}
        job = {"settings": given, "run": str(tmp_path / f"run {size}"), "data": str(copy), "image": str(image)}
        results = in_processes(size, [("train_and_damage", job)], tmp_path / f"ranks {size}")
        messages += [[each.replace(str(copy), "") for each in own] for (own,) in results]
        assert not (tmp_path / f"run {size}").exists()
    assert messages[0][0] == "ImageError"
    assert "cannot be decoded" in messages[0][1]
    assert messages == [messages[0]] * 3
