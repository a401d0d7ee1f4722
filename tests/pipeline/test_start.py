"""Imports of a new process: a search and a usage error run without torch, with the same results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import HANG

from scing_cli.core.datasets import read_data
from scing_cli.core.devices import cpu_has_bf16
from scing_cli.core.runtime import Silent
from scing_cli.core.synthetic import write_world
from scing_cli.core.workflows.shared.embedder_choice import Crops, choose_embedder
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, open_model
from scing_cli.core.workflows.shared.scoring import score_parts, sides

pytest.importorskip("scing_cli.core.encoders.openvino_runtime", exc_type=ImportError)
CODE = """
import sys
from scing_cli.__main__ import main
try:
    main()
except SystemExit as left:
    heavy = {"torch", "open_clip", "faiss", "matplotlib", "torchvision", "openvino"} & set(sys.modules)
    print(left.code or 0, *sorted(heavy), file=sys.stderr)
"""


def cold(*arguments: object) -> tuple[int, set[str], str, str]:
    """Run a command in a process of its own: its code, what heavy modules it loaded, its output and its messages."""
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=os.environ.copy())
    assert done.returncode == 0, done.stderr
    *messages, last = done.stderr.splitlines()
    code, *heavy = last.split()
    return int(code), set(heavy), done.stdout, "\n".join(messages)


@pytest.fixture
def index(scing, own_run, tmp_path):
    """An index that `scing embed` made with the copy that `train-visual` left in the run."""
    file = tmp_path / "own.faiss"
    assert scing("embed", "--run", own_run, "--output", file, "--device", "cpu").code == 0
    return file


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photo(world):
    return min((world / "query").iterdir())


@pytest.mark.parametrize("arguments", [["--help"], ["search", "--help"], ["search", "--wrong"], ["--version"]])
def test_help_and_usage_errors_load_nothing_heavy(arguments):
    code, heavy, _, _ = cold(*arguments)
    assert code == (2 if "--wrong" in arguments else 0)
    assert not heavy


def test_a_search_starts_without_torch_and_finds_the_same(index, photo):
    options = ("search", photo, "--index", index, "-k", "6", "--json")
    code, heavy, out, _ = cold(*options)
    assert code == 0
    assert heavy == {"faiss", "openvino"}
    slow_code, slow_heavy, slow_out, _ = cold(*options, "--precision", "fp32")
    assert slow_code == 0
    assert {"torch", "open_clip"} <= slow_heavy
    quick, slow = (
        {hit["path"]: hit["score"] for hit in json.loads(text)["results"][0]["hits"]} for text in (out, slow_out)
    )
    assert len(set(quick) & set(slow)) >= 5
    assert all(abs(quick[path] - slow[path]) < 0.005 for path in set(quick) & set(slow))


@pytest.mark.parametrize(
    "more", [["--box", "2,4,40,100"], ["--montage", "ranking.png"], ["--group", "identity"], ["--join", "mean"]]
)
def test_so_do_its_options(index, photo, more, here):
    code, heavy, _, messages = cold("search", photo, "--index", index, *more)
    assert code == 0, messages
    assert heavy == {"faiss", "openvino"}


def test_appending_starts_without_torch(index, own_run, photo, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    shutil.copy(photo, folder)
    code, heavy, _, messages = cold(
        "embed", "--run", own_run, "--images", folder, "--append", "-o", index, "--device", "cpu"
    )
    assert code == 0, messages
    assert heavy == {"faiss", "openvino"}


def test_nothing_is_sent_and_nothing_is_left_at_home(index, photo, tmp_path, monkeypatch):
    """OpenVINO's telemetry would write an id into the user's home, and open a connection."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("CI", raising=False)
    lines = (
        "import socket, sys",
        "asked = []",
        "def refuse(*args, **options): asked.append(args); raise OSError('the network is out of bounds')",
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse",
        "from scing_cli.core.workflows.search.search_gallery import search",
        "from pathlib import Path",
        "search([Path(sys.argv[1])], Path(sys.argv[2]))",
        "print('openvino' in sys.modules, 'openvino_telemetry' in sys.modules, len(asked))",
    )
    command = [sys.executable, "-c", "\n".join(lines), str(photo), str(index)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=os.environ.copy())
    assert done.stdout.split() == ["True", "False", "0"], done.stderr
    assert not [entry for entry in home.iterdir() if entry.name != ".cache"]


def test_saliency_needs_gradients_and_loads_torch(index, photo, here):
    code, heavy, _, messages = cold("search", photo, "--index", index, "--saliency", "why.png", "-k", "2")
    assert code == 0, messages
    assert "torch" in heavy
    assert Path("why.png").stat().st_size > 0


def test_training_leaves_a_copy_with_the_encoders_digest(finished):
    stamps = [json.loads((finished / "visual" / name / "stamp.json").read_text()) for name in ("", "inference")]
    assert stamps[0]["digest"] == stamps[1]["digest"]
    assert stamps[1]["least_cosine"] >= 0.999
    assert stamps[1]["geometry"] == stamps[0]["geometry"]


def test_without_its_copy_a_search_goes_on_with_torch(index, own_run, photo, scing):
    copied = json.loads(scing("search", photo, "--index", index, "--json").out)
    shutil.rmtree(own_run / "visual" / "inference")
    code, heavy, out, _ = cold("search", photo, "--index", index, "--json")
    assert code == 0
    assert "torch" in heavy
    first, second = (found["results"][0]["hits"][0] for found in (copied, json.loads(out)))
    assert first["path"] == second["path"]
    assert abs(first["score"] - second["score"]) < 0.005


def test_a_damaged_copy_is_said_and_made_anew_by_embed(index, own_run, photo, scing):
    weights = own_run / "visual" / "inference" / "encoder.bin"
    content = bytearray(weights.read_bytes())
    content[100] ^= 1
    weights.write_bytes(content)
    found = scing("search", photo, "--index", index, "--device", "cpu")
    assert found.code == 0
    assert "encoder.bin does not match stamp.json next to it" in found.err
    assert "scing embed makes it again" in found.err
    assert scing("embed", "--run", own_run, "--output", index, "--force", "--device", "cpu").code == 0
    _, heavy, _, messages = cold("search", photo, "--index", index)
    assert heavy == {"faiss", "openvino"}
    assert "encoder.bin" not in messages


def test_a_plain_model_gets_its_copy_in_the_users_cache(world, photo, scing, here, monkeypatch, tmp_path):
    monkeypatch.setenv("SCING_CACHE", str(tmp_path / "cache"))
    made = scing("embed", "--model", "scing-tiny", "--data", world, "--device", "cpu")
    assert f"OpenVINO model, for searches that start without torch: {tmp_path / 'cache' / 'inference'}" in made.err
    code, heavy, _, messages = cold("search", photo, "--index", "gallery.faiss")
    assert code == 0, messages
    assert heavy == {"faiss", "openvino"}


def test_evaluate_is_float32_unless_bf16_is_asked_for(own_run, scing, index):
    kept = own_run / "embeddings"
    shutil.rmtree(kept, ignore_errors=True)
    for options, engine, precision in (([], "torch", "fp32"), (["--precision", "bf16"], "openvino", "bf16")):
        if precision == "bf16" and not cpu_has_bf16():
            continue
        assert scing("evaluate", "--run", own_run, "--device", "cpu", *options).code == 0
        stamps = [json.loads(file.read_text()) for file in kept.glob("*.json")]
        assert {(stamp["engine"], stamp["precision"]) for stamp in stamps} == {(engine, precision)}


def test_the_copy_keeps_map_within_a_tenth_of_a_point(tmp_path, monkeypatch):
    """scing-tiny on drawn people: what float32 ranks, and what the copy ranks."""
    monkeypatch.setenv("SCING_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "world"
    write_world(folder, identities=2, test_identities=48, cameras=4, images_per_camera=2, seed=3, workers=2)
    model = open_model(ModelChoice(model="scing-tiny"), reporter=Silent())
    data = read_data(folder).manifest
    plain = Machine(device="cpu", precision="fp32").embedder(model.encoder)
    crops = Crops(data.files())
    copied = choose_embedder(model, Machine(device="cpu"), kind="projected", crops=crops, reporter=Silent())
    assert copied.engine == "openvino"
    exact, quick = (
        score_parts(*sides(data, "query"), one, protocol="market", reporter=Silent()) for one in (plain, copied)
    )
    assert 40 < exact.mAP < 95
    assert abs(exact.mAP - quick.mAP) <= 0.1
    assert abs(exact.mINP - quick.mINP) <= 0.2


@pytest.mark.parametrize("command", ["search", "prepare"])
def test_a_reader_that_has_gone_ends_a_command_as_sigpipe_does(command, world, finished, tmp_path):
    """As in `scing search ... | head -1`."""
    photo, index = min((world / "query").glob("*.jpg")), finished.parent / "gallery.faiss"
    words = {"search": (photo, "--index", index, "-k", "50"), "prepare": (world, "--output", tmp_path / "m.csv")}[
        command
    ]
    reading, writing = os.pipe()
    os.close(reading)
    started = [sys.executable, "-m", "scing_cli", command, *map(str, words)]
    ended = subprocess.run(started, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert ended.returncode == 141, ended.stderr
    assert b"Traceback" not in ended.stderr
