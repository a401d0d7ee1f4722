"""Start and end of both stages: what is refused before the work, what a failed start leaves, and which files may move."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from artifacts import edit_run
from pipeline.conftest import FAST, MODEL
from safetensors.torch import save_file
from tiny import TINY_MODEL, tiny_clip

from scing_cli.core.artifacts import open_run
from scing_cli.core.errors import ScingError
from scing_cli.core.settings import VisualSettings
from scing_cli.core.workflows.train import visual_stage as workflow


def rows_of(world, part):
    return [(file, file.name[:4], file.name[6]) for file in sorted((world / part).glob("*.jpg"))]


def write_csv(rows):
    lines = ["path,identity,camera,split", *(",".join(map(str, row)) for row in rows)]
    Path("mine.csv").write_text("\n".join(lines) + "\n")


def test_a_start_that_fails_leaves_no_run_and_may_be_repeated(scing, own_world, here):
    good = {query: query.read_bytes() for query in (own_world / "query").glob("*.jpg")}
    for query, content in good.items():
        query.write_bytes(content[:100])
    command = ("train-prompts", "--data", own_world, *MODEL, *FAST, "--run", "run")
    failed = scing(*command)
    assert failed.code == 2
    assert min(good).name in failed.err
    assert not Path("run").exists()
    for query, content in good.items():
        query.write_bytes(content)
    assert scing(*command).code == 0


def test_prompts_longer_than_the_text_towers_context_are_refused_before_training(scing, world, here):
    model = json.loads(Path(TINY_MODEL).read_text())
    model["text_cfg"]["context_length"] = 10
    Path("short.json").write_text(json.dumps(model))
    result = scing("train-prompts", "--data", world, "--model", "short.json", "--pretrained", "random", "--run", "run")
    assert result.code == 2
    assert "Use fewer --tokens" in result.err
    assert not Path("run").exists()


def test_queries_without_identities_do_not_stand_in_the_way_of_training(scing, world, here):
    rows = [(*row, "train") for row in rows_of(world, "bounding_box_train")]
    rows += [(file, "", "", "query") for file, *_ in rows_of(world, "query")]
    rows += [(file, "", "", "gallery") for file, *_ in rows_of(world, "bounding_box_test")]
    write_csv(rows)
    assert scing("train-prompts", "--data", "mine.csv", *MODEL, *FAST).code == 0


@pytest.mark.parametrize(
    ("camera", "keep", "message"),
    [(False, 1, "seen twice"), (True, 1, "seen by two cameras"), (False, 0, "has no split val")],
)
def test_validation_that_cannot_be_done_is_refused_before_training(scing, world, here, camera, keep, message):
    rows = [(*row, "train") for row in rows_of(world, "bounding_box_train")]
    people = {}
    for file, identity, seen_by in rows_of(world, "query"):
        people.setdefault(identity, (file, identity, seen_by if camera else "", "val"))
    cameras = iter("12" * len(people))
    rows += [(file, identity, next(cameras) if camera else "", split) for file, identity, _, split in people.values()][
        : keep * 99
    ]
    write_csv(rows)
    assert scing("train-prompts", "--data", "mine.csv", *MODEL, *FAST, "--run", "run").code == 0
    result = scing("train-visual", "--run", "run", *FAST, "--validate")
    assert result.code == 2
    assert message in result.err
    assert not Path("run/visual").exists()


def test_an_identity_map_that_was_changed_is_found(scing, own_run, here):
    edit_run(own_run, lambda info: info["identities"].__setitem__(0, "nobody"))
    for command in ("embed", "evaluate"):
        result = scing(command, "--run", own_run)
        assert result.code == 2
        assert "identity map" in result.err
    shutil.rmtree(own_run / "visual")
    result = scing("train-visual", "--run", own_run, *FAST)
    assert result.code == 2
    assert "nobody" in result.err


def test_a_gallery_that_is_gone_is_told_before_stage_2(scing, own_world, here):
    assert scing("train-prompts", "--data", own_world, *MODEL, *FAST, "--run", "run").code == 0
    for file in (own_world / "bounding_box_test").glob("*.jpg"):
        file.rename(here / file.name)
    result = scing("train-visual", "--run", "run", *FAST)
    assert result.code == 2  # the dry run evaluates a few queries
    assert "bounding_box_test" in result.err


def test_training_stage_2_again_starts_its_metrics_anew(scing, own_run, here):
    shutil.rmtree(own_run / "visual")
    assert scing("train-visual", "--run", own_run, *FAST).code == 0
    rows = [json.loads(line) for line in (own_run / "metrics.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        (s, e) for s in ("train-prompts", "train-visual") for e in (1, 2)
    ]


def test_weights_that_have_moved_are_named_with_pretrained(scing, world, here):
    clip = tiny_clip(seed=4)
    state = {f"visual.{name}": value for name, value in clip.image.state_dict().items()}
    state |= dict(clip.text.state_dict())
    state["logit_scale"] = torch.tensor(clip.logit_scale).log()
    save_file({name: value.contiguous() for name, value in state.items()}, "weights.safetensors")
    command = ("train-prompts", "--data", world, "--model", TINY_MODEL, "--pretrained", "weights.safetensors")
    assert scing(*command, *FAST, "--run", "run").code == 0
    Path("weights.safetensors").rename("moved.safetensors")
    lost = scing("train-visual", "--run", "run", *FAST)
    assert lost.code == 2
    assert "--pretrained FILE" in lost.err
    assert scing("train-visual", "--run", "run", *FAST, "--pretrained", "random").code == 2  # another model
    assert scing("train-visual", "--run", "run", *FAST, "--pretrained", "moved.safetensors").code == 0


def test_out_of_memory_says_which_options_help(own_run, monkeypatch):
    def full(*_arguments, **_options):
        raise MemoryError("cannot allocate memory")

    shutil.rmtree(own_run / "visual")
    monkeypatch.setattr(workflow, "_train", full)
    with pytest.raises(ScingError) as caught:
        workflow.train_visual(VisualSettings(), run=open_run(own_run).path)
    assert "--batch-size" in caught.value.remedy


def test_options_that_a_run_has_itself_are_not_ignored(scing, finished, here):
    result = scing("evaluate", "--run", finished, "--stride", "4")
    assert result.code == 2
    assert "--stride needs --model" in result.err
