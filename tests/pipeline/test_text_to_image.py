"""`examples/text_to_image.py`: three rows per world, means and deviations, and resuming."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from patience import HANG

SCRIPT = Path(__file__).parents[2] / "examples" / "text_to_image.py"
SMALL = ("--identities", "3", "--test-identities", "3", "--prompt-epochs", "1", "--visual-epochs", "1")


def compare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--output", "found", *SMALL, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=HANG)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("compared")
    done = compare(folder, "--seeds", "1", "--worlds", "unmet", "unmet-occluded")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_three_rows_in_each_world(compared: tuple[Path, str]) -> None:
    folder, out = compared
    rows = json.loads((folder / "found" / "text_to_image.json").read_text())["rows"]
    worlds, methods = ("unmet", "unmet-occluded"), ("zero-shot", "direct", "prompt-decoupling")
    assert list(rows) == [f"{world}-{method}-0" for world in worlds for method in methods]
    for row in rows.values():
        assert 0 <= row["mAP"] <= 100
        assert 0 <= row["rank1"] <= 100
        assert f"{row['rank1']:.2f}" in out
        assert f"{row['mAP']:.2f}" in out
    for method in methods:
        assert len(re.findall(rf"│ {method} ", out)) == 2
    assert len({row["mAP"] for row in rows.values()}) > 3
    assert "one seed, no deviation" in out


def test_finished_rows_are_not_run_again_and_missing_ones_are(compared: tuple[Path, str], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(compared[0], folder)
    file = folder / "found" / "text_to_image.json"
    report = json.loads(file.read_text())
    rows = report["rows"]
    rows["unmet-zero-shot-0"]["mAP"] = 12.34
    lost = rows.pop("unmet-direct-0")
    file.write_text(json.dumps(report))
    done = compare(folder, "--seeds", "1", "--worlds", "unmet")
    assert done.returncode == 0, done.stderr
    assert "12.34" in done.stdout
    assert done.stderr.splitlines()[0] == "direct, unmet, seed 0"
    again = json.loads(file.read_text())["rows"]["unmet-direct-0"]
    assert {**again, "seconds": 0} == {**lost, "seconds": 0}


def test_other_options_and_no_seed_are_refused(compared: tuple[Path, str]) -> None:
    other = compare(compared[0], "--identities", "4")
    assert other.returncode == 1
    assert "text_to_image.json was made with other options.\nName another folder with --output." in other.stderr
    assert "--seeds 0: must be at least 1." in compare(compared[0], "--seeds", "0").stderr


def test_a_command_that_fails_ends_the_comparison(tmp_path: Path) -> None:
    done = compare(tmp_path, "--seeds", "1", "--test-identities", "0")
    assert done.returncode == 1
    assert "Error: scing prepare failed (exit code 2)." in done.stderr


def test_the_row_without_training_reads_images_as_the_config_says(compared: tuple[Path, str], tmp_path: Path) -> None:
    """The config of the rows is changed, and the first of them is run again: its figures are those of the command."""
    folder = tmp_path / "copy"
    shutil.copytree(compared[0], folder)
    config = (SCRIPT.parent / "configs" / "text-tiny.toml").read_text()
    own = folder / "own.toml"
    own.write_text(config.replace('model = "scing-tiny"', 'model = "scing-tiny"\nstatistics = "half"\nstride = 6'))
    file = folder / "found" / "text_to_image.json"
    report = json.loads(file.read_text())
    report["made"]["config"] = tomllib.loads(own.read_text())
    before = report["rows"].pop("unmet-zero-shot-0")
    file.write_text(json.dumps(report))
    done = compare(folder, "--seeds", "1", "--worlds", "unmet", "--config", "own.toml")
    assert done.returncode == 0, done.stderr
    after = json.loads(file.read_text())["rows"]["unmet-zero-shot-0"]
    assert after["mAP"] != before["mAP"]


def test_a_config_that_a_row_cannot_follow_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('[train-prompts]\nmodel = "scing-tiny"\nimage-size = "64x32"\n')
    done = compare(tmp_path, "--config", "own.toml")
    assert done.returncode == 1
    assert "--config sets image-size: the size cannot be set for the row without training." in done.stderr
    assert not (tmp_path / "found").exists()
