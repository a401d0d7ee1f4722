"""What is measured on large indexes runs at a small size; no time is checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from patience import HANG

SCRIPT = Path(__file__).with_name("galleries.py")


def test_both_versions_give_the_same_hits_and_rows() -> None:
    size = ("--rows", "1500", "--width", "16", "--repeats", "1")
    command = [sys.executable, str(SCRIPT), "--former", str(SCRIPT.parents[2]), *size]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    *told, last = map(json.loads, done.stdout.splitlines())
    actions = ["make", "start", "start, one camera", "append", "prune"]
    assert {(row["version"], row["action"]) for row in told} == {
        (version, action) for version in ("now", "former") for action in actions
    }
    assert set(last["former / now"]) == set(actions)
    assert all(ratio > 0 for ratio in last["former / now"].values())


@pytest.mark.long
def test_all_commands_run_on_an_index_of_drawn_rows() -> None:
    command = [sys.executable, str(SCRIPT.with_name("gallery_commands.py")), "--rows", "2000", "--width", "16"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    told = [json.loads(row) for row in done.stdout.splitlines()]
    assert [row["command"].split()[0].strip(",") for row in told] == [
        *["search"] * 3,
        "evaluate",
        *["embed"] * 4,
        "search",
    ]
    assert all(row["seconds"] > 0 < row["MB"] and row["rows"] == 2000 for row in told)
