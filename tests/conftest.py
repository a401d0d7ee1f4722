"""What every test shares: no network, few threads, a private cache; two processes share the whole usual tier."""

from __future__ import annotations

import os
import signal
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that tests as on a processor without bf16."""
    parser.addoption(
        "--without-bf16", action="store_true", help="limit oneDNN, also in started processes, to what has no bf16"
    )


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist starts its processes
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Share the whole usual tier between two processes, whatever the cores: each takes 2 GB of memory.

    Named files and other tiers run in one process; `-n 0` or `-n 4` decides otherwise.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:  # one of the two, or started by a test: it must not start two more
        return
    given = config.option
    usual = (
        not given.file_or_dir
        and given.markexpr == "not long and not milvus"
        and given.capture != "no"
        and not given.usepdb
    )
    if usual and config.pluginmanager.hasplugin("xdist") and given.numprocesses is None and given.dist == "no":
        given.numprocesses, given.dist = 2, "worksteal"
    os.environ.setdefault("OMP_NUM_THREADS", "1" if getattr(given, "numprocesses", None) else "2")


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs, also from started processes, unless `-m` asks for them: what the others expect to the bit is a CPU's."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts a command with & makes it deaf
    if config.getoption("without_bf16"):
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"  # oneDNN reads it once, before torch's first product
    chosen = config.getoption("markexpr")
    if "gpu" not in chosen or "not gpu" in chosen:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


@pytest.fixture(autouse=True, scope="session")
def _few_threads() -> None:
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's cache out of the tests, and the tests out of it."""
    monkeypatch.setenv("SCING_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, where the test works."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
