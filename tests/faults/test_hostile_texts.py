"""TOML, JSON and CSV of absurd depth or size: each ends soon, in one message that is short whatever came in."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from pathlib import Path

import pytest
from faults.hostile import deadline, forged, refused, rewrite
from pipeline.conftest import FAST
from tiny import TINY_MODEL

DEEP, LONG = 100_000, 1_000_000
SECONDS, MEMORY = 10, 600_000  # that a refusal may take; kB beyond what the process has had before
BIG = 200_000_000


def sparse(file: Path, head: bytes = b"", size: int = BIG) -> None:
    """Write a file that takes no room: zeros follow its beginning."""
    with file.open("wb") as stream:
        stream.write(head)
        stream.truncate(size)


JSON = {
    "deep lists": b'{"x": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"x": ' * DEEP + b"1" + b"}" * DEEP,
    "a long number": b'{"x": ' + b"9" * 5000 + b"}",
    "infinity": b'{"x": 1e999}',
    "not a number": b'{"x": NaN}',
    "a key twice": b'{"x": 1, "x": 2}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "no UTF-8": b'{"x": "\xff"}',
    "a zero byte": b'{"x": "\x00"}',
    "a long key": b'{"' + b"k" * LONG + b'": 1, }',
    "a long text": b'"' + b"t" * LONG + b'"',
    "nothing": b"",
    "half a character": b'{"x": "\\ud800"',
}
TOML = {
    "deep lists": b"[data]\npath = " + b"[" * DEEP + b"]" * DEEP,
    "deep tables": b"[data]\npath = " + b"{x = " * DEEP + b"1" + b"}" * DEEP,
    "deep names": b"[data]\npath" + b".a" * DEEP + b" = 1",
    "a deep header": b"[data" + b".a" * DEEP + b"]",
    "a long number": b"[train-prompts]\nepochs = " + b"9" * 5000,
    "infinity": b"[train-prompts]\nlr = 1e999",
    "not a number": b"[train-prompts]\nlr = nan",
    "a key twice": b"[train-prompts]\nlr = 1\nlr = 1",
    "a byte order mark": b"\xef\xbb\xbf[data]\nx = 1",
    "no UTF-8": b'[data]\npath = "\xff"',
    "a zero byte": b'[data]\npath = "\x00"',
    "a long key": b"[data]\n" + b"k" * (LONG - 100) + b" = 1",
    "a long table": b"[" + b"k" * (LONG - 100) + b"]",
    "a long value": b'[train-prompts]\nmethod = 1\nepochs = "' + b"k" * (LONG - 100) + b'"',
    "many keys": b"[data]\n" + b"".join(b"k%d = 1\n" % number for number in range(60_000)),
    "many tables": b"".join(b"[t%d]\n" % number for number in range(60_000)),
}


@pytest.fixture(autouse=True)
def _soon_and_small():
    """Refusals take little time and memory."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with deadline(60):
        yield
    assert time.monotonic() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY


def put(file: Path, content: bytes | str) -> Path:
    """Write a content, or link to what never ends, or make a pipe into which nobody writes."""
    file.unlink(missing_ok=True)
    if content == "pipe":
        os.mkfifo(file)
    elif content == "zeros":
        file.symlink_to("/dev/zero")
    elif content == "folder":
        file.mkdir()
    elif content == "large":
        sparse(file, b'{"x": "')
    else:
        file.write_bytes(content)
    return file


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
    wrong = {"run.json": "run is no run", "visual/stamp.json": "run has no trained"} if kind in ENDLESS[:3] else {}
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


@pytest.mark.parametrize("kind", [*JSON, *ENDLESS])
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


@pytest.mark.parametrize("kind", [*JSON, "large"])
def test_the_stamp_of_an_index(scing, kind, world, finished, tmp_path):
    """The stamp lies behind the vectors; its length may be a lie."""
    content = JSON.get(kind, b'{"x": "' + bytes(BIG))
    index, whole = tmp_path / "gallery.faiss", (finished.parent / "gallery.faiss").read_bytes()
    shutil.copy(finished.parent / "gallery.rows-1", tmp_path)
    length = int.from_bytes(whole[-16:-8], "little")
    for said in (len(content), 2**63, 2**64 - 1):
        index.write_bytes(whole[: -16 - length] + content + said.to_bytes(8, "little") + whole[-8:])
        assert refused(scing("search", next((world / "query").iterdir()), "--index", index), index)


FIELDS = {
    "model_digest": 5,
    "model": "run",
    "descriptor": [],
    "width": "16",
    "count": -1,
    "next_id": None,
    "generation": "1/../../../outside",
    "rows_digest": {},
    "kind": ["flat"],
}
MODELS = (
    {"run": 5},
    {"run": "\0"},
    {"model": 5},
    {"model": "x\n" * LONG, "pretrained": "random"},
    {"pretrained": []},
    {},
)


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_another_kind_in_the_stamp_of_an_index(scing, field, world, finished, tmp_path):
    assert refused(scing("search", _photo(world), "--index", forged(finished, tmp_path, **{field: FIELDS[field]})))
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_an_index_of_no_model(scing, number, world, finished, tmp_path):
    assert refused(scing("search", _photo(world), "--index", forged(finished, tmp_path, model=MODELS[number])))


def _photo(world):
    return next((world / "query").iterdir())


HEADERS = {
    "length of 2^63": (2**63).to_bytes(8, "little") + b"{}",
    "length of 2^64 - 1": (2**64 - 1).to_bytes(8, "little"),
    "longer than the file": (10**8).to_bytes(8, "little") + b"{",
    **{f"JSON: {kind}": len(text).to_bytes(8, "little") + text for kind, text in JSON.items()},
}
TENSORS = {
    "too large": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]},
    "outside": {"dtype": "F32", "shape": [2], "data_offsets": [2**60, 2**60 + 8]},
    "backwards": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
    "of no kind": {"dtype": "Q9", "shape": [2], "data_offsets": [0, 8]},
    "of a rare kind": {"dtype": "F8_E8M0", "shape": [8], "data_offsets": [0, 8]},
    "of four bits": {"dtype": "F4", "shape": [16], "data_offsets": [0, 8]},
    "called badly": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], "x": 1},
}


def tensors(kind: str) -> bytes:
    """Return a safetensors file of one tensor that is not as it should be."""
    name = "line\nFORGED" if kind == "called badly" else "visual.proj"
    text = json.dumps({name: TENSORS[kind]}).encode()
    return len(text).to_bytes(8, "little") + text + bytes(8)


@pytest.mark.parametrize("kind", [*HEADERS, *TENSORS])
def test_the_header_of_a_weights_file(scing, kind, own_run, world, tmp_path):
    file = put(tmp_path / "w.safetensors", HEADERS[kind] if kind in HEADERS else tensors(kind))
    options = ("--model", TINY_MODEL, "--pretrained", file, "--images", world / "query")
    assert refused(scing("embed", *options, "--output", tmp_path / "g.faiss"), file)
    shutil.copy(file, own_run / "visual" / "image_encoder.safetensors")
    said = scing("embed", "--run", own_run, "--precision", "fp32", "--output", tmp_path / "g.faiss")
    assert refused(said, own_run / "visual")


@pytest.mark.parametrize(
    "sizes", [{"layers": 10**9}, {"width": 2**70}, {"mlp_ratio": 1e300}, {"heads": 0}, {"embed_dim": 2**62}]
)
def test_a_run_of_absurd_numbers(scing, sizes, own_run, tmp_path):
    stamp = own_run / "visual" / "stamp.json"
    rewrite(stamp, model={**json.loads(stamp.read_text())["model"], **sizes})
    said = scing("embed", "--run", own_run, "--precision", "fp32", "--output", tmp_path / "g.faiss")
    assert refused(said, stamp)


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
