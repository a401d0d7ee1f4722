"""Hostile names of files, people and cameras, in all steps from a folder to a ranking."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from faults.hostile import NAMES, harmless, picture, run
from pages import Page
from pseudoterminal import KITTY, PATIENT, in_terminal
from tiny import TINY_MODEL

from scing_cli.core.datasets import read_data

TEXTS = (*(f"{name}/../<script>alert(1)</script>" for name in NAMES[:4]), *NAMES[4:])  # people need be no file names
FOLDERS = ("$(touch marker)", "-x \x1b[2J", "<b>\u202e", "..\nFORGED")
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
TRAIN = ("--model", TINY_MODEL, "--pretrained", "random", "--epochs", "1", "--batch-size", "16", "--instances", "2")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder to work in, with a data set whose every name is hostile: one picture of each person in each split."""
    place = tmp_path_factory.mktemp("names")
    rows = [("path", "identity", "camera", "split", "caption")]
    for number, (name, text) in enumerate(zip(NAMES, TEXTS, strict=True)):
        for part, (folder, split) in enumerate(zip(FOLDERS, ("train", "train", "query", "gallery"), strict=True)):
            path = f"{folder}/{name}.png"
            picture(number, place / "data" / path)
            rows.append((path, text, TEXTS[(number + part) % len(TEXTS)], split, text))
    with (place / "data" / "rows.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\r\n").writerows(rows)
    return place


@pytest.fixture(scope="module")
def road(place):
    """What each command of the whole road has said."""
    photos = [place / "data" / FOLDERS[2] / f"{name}.png" for name in NAMES]
    search = ("search", *photos, "--index", "g.faiss", "-k", "3", "--montage", "m.png", "--saliency", "s.png")
    commands = {
        "prepare": ("prepare", "data/rows.csv", "--output", "made.csv", "--sheet", "sheet.png"),
        "train-prompts": ("train-prompts", "--data", "made.csv", "--run", "run", *TRAIN),
        "train-visual": ("train-visual", "--run", "run", "--epochs", "1", "--batch-size", "16", "--instances", "2"),
        "embed": ("embed", "--run", "run", "--output", "g.faiss"),
        "evaluate": ("evaluate", "--run", "run", "--output", "report", "--list-lost"),
        "search": (*search, "--csv", "hits.csv"),
        "search, JSON": ("search", *photos, "--index", "g.faiss", "-k", "3", "--json"),
        "search, table": ("search", *photos, "--index", "g.faiss", "-k", "3", "--csv", "-"),
        "prepare, JSON": ("prepare", "data/rows.csv", "--output", "made.csv", "--json"),
        "evaluate, JSON": ("evaluate", "--run", "run", "--list-lost", "--json"),
    }
    before = Path.cwd()
    os.chdir(place)
    try:
        said = {name: run(*command) for name, command in commands.items()}
    finally:
        os.chdir(before)
    for name, own in said.items():
        assert own.code == 0, (name, own.err)
    return said


def test_nothing_said_moves_colours_or_forges(road):
    for name, said in road.items():
        assert harmless(said.err.decode()), name
        if name != "search, table":
            assert harmless(said.out.decode()), name


def test_no_name_was_run_and_nothing_lies_elsewhere(road, place):
    made = {"made.csv", "sheet.png", "run", "g.faiss", "g.rows-1", "report", "hits.csv", "m.png", "s.png"}
    assert {file.name for file in place.iterdir()} == {"data", *made}
    assert not [file for file in place.rglob("*") if file.name == "marker"]
    assert {file.name for file in (place / "data").iterdir()} == {"rows.csv", *FOLDERS}


def test_a_manifest_comes_back_as_it_was(road, place):
    first, second = (read_data(place / name).manifest for name in ("data/rows.csv", "made.csv"))
    assert [file.resolve() for file in second.files()] == [file.resolve() for file in first.files()]
    for name in ("identity", "camera", "split", "caption"):
        assert [getattr(row, name) for row in second] == [getattr(row, name) for row in first]
    assert {row.identity for row in second} == set(TEXTS)


def test_the_right_files_were_read(road, place):
    """Each photo's own picture is the best hit, under its own name."""
    results = json.loads(road["search, JSON"].out)["results"]
    for name, text, result in zip(NAMES, TEXTS, results, strict=True):
        best = result["hits"][0]
        assert result["query"] == str(place / "data" / FOLDERS[2] / f"{name}.png")
        assert best["path"] == str(place / "data" / FOLDERS[3] / f"{name}.png")
        assert best["identity"] == text
        assert best["score"] == pytest.approx(1, abs=1e-3)


def test_tables_come_back_as_they_were(road, place):
    with (place / "hits.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert road["search, table"].out == (place / "hits.csv").read_bytes()
    flat = [(own["query"], hit["identity"], hit["camera"], hit["path"]) for own, hit in _hits(road)]
    assert [tuple(row[name] for name in ("query", "identity", "camera", "path")) for row in rows] == flat
    with (place / "report" / "queries.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["identity"] for row in csv.DictReader(stream)] == list(TEXTS)


def test_on_a_terminal_a_table_is_spelled_out(road, place):
    photos = [place / "data" / FOLDERS[2] / f"{name}.png" for name in NAMES]
    said = run("search", *photos, "--index", place / "g.faiss", "-k", "3", "--csv", "-", terminal=True)
    assert said.code == 0
    assert harmless(said.text)
    assert r"\x1b]0;title\x07" in said.text


def test_names_beside_pictures_in_a_terminal(road, place, tmp_path):
    """With `--thumbnails`, in a terminal that shows pictures: no escape sequence comes from a name."""
    photos = [place / "data" / FOLDERS[2] / f"{name}.png" for name in NAMES[:10]]
    arguments = ("search", *photos, "--index", place / "g.faiss", "-k", "10", "--thumbnails")
    code = f"{PATIENT}\nfrom scing_cli.__main__ import main; main()"
    seen = in_terminal(code, arguments, KITTY, tmp_path / "log", TERM="xterm-kitty")
    assert seen.code == 0, seen.err
    assert "\x1b_G" in seen.out
    assert not [
        own for own in ("\x1b]0;title", "\x1b[31mred", "\x1b[2J", "\x9b", "\u202e", "\u2066") if own in seen.out
    ]


def _hits(road):
    return [(own, hit) for own in json.loads(road["search, JSON"].out)["results"] for hit in own["hits"]]


def test_no_name_is_a_part_of_the_page(road, place):
    source = (place / "report" / "report.html").read_text(encoding="utf-8")
    page = Page(source)
    assert page.faults(place / "report") == []
    assert not CONTROLS.search(source)
    assert {own.tag for own in page.elements} & {"b", "script", "svg:script"} == set()
    assert not [own for own in page.elements if any(name.startswith("on") for name in own.attributes)]
    cameras = page.rows("query \\ gallery") if len(TEXTS) <= 24 else []
    assert cameras or "the table is in report.json" in source


def test_a_report_of_few_cameras_names_them(place, road, tmp_path):
    """Names of cameras stand in the page's table, and what the data and the run are called in its head."""
    hostile = tmp_path / "<script>alert(1)<\u202e\n\x1b[31mdata"
    hostile.mkdir()
    rows = [("path", "identity", "camera", "split")]
    for number in range(3):
        for split, camera in (("query", "\u202ebackwards"), ("gallery", "<img src=x onerror=alert(1)>\x9b")):
            picture(number, hostile / f"{split}{number}.png")
            rows.append((f"{split}{number}.png", str(number), camera, split))
    table = hostile / "\u2067<b>rows\x1b.csv"
    with table.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    shutil.copytree(place / "run", hostile / "run")
    said = run("evaluate", "--run", hostile / "run", "--data", table, "--output", tmp_path / "report")
    assert said.code == 0
    assert harmless(said.text)
    source = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    page = Page(source)
    assert page.faults(tmp_path / "report") == []
    assert not CONTROLS.search(source)
    assert page.rows("query \\ gallery")[0][0] == r"\u202ebackwards"
    assert r"<img src=x onerror=alert(1)>\x9b" in page.texts("th")
    assert page.texts("h1") == [r"\u2067<b>rows\x1b: evaluation"]
    assert not page.all("b")


@pytest.mark.parametrize("kind", ["gone", "damaged", "a folder"])
def test_a_file_that_cannot_be_read_is_named_on_one_line(kind, place, road, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = shutil.copytree(place / "data", tmp_path / "data")
    name = "line\nFORGED: nothing is wrong"
    for folder in FOLDERS:
        file = data / folder / f"{name}.png"
        file.unlink()
        if kind == "a folder":
            file.mkdir()
        elif kind == "damaged":
            file.write_bytes(b"\x89PNG\r\n\x1a\nFORGED")
    table = data / "rows.csv"
    shown = name.replace("\n", r"\n")
    run("prepare", table, "--output", "m.csv")
    shutil.copytree(place / "run", tmp_path / "run")
    commands = (
        ("prepare", table, "--strict", "--output", "n.csv"),
        ("train-prompts", "--data", table, "--run", "again", *TRAIN, "--strict"),
        ("embed", "--run", "run", "--data", table, "--output", "g.faiss", "--strict"),
        ("evaluate", "--run", "run", "--data", table, "--strict"),
        ("search", data / FOLDERS[2] / f"{name}.png", "--index", place / "g.faiss"),
    )
    for command in commands:
        said = run(*command)
        if kind == "a folder" and command[0] == "search":
            said = run("search", data / FOLDERS[2] / f"{name}.png" / "\x1b.png", "--index", place / "g.faiss")
            shown = r"\x1b"
        assert said.code == 2, (command, said.err)
        assert said.out == b""
        assert harmless(said.err.decode())
        assert shown in said.err.decode(), said.err
    for command in commands[1:4]:
        said = run(*command[:-1])  # without --strict
        assert said.code == 0, (command, said.err)
        assert harmless(said.text)
        assert name.replace("\n", r"\n") in said.err.decode()
    said = run("prepare", table, "--output", "m.csv")
    assert said.code == 0
    assert harmless(said.text)
