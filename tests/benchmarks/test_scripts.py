"""Every benchmark runs at a small size and reports baseline, speed and machine; no time is checked."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import HANG

FOLDER = Path(__file__).resolve().parent
SCRIPTS = ("attention", "compile", "embed", "evaluate", "graph_file", "reading", "stage1", "stage2", "startup")
FIELDS = {"name", "reference", "ours", "ratio", "unit", "machine", "versions"}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_benchmark_runs_and_prints_its_fields(script: str) -> None:
    command = [sys.executable, str(FOLDER / f"{script}.py"), "--quick"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=HANG, env=os.environ | {"HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(row) for row in done.stdout.splitlines() if row.startswith("{")]
    assert lines
    for told in lines:
        assert set(told) >= FIELDS
        assert all(math.isfinite(told[side]) and told[side] > 0 for side in ("reference", "ours", "ratio"))
        assert told["unit"] in {"s", "images/s"}
        assert told["versions"]["torch"]
    names = [told["name"] for told in lines]
    assert len(names) == len(set(names))


def test_what_several_processes_exchange_and_repeat() -> None:
    command = [sys.executable, str(FOLDER / "processes.py"), "--quick"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, env=environment)
    assert done.returncode == 0, done.stderr
    exchanged, repeated = (json.loads(row) for row in done.stdout.splitlines() if row.startswith("{"))
    pixels, features = 4 * 3 * 32 * 16, 4 * (2 * 32 + 16) * 4  # of the own half of eight images; three features
    assert exchanged["all_gather"] == pixels + features
    learnt = exchanged["all_reduce"] - 3 * 8  # three flags
    assert learnt % 4 == 0
    assert 0 < repeated["share"] < 1
