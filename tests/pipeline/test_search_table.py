"""What `search` prints: whole paths in a pipe, and in a terminal a table that fits it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from patience import HANG
from pseudoterminal import in_terminal
from rich.cells import cell_len

CODE = "from scing_cli.__main__ import main; main()"


@pytest.fixture
def command(finished, world):
    return ["search", str(min((world / "query").glob("*.jpg"))), "--index", str(finished.parent / "gallery.faiss")]


@pytest.fixture
def paths(command):
    told = subprocess.run([sys.executable, "-c", CODE, *command, "--json"], capture_output=True, timeout=HANG)
    return [hit["path"] for hit in json.loads(told.stdout)["results"][0]["hits"]]


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_in_a_pipe_paths_are_whole(command, paths, columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    done = subprocess.run([sys.executable, "-c", CODE, *command], capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(paths) == 10
    assert all(any(path in line for line in lines) for path in paths)
    assert "…" not in done.stdout


@pytest.mark.parametrize("columns", [40, 80, 160])
def test_in_a_terminal_the_table_fits(command, paths, columns, tmp_path):
    seen = in_terminal(CODE, command, {}, tmp_path / "log", size=(60, columns, 8 * columns, 600))
    assert seen.code == 0, seen.err
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.out).replace("\r", "").splitlines()
    assert max(map(cell_len, lines)) <= columns
    for path in paths:
        (line,) = [line for line in lines if Path(path).name in line]
        shown = line.strip("│ ").rpartition("│")[2].strip()
        assert path.endswith(shown.removeprefix("…"))
        assert shown == path or (shown[0] == "…" and cell_len(line) > columns - 4)
