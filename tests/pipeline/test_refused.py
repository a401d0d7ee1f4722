"""What is refused: one message that names the thing and the next step, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image
from pipeline.conftest import FAST, MODEL

TRAIN = ("train-prompts", *MODEL, *FAST)


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def refuse(result, *parts):
    assert result.code == 2, result
    assert result.out == ""
    assert result.err.count("Error:") == 1
    assert "Traceback" not in result.err
    for part in parts:
        assert part in result.err, result.err


def nothing_in(folder):
    assert sorted(path.name for path in folder.rglob("*")) == []


def spoil(file, how):
    if how == "empty":
        file.write_bytes(b"")
    elif how == "truncated":
        file.write_bytes(file.read_bytes()[:-200])
    else:
        file.write_bytes(b"\x00\x01 this is no picture at all" * 20)
    return file


@pytest.mark.parametrize("how", ["empty", "truncated", "unreadable"])
def test_prepare_lists_damaged_images_and_training_names_file_and_prepare(scing, own_world, here, how):
    bad = spoil(sorted((own_world / "bounding_box_train").glob("*.jpg"))[3], how)
    listed = scing("prepare", own_world, "--json")
    assert listed.code == 0
    (entry,) = listed.json["unreadable"]
    assert entry["path"] == f"bounding_box_train/{bad.name}"
    assert entry["reason"]
    assert bad.name not in Path(listed.json["manifest"]).read_text()
    assert bad.name in scing("prepare", own_world).out
    Path(listed.json["manifest"]).unlink()
    refuse(scing("prepare", own_world, "--strict"), "--strict", bad.name)
    refuse(scing(*TRAIN, "--data", own_world), bad.name, "scing prepare")
    nothing_in(here)


def test_a_folder_of_no_known_layout(scing, here, tmp_path):
    odd = tmp_path / "holiday"
    odd.mkdir()
    Image.new("RGB", (8, 16)).save(odd / "a.jpg")
    for command in (("prepare", odd), (*TRAIN, "--data", odd)):
        refuse(scing(*command), str(odd), "bounding_box_train", "scing embed --images")
    refuse(scing("prepare", tmp_path / "none"), "none")
    nothing_in(here)


def test_data_without_queries(scing, own_world, finished, here):
    for file in (own_world / "query").glob("*.jpg"):
        file.unlink()
    refuse(
        scing("evaluate", "--run", finished, "--data", own_world),
        "no image in the split 'query'",
        "Splits it has: train, gallery",
    )


@pytest.mark.parametrize("left", [0, 1])
def test_fewer_than_two_identities(scing, own_world, here, left):
    files = sorted((own_world / "bounding_box_train").glob("*.jpg"))
    kept = files[0].name[:4]
    for file in files:
        if left == 0 or not file.name.startswith(kept):
            file.unlink()
    result = scing(*TRAIN, "--data", own_world)
    refuse(result, "fewer than two identities" if left else "no image in the split 'train'")
    nothing_in(here)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("file,identity\na.jpg,1\n", ("has no column `path`", "'file', 'identity'")),
        ("path,split\na.jpg,train\nb.jpg,test\n", ("line 3", "'test'", "train, val, query, gallery")),
        ("path,identity\na.jpg,1,2,3\n", ("line 2",)),
        ("path,identity\n,1\n", ("line 2", "path is empty")),
        ("", ("mine.csv",)),
    ],
)
def test_a_faulty_csv(scing, tmp_path, here, text, parts):
    file = tmp_path / "mine.csv"
    file.write_text(text)
    for command in (("prepare", file), (*TRAIN, "--data", file)):
        refuse(scing(*command), str(file), *parts)
    nothing_in(here)


def photo_of(world):
    return min((world / "query").glob("*.jpg"))


def test_an_index_of_another_model(scing, own_run, world, here):
    assert scing("embed", *MODEL, "--data", world).code == 0
    refuse(
        scing("search", photo_of(world), "--index", "gallery.faiss", "--run", own_run),
        "was made by another model",
        "visual",
        "--force",
    )
    refuse(scing("evaluate", "--run", own_run, "--index", "gallery.faiss"), "was made by another model")
    refuse(scing("embed", "--run", own_run, "--append"), "was made by another model")


def test_an_index_of_another_width(scing, own_run, world, here):
    assert scing("embed", "--run", own_run, "--descriptor", "concat").code == 0
    refuse(scing("evaluate", "--run", own_run, "--index", "gallery.faiss"), "48 wide", "16 wide", "--force")


def test_an_index_whose_model_has_changed_or_gone(scing, own_run, world, here):
    assert scing("embed", "--run", own_run).code == 0
    shutil.rmtree(own_run / "visual")
    assert scing("train-visual", "--run", own_run, *FAST, "--seed", "9").code == 0
    refuse(
        scing("search", photo_of(world), "--index", "gallery.faiss"),
        "was made by another model",
        "--run",
        "scing embed --force",
    )
    shutil.rmtree(own_run)
    refuse(scing("search", photo_of(world), "--index", "gallery.faiss"), "not there any more", "--run FOLDER")


def test_an_index_without_its_rows(scing, finished, world, here):
    assert scing("embed", "--run", finished).code == 0
    (rows,) = here.glob("gallery.rows-*")
    rows.unlink()
    refuse(
        scing("search", photo_of(world), "--index", "gallery.faiss"),
        "without its rows",
        rows.name,
        "scing embed --force",
    )


@pytest.mark.parametrize("content", [b"", b"hello, I am a text\n" * 9])
def test_a_file_that_is_no_index(scing, world, here, content):
    Path("gallery.faiss").write_bytes(content)
    refuse(scing("search", photo_of(world), "--index", "gallery.faiss"), "gallery.faiss")
    refuse(scing("search", photo_of(world), "--index", "other.faiss"), "other.faiss", "scing embed")


def test_an_index_is_not_overwritten_unasked(scing, finished, here):
    assert scing("embed", "--run", finished).code == 0
    before = Path("gallery.faiss").read_bytes()
    refuse(scing("embed", "--run", finished), "there already", "--append", "--force")
    assert Path("gallery.faiss").read_bytes() == before


def test_a_run_without_prompts(scing, own_run, world, here):
    refuse(scing("train-visual"), "No run in ./runs has prompts", "scing train-prompts --data DIR")
    shutil.rmtree(own_run / "prompts")
    refuse(scing("train-visual", "--run", own_run), "has no prompts", "scing train-prompts --data DIR")
    refuse(scing("train-visual", "--run", here), "is no run", "scing train-prompts")


def test_a_run_without_a_trained_encoder(scing, own_run, here):
    shutil.rmtree(own_run / "visual")
    for command in ("embed", "evaluate"):
        refuse(scing(command, "--run", own_run), "has no trained image encoder", "scing train-visual")
    nothing_in(here)


def test_prompts_of_other_identities(scing, own_run, here):
    shutil.rmtree(own_run / "visual")
    stamp = own_run / "prompts" / "stamp.json"
    content = json.loads(stamp.read_text())
    content["identities"][2] = "stranger"
    stamp.write_text(json.dumps(content))
    refuse(
        scing("train-visual", "--run", own_run, *FAST), "stranger", "other identities", "scing train-prompts --data DIR"
    )
    assert not (own_run / "visual").exists()


def test_damaged_prompts(scing, own_run, here):
    shutil.rmtree(own_run / "visual")
    file = own_run / "prompts" / "prompts.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    refuse(scing("train-visual", "--run", own_run), "does not fit its stamp", "scing train-prompts")


def test_a_run_is_never_overwritten(scing, own_run, world, here):
    refuse(scing(*TRAIN, "--data", world, "--run", own_run), "is not empty", "--run")
    refuse(scing("train-visual", "--run", own_run), "already has a trained image encoder")


def test_a_text_file_as_photo(scing, finished, here):
    Path("photo.jpg").write_text("I am no photo, I am a letter.\n" * 5)
    index = finished.parent / "gallery.faiss"
    refuse(scing("search", "photo.jpg", "--index", index), "photo.jpg", "text")
    refuse(scing("search", "none.jpg", "--index", index), "none.jpg")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--model", "ViT-B-61", "--pretrained", "random"), ("ViT-B-61", "ViT-B-16")),
        (("--model", "RN50", "--pretrained", "random"), ("RN50",)),
        (("--model", "ViT-B-16-quickgelu", "--pretrained", "openia"), ("openia", "openai")),
        (("--model", "ViT-B-16-quickgelu", "--pretrained", "none.pt"), ("none.pt",)),
        (("--model", "ViT-B-16", "--pretrained", "openai"), ("ViT-B-16-quickgelu",)),
        ((*MODEL, "--method", "sking"), ("--method 'sking' is unknown", "scing")),
        ((*MODEL, "--gate", "door"), ("--gate door", "'channel' or 'token'")),
        ((*MODEL, "--fused-tokens", "4"), ("--fused-tokens 4 must be less than --tokens 4",)),
        ((*MODEL, "--milestones", "a,b"), ("--milestones a,b", "30,50")),
        ((*MODEL, "--batch-size", "7"), ("--batch-size 7",)),
        ((*MODEL, "--precision", "fp8"), ("--precision fp8",)),
        ((*MODEL, "--device", "tpu"), ("--device 'tpu' is unknown",)),
        ((*MODEL, "--workers", "0"), ("--workers 0",)),
        ((*MODEL, "--layout", "duke"), ("duke", "market1501")),
        ((*MODEL, "--stride", "99"), ("--stride 99",)),
        ((*MODEL, "--config", "none.toml"), ("none.toml",)),
        ((*MODEL, "--lr", "fast"), ("--lr",)),
    ],
)
def test_unknown_models_tags_methods_and_values(scing, world, here, options, parts):
    result = scing("train-prompts", "--data", world, *options)
    assert result.code == 2
    assert result.out == ""
    for part in parts:
        assert part in result.err, result.err
    nothing_in(here)


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (("evaluate", "--run", "RUN", "--protocol", "duke"), ("duke", "no-camera")),
        (("evaluate", "--run", "RUN", "--descriptor", "cls"), ("--descriptor 'cls'", "concat")),
        (("evaluate", "--run", "RUN", "--split", "test"), ("'test'", "query")),
        (("evaluate", "--run", "RUN", "--model", "ViT-B-16"), ("--run and --model",)),
        (("evaluate", "--model", "ViT-B-16"), ("--pretrained",)),
        (("embed", "--run", "RUN", "--split", "probe"), ("'probe'",)),
        (("embed", "--run", "RUN", "--images", "."), ("holds no image",)),
        (("embed", "--run", "RUN", "--append", "--force"), ("--append and --force",)),
        (("search", "PHOTO", "--index", "INDEX", "--box", "1,2,3"), ("--box 1,2,3",)),
        (("search", "PHOTO", "--index", "INDEX", "--box", "0,0,999,999"), ("999",)),
        (("search", "PHOTO", "--index", "INDEX", "-k", "0"), ("-k 0",)),
        (("search", "PHOTO", "--index", "INDEX", "--montage", "a.xyz"), ("a.xyz", ".png")),
        (("train-prompts",), ("--data",)),
        (("train-visual", "--run", "RUN", "--margin", "9"), ("--margin 9",)),
    ],
)
def test_other_option_values(scing, finished, world, here, command, parts):
    known = {"RUN": finished, "PHOTO": photo_of(world), "INDEX": finished.parent / "gallery.faiss"}
    refuse(scing(*(known.get(word, word) for word in command)), *parts)
    nothing_in(here)


def test_a_missing_tag_fails_within_five_seconds_and_says_which_file(scing, world, here, monkeypatch):
    """Without a network: neither the variable that forbids it, nor a cache that has the file."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HOME", str(here))
    start = time.monotonic()
    result = scing("train-prompts", "--data", world)
    assert time.monotonic() - start < 5
    refuse(result, "ViT-B-16-quickgelu", "openai", "https://", "--pretrained FILE")


def test_data_that_lost_all_matches_to_the_camera_filter(scing, own_world, finished, here):
    rows = ["path,identity,camera,split"]
    for part, split in (("query", "query"), ("bounding_box_test", "gallery")):
        rows += [
            f"{file},{file.name[:4]},{'ab'[int(file.name[:4]) % 2]},{split}"
            for file in sorted((own_world / part).glob("*.jpg"))
        ]
    Path("mine.csv").write_text("\n".join(rows) + "\n")
    result = scing("evaluate", "--run", finished, "--data", "mine.csv")
    refuse(result, "18", "--protocol no-camera")
    assert scing("evaluate", "--run", finished, "--data", "mine.csv", "--protocol", "no-camera").code == 0
