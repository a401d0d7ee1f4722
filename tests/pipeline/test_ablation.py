"""`examples/ablation.py`: the four rows of Table 3, their means and deviations, and resuming."""

from __future__ import annotations

import json
import runpy
import shutil
import statistics
import sys
from pathlib import Path

import pytest
from PIL import Image
from tiny import TINY_MODEL

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPT = str(EXAMPLES / "ablation.py")
CONFIG = f"""
[train-prompts]
model = "{TINY_MODEL}"
pretrained = "random"
epochs = 1
batch-size = 16
lr = 1e-2
consistency-weight = 2.0
views = "bank:2"
[train-visual]
epochs = 1
batch-size = 16
lr = 1e-2
warmup-epochs = 0
"""


@pytest.fixture
def ablation(world, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.syspath_prepend(EXAMPLES)
    Path("own.toml").write_text(CONFIG)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [SCRIPT, "--data", str(world), "--config", "own.toml", *arguments])
        runpy.run_path(SCRIPT, run_name="__main__")
        return capsys.readouterr().out

    return run


def test_four_rows_with_their_spread(ablation, world):
    out = ablation("--seeds", "2", "--output", "found")
    report = json.loads(Path("found/ablation.json").read_text())
    assert list(report["rows"]) == ["CLIP-ReID", "+ meta-net (CoCoOp)", "+ SVIP", "+ SVIP + PDCA (SCING)"]
    settings, views = [], []
    for label, row in report["rows"].items():
        assert [run["seed"] for run in row["runs"]] == [0, 1]
        for name in ("mAP", "rank1"):
            values = [run["scores"][world.name][name] for run in row["runs"]]
            mean, spread = row["mean"][world.name][name], row["spread"][world.name][name]
            assert mean == pytest.approx(statistics.mean(values))
            assert spread == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
            assert f"{mean:.2f} ± {spread:.2f}" in out
        assert ("gradient_consistency" in row["logs"]) == label.endswith("(SCING)")
        assert ("visual_spread" in row["logs"]) == (label != "CLIP-ReID")
    for folder in sorted(Path("found").glob("*-seed-0")):
        info = json.loads((folder / "run.json").read_text())["settings"]
        stage1 = info["train-prompts"]
        settings.append((stage1.pop("method"), stage1.pop("consistency"), stage1.pop("consistency-weight")))
        views.append(stage1.pop("views"))
        assert info["train-visual"]["lr"] == stage1["lr"] == 1e-2
    assert settings == [
        ("clip-reid", True, 1.0),
        ("cocoop", True, 1.0),
        ("scing", True, 2.0),
        ("scing", False, 2.0),
    ]
    assert views == ["fresh", "fresh", "bank:2", "fresh"]
    assert f"{report['zero-shot'][world.name]['mAP']:.2f}" in out
    assert max(map(len, out.splitlines())) <= 80
    with Image.open("found/ablation.png") as picture:
        assert min(picture.size) > 300


def test_finished_runs_are_not_trained_again_and_other_settings_are_refused(ablation, capsys):
    rows = ("--seeds", "1", "--output", "found", "--rows", "clip-reid")
    first = ablation(*rows)
    stamps = {file: file.stat().st_mtime_ns for file in Path("found").rglob("stamp.json")}
    assert {file.parent.name for file in stamps} == {"prompts", "visual", "inference"}
    assert ablation(*rows) == first
    assert {file: file.stat().st_mtime_ns for file in Path("found").rglob("stamp.json")} == stamps
    Path("own.toml").write_text(CONFIG.replace("epochs = 1", "epochs = 2"))
    with pytest.raises(SystemExit) as stopped:
        ablation(*rows)
    assert "was trained with other settings" in str(stopped.value)


def test_other_data_is_refused_and_a_stopped_stage_is_begun_anew(ablation, own_world, world):
    rows = ("--seeds", "1", "--output", "found", "--rows", "clip-reid")
    out = ablation(*rows)
    assert "one seed, no deviation" in " ".join(out.split())
    assert "±" not in out.partition("Last epochs")[0]
    shutil.rmtree("found/clip-reid-seed-0")
    shutil.rmtree("found/clip-reid-seed-0-stage-1/prompts")  # as stage 1 leaves it when it is stopped
    assert ablation(*rows).partition("Last")[0] == out.partition("Last")[0]
    min((own_world / "bounding_box_train").glob("*.jpg")).unlink()
    with pytest.raises(SystemExit) as stopped:
        ablation(*rows, "--data", str(own_world))
    assert "was trained on other data" in str(stopped.value)


def test_no_seed_is_refused(ablation, capsys):
    with pytest.raises(SystemExit) as stopped:
        ablation("--seeds", "0")
    assert stopped.value.code == 2
    assert "--seeds 0: must be at least 1" in capsys.readouterr().err


def test_unknown_rows_and_data_of_one_name_are_refused(ablation, world, capsys):
    for arguments, said in (
        (("--rows", "clip-reid", "clipreid"), "--rows clipreid: known are all, clip-reid, "),
        (("--also", str(world)), "two data sets have the same name"),
        (("--jobs", "0"), "--jobs 0: must be at least 1"),
    ):
        with pytest.raises(SystemExit) as stopped:
            ablation(*arguments)
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err


def test_rates_are_tuned_on_held_out_people(ablation, own_world, tmp_path):
    """Each row is trained with the best rate that was found. Two processes give what one gives."""
    options = ("--seeds", "1", "--tune", "0.4", "--rows", "svip", "camera-centroids")
    other = shutil.copytree(own_world, tmp_path / "other")
    out = ablation(*options, "--output", "found", "--also", str(other))
    report = json.loads(Path("found/ablation.json").read_text())
    for row, found in report["tuned"].items():
        assert list(found) == ["0.005", "0.01", "0.02"]
        best = float(max(found, key=found.__getitem__))
        (run,) = Path("found").glob(f"{row}-seed-0-lr-*")
        assert json.loads((run / "run.json").read_text())["settings"]["train-visual"]["lr"] == best
    assert len(report["zero-shot"]) == 2
    assert "mAP of held-out people" in out
    folders = {folder.name for folder in Path("found/tuning").iterdir() if folder.is_dir()}
    assert "svip-seed-1000-stage-1" in folders
    assert "scing-seed-1000-stage-1" in folders  # the stage 1 of centroids is that of SCING
    one = ("--seeds", "1", "--tune", "0.4", "--rows", "svip", "--output", "twice", "--also", str(other), "--jobs", "2")
    ablation(*one)
    again = json.loads(Path("twice/ablation.json").read_text())
    assert again["tuned"] == {"svip": report["tuned"]["svip"]}
    (label,) = again["rows"]
    assert again["rows"][label]["mean"] == report["rows"][label]["mean"]
