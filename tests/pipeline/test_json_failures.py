"""With `--json`, a failure is one JSON object on standard output too; the message stays on standard error."""

from __future__ import annotations

import json

import pytest
from pipeline.conftest import MODEL

COMMON = ("prepare", "train-prompts", "train-visual", "embed", "evaluate", "search")
FAILURES = [
    *((command, "--nonsense") for command in COMMON),
    *((command, "--workers", "many") for command in COMMON),
    ("nonsense",),
    ("prepare",),
    ("search", "photo.jpg"),
    ("prepare", "none"),
    ("prepare", "https://host/market.zip"),
    ("train-prompts",),
    ("train-prompts", "--data", "none", *MODEL),
    ("train-prompts", "--data", "none", *MODEL, "--epochs", "0"),
    ("train-visual",),
    ("embed",),
    ("embed", "--images", "none", *MODEL),
    ("evaluate", "--embeddings", "none.npz"),
    ("search", "photo.jpg", "--index", "none.faiss"),
    ("search", "photo.jpg", "--index", "none.faiss", "-k", "0"),
]


@pytest.mark.parametrize("command", FAILURES, ids=" ".join)
def test_every_failure_is_one_object(scing, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    plain, told = scing(*command), scing(*command, "--json")
    assert plain.code == told.code == 2
    assert plain.out == ""
    assert set(told.json) == {"error", "what", "remedy", "exit_code"}
    assert told.json["exit_code"] == 2
    assert told.json["error"].endswith("Error")
    assert " ".join(told.json["what"].split()) in told.err
    if "Usage:" not in plain.err:
        assert told.err == plain.err
        assert " ".join(told.json["remedy"].split()) in told.err


def test_a_success_prints_nothing_more(scing, world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "error" not in scing("prepare", world, "--json").json


def test_an_internal_error_and_an_interruption_are_objects_too(scing, monkeypatch, world, tmp_path):
    from scing_cli.core.workflows.prepare import prepare_data

    monkeypatch.chdir(tmp_path)
    for error, code, kind in ((KeyError("gap"), 1, "InternalError"), (KeyboardInterrupt(), 130, "Interruption")):

        def broken(*_arguments, error=error, **_options):
            raise error

        monkeypatch.setattr(prepare_data, "read_data", broken)
        told = scing("prepare", world, "--json")
        assert (told.code, told.json["exit_code"], told.json["error"]) == (code, code, kind)


def test_a_file_of_that_name_asks_for_nothing(scing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert scing("prepare", "--", "--json").out == ""


def test_names_are_escaped(scing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (("prepare", "a\x1b[31mb"), ("prepare", "--x\x1b[31m"), ("a\x1b[31mb",)):
        told = scing(*command, "--json")
        assert "\x1b" not in told.out
        assert json.loads(told.out)["exit_code"] == 2


@pytest.mark.parametrize("flag", ["--jso", "--js", "--json=1", "--JSON", "-json"])
@pytest.mark.parametrize("command", COMMON)
def test_a_misspelt_flag_fails_as_one_object_too(scing, command, flag):
    told = scing(command, flag)
    assert told.code == 2
    assert set(told.json) == {"error", "what", "remedy", "exit_code"}
    assert flag.split("=")[0].lstrip("-")[:1] in told.json["what"]
