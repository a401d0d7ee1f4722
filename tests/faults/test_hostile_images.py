"""Pipes, devices, circular links and decompression bombs with the names of images: nothing waits or uses much memory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from faults.hostile import deadline, refused, run
from fixtures import put
from oracles.png import png
from PIL import Image
from tiny import TINY_MODEL

MODEL = ("--model", TINY_MODEL, "--pretrained", "random")
SIDES = ((10_001, 10_001), (20_000, 20_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (1, 2**31 - 1), (9_600, 9_600))


def none(kind: str, file: Path) -> None:
    """Put something in an image's place."""
    file.unlink(missing_ok=True)
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "socket":
            import socket

            with socket.socket(socket.AF_UNIX) as own:
                own.bind(os.path.relpath(file))
        case "folder":
            file.mkdir()
        case "large":
            with file.open("wb") as stream:
                stream.truncate(2**40)
        case "text":
            file.write_text("%!PS-Adobe-3.0 EPSF-3.0\n(marker) (w) file closefile\n")
        case "vector":
            file.write_text('<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>')
        case _:
            file.symlink_to(
                {"zeros": "/dev/zero", "noise": "/dev/urandom", "tty": "/dev/tty", "circle": file.name}.get(
                    kind, "gone.jpg"
                )
            )


KINDS = ("pipe", "socket", "folder", "large", "text", "vector", "zeros", "noise", "tty", "circle", "dangling")


@pytest.fixture(autouse=True)
def _soon(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with deadline():
        yield


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "large", "zeros", "circle"])
def test_in_a_data_set(scing, kind, own_world, finished, tmp_path):
    for part in ("bounding_box_train", "query", "bounding_box_test"):
        first = min((own_world / part).iterdir())
        none(kind, first)
    listed = kind == "large"  # a listing of the folder shows already that the others are no files
    reason = "dangling link" if kind == "circle" else "not a regular file"
    said = scing("prepare", own_world, "--sheet", "s.png", "--json")
    assert said.code == 0
    assert len(said.json["unreadable"]) == (3 if listed else 0)
    counts = [entry["count"] for entry in said.json["passed_over"] if entry["reason"] == reason]
    assert counts == ([] if kind in {"large", "folder"} else [3])
    for command in (
        (
            "train-prompts",
            *MODEL,
            "--data",
            own_world,
            "--epochs",
            "1",
            "--batch-size",
            "8",
            "--instances",
            "2",
            "--run",
            "run",
        ),
        ("embed", "--run", finished, "--data", own_world, "--output", "g.faiss"),
        ("embed", *MODEL, "--images", own_world, "--output", "h.faiss"),
        ("evaluate", *MODEL, "--data", own_world),
    ):
        if kind == "large" and command[0] == "embed":
            continue  # its digest is taken first
        ended = scing(*command, "--strict")
        assert refused(ended, first.parent.parent) if listed else ended.code == 0
        if listed:
            ended = scing(*command, "--json")
            assert ended.code == 0, ended.err
            lost = [entry["path"] for entry in ended.json["left_out"]]
            assert 1 <= len(lost) <= 3
            assert all(path in ended.err for path in lost)


@pytest.mark.parametrize("kind", KINDS)
def test_as_a_photo_and_as_a_row_of_an_index(scing, kind, own_world, finished, tmp_path):
    none(kind, tmp_path / "x.jpg")
    index = finished.parent / "gallery.faiss"
    assert refused(scing("search", "x.jpg", "--index", index), "x.jpg")
    assert scing("embed", "--run", finished, "--data", own_world, "--output", "g.faiss").code == 0
    rows = sorted((own_world / "bounding_box_test").iterdir())
    for row in rows:
        none(kind, row)
    photo = min((own_world / "query").iterdir())
    said = scing("search", photo, "--index", "g.faiss", "--montage", "m.png", "--saliency", "s.png", "--json")
    assert said.code == 0, said.err
    assert {hit["path"] for hit in said.json["results"][0]["hits"]} <= set(map(str, rows))
    with Image.open("m.png") as drawn:
        drawn.load()


@pytest.mark.parametrize("side", SIDES, ids=str)
def test_bombs(scing, side, own_world, finished, tmp_path):
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png(*side, 8, 2, b""))
    index = finished.parent / "gallery.faiss"
    assert refused(scing("search", bomb, "--index", index), "bomb.png")
    folder = tmp_path / "folder"
    shutil.copytree(own_world / "query", folder)
    shutil.copy(bomb, folder)
    embed = ("embed", *MODEL, "--images", folder, "--output", "g.faiss")
    assert refused(scing(*embed, "--strict"), "bomb.png")
    assert "bomb.png: " in scing(*embed).err
    said = scing("prepare", folder)
    assert said.code == 0
    assert "bomb.png: " in said.out


def test_animations_and_many_pages_are_their_first_picture(scing, finished, tmp_path):
    frames = [Image.new("RGB", (16, 32), (number % 256, 0, 0)) for number in range(300)]
    for name, options in (("a.gif", {}), ("a.tif", {}), ("a.webp", {}), ("a.png", {})):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert scing("search", name, "--index", finished.parent / "gallery.faiss").code == 0


def test_folders_that_lead_in_circles(scing, finished, tmp_path):
    place = tmp_path / "circles"
    for number in range(3):
        put(place / f"p{number}" / "door" / f"{number}.png", number, number)
    for link, goal in (
        ("self", "."),
        ("p0/up", ".."),
        ("p0/door/top", "../.."),
        ("p1/other", "../p2"),
        ("p2/other", "../p1"),
        ("x", "y"),
        ("y", "x"),
    ):
        (place / link).symlink_to(goal)
    for command in (
        ("prepare", place, "--layout", "identity-folders", "--json"),
        ("prepare", place, "--layout", "images", "--output", "images.csv", "--json"),
        ("embed", *MODEL, "--images", place, "--output", "g.faiss", "--json"),
        ("search", place, "--index", finished.parent / "gallery.faiss", "--json"),
    ):
        said = scing(*command)
        assert said.code == 0, said.err
    assert said.json["results"]
    assert len({Path(own["query"]).resolve() for own in said.json["results"]}) == 3


LINES = {
    "a zero byte": b"a\0b.jpg\n",
    "a long path": b"x/" * 3000 + b"a.jpg\n",
    "a long name": b"x" * 300 + b".jpg\n",
    "a very long line": b"x" * 3_000_000 + b"\n",
    "no UTF-8": b"\xff\xfe.jpg\n",
    "nothing": b"",
    "blank lines": b"\n \n\r\n",
    "an option": b"--csv=marker\n",
    "a command": b"$(touch marker)\n`touch marker`\n",
    "escape codes": b"\x1b]0;title\x07\x1b[31m.jpg\n",
    "a device": b"/dev/zero\n",
    "a folder of devices": b"/dev/fd\n",
    "the root of all processes": b"/proc/self\n",
}


@pytest.mark.parametrize("kind", LINES)
def test_paths_from_standard_input(kind, finished, tmp_path):
    said = run("search", "-", "--index", finished.parent / "gallery.faiss", stdin=LINES[kind])
    assert said.code == 2, said.err
    assert said.out == b""
    assert all(line.isprintable() for line in said.err.decode().split("\n"))
    assert len(said.err) < 20_000
    assert not [*tmp_path.iterdir()]
