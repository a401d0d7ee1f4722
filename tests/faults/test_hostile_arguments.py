"""Hostile names as arguments and as folders of people: escaped in messages, and otherwise accepted."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from faults.hostile import NAMES, deadline, harmless, picture, run
from tiny import TINY_MODEL

from scing_cli.core.index import GalleryIndex

ONE_LINE = [name for name in NAMES if "\n" not in name]
GROUPS = (*("".join(ONE_LINE[start : start + 6]) for start in range(0, len(ONE_LINE), 6)), "-rf", "--output=marker")


@pytest.mark.parametrize("name", GROUPS)
def test_what_does_not_exist_is_named_harmlessly(name, tmp_path, monkeypatch, finished, world):
    monkeypatch.chdir(tmp_path)
    photo = min((world / "query").iterdir())
    index = finished.parent / "gallery.faiss"
    for command in (
        ("prepare", f"./{name}"),
        ("prepare", world, "--layout", f"x{name}"),
        ("train-prompts", "--data", f"./{name}"),
        ("train-prompts", "--data", world, "--config", f"./{name}"),
        ("train-prompts", "--data", world, "--model", f"x{name}"),
        ("train-visual", "--run", f"./{name}"),
        ("embed", "--run", f"./{name}"),
        ("embed", "--images", f"./{name}", "--model", TINY_MODEL, "--pretrained", "random"),
        ("embed", "--model", TINY_MODEL, "--pretrained", f"./{name}"),
        ("evaluate", "--embeddings", f"./{name}"),
        ("evaluate", "--run", finished, "--split", f"x{name}"),
        ("search", f"./{name}", "--index", index),
        ("search", "-", "--index", index),
        ("search", photo, "--index", f"./{name}.faiss"),
        ("search", photo, "--index", index, "--box", f"1,{name}"),
    ):
        said = run(*command, stdin=f"./{name}\n".encode())
        assert said.code == 2, (command, said)
        assert harmless(said.text), command
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ONE_LINE)
def test_wrong_options_and_commands_are_named_harmlessly(name):
    for command in (
        (f"--{name}",),
        (f"x{name}",),
        ("embed", f"--x{name}"),
        ("embed", f"x{name}"),
        ("embed", "--workers", name),
    ):
        said = run(*command)
        assert said.code == 2, (command, said)
        assert harmless(said.text), command


def test_a_traceback_names_them_harmlessly(tmp_path):
    said = run("embed", "--images", f"{tmp_path}/\x1b[31m\u202e", "--debug")
    assert said.code == 2
    assert "Traceback" in said.text
    assert harmless(said.text)


def test_folders_of_any_bytes(tmp_path, monkeypatch, finished, world):
    """A folder per person, of names that need be no UTF-8; what cannot stand in a manifest is told and left out."""
    monkeypatch.chdir(tmp_path)
    names = [os.fsencode(name.replace("/", "_")) for name in NAMES if name != "é" * 95] + [b"\xff\xfe", b"\xc3("]
    for number, name in enumerate(names):
        picture(number, tmp_path / "people" / os.fsdecode(b"p" + name) / os.fsdecode(name + b".png"))
    (tmp_path / "people" / "loop").symlink_to(tmp_path / "people")
    with deadline():
        said = run("prepare", "people", "--layout", "identity-folders", "--sheet", "sheet.png")
        assert said.code == 0
        assert harmless(said.text)
        assert b"left out" in said.out
        said = run("embed", "--run", finished, "--images", "people", "--output", "g.faiss")
        assert said.code == 0
        assert harmless(said.text)
    held = {Path(row.path).name for row in GalleryIndex.read(tmp_path / "g.faiss").rows()}
    assert held == {os.fsdecode(name + b".png") for name in names[:-2]}
    photo = tmp_path / "people" / os.fsdecode(b"p\xff\xfe") / os.fsdecode(b"\xff\xfe.png")
    for further in ((), ("--json",), ("--csv", "-"), ("--montage", "m.png")):
        said = run("search", photo, "--index", "g.faiss", *further)
        assert said.code == 0, said.err
        if "--csv" in further:
            assert next(csv.reader(io.StringIO(said.out.decode(errors="surrogateescape")))) is not None
            assert os.fsencode(photo) in said.out
        else:
            assert harmless(said.text)
        if "--json" in further:
            assert json.loads(said.out)["results"][0]["query"] == str(photo)
