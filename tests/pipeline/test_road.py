"""All six commands in sequence, as a user types them, and their JSON output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest
from artifacts import edit_run
from PIL import Image
from pipeline.conftest import FAST, MODEL

from scing_cli import __version__


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_whole_road_with_defaults_and_json(scing, world, here):
    prepared = scing("prepare", world, "--json")
    assert prepared.code == 0, prepared.err
    counts = prepared.json
    assert counts["layout"] == "market1501"
    assert counts["parts"]["train"] == {"identities": 6, "images": 18, "cameras": 3, "captions": 18}
    assert counts["parts"]["query"]["images"] == counts["parts"]["gallery"]["images"] == 18
    assert (counts["junk"], counts["unreadable"]) == (0, [])
    assert Path(counts["manifest"]) == Path(f"{world.name}.csv")

    first = scing("train-prompts", "--data", world, *MODEL, *FAST, "--json")
    assert first.code == 0, first.err
    assert "random weights" in first.err
    run = Path(first.json["run"])
    assert run.parent == Path("runs")
    assert first.json["identities"] == 6
    assert first.json["trainable"]["visual"] == 16 * 128 + 128 + 128 * 24 + 24 + 16 * 24 + 24
    assert first.json["trainable"]["tokens"] == 6 * 4 * 24

    second = scing("train-visual", *FAST, "--json")
    assert second.code == 0, second.err
    assert second.json["run"] == str(run)

    embedded = scing("embed", "--json")
    assert embedded.json["count"] == 18
    assert embedded.json["width"] == 16

    scores = scing("evaluate", "--split", "query", "--json").json
    assert scores.keys() >= {
        "mAP",
        "mINP",
        "rank1",
        "rank5",
        "rank10",
        "queries",
        "valid_queries",
        "gallery",
        "protocol",
        "data",
        "run",
    }
    assert (scores["queries"], scores["gallery"], scores["protocol"]) == (18, 18, "market")
    assert 0 < scores["mAP"] <= 100

    photo = min((world / "query").glob("*.jpg"))
    found = scing("search", photo, "--index", "gallery.faiss", "--montage", "out.png", "-k", "3", "--json").json
    (result,) = found["results"]
    assert [hit["rank"] for hit in result["hits"]] == [1, 2, 3]
    assert result["hits"][0].keys() == {"rank", "score", "path", "identity", "camera"}
    assert Path(result["hits"][0]["path"]).is_file()
    assert Image.open("out.png").size[0] > 200


def test_the_run_folder_holds_what_later_stages_need(finished, world):
    info = json.loads((finished / "run.json").read_text())
    assert info["identities"] == sorted(info["identities"])
    assert info["settings"].keys() == {"train-prompts", "train-visual"}
    assert info["data"]["root"] == str(world)
    for name in ("manifest.csv", "metrics.jsonl", "prompts/stamp.json", "visual/stamp.json"):
        assert (finished / name).is_file()
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        (s, e) for s in ("train-prompts", "train-visual") for e in (1, 2)
    ]
    assert rows[0].keys() >= {"gradient_consistency", "gradient_contrast", "visual_spread", "views_cosine"}
    assert "active_share" in rows[2]
    assert not list(finished.glob(".dry-run*"))


def test_the_index_is_a_plain_faiss_file_of_unit_vectors(finished):
    index = faiss.read_index(str(finished.parent / "gallery.faiss"))
    vectors = index.reconstruct_batch(np.arange(18))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT


def test_the_same_command_gives_the_same_weights(scing, world, here):
    for name in ("a", "b"):
        assert scing("train-prompts", "--data", world, *MODEL, *FAST, "--run", name, "--device", "cpu").code == 0
        assert scing("train-visual", "--run", name, *FAST, "--device", "cpu").code == 0
    for part in ("prompts/prompts.safetensors", "visual/image_encoder.safetensors"):
        assert Path("a", part).read_bytes() == Path("b", part).read_bytes()
    assert scing("train-prompts", "--data", world, *MODEL, *FAST, "--run", "c", "--seed", "1").code == 0
    assert Path("a/prompts/prompts.safetensors").read_bytes() != Path("c/prompts/prompts.safetensors").read_bytes()


def test_evaluating_twice_keeps_the_vectors_and_an_index_gives_the_same_figures(scing, own_run, here):
    shutil.rmtree(own_run / "embeddings", ignore_errors=True)
    first = scing("evaluate", "--run", own_run, "--json")
    second = scing("evaluate", "--run", own_run, "--json")
    assert "kept from before" not in first.err
    assert second.err.count("kept from before") == 2
    assert scing("embed", "--run", own_run, "--precision", "fp32").code == 0
    third = scing("evaluate", "--run", own_run, "--index", "gallery.faiss", "--json")
    assert first.json == second.json == third.json


def test_a_plain_model_needs_no_run(scing, world, here):
    scores = scing("evaluate", *MODEL, "--data", world, "--json").json
    assert scores["run"] is None
    assert scing("embed", *MODEL, "--data", world, "--split", "all", "--json").json["count"] == 54
    photo = sorted((world / "bounding_box_test").glob("*.jpg"))[4]
    hits = scing("search", photo, "--index", "gallery.faiss", "--json").json["results"][0]["hits"]
    assert hits[0]["path"] == str(photo)
    assert hits[0]["score"] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("descriptor", ["projected", "concat"])
def test_both_descriptors_search_and_evaluate(scing, finished, world, here, descriptor):
    width = scing("embed", "--run", finished, "--descriptor", descriptor, "--json").json["width"]
    assert width == (16 if descriptor == "projected" else 48)
    photo = min((world / "query").glob("*.jpg"))
    assert scing("search", photo, "--index", "gallery.faiss").code == 0
    assert scing("evaluate", *MODEL, "--data", world, "--descriptor", descriptor).code == 0


def test_append_adds_only_what_is_new_and_keeps_ids(scing, finished, here):
    assert scing("embed", "--run", finished, "--json").json["added"] == 18
    before = faiss.read_index("gallery.faiss").reconstruct_batch(np.arange(18))
    again = scing("embed", "--run", finished, "--append", "--json").json
    assert (again["added"], again["skipped"], again["count"]) == (0, 18, 18)
    more = scing("embed", "--run", finished, "--append", "--split", "query", "--json").json
    assert (more["added"], more["count"]) == (18, 36)
    np.testing.assert_array_equal(faiss.read_index("gallery.faiss").reconstruct_batch(np.arange(18)), before)
    assert scing("embed", "--run", finished, "--force", "--json").json["count"] == 18


def test_an_unlabelled_folder_can_be_embedded_and_searched(scing, finished, world, here):
    assert scing("embed", "--run", finished, "--images", world / "query", "--json").json["count"] == 18
    result = scing("search", world / "query", "--index", "gallery.faiss", "-k", "1", "--json").json["results"]
    assert len(result) == 18
    assert all(one["hits"][0]["path"] == one["query"] for one in result)
    assert all(one["hits"][0]["identity"] == "" for one in result)


def test_search_with_a_box_and_without_a_camera(scing, finished, world, here):
    photo = min((world / "query").glob("*.jpg"))
    framed = Image.new("RGB", (300, 200), "gray")
    framed.paste(Image.open(photo), (40, 30))
    framed.save("framed.png")
    width, height = Image.open(photo).size
    index = finished.parent / "gallery.faiss"
    whole = scing("search", photo, "--index", index, "-k", "18", "--json").json["results"][0]["hits"]
    boxed = scing("search", "framed.png", "--index", index, "-k", "18", "--box", f"40,30,{width},{height}", "--json")
    assert [hit["path"] for hit in boxed.json["results"][0]["hits"]] == [hit["path"] for hit in whole]
    fewer = scing("search", photo, "--index", index, "-k", "18", "--exclude-camera", "1", "--json").json["results"][0][
        "hits"
    ]
    assert [hit["path"] for hit in fewer] == [hit["path"] for hit in whole if hit["camera"] != "1"]


def test_own_data_as_a_csv_with_a_validation_part(scing, world, here):
    lines = ["path,identity,camera,split"]
    for number, file in enumerate(sorted((world / "bounding_box_train").glob("*.jpg"))):
        identity, camera = file.name[:4], file.name[6]
        lines.append(f"{file},{identity},{camera},{'train' if number < 9 else 'val'}")
    Path("mine.csv").write_text("\n".join(lines) + "\n")
    assert scing("train-prompts", "--data", "mine.csv", *MODEL, *FAST).code == 0
    result = scing("train-visual", *FAST, "--validate", "--json")
    assert result.json["validation"]["queries"] == 9
    assert scing("prepare", "mine.csv", "--json").json["layout"] == "csv"


def test_moved_data_is_named_with_data(scing, own_run, own_world, here):
    moved = own_world.rename(own_world.with_name("elsewhere"))
    edit_run(own_run, lambda info: info["data"].update(root=str(own_world)))
    lost = scing("embed", "--run", own_run)
    assert lost.code == 2
    assert "Give the new folder of the data: --data DIR" in lost.err
    assert scing("embed", "--run", own_run, "--data", moved, "--json").json["count"] == 18
    (own_run / "visual" / "stamp.json").unlink()
    assert scing("train-visual", "--run", own_run, "--data", moved, *FAST).code == 0


def test_settings_come_from_a_file_and_options_go_before_it(scing, world, here):
    Path("own.toml").write_text(
        f'[data]\npath = "{world}"\n[train-prompts]\nmodel = "{MODEL[1]}"\npretrained = "random"\nepochs = 1\n'
        "batch-size = 16\n[train-visual]\nepochs = 1\nbatch-size = 16\n"
    )
    first = scing("train-prompts", "--config", "own.toml", "--tokens", "5", "--json").json
    assert first["steps"] == 2
    assert first["trainable"]["tokens"] == 6 * 5 * 24
    assert scing("train-visual", "--config", "own.toml", "--json").json["steps"] == 2


def test_tables_fit_eighty_columns(scing, world, finished, here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for command in (("prepare", world), ("evaluate", "--run", finished)):  # search: `test_search_table`
        result = scing(*command)
        tables = [line for line in result.out.splitlines() if line.startswith(("│", "┃", "┏", "└"))]
        assert tables
        assert max(map(len, tables)) <= 80


def test_json_is_the_only_thing_on_stdout_also_of_failures(scing, here):
    failed = scing("evaluate", "--json")
    assert failed.code == failed.json["exit_code"] == 2
    assert failed.json["what"] == "No run in ./runs has a trained image encoder."
    assert "No run in ./runs has a trained image encoder" in failed.err


def run_process(*arguments, **options):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "scing_cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        **options,
    )


def test_a_real_process_gives_codes_and_keeps_streams_apart(finished, world, tmp_path):
    photo = min((world / "query").glob("*.jpg"))
    good = run_process("search", photo, "--index", finished.parent / "gallery.faiss", "--json", cwd=tmp_path)
    assert good.returncode == 0
    assert len(json.loads(good.stdout)["results"][0]["hits"]) == 10
    assert run_process("--version").stdout == f"scing {__version__}\n"
    bad = run_process("search", photo, "--index", tmp_path / "none.faiss", cwd=tmp_path)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("Error: ")
    assert "Traceback" not in bad.stderr
    shown = run_process("search", photo, "--index", tmp_path / "none.faiss", "--debug", cwd=tmp_path)
    assert "Traceback" in shown.stderr
    usage = run_process("search", cwd=tmp_path)
    assert usage.returncode == 2


def test_our_own_fault_is_told_as_such(scing, monkeypatch, world, here):
    from scing_cli.core.workflows.prepare import prepare_data

    def broken(*_arguments, **_options):
        raise KeyError("gap")

    monkeypatch.setattr(prepare_data, "read_data", broken)
    result = scing("prepare", world)
    assert result.code == 1
    assert "Internal error: KeyError" in result.err
    assert "--debug" in result.err


def test_ctrl_c_leaves_with_130(scing, monkeypatch, world, here):
    from scing_cli.core.workflows.prepare import prepare_data

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare_data, "read_data", interrupted)
    result = scing("prepare", world)
    assert (result.code, result.out, result.err) == (130, "", "Interrupted.")


@pytest.mark.parametrize("command", ["prepare", "train-prompts", "train-visual", "embed", "evaluate", "search"])
def test_every_command_has_help_with_an_example(scing, command):
    result = scing(command, "--help")
    assert result.code == 0
    assert f"Example: scing {command}" in " ".join(result.out.split())
    common = {"--json", "--device", "--precision", "--seed", "--workers", "--batch-size", "--debug"}
    assert common <= set(result.out.split())
