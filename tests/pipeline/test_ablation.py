"""`examples/ablation.py`: the four rows of Table 3, their means and deviations, and resuming."""

from __future__ import annotations

import json
import runpy
import shutil
import statistics
import sys
from pathlib import Path

import pytest
from artifacts import edit_run
from PIL import Image
from tiny import TINY_MODEL

SCRIPT = str(Path(__file__).parents[2] / "examples" / "ablation.py")
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
    Path("own.toml").write_text(CONFIG)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [SCRIPT, "--data", str(world), "--config", "own.toml", *arguments])
        runpy.run_path(SCRIPT, run_name="__main__")
        return capsys.readouterr().out

    return run


def test_four_rows_with_their_spread(ablation):
    out = ablation("--seeds", "2", "--output", "found")
    report = json.loads(Path("found/ablation.json").read_text())
    assert list(report["rows"]) == ["CLIP-ReID", "+ meta-net (CoCoOp)", "+ SVIP", "+ SVIP + PDCA (SCING)"]
    settings, views = [], []
    for label, row in report["rows"].items():
        assert [run["seed"] for run in row["runs"]] == [0, 1]
        for name in ("mAP", "rank1"):
            values = [run[name] for run in row["runs"]]
            assert row["mean"][name] == pytest.approx(statistics.mean(values))
            assert row["spread"][name] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
            assert f"{row['mean'][name]:.2f} ± {row['spread'][name]:.2f}" in out
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
        ("scing", False, 2.0),
        ("scing", True, 2.0),
    ]
    assert views == ["fresh", "fresh", "fresh", "bank:2"]
    assert f"{report['zero-shot']['mAP']:.2f}" in out
    assert max(map(len, out.splitlines())) <= 80
    with Image.open("found/ablation.png") as picture:
        assert min(picture.size) > 300


def test_finished_runs_are_not_trained_again_and_other_settings_are_refused(ablation, capsys):
    rows = ("--seeds", "1", "--output", "found", "--rows", "CLIP-ReID")
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
    rows = ("--seeds", "1", "--output", "found", "--rows", "CLIP-ReID")
    out = ablation(*rows)
    assert "one seed, no deviation" in " ".join(out.split())
    assert "±" not in out.partition("Last epochs")[0]
    run = Path("found/clip-reid-seed-0")
    shutil.rmtree(run / "prompts")  # as stage 1 leaves it when it is stopped
    shutil.rmtree(run / "visual")
    edit_run(run, lambda info: info["settings"].pop("train-visual"))
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
