"""Refused input: one message with the cause and the next step, exit code 2, no partial files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from artifacts import edit_json
from PIL import Image
from pipeline.conftest import FAST, MODEL

TRAIN = ("train-prompts", *MODEL, *FAST)


def refuse(result, *parts):
    assert result.code == 2, result
    assert result.out == "" or result.json["exit_code"] == 2  # the object of --json
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
    assert entry["reason"] in Path(listed.json["manifest"]).read_text()
    assert bad.name in scing("prepare", own_world).out
    Path(listed.json["manifest"]).unlink()
    refuse(scing("prepare", own_world, "--strict"), "--strict", bad.name)
    refuse(scing(*TRAIN, "--data", own_world, "--strict"), bad.name, "scing prepare")
    nothing_in(here)


@pytest.mark.parametrize("how", ["empty", "truncated", "unreadable"])
def test_embed_evaluate_and_search_stop_at_a_damaged_image_if_strict(scing, own_world, own_run, finished, here, how):
    bad = spoil(sorted((own_world / "bounding_box_test").glob("*.jpg"))[5], how)
    before = set(own_run.rglob("*"))
    refuse(scing("embed", "--run", own_run, "--data", own_world, "--strict"), bad.name, "scing prepare")
    refuse(scing("embed", "--run", own_run, "--images", bad.parent, "--strict"), bad.name)
    refuse(scing("evaluate", "--run", own_run, "--data", own_world, "--strict"), bad.name, "scing prepare")
    refuse(scing("evaluate", *MODEL, "--data", own_world, "--strict"), bad.name, "scing prepare")
    index = finished.parent / "gallery.faiss"
    refuse(scing("search", bad, "--index", index, "--montage", "a.png"), bad.name)
    refuse(scing("search", bad.parent, "--index", index, "--montage", "a.png", "--strict"), bad.name)
    nothing_in(here)
    kept = [path.name for path in set(own_run.rglob("*")) - before]
    assert not [name for name in kept if "gallery" in name or name.endswith(".part")]  # whole parts are kept


def test_a_folder_of_no_known_layout(scing, here, tmp_path):
    odd = tmp_path / "holiday"
    (odd / "bounding_box_train").mkdir(parents=True)
    Image.new("RGB", (8, 16)).save(odd / "bounding_box_train" / "a.jpg")
    for command in (("prepare", odd), (*TRAIN, "--data", odd)):
        refuse(scing(*command), str(odd), "found bounding_box_train", "scing embed --images")
    (odd / "bounding_box_train").rename(odd / "more")
    refuse(scing(*TRAIN, "--data", odd, "--layout", "images"), "no image in the split 'train'")
    refuse(scing("prepare", tmp_path / "none"), "none")
    nothing_in(here)


def test_an_empty_folder_and_a_url_are_named_as_what_they_are(scing, finished, here, tmp_path):
    empty, url = tmp_path / "empty", "https://host/crops/a.jpg"
    empty.mkdir()
    index = finished.parent / "gallery.faiss"
    for command in (
        ("prepare",),
        (*TRAIN, "--data"),
        ("embed", "--run", finished, "--data"),
        ("embed", "--run", finished, "--images"),
        ("evaluate", "--run", finished, "--data"),
        ("evaluate", "--embeddings"),
        ("search", "--index", index),
    ):
        refuse(scing(*command, empty), f"{empty} is empty.")
        refuse(scing(*command, url), f"{url} is not a file: scing reads local files; download it first.")
    refuse(scing("search", url, "--index", url), url)
    refuse(scing("train-prompts", "--data", here.parent, *MODEL[:2], "--pretrained", url), url, "download it first")
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
    assert scing("embed", "--run", own_run).code == 0
    remedy = "Use --descriptor projected, or embed the gallery again: scing embed --force"
    for command in (("evaluate", "--index", "gallery.faiss"), ("embed", "--append")):
        refuse(scing(*command, "--run", own_run, "--descriptor", "concat"), "16 wide", "48 wide", remedy)


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
    refuse(scing("search", photo_of(world), "--index", "gallery.faiss"), "cannot be used", "--run FOLDER")


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
    refuse(scing("train-visual", "--run", here), "is not a run", "scing train-prompts")


def test_a_run_without_a_trained_encoder(scing, own_run, here):
    shutil.rmtree(own_run / "visual")
    for command in ("embed", "evaluate"):
        refuse(scing(command, "--run", own_run), "has no trained image encoder", "scing train-visual")
    nothing_in(here)


def test_prompts_of_other_identities(scing, own_run, here):
    shutil.rmtree(own_run / "visual")
    edit_json(own_run / "prompts" / "stamp.json", lambda stamp: stamp["identities"].__setitem__(2, "stranger"))
    refuse(
        scing("train-visual", "--run", own_run, *FAST),
        "stranger",
        "different identities",
        "scing train-prompts --data DIR",
    )
    assert not (own_run / "visual").exists()


def test_damaged_prompts(scing, own_run, here):
    shutil.rmtree(own_run / "visual")
    file = own_run / "prompts" / "prompts.safetensors"
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    refuse(
        scing("train-visual", "--run", own_run), "prompts.safetensors does not match stamp.json", "scing train-prompts"
    )


def test_a_run_is_never_overwritten(scing, own_run, world, here):
    refuse(scing(*TRAIN, "--data", world, "--run", own_run), "is not empty", "--run")
    refuse(scing("train-visual", "--run", own_run), "already has a trained image encoder")


def test_a_text_file_as_photo(scing, finished, here):
    Path("photo.jpg").write_text("I am no photo, I am a letter.\n" * 5)
    index = finished.parent / "gallery.faiss"
    refuse(scing("search", "photo.jpg", "--index", index), "photo.jpg", "text")
    refuse(scing("search", "none.jpg", "--index", index), "none.jpg")


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
