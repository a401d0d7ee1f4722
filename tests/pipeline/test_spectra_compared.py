"""`examples/three_spectra.py`: six rows with what they cost, means and deviations, and resuming."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import HANG

SCRIPT = Path(__file__).parents[2] / "examples" / "three_spectra.py"
SMALL = ("--identities", "4", "--test-identities", "3", "--epochs", "1", "--batch-size", "16")
UNTRAINED = ("untrained-rgb-nir-tir", "untrained-rgb")
ROWS = ("dmpt-rgb-nir-tir", "dmpt-rgb", "clip-reid-rgb-nir-tir", "scing-rgb-nir-tir")


def compare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--output", "found", *SMALL, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=HANG)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("compared")
    done = compare(folder, "--seeds", "1")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def report(folder: Path) -> dict[str, dict]:
    return json.loads((folder / "found" / "three_spectra.json").read_text())


def test_each_row_has_its_figures_and_its_cost(compared: tuple[Path, str]) -> None:
    folder, out = compared
    rows = report(folder)["rows"]
    assert list(rows) == [f"{name}-0" for name in (*UNTRAINED, *ROWS)]
    lines = [line for line in out.splitlines() if line.startswith("│")]
    assert len(lines) == len(rows)
    for name, row, line in zip((*UNTRAINED, *ROWS), rows.values(), lines, strict=True):
        stages = {"prompts"} if "dmpt" in name else {"prompts", "visual"}
        assert set(row["stages"]) == (set() if name in UNTRAINED else stages)
        trained = sum(stage["trained"] for stage in row["stages"].values())
        cells = [cell.strip() for cell in line.split("│")[1:-1]]
        cost = "" if name in UNTRAINED else f"{trained:,}"
        assert cells[:5] == [*_named(name), f"{row['mAP']:.2f}", f"{row['rank1']:.2f}", cost]
        for stage in row["stages"].values():
            assert stage["steps"] >= 1
            assert stage["per_step"] == pytest.approx(stage["seconds"] / stage["steps"])
            assert 100 * 2**20 < stage["peak"] < 8 * 2**30  # a process with torch, in bytes
    assert "one seed, no deviation" in out


def test_dmpt_trains_a_small_part_of_what_the_others_train(compared: tuple[Path, str]) -> None:
    rows = report(compared[0])["rows"]
    trained = {name: sum(stage["trained"] for stage in rows[f"{name}-0"]["stages"].values()) for name in ROWS}
    assert trained["dmpt-rgb"] < trained["dmpt-rgb-nir-tir"] < 0.5 * trained["clip-reid-rgb-nir-tir"]
    assert trained["clip-reid-rgb-nir-tir"] < trained["scing-rgb-nir-tir"]


def _named(name: str) -> tuple[str, str]:
    method, spectra = re.fullmatch("(untrained|dmpt|clip-reid|scing)-(.+)", name).groups()
    return method, spectra.replace("-", ",")


def test_finished_stages_are_not_trained_again_and_missing_ones_are(compared: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(compared[0], folder)
    file = folder / "found" / "three_spectra.json"
    content = report(folder)
    content["rows"]["dmpt-rgb-nir-tir-0"]["mAP"] = 12.34
    lost = content["rows"]["clip-reid-rgb-nir-tir-0"]["stages"].pop("visual")
    file.write_text(json.dumps(content))
    done = compare(folder, "--seeds", "1", "--rows", *ROWS[:3:2])
    assert done.returncode == 0, done.stderr
    assert "12.34" in done.stdout
    assert re.findall("^.+, seed 0: .+$", done.stderr, re.MULTILINE) == ["clip-reid, rgb,nir,tir, seed 0: train-visual"]
    again = report(folder)["rows"]["clip-reid-rgb-nir-tir-0"]["stages"]["visual"]
    assert (again["trained"], again["steps"]) == (lost["trained"], lost["steps"])


def test_means_and_deviations_are_over_the_seeds(compared: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(compared[0], folder)
    content = report(folder)
    first = content["rows"][f"{ROWS[1]}-0"]
    content["rows"] |= {f"{ROWS[1]}-{seed}": {**first, "mAP": value} for seed, value in enumerate((10.0, 12.0, 17.0))}
    (folder / "found" / "three_spectra.json").write_text(json.dumps(content))
    done = compare(folder, "--seeds", "3", "--rows", ROWS[1])
    assert done.returncode == 0, done.stderr
    assert "13.00 ± 3.61" in done.stdout
    assert "mean ± deviation over 3 seeds" in done.stdout


def test_other_options_and_no_seed_are_refused(compared: tuple[Path, str]) -> None:
    other = compare(compared[0], "--identities", "5")
    assert other.returncode == 1
    assert "three_spectra.json was made with other options.\nName another folder with --output." in other.stderr
    assert "--seeds 0: must be at least 1." in compare(compared[0], "--seeds", "0").stderr


def test_a_command_that_fails_ends_the_comparison(tmp_path: Path) -> None:
    done = compare(tmp_path, "--seeds", "1", "--test-identities", "0")
    assert done.returncode == 1
    assert "Error: scing prepare failed (exit code 2)." in done.stderr
