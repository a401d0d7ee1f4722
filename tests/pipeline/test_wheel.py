"""The package installed from its wheel, outside the checkout, in an empty folder, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from patience import HANG

ROOT = Path(__file__).parents[2]
NO_NETWORK = """
import socket

def refuse(*arguments):
    raise OSError("this test has no network")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
"""
FAST = ("--epochs", "1", "--batch-size", "8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source, target = tmp_path_factory.mktemp("source") / "scing", tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    shutil.copytree(ROOT / "scing_cli", source / "scing_cli", ignore=unwanted)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", target, source)
    (built,) = target.glob("*.whl")
    return built


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr


def test_the_wheel_carries_weights_and_tables_and_is_small(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for ending in ("json", "safetensors", "md"):
        for model in ("scing-tiny", "scing-small"):
            assert f"scing_cli/assets/models/{model}.{ending}" in names
    assert "scing_cli/assets/tables/published.csv" in names
    assert wheel.stat().st_size <= 25_000_000


def test_the_installed_wheel_runs_the_six_commands_in_an_empty_folder(wheel, tmp_path):
    site, home, folder = tmp_path / "site", tmp_path / "home", tmp_path / "empty"
    home.mkdir()
    folder.mkdir()
    pip("install", "--no-deps", "--no-index", "--target", site, wheel)
    (site / "sitecustomize.py").write_text(NO_NETWORK)
    environment = {**os.environ, "PYTHONPATH": str(site), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    environment.pop("HF_HUB_OFFLINE", None)

    def python(*arguments):
        command = [sys.executable, "-P", *map(str, arguments)]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=HANG)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    assert Path(python("-c", "import scing_cli; print(scing_cli.__file__)").strip()).is_relative_to(site)
    tried = "import socket\ntry: socket.create_connection(('127.0.0.1', 9))\nexcept OSError as error: print(error)"
    assert python("-c", tried) == "this test has no network\n"
    scing = (site / "bin" / "scing",)  # the script that pip installs
    python(*scing, "prepare", "world", "--synthetic", "--identities", 3, "--cameras", 2, "--images-per-camera", 1)
    python(*scing, "train-prompts", "--data", "world", "--model", "scing-tiny", *FAST, "--run", "run")
    python(*scing, "train-visual", *FAST, "--run", "run")
    python(*scing, "embed", "--run", "run")
    assert "mAP" in python(*scing, "evaluate", "--run", "run")
    photo = min((folder / "world" / "query").glob("*.jpg"))
    assert "score" in python(*scing, "search", photo, "--index", "gallery.faiss", "--montage", "ranking.png")
    assert (folder / "ranking.png").exists()
