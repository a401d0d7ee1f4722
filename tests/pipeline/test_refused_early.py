"""What a command refuses, it refuses before torch, faiss or OpenVINO is loaded, which takes many seconds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from fixtures import FIXTURES
from patience import HANG
from pipeline.conftest import MODEL

CODE = """
import json, sys
from scing_cli.__main__ import main
found = []
for words in json.load(sys.stdin):
    sys.argv = ["scing", *words]
    try:
        main()
    except SystemExit as left:
        heavy = {"torch", "open_clip", "faiss", "torchvision", "openvino"} & set(sys.modules)
        found.append((words, left.code, sorted(heavy)))
print(json.dumps(found))
"""
WITH_DATA = ("train-prompts", "--data", "m", *MODEL)
EMBED = ("embed", "--run", "r", "-o", "x.faiss")
EVALUATE = ("evaluate", "--run", "r")
SEARCH = ("search", "q.jpg", "--index", "g.faiss")
OPENAI = ("--model", "ViT-B-16-quickgelu", "--pretrained", "openai", "--data", "m")
REFUSED = (
    # paths that are not there, folders that are no data
    ("prepare", "nowhere"),
    ("prepare", "empty"),
    ("train-prompts", "--data", "nowhere", *MODEL),
    ("train-prompts", "--data", "empty", *MODEL),
    ("train-prompts", "--data", "m/query", *MODEL),
    (*WITH_DATA, "--data", "nowhere"),
    (*WITH_DATA, "--config", "none.toml"),
    ("train-visual", "--run", "half", "--data", "nowhere"),
    (*EMBED, "--data", "nowhere"),
    (*EMBED, "--images", "nowhere"),
    (*EMBED, "--images", "empty"),
    ("embed", "--run", "r", "-o", "nowhere/x.faiss"),
    ("embed", "--model", "scing-tiny", "--data", "nowhere"),
    ("embed", "--model", "scing-tiny", "--data", "people"),
    ("embed", "--prune", "-o", "none.faiss"),
    ("embed", "--run", "r", "--export", "nowhere/x.onnx"),
    ("embed", "--run", "r", "--export", "x.onnx", "--images", "nowhere"),
    ("embed", "--run", "r", "--export", "x", "--descriptor", "concat"),
    ("embed", "--run", "r", "--export", "x", "--export-format", "transformers"),
    ("embed", "--model", "scing-tiny", "--export", "x.onnx", "--data", "nowhere"),
    (*EVALUATE, "--data", "nowhere"),
    (*EVALUATE, "--data", "people"),
    (*EVALUATE, "--index", "none.faiss"),
    (*EVALUATE, "--data", "people", "--queries", "text"),
    (*EVALUATE, "--queries", "text", "--rerank"),
    (*EVALUATE, "--queries", "text", "--protocol", "market"),
    (*EVALUATE, "--direction", "image-to-text"),
    (*EVALUATE, "--output", "m"),
    ("evaluate", "--model", "scing-tiny", "--data", "nowhere"),
    ("evaluate", "--model", "scing-tiny", "--data", "people"),
    ("evaluate", "--embeddings", "nowhere"),
    ("search", "q.jpg", "--index", "none.faiss"),
    ("search", "none.jpg", "--index", "g.faiss"),
    ("search", "empty", "--index", "g.faiss"),
    ("search", "q.jpg", "--index", "q.jpg"),
    (*SEARCH, "--data", "nowhere"),
    (*SEARCH, "--false-match-rate", "0.1", "--report", "nowhere"),
    # runs that are not there or not finished
    ("train-visual",),
    ("train-visual", "--run", "nowhere"),
    ("embed",),
    ("embed", "--run", "nowhere"),
    ("embed", "--run", "half"),
    ("evaluate",),
    ("evaluate", "--run", "nowhere"),
    ("evaluate", "--run", "half"),
    (*SEARCH, "--run", "nowhere"),
    (*SEARCH, "--run", "half"),
    # what is finished, or not begun
    (*WITH_DATA, "--run", "r"),
    ("train-visual", "--run", "r"),
    ("embed", "--run", "r", "-o", "g.faiss"),
    ("train-prompts", "--resume"),
    ("train-prompts", "--resume", "--run", "r"),
    ("train-visual", "--resume"),
    ("train-visual", "--resume", "--run", "r"),
    # weights that are not there
    ("train-prompts", "--data", "m"),
    ("train-prompts", *OPENAI[:2], "--pretrained", "none.pt", "--data", "m"),
    ("train-prompts", "--data", "m", "--model", "ViT-B-61"),
    ("train-prompts", "--data", "m", "--model", "ViT-B-16", "--pretrained", "openai"),
    ("train-visual", "--run", "half", "--pretrained", "none.pt"),
    ("embed", *OPENAI, "-o", "x.faiss"),
    ("embed", *OPENAI[:2], "-o", "x.faiss", "--data", "m"),
    ("evaluate", *OPENAI),
    ("evaluate", "--model", "RN50", "--pretrained", "random", "--data", "m"),
    # wrong values
    ("prepare", "m", "--layout", "duke"),
    ("prepare", "m", "--sheet", "a.xyz"),
    *((*WITH_DATA, *given) for given in (("--device", "tpu"), ("--workers", "0"), ("--method", "x"), ("--lr", "-1"))),
    (*WITH_DATA, "--layout", "duke"),
    (*WITH_DATA, "--milestones", "3", "--schedule", "cosine"),
    ("train-visual", "--run", "half", "--device", "tpu"),
    ("train-visual", "--run", "half", "--workers", "0"),
    ("train-visual", "--run", "half", "--margin", "9"),
    ("train-visual", "--run", "half", "--validate"),
    ("train-visual", "--run", "half", "--milestones", "3", "--schedule", "cosine"),
    ("train-visual", "--run", "half", "--run", "r"),
    *((*EMBED, *given) for given in (("--split", "probe"), ("--index-type", "tree"), ("--descriptor", "cls"))),
    *((*EMBED, *given) for given in (("--device", "tpu"), ("--precision", "fp8"), ("--batch-size", "0"))),
    *((*EMBED, *given) for given in (("--append", "--force"), ("--model", "scing-tiny"), ("--stride", "12"))),
    ("embed", "--run", "r", "-o", "x.txt"),
    ("embed", "--model", "scing-tiny", "--stride", "99", "-o", "x.faiss", "--data", "m"),
    *((*EVALUATE, *given) for given in (("--split", "test"), ("--split", "all"), ("--protocol", "duke"))),
    *((*EVALUATE, *given) for given in (("--descriptor", "cls"), ("--device", "tpu"), ("--precision", "fp8"))),
    *((*EVALUATE, *given) for given in (("--k1", "3"), ("--rerank", "--k1", "0"), ("--rerank", "--lambda", "3"))),
    *((*SEARCH, *given) for given in (("-k", "0"), ("--box", "1,2"), ("--montage", "a.xyz"), ("--device", "tpu"))),
    *((*SEARCH, *given) for given in (("--precision", "fp8"), ("--workers", "0"), ("--threshold", "7"))),
    *((*SEARCH, *given) for given in (("--false-match-rate", "7"), ("--join", "sum"), ("--group", "camera"))),
    *((*SEARCH, *given) for given in (("--camera", "77"), ("--exclude-identity", "x"), ("--false-match-rate", "0.1"))),
)


@pytest.fixture(scope="module")
def results(finished, world, tmp_path_factory):
    """Run all commands in one process of their own: what they loaded, each after the other."""
    place = tmp_path_factory.mktemp("early")
    for kind, name in (("Market-1501", "m"), ("folders of people", "people")):
        FIXTURES[kind].write(place / name)
    (place / "empty").mkdir()
    shutil.copytree(finished, place / "r", ignore=shutil.ignore_patterns("report.json"))
    shutil.copytree(finished, place / "half", ignore=shutil.ignore_patterns("visual"))
    shutil.copy(finished.parent / "gallery.faiss", place / "g.faiss")
    for rows in finished.parent.glob("gallery.rows-*"):
        shutil.copy(rows, place / rows.name.replace("gallery", "g"))
    shutil.copy(min((world / "query").glob("*.jpg")), place / "q.jpg")
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps(REFUSED),
        capture_output=True,
        text=True,
        cwd=place,
        env={**os.environ, "SCING_CACHE": str(place / "cache"), "HOME": str(place)},
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in place.glob("x.*")) == []
    return json.loads(done.stdout)


def test_all_of_them_are_refused(results):
    assert len(results) == len(REFUSED)
    assert [words for words, code, _ in results if code != 2] == []


def test_nothing_heavy_is_loaded_before(results):
    first = next(((words, heavy) for words, _, heavy in results if heavy), None)
    assert first is None


def test_every_command_is_among_them():
    assert {words[0] for words in REFUSED} == {
        "prepare",
        "train-prompts",
        "train-visual",
        "embed",
        "evaluate",
        "search",
    }
