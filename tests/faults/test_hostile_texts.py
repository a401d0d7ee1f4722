"""TOML, JSON and CSV of extreme depth or size: each ends soon, with one short message."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from artifacts import run_info
from faults.hostile import refused
from faults.texts import DEEP, JSON, LONG, put, soon_and_small
from pipeline.conftest import FAST
from tiny import TINY_MODEL

from scing_cli.core.artifacts import create_run, open_run

DEEPER, LONGER = 6_000, 15_000  # what a settings file has room for
TOML = {
    "deep lists": b"[data]\npath = " + b"[" * DEEPER + b"]" * DEEPER,
    "deep tables": b"[data]\npath = " + b"{x = " * (DEEPER // 2) + b"1" + b"}" * (DEEPER // 2),
    "deep names": b"[data]\npath" + b".a" * DEEPER + b" = 1",
    "a deep header": b"[data" + b".a" * DEEPER + b"]",
    "another deep header": b"[a" + b".a" * DEEPER + b"]",
    "names too deep": b"[data]\npath" + b".a" * DEEP + b" = 1",
    "a long number": b"[train-prompts]\nepochs = " + b"9" * 5000,
    "infinity": b"[train-prompts]\nlr = 1e999",
    "not a number": b"[train-prompts]\nlr = nan",
    "a key twice": b"[train-prompts]\nlr = 1\nlr = 1",
    "a byte order mark": b"\xef\xbb\xbf[data]\nx = 1",
    "no UTF-8": b'[data]\npath = "\xff"',
    "a zero byte": b'[data]\npath = "\x00"',
    "a long key": b"[data]\n" + b"k" * LONGER + b" = 1",
    "a long table": b"[" + b"k" * LONGER + b"]",
    "a long value": b'[train-prompts]\nepochs = "' + b"k" * LONGER + b'"',
    "a longer value": b'[train-prompts]\nepochs = "' + b"k" * LONG + b'"',
    "many values": b"[train-prompts]\nmilestones = [" + b"[1]," * (LONGER // 4) + b"]",
    "many keys": b"[data]\n" + b"".join(b"k%d = 1\n" % number for number in range(1_000)),
    "many tables": b"".join(b"[t%d]\n" % number for number in range(1_000)),
}


@pytest.fixture(autouse=True)
def _soon_and_small():
    with soon_and_small():
        yield


ENDLESS = ("zeros", "pipe", "folder", "large")


@pytest.mark.parametrize("kind", [*TOML, "zeros", "folder", "large"])
def test_settings(scing, kind, world, tmp_path):
    file = put(tmp_path / "settings.toml", TOML.get(kind, kind))
    said = scing("train-prompts", "--data", world, "--config", file, "--run", tmp_path / "run")
    assert refused(said, *([] if kind in {"infinity", "not a number"} else [file]))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", [*JSON, *ENDLESS])
def test_a_model(scing, kind, world, tmp_path):
    file = put(tmp_path / "model.json", JSON.get(kind, kind))
    said = scing(
        "embed",
        "--model",
        file,
        "--pretrained",
        "random",
        "--images",
        world / "query",
        "--output",
        tmp_path / "g.faiss",
    )
    assert refused(said, file)


NUMBERS = {
    "layers": ("vision_cfg", "layers", 10**9),
    "width": ("vision_cfg", "width", 10**15),
    "heads": ("text_cfg", "heads", 10**12),
    "text layers": ("text_cfg", "layers", 10**9),
    "text width": ("text_cfg", "width", 2**80),
    "context": ("text_cfg", "context_length", 10**14),
    "patch": ("vision_cfg", "patch_size", 2**70),
    "image": ("vision_cfg", "image_size", [10**9, 10**9]),
    "square image": ("vision_cfg", "image_size", 10**9),
    "endless MLP": ("vision_cfg", "mlp_ratio", "inf"),
    "MLP": ("text_cfg", "mlp_ratio", 1e300),
    "MLP below zero": ("text_cfg", "mlp_ratio", -1),
    "no MLP": ("text_cfg", "mlp_ratio", [4]),
    "embedding": ("", "embed_dim", 10**13),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_model_of_absurd_numbers(scing, kind, world, tmp_path):
    content = json.loads(Path(TINY_MODEL).read_text())
    section, name, number = NUMBERS[kind]
    (content[section] if section else content)[name] = number
    file = put(tmp_path / "model.json", json.dumps(content).encode())
    said = scing(
        "embed",
        "--model",
        file,
        "--pretrained",
        "random",
        "--images",
        world / "query",
        "--output",
        tmp_path / "g.faiss",
    )
    assert refused(said, file)


@pytest.mark.parametrize("kind", [*JSON, *ENDLESS])
def test_what_a_run_says_of_itself(scing, kind, own_run, world, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, index = JSON.get(kind, kind), finished.parent / "gallery.faiss"
    photo = next((world / "query").iterdir())
    rate = ("--false-match-rate", "0.1", "--report")
    wrong = {"run.json": "run is not a run", "visual/stamp.json": "run has no trained"} if kind in ENDLESS[:3] else {}
    for name, command in (
        ("run.json", ("evaluate", "--run", "run")),
        ("visual/stamp.json", ("embed", "--run", "run", "--output", "g.faiss")),
        ("report.json", ("search", photo, "--index", index, *rate, "run/report.json")),
    ):
        file = Path("run", name)
        kept = file.read_bytes() if file.is_file() else b""
        put(file, content)
        assert refused(scing(*command), wrong.get(name, file)), name
        shutil.rmtree(file) if file.is_dir() else file.unlink()
        if kept:
            file.write_bytes(kept)
    shutil.rmtree("run/visual")
    put(Path("run/prompts/stamp.json"), content)
    said = scing("train-visual", "--run", "run", *FAST)
    assert refused(said, "run has no prompts" if kind in ENDLESS[:3] else "run/prompts/stamp.json")


def test_what_a_run_of_a_million_people_says_is_read(tmp_path):
    people = [f"identity {number:012}" for number in range(1_000_000)]
    create_run(tmp_path / "run", run_info(people))
    assert open_run(tmp_path / "run").identities == tuple(people)


@pytest.mark.parametrize("kind", ["deep lists", "not a number", "a key twice", "no UTF-8", "nothing", *ENDLESS])
def test_what_can_be_made_anew_is_passed_over(scing, kind, own_run, world, tmp_path):
    """The inference copy's stamp, and that of kept vectors."""
    good = scing("evaluate", "--run", own_run, "--json")
    assert good.code == 0
    content, notes = (
        JSON.get(kind, kind),
        [*(own_run / "embeddings").glob("*.json"), *own_run.rglob("inference/stamp.json")],
    )
    assert len(notes) >= 2
    for note in notes:
        put(note, content)
    again = scing("evaluate", "--run", own_run, "--json")
    assert again.code == 0, again.err
    assert again.json == good.json


CSV = {
    "a long line": b"path,identity\n" + b"x" * 3 * LONG,
    "a long header": b"p" * 3 * LONG,
    "an endless quote": b'path,identity\n"' + b"x\n" * 3 * LONG,
    "many columns": b"path" + b",x" * LONG + b"\n",
    "a zero byte": b"path\na\x00.jpg\n",
    "no UTF-8": b"path\n\xff.jpg\n",
    "many faults": b"path,split\n" + b"a,b\n" * 100_000,
    "a column twice": b"path,a\n" + b"x" * LONG,
    "a long name": b"path,identity,split\n" + b"x" * 5000 + b",1,query\ny,1,gallery\n",
}


@pytest.mark.parametrize("kind", [*CSV, *ENDLESS])
def test_a_table(scing, kind, own_world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = put(tmp_path / "rows.csv", CSV.get(kind, kind))
    if kind != "a long name":  # a file that is not there is no fault of the table
        assert refused(scing("prepare", file, "--layout", "csv"), file)
    assert refused(
        scing("evaluate", "--model", TINY_MODEL, "--pretrained", "random", "--data", file),
        "rows" if kind == "folder" else file.name if kind != "a long name" else "x" * 100,
    )
    if kind != "a long name":
        put(own_world / "captions.csv", CSV.get(kind, kind))
        assert refused(scing("prepare", own_world), own_world / "captions.csv")


@pytest.mark.parametrize("kind", ["zeros", "pipe", "folder", "large", "a long line", "no UTF-8"])
def test_a_list(scing, kind, tmp_path, monkeypatch):
    from fixtures import msmt17

    monkeypatch.chdir(tmp_path)
    folder = msmt17(tmp_path / "MSMT", "train", "test")
    put(folder / "list_gallery.txt", CSV.get(kind, kind))
    assert refused(
        scing("prepare", folder), folder if kind in {"pipe", "zeros", "folder"} else folder / "list_gallery.txt"
    )
