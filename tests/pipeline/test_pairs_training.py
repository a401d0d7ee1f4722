"""Methods that learn from images with their words, from the command line to a search: both encoders are the run's own."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline.conftest import FAST, MODEL
from safetensors.torch import load_file
from tiny import tiny_clip

from scing_cli.core.artifacts import open_run
from scing_cli.core.embeddings.text_embedder import TorchTextEmbedder
from scing_cli.core.encoders.encoder_file import encoder_digest, load_text_encoder, tensors_digest, text_encoder_digest
from scing_cli.core.library import load_model

WORDS = "someone in a red coat with a backpack"
METHODS = {"prompt-decoupling": ("--epochs", "1", "--batch-size", "8"), "direct": ()}
every_method = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def table(own_world):
    """A CSV with two captions per image and a split val; one training image has none, and one person has none at all."""
    with (own_world / "captions.csv").open(encoding="utf-8") as stream:
        texts = {row["path"]: row["caption"] for row in csv.DictReader(stream)}
    lines = [["path", "identity", "camera", "split", "caption", "caption_2"]]
    for path, text in sorted(texts.items()):
        name = Path(path).name
        split = "train" if "train" in path else "val" if name[:4] < "0010" else "gallery"
        silent = split == "train" and (name[:4] == "0002" or name.startswith("0001_c1"))
        captions = ["", ""] if silent else [text, f"{text.split(',')[0].lower()} walks by"]
        lines.append([path, name[:4], name[6], split, *captions])
    target = own_world / "words.csv"
    with target.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(lines)
    return target


@every_method
def test_from_data_to_a_search_by_words(scing, table, method):
    first = scing("train-prompts", "--data", table, "--method", method, "--model", "scing-tiny", *METHODS[method],
                  "--run", "run", "--json")  # fmt: skip
    assert first.code == 0, first.err
    assert (
        "4 of 18 training images have no caption: they are left out. 1 identity has no caption at all: 0002."
        in first.err
    )
    assert (first.json["identities"], first.json["images"], first.json["captions"]) == (5, 14, 28)
    assert set(first.json["trainable"]) == ({"image prompts", "text prompts"} if method != "direct" else set())
    assert set(first.json["frozen"]) == {"image encoder", "text encoder"}
    second = scing(
        "train-visual",
        "--run",
        "run",
        "--epochs",
        "1",
        "--batch-size",
        "8",
        "--lr",
        "1e-3",
        "--warmup-epochs",
        "0",
        "--validate",
        "--json",
    )
    assert second.code == 0, second.err
    assert set(second.json["trainable"]) == {"image encoder", "text encoder", "heads"}
    assert second.json["trainable"]["heads"] == 193 * 5
    assert (second.json["captions"], second.json["steps"]) == (28, 4)
    assert second.json["validation"]["protocol"] == "text"
    again = scing("evaluate", "--run", "run", "--split", "val", "--queries", "text", "--precision", "fp32", "--json")
    assert again.json["mAP"] == pytest.approx(second.json["validation"]["mAP"])
    assert scing("embed", "--run", "run", "--output", "g.faiss").code == 0
    found = scing("search", "--text", WORDS, "--index", "g.faiss", "--json")
    assert found.code == 0, found.err
    assert found.err == ""  # it reads the OpenVINO copies of both towers, which the training made
    run = open_run(Path("run"))
    assert set(run.encoders) == {"image", "text"}
    tower = load_text_encoder(run.stage("visual"))
    assert text_encoder_digest(tower) == run.encoders["text"]
    model = load_model(run.path)
    exact, quick = TorchTextEmbedder(tower).texts([WORDS]), model.embed_texts(WORDS)
    assert float((exact * quick).sum()) > 0.999
    others = load_model(model="scing-tiny").embed_texts(WORDS)
    assert float((exact * others).sum()) < 0.99
    (result,) = found.json["results"]
    images = model.embed([Path(hit["path"]) for hit in result["hits"]])
    np.testing.assert_allclose(images @ quick[0], [hit["score"] for hit in result["hits"]], atol=2e-3)


def test_a_validation_counts_the_captions_of_people_of_the_training(scing, table):
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    seen = min(row[1] for row in rows if row[3] == "val")
    shown = [row for row in rows if row[1] == seen]
    for row in shown:
        row[1] = "0001"
    with table.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    assert scing("train-prompts", "--data", table, *MODEL, "--method", "direct", "--run", "run").code == 0
    told = scing("train-visual", "--run", "run", "--epochs", "1", "--batch-size", "8", "--validate", "--json")
    assert f"{2 * len(shown)} of {told.json['validation']['queries']} queries show people of the training" in told.err
    again = scing("evaluate", "--run", "run", "--split", "val", "--queries", "text", "--json").json
    assert told.json["cautions"] == again["cautions"]


def states(run):
    """The state of both towers in a run, and the prompts that stage 1 saved."""
    folder = Path(run)
    towers = {name: load_file(folder / f"visual/{name}_encoder.safetensors") for name in ("image", "text")}
    prompts = folder / "prompts/prompts.safetensors"
    return towers, load_file(prompts) if prompts.exists() else {}


def test_stage_1_moves_the_prompts_alone_and_stage_2_both_towers_but_the_prompts(both_towers):
    clip = tiny_clip()
    info = open_run(both_towers).info["model"]
    assert info["digest"] == encoder_digest(clip.image)
    assert info["text_digest"] == tensors_digest(clip.text.state_dict(), {})
    towers, prompts = states(both_towers)
    for own in (clip.image, clip.text):
        start = {name: value.clone() for name, value in own.state_dict().items()}
        own.learn_prompts(2, 2, 0)
        assert prompts[own.kind].shape == (2, 2, own.width)
        assert not torch.equal(prompts[own.kind], own.prompts)  # stage 1 has moved them
        found = towers[own.kind]
        assert torch.equal(found.pop("prompts"), prompts[own.kind])  # and stage 2 has not
        assert set(found) == set(start)
        assert [name for name in start if torch.equal(found[name], start[name])] == []


def test_direct_makes_the_run_and_trains_nothing_before_stage_2(scing, world):
    made = scing("train-prompts", "--data", world, *MODEL, "--method", "direct", "--run", "run")
    assert made.code == 0
    assert "--method direct has no prompts: this stage makes the run, and stage 2 trains." in made.err
    assert "Stage 1: 6 identities, 18 images, 18 captions; nothing to train." in made.out
    assert "Next: scing train-visual --run run" in made.out
    assert [file.name for file in Path("run/prompts").iterdir()] == ["stamp.json"]
    assert scing("train-visual", "--run", "run", *FAST).code == 0
    towers, _ = states("run")
    clip = tiny_clip()
    for own in (clip.image, clip.text):
        assert not [name for name, value in own.state_dict().items() if torch.equal(towers[own.kind][name], value)]


@every_method
def test_defaults_are_the_methods_and_the_run_says_so(scing, world, method):
    made = ("train-prompts", "--data", world, *MODEL, "--method", method, "--run", "run")
    assert scing(*made, *(("--epochs", "1") if method != "direct" else ())).code == 0
    assert scing("train-visual", "--run", "run", "--epochs", "1", "--batch-size", "18").code == 0
    settings = json.loads(Path("run/run.json").read_text())["settings"]
    names = ("lr", "weight-decay", "schedule", "final-lr")
    if method != "direct":
        assert [settings["train-prompts"][name] for name in names] == [3e-4, 0.0, "cosine", 0.0]
    assert [settings["train-visual"][name] for name in names] == [1e-5, 4e-5, "cosine", 0.0]
    assert [settings["train-visual"][name] for name in ("warmup-epochs", "stage2-loss", "batch-size")] == [
        5,
        "sdm+id",
        18,
    ]
    assert [settings["train-visual"][name] for name in ("adam-eps", "bias-weight-decay", "head-lr-factor")] == [1e-8, None, 1.0]  # fmt: skip


def test_depth_is_cut_to_the_blocks_and_long_captions_are_counted(scing, table):
    text = table.read_text(encoding="utf-8").replace(" walks by", " walks by" + " and by" * 60)
    table.write_text(text, encoding="utf-8")
    given = ("--method", "prompt-decoupling", "--prompt-depth", "9", "--epochs", "1", "--batch-size", "8")
    said = scing("train-prompts", "--data", table, *MODEL, *given, "--run", "run")
    assert said.code == 0, said.err
    assert "--prompt-depth 9: the image encoder has 2 blocks." in said.err
    assert "14 captions are longer than the 73 tokens that the text encoder reads: cut." in said.err
    assert load_file("run/prompts/prompts.safetensors")["text"].shape == (2, 4, 24)


def test_images_of_another_size_through_both_stages_and_out(scing, world):
    made = ("train-prompts", "--data", world, *MODEL, "--image-size", "48x24", *FAST)
    assert scing(*made, "--method", "prompt-decoupling", "--run", "run").code == 0
    assert scing("train-visual", "--run", "run", *FAST).code == 0
    geometry = open_run(Path("run")).info["model"]["geometry"]
    assert (geometry["height"], geometry["width"]) == (48, 24)
    towers, _ = states("run")
    assert towers["image"]["positional_embedding"].shape == (1 + 6 * 3, 32)
    assert scing("embed", "--run", "run", "--output", "g.faiss").code == 0
    exported = scing("embed", "--run", "run", "--export", "m.onnx")
    assert "images of 48x24 pixels" in exported.out
    refused = scing("embed", "--run", "run", "--export", "folder")
    assert refused.code == 2
    assert "--export-format open_clip cannot hold the deep prompts of this encoder." in refused.err
    own = scing(*made, "--run", "other")  # every method takes it
    assert own.code == 0
    assert scing("train-visual", "--run", "other", *FAST).code == 0
    assert scing("search", "--text", WORDS, "--index", "g.faiss").code == 0


def test_a_folder_of_a_run_without_prompts_has_its_own_text_tower(scing, world):
    assert scing("train-prompts", "--data", world, *MODEL, "--method", "direct", "--run", "run").code == 0
    assert scing("train-visual", "--run", "run", *FAST).code == 0
    exported = scing("embed", "--run", "run", "--export", "folder")
    assert exported.code == 0, exported.err
    own = load_model("run").embed_texts(WORDS)
    again = load_model(model="folder").embed_texts(WORDS)
    assert float((own * again).sum()) > 0.999


def test_a_copied_run_uses_its_own_text_tower(scing, both_towers, tmp_path):
    shutil.copytree(both_towers, tmp_path / "there/run")
    assert scing("embed", "--run", "there/run", "--output", "there/g.faiss").code == 0
    before = scing("search", "--text", WORDS, "--index", "there/g.faiss", "--json").json["results"]
    Path("there").rename("elsewhere")
    shutil.rmtree("elsewhere/run/visual/inference-text")
    after = scing("search", "--text", WORDS, "--index", "elsewhere/g.faiss", "--json")
    assert after.code == 0, after.err
    one, other = ([hit["path"] for hit in result["hits"]] for result in (after.json["results"][0], before[0]))
    assert one == other
    assert "OpenVINO model of the text tower, for searches that start without torch: " in after.err
    assert Path("elsewhere/run/visual/inference-text/stamp.json").exists()


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


HARMS = {
    "flipped": flip,
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "empty": lambda file: file.write_bytes(b""),
    "missing": Path.unlink,
}
READERS = {
    "visual/text_encoder.safetensors": ("evaluate", "--queries", "text"),
    "visual/image_encoder.safetensors": ("evaluate", "--queries", "text"),
    "visual/stamp.json": ("evaluate", "--queries", "text"),
    "prompts/prompts.safetensors": ("train-visual", *FAST, "--as", "again"),
    "prompts/stamp.json": ("train-visual", *FAST, "--as", "again"),
}


@pytest.mark.parametrize("file", READERS)
def test_a_damaged_file_is_refused_by_name(scing, both_towers, world, tmp_path, file):
    run = Path(shutil.copytree(both_towers, tmp_path / "run"))
    whole = (run / file).read_bytes()
    command = (*READERS[file], "--run", run)
    for harm, do in HARMS.items():
        do(run / file)
        said = scing(*command)
        assert said.code == 2, harm
        assert said.err.count("Error:") == 1
        missing_stamp = harm == "missing" and file.endswith("stamp.json")
        assert (Path(file).name in said.err) or missing_stamp, said.err
        (run / file).write_bytes(whole)
        shutil.rmtree("again", ignore_errors=True)
    made = ("train-prompts", "--data", world, *MODEL, *FAST, "--method", "prompt-decoupling", "--seed", "1")
    if not (tmp_path / "other").exists():
        assert scing(*made, "--prompt-tokens", "2", "--prompt-depth", "2", "--run", "other").code == 0
        assert scing("train-visual", "--run", "other", *FAST).code == 0
    shutil.copy(Path("other", file), run / file)  # another run's, with the same shapes
    said = scing(*command)
    assert said.code == 2
    assert any(name in said.err for name in (Path(file).name, "stamp.json")), said.err


def test_another_text_tower_than_that_of_stage_1_is_refused(scing, both_towers, tmp_path):
    run = Path(shutil.copytree(both_towers, tmp_path / "run"))
    other = tiny_clip()
    with torch.no_grad():
        other.text.text_projection.add_(1.0)
    state = {f"visual.{name}": value for name, value in other.image.state_dict().items()}
    state |= dict(other.text.state_dict()) | {"logit_scale": torch.tensor(other.logit_scale).log()}
    torch.save(state, "other.pt")
    said = scing("train-visual", "--run", run, "--as", "again", "--pretrained", "other.pt", *FAST)
    assert said.code == 2
    assert "is not the one that" in said.err
    assert "was trained with." in said.err


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("train-prompts", ("--method", "direct", "--epochs", "2"), "--epochs is not read by --method direct."),
        ("train-prompts", ("--method", "direct", "--prompt-tokens", "2"), "--prompt-tokens is not read by"),
        ("train-prompts", ("--method", "prompt-decoupling", "--tokens", "3"), "--tokens is not read by"),
        ("train-prompts", ("--method", "scing", "--prompt-depth", "3"), "--prompt-depth is not read by --method scing."),
        ("train-prompts", ("--method", "prompt-decoupling", "--prompt-tokens", "0"), "--prompt-tokens 0: must be at least 1"),
        ("train-prompts", ("--image-size", "384"), "--image-size 384: must be a height and a width in pixels, as in 384x128"),
        ("train-prompts", ("--image-size", "4x4"), "4x4 pixels are smaller than a patch of 8x8."),
        ("train-visual", ("--margin", "0.1"), "--margin is not read by --method prompt-decoupling."),
        ("train-visual", ("--camera-embedding",), "--camera-embedding is not read by --method prompt-decoupling."),
        ("train-visual", ("--stage2-loss", "paper"), "--stage2-loss paper does not belong to --method prompt-decoupling."),
        ("train-visual", ("--stage2-loss", "itc", "--head-lr-factor", "2"), "--head-lr-factor has no effect with"),
        ("train-visual", ("--mask-words", "0.95"), "--mask-words 0.95: must be at most 0.9."),
        ("train-visual", ("--adam-eps", "0"), "--adam-eps 0.0: must be more than 0."),
        ("train-visual", ("--validate",), "--validate: world"),
    ],
)  # fmt: skip
def test_what_a_method_does_not_read_is_refused_by_name(
    scing, world, both_towers, tmp_path, command, arguments, message
):
    data = ("--data", world, *MODEL) if command == "train-prompts" else ("--run", shutil.copytree(both_towers, "run"))
    if command == "train-visual":
        shutil.rmtree("run/visual")
    said = scing(command, *data, *arguments)
    assert said.code == 2
    assert message.replace("world", world.name) in said.err
    assert said.err.count("Error:") == 1
    assert not list(tmp_path.glob("runs/*"))


def test_methods_of_images_refuse_what_belongs_to_captions(scing, own_run):
    shutil.rmtree(own_run / "visual")
    for arguments, message in (
        (("--mask-words", "0.1"), "--mask-words is not read by --method scing."),
        (("--stage2-loss", "sdm+id"), "--stage2-loss sdm+id does not belong to --method scing."),
    ):
        said = scing("train-visual", "--run", own_run, *arguments)
        assert said.code == 2
        assert message in said.err


def test_data_without_words_and_files_for_another_method_are_refused_before_anything_is_loaded(scing, own_world):
    (own_world / "captions.csv").unlink()
    said = scing("train-prompts", "--data", own_world, *MODEL, "--method", "direct", "--run", "run")
    assert said.code == 2
    assert (
        "has no captions in the split 'train', and --method direct learns from images with their captions." in said.err
    )
    assert "captions.csv" in said.err
    assert not Path("run").exists()
    for table, message in (
        ("margin = 0.2", "--margin is not read by --method direct."),
        ('stage2-loss = "paper"', "--stage2-loss paper does not belong to --method direct."),
        ('method = "direct"', "[train-visual]: method is a setting of [train-prompts], which stage 2 takes over."),
    ):
        Path("own.toml").write_text(f'[train-prompts]\nmethod = "direct"\n[train-visual]\n{table}\n')
        said = scing("train-prompts", "--data", own_world, *MODEL, "--config", "own.toml", "--run", "run")
        assert said.code == 2
        assert message in said.err


def test_the_control_row_reads_the_settings_file_of_prompt_decoupling(scing, world):
    """What direct does not read there is passed over with a note; an option of the command line stays refused."""
    Path("own.toml").write_text(
        '[train-prompts]\nmethod = "prompt-decoupling"\nmodel = "scing-tiny"\nprompt-tokens = 2\nepochs = 1\n'
        'interpolation = "bilinear"\nbatch-size = 8\n[train-visual]\nepochs = 1\nwarmup-epochs = 0\nbatch-size = 18\n'
    )
    made = ("train-prompts", "--data", world, "--method", "direct", "--config", "own.toml", "--run", "run")
    refused = scing(*made, "--epochs", "2")
    assert refused.code == 2
    assert "--epochs is not read by --method direct." in refused.err
    said = scing(*made)
    assert said.code == 0, said.err
    passed = "prompt-tokens, epochs, batch-size of [train-prompts] in own.toml."
    assert f"--method direct trains nothing in stage 1: it passes over {passed}" in said.err
    first = json.loads(Path("run/run.json").read_text())["settings"]["train-prompts"]
    assert (first["method"], first["model"], first["interpolation"]) == ("direct", "scing-tiny", "bilinear")
    assert scing("train-visual", "--run", "run", "--config", "own.toml").code == 0
    second = json.loads(Path("run/run.json").read_text())["settings"]["train-visual"]
    assert (second["epochs"], second["batch-size"]) == (1, 18)
    own = Path("own.toml").read_text().replace("prompt-decoupling", "direct")
    Path("own.toml").write_text(own)  # a file of direct itself is checked
    refused = scing(*made[:-1], "other")
    assert refused.code == 2
    assert "--epochs, --batch-size, --prompt-tokens are not read by --method direct." in refused.err


def test_training_captions_without_latin_letters_are_warned_of_once(scing, table):
    text = table.read_text(encoding="utf-8")
    first = next(line for line in text.splitlines() if ",train," in line and "walks by" in line)
    table.write_text(text.replace(first, ",".join([*first.split(",")[:4], "女", "红色"])), encoding="utf-8")
    said = scing("train-prompts", "--data", table, *MODEL, "--method", "direct", "--run", "run")
    assert said.code == 0, said.err
    assert said.err.count("no Latin letter, such as") == 1
