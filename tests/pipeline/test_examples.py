"""README's commands and the examples, run as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from pipeline.conftest import MODEL
from tiny import TINY_MODEL

from scing_cli.core.artifacts import Run

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = {
    "train-prompts": (*MODEL, "--epochs", "1", "--batch-size", "16"),
    "train-visual": ("--epochs", "1", "--batch-size", "16"),
}


def shell_lines():
    """Every `scing ...` line of README's shell blocks, comments cut off."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("scing ")]


def test_readmes_commands_run_in_their_order(scing, world, tmp_path, monkeypatch):
    """On small data under the names that README uses; only the model and the epochs are made smaller."""
    monkeypatch.chdir(tmp_path)
    for name in ("Market-1501", "DukeMTMC-reID"):
        shutil.copytree(world, name)
    shutil.copytree(world / "query", "crops")
    shutil.copytree(ROOT / "examples", "examples")
    photo = min((world / "query").glob("*.jpg"))
    shutil.copy(photo, "photo.jpg")
    Image.new("RGB", (300, 300), "gray").save("street.jpg")
    commands = shell_lines()
    assert len(commands) >= 11
    for command in commands:
        name, *options = command
        if "openai" in options:  # the weights that no test has
            options[options.index("--model") + 1], options[options.index("openai")] = TINY_MODEL, "random"
        if name == "train-prompts" and "examples/configs" in " ".join(options):
            options += ["--stride", "4"]
        if "--synthetic" in options:
            options += ["--identities", "4", "--test-identities", "4"]
        result = scing(name, *options, *SMALL.get(name, ()))
        assert result.code == 0, (command, result.err)
    assert Path("ranking.png").exists()
    assert Path("why.png").exists()


def test_every_option_in_readme_exists(scing):
    known = set()
    for command in ("prepare", "train-prompts", "train-visual", "embed", "evaluate", "search"):
        known |= set(re.findall(r"--[a-z][a-z0-9-]+", scing(command, "--help").out))
    for script in (ROOT / "examples").glob("*.py"):
        known |= set(re.findall(r'add_argument\("(--[a-z-]+)"', script.read_text(encoding="utf-8")))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", README)) - {"--version"}
    assert named <= known | {"--help"}, named - known


def test_the_quickstart_runs_all_six_commands(tmp_path):
    """The script itself, its numbers made smaller: it ends with the table and the picture."""
    script = (ROOT / "examples" / "quickstart.sh").read_text()
    for pattern, value in (
        (r"--identities \d+ --test-identities \d+", "--identities 4"),
        (r"--epochs \d+", "--epochs 1"),
        (r"--milestones \S+", ""),
    ):
        script, count = re.subn(pattern, value, script)
        assert count
    (tmp_path / "quickstart.sh").write_text(script)
    shutil.copy(ROOT / "examples" / "table.py", tmp_path)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "quickstart.sh", "out"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for command in ("prepare", "train-prompts", "train-visual", "embed", "evaluate", "search"):
        assert f"$ scing {command}" in done.stderr
    for row in ("zero-shot, plain queries", "stage 1 + 2, plain", "zero-shot, occluded", "stage 1 + 2, occluded"):
        assert row in done.stdout
    assert done.stdout.count("mAP") == 1
    assert (tmp_path / "out" / "ranking.png").exists()
    again = subprocess.run(
        ["bash", "quickstart.sh", "out"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert again.returncode == 2
    assert "out exists" in again.stderr


def test_the_library_walks_the_same_road(world, tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "examples" / "python_api.py",
            world,
            *MODEL,
            "--epochs",
            "1",
            "--output",
            tmp_path / "out",
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "mAP" in done.stdout
    assert (tmp_path / "out" / "ranking.png").exists()
    assert Run(tmp_path / "out" / "run", {}).has("visual")


@pytest.mark.parametrize(
    "name", ["quickstart.sh", "python_api.py", "table.py", "pretrain_tiny_clip.py", "modality_gap.py"]
)
def test_examples_name_no_place_of_one_machine(name):
    assert not re.search(r"/(work|home|root|tmp)/", (ROOT / "examples" / name).read_text())
