"""The comparison of two versions on a large index runs at a small size; no time is checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
