"""Unknown names and values out of range: a message with the name, exit code 2, no partial files."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from patience import HANG, UNANSWERED
from pipeline.conftest import MODEL, Result
from pipeline.test_refused import nothing_in, photo_of, refuse


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
    ],
)
def test_unknown_models_tags_methods_and_values(scing, world, here, options, parts):
    refuse(scing("train-prompts", "--data", world, *options), *parts)
    nothing_in(here)


def test_a_plain_model_without_weights_of_its_own_needs_them_named(scing, world, here):
    """Nobody has a download begin by leaving an option out: only what ships is taken unnamed."""
    refuse(
        scing("evaluate", "--model", "ViT-B-16-quickgelu", "--data", world),
        "--model ViT-B-16-quickgelu needs --pretrained",
        "--pretrained openai",
    )
    nothing_in(here)


@pytest.mark.parametrize(
    ("options", "part"),
    [(("--lr", "fast"), "--lr"), (("--nonsense",), "--nonsense"), (("--epochs",), "--epochs")],
)
def test_what_is_no_number_or_no_option(scing, world, here, options, part):
    """Found by the parser itself, which has a form of its own."""
    result = scing("train-prompts", "--data", world, *MODEL, *options)
    assert (result.code, result.out) == (2, "")
    assert part in result.err
    assert "Traceback" not in result.err
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
        (("embed", "--run", "RUN", "--images", "."), ("is empty",)),
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


MISSING = (
    "ViT-B-16-quickgelu",
    "openai",
    "Fetch https://",
    "ViT-B-16-quickgelu-openai.pt",
    "--pretrained FILE",
    "--model scing-small",
)


@pytest.fixture
def unanswered(monkeypatch, here):
    """No cache that has the file, and a network that never answers: an address kept free for documentation (RFC 5737)."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.1:9")
    for name in ("no_proxy", "NO_PROXY", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(here))


def test_a_missing_tag_fails_soon_and_says_which_file(scing, world, here, unanswered):
    start = time.monotonic()
    result = scing("train-prompts", "--data", world)
    assert time.monotonic() - start < UNANSWERED
    refuse(result, *MISSING, "192.0.2.1")
    nothing_in(here)


def test_a_missing_tag_ends_a_cold_process_soon(world, here, unanswered):
    """From the start of Python to its end: three seconds of waiting for the network, and the start of Python."""
    command = [sys.executable, "-m", "scing_cli", "train-prompts", "--data", str(world)]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    assert time.monotonic() - start < UNANSWERED
    refuse(Result(done.returncode, done.stdout, " ".join(done.stderr.split())), *MISSING, "192.0.2.1")
    nothing_in(here)
