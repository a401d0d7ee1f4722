"""Training of the small CLIP as a reader runs it, in few small steps."""

from __future__ import annotations

import dataclasses
import json
import math
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from patience import HANG
from safetensors.torch import load_file

import scing_cli
from scing_cli.core.artifacts import file_digest
from scing_cli.core.encoders.clip import load_clip, tokenize
from scing_cli.core.encoders.compact_words import ROWS

SCRIPT = Path(__file__).parents[2] / "examples" / "pretrain_tiny_clip.py"
SMALL = (
    "--batch-size",
    "16",
    "--chunk",
    "3",
    "--passes",
    "7",
    "--easy-chunks",
    "1",
    "--warmup",
    "5",
    "--muon-lr",
    "0.005",
    "--adam-lr",
    "5e-4",
)
SMALL += ("--workers", "2", "--unseen", "24")
needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="training needs torch 2.9")


def pretrain(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments), *SMALL, "--precision", "fp32"]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain") / "whole"
    done = pretrain("--output", folder, "--steps", 24)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@needs_muon
def test_some_steps_give_a_model_that_loads(whole):
    folder, told = whole
    clip = load_clip("scing-tiny", str(folder / "scing-tiny.safetensors"))
    assert clip.image.geometry.grid == (8, 4)
    first, last, _ = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    assert last["captions"] + last["identity"] < first["captions"] + first["identity"]
    assert len(load_file(folder / "scing-tiny.safetensors")[ROWS]) < 1000  # words of captions, of 49,408
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["recipe"]["steps"] == 24
    assert figures["caption to image"]["images"] == 24
    assert "caption to image, 24 images of 24 unseen identities, in groups of four look-alikes: rank-1" in told
    assert '"cost": ' in told


@needs_muon
def test_a_stopped_training_goes_on_to_the_same_weights(whole, tmp_path):
    """It is stopped amid the second chunk: look-alikes in one batch, much hidden."""
    folder = tmp_path / "stopped"
    first = pretrain("--output", folder, "--steps", 24, "--stop-at", 22)
    assert first.returncode == 0, first.stderr
    assert not (folder / "scing-tiny.safetensors").exists()
    second = pretrain("--output", folder, "--steps", 24)
    assert second.returncode == 0, second.stderr
    assert "Resuming at step 22 of 24." in second.stdout
    ours, theirs = (load_file(each / "scing-tiny.safetensors") for each in (folder, whole[0]))
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@needs_muon
def test_a_training_goes_on_from_weights(whole, tmp_path):
    """Their digest is part of the recipe; words that no caption uses stay as every training begins."""
    first = whole[0] / "scing-tiny.safetensors"
    done = pretrain("--output", tmp_path / "second", "--steps", 1, "--start", first, "--seed", 1)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "second" / "figures.json").read_text())["recipe"]["start"] == file_digest(first)
    ours, theirs = load_file(tmp_path / "second" / "scing-tiny.safetensors"), load_file(first)
    assert len(ours[ROWS]) < 1000
    name = "visual.transformer.resblocks.0.attn.in_proj_weight"
    assert not torch.equal(ours[name], theirs[name])
    assert torch.nn.functional.cosine_similarity(ours[name].flatten(), theirs[name].flatten(), dim=0) > 0.9
    refused = pretrain("--evaluate", "--start", first)
    assert (refused.returncode, "--start FILE is for training" in refused.stderr) == (2, True)


def test_the_learning_rate_falls_as_it_is_told():
    recipe = runpy.run_path(str(SCRIPT))["Recipe"]
    usual, long, stopped = (
        recipe(steps=100, warmup=10),
        recipe(steps=200, warmup=10),
        recipe(steps=100, warmup=10, horizon=200, anneal=20),
    )
    assert [usual.share_of_rate(step) for step in (0, 9, 10, 55)] == pytest.approx([0.1, 1.0, 1.0, 0.5])
    assert usual.share_of_rate(99) < 0.001
    assert all(stopped.share_of_rate(step) == long.share_of_rate(step) for step in range(80))
    rates = [stopped.share_of_rate(step) / long.share_of_rate(step) for step in range(79, 100)]
    assert rates == pytest.approx([n / 21 for n in range(21, 0, -1)])


@needs_muon
def test_another_recipe_does_not_go_on_in_the_same_folder(whole, tmp_path):
    """Nor does another model, whose weights have the same shapes."""
    shipped = Path(scing_cli.__file__).parent / "assets" / "models" / "scing-tiny.json"
    model = json.loads(shipped.read_text())
    model["model_cfg"]["quick_gelu"] = True
    other = tmp_path / "scing-tiny.json"
    other.write_text(json.dumps(model))
    for changed in (("--steps", 25), ("--steps", 24, "--model", other)):
        done = pretrain("--output", whole[0], *changed)
        assert done.returncode == 1
        assert "another recipe" in done.stderr


def test_shipped_weights_can_be_examined():
    done = pretrain("--evaluate")
    assert done.returncode == 0, done.stderr
    assert "no two of one group: rank-1" in done.stdout


def test_its_people_are_never_those_of_a_drawn_world_nor_examined_where_trained():
    """A world's keys begin with "world"; other first words meet other people (`test_people`)."""
    script = runpy.run_path(str(SCRIPT))
    met = {}
    size = (128, 64)
    group = script["GroupTask"](script["Recipe"](), 3, False, size)
    for name, task in (("draw_group", group), ("draw_some_unseen", (0, 2, 1, size))):
        draw, keys = script[name], []
        draws = draw.__globals__

        def people(count, *key, keys=keys, own=draws["draw_people"]):
            keys.append(key)
            return own(count, *key)

        former, draws["draw_people"] = draws["draw_people"], people
        try:
            assert draw(task)
        finally:
            draws["draw_people"] = former
        met[name] = set(keys)
    assert {key[0] for keys in met.values() for key in keys} == {"pretrain"}
    assert met["draw_group"].isdisjoint(met["draw_some_unseen"])


@pytest.mark.parametrize("easy", [True, False])
def test_a_chunk_is_used_once_in_each_pass_in_batches_of_whole_groups_and_sites(easy):
    script = runpy.run_path(str(SCRIPT))
    recipe = script["Recipe"](batch_size=128, chunk=5, passes=2, easy_chunks=1)
    number = 0 if easy else 1
    passes = [torch.cat([script["_rows"](recipe, number, turn * 5 + batch) for batch in range(5)]) for turn in (0, 1)]
    assert not torch.equal(*passes)
    for rows in passes:
        assert sorted(rows.tolist()) == list(range(5 * 128))
    batches = passes[0].view(5, 128)
    people, groups = batches // 2, batches // 8
    assert all((row[0::2] == row[1::2]).all() for row in people)  # both images of a person
    sizes = {int(count) for row in groups for count in row.unique(return_counts=True)[1]}
    if easy:
        assert max(sizes) < 8
    else:
        assert sizes == {8}
        assert all(len((row // script["SITE"]).unique()) <= 3 for row in groups)


def test_both_losses_equal_their_definitions():
    """By loops: captions of another image of the person do not count; the other image of the person is looked for."""
    script = runpy.run_path(str(SCRIPT))
    clip = load_clip("scing-tiny", "random")
    model = script["TinyClip"](clip, "fp32")
    people = torch.tensor([0, 0, 1, 1, 2, 2])
    texts = [tokenize(words) for words in ("a red coat", "a coat", "a blue hat", "a hat", "a bag", "two bags")]
    ends = torch.tensor([len(text) - 1 for text in texts])
    ids = torch.zeros(6, int(ends.max()) + 1, dtype=torch.long)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
    pixels = torch.randn(6, 3, 128, 64, generator=torch.Generator().manual_seed(0))
    pairs = script["Pairs"](pixels, ids, ends)
    with torch.no_grad():
        found = model.losses(pixels, pairs, people, 16.0)
        images, words = (value.double() for value in model(pixels, pairs))
    scale = float(model.logit_scale.exp())
    captions, identity = [], []
    for row in range(6):
        foreign = [other for other in range(6) if people[other] != people[row]]
        for one, many in ((images, words), (words, images)):
            logits = [scale * float(one[row] @ many[other]) for other in (row, *foreign)]
            captions.append(math.log(sum(map(math.exp, logits))) - logits[0])
        partner = row ^ 1
        logits = [16 * float(images[row] @ images[other]) for other in range(6) if other != row]
        identity.append(math.log(sum(map(math.exp, logits))) - 16 * float(images[row] @ images[partner]))
    assert [float(loss) for loss in found] == pytest.approx([sum(captions) / 12, sum(identity) / 6], rel=1e-4)


@pytest.mark.parametrize("part", ["sensor", "light", "place", "cloth", "box", "others"])
def test_a_part_of_the_drawing_can_be_left_out(part):
    script = runpy.run_path(str(SCRIPT))
    recipe = script["Recipe"](drawn=0.0, occluded=0.0)
    less = dataclasses.replace(recipe, without=part)
    whole, without = (script["draw_group"](script["GroupTask"](one, 3, False, (128, 64))) for one in (recipe, less))
    changed = [one[0] != other[0] for one, other in zip(whole, without, strict=True)]
    assert any(changed)
    assert len(whole) == len(without) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--evaluate", "--output", "x"), "either --output FOLDER to train, or --evaluate"),
        (("--weights", "x.safetensors", "--output", "x"), "--weights FILE needs --evaluate"),
        (("--output", "x", "--steps", "0"), "--steps must be at least 1"),
        (("--output", "x", "--without", "light,moon"), "--without moon: known are sensor, light"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *options, *SMALL])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert left.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_each_use_of_an_image_has_a_caption_of_its_own():
    script = runpy.run_path(str(SCRIPT))
    recipe = script["Recipe"](passes=4)
    same = dataclasses.replace(recipe, without="retold")
    drawn, once = (script["draw_group"](script["GroupTask"](one, 5, False, (128, 64))) for one in (recipe, same))
    assert [image for image, _ in drawn] == [image for image, _ in once]
    assert [captions[:1] for _, captions in drawn] == [captions for _, captions in once]
    assert all(len(captions) == 4 and len(set(captions)) > 1 for _, captions in drawn)
    uses = script["as_pairs"](drawn, (128, 64))
    assert len(uses) == 4
    assert all(use.pixels is uses[0].pixels for use in uses)
    assert not all(torch.equal(use.ends, uses[0].ends) for use in uses)
