"""`examples/saliency.py` and `examples/bars.py`: Figures 5 and 2 of the paper, from finished runs."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path

import pytest
from artifacts import edit_run
from PIL import Image

from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.workflows.paper.saliency_maps import _chosen, draw_maps, saliency_maps

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        try:
            runpy.run_path(str(EXAMPLES / script), run_name="__main__")
            code = 0
        except SystemExit as stopped:
            code = stopped.code
        return code, capsys.readouterr().out

    return run


def test_several_runs_are_drawn_side_by_side(example, finished, own_run):
    edit_run(own_run, lambda info: info["settings"]["train-prompts"].update(consistency=False))
    code, out = example("saliency.py", finished, own_run, "--people", "3", "--output", "three.png")
    assert code == 0
    assert "scing, no consistency" in " ".join(out.split())
    people = saliency_maps([finished, own_run], people=3)
    assert [len(each.maps) for each in people] == [2, 2, 2]
    assert len({each.sample.identity for each in people}) == 3
    for person in people:
        (first, score), (second, other) = person.maps.values()  # one encoder, under two names
        assert (first == second).all()
        assert score == other
        assert -1 <= score <= 1
        assert (first >= 0).all()
    with Image.open("three.png") as picture:
        assert picture.size == draw_maps(people).size
        assert picture.height > 3 * 256


def test_the_choice_is_a_function_of_the_seed(finished):
    chosen = [[each.sample.path for each in saliency_maps([finished], people=2, seed=seed)] for seed in (1, 1, 2, 3)]
    assert chosen[0] == chosen[1]
    assert len({tuple(each) for each in chosen}) > 1


def test_what_cannot_be_drawn_is_refused(example, own_run, tmp_path):
    for options, said in (
        (("--people", "0"), "--people 0: must be at least 1"),
        (("--output", "maps.txt"), "maps.txt"),
    ):
        code, _ = example("saliency.py", own_run, *options)
        assert said in code
    shutil.rmtree(own_run / "visual")
    code, _ = example("saliency.py", own_run)
    assert "has no" in code
    assert not Path("saliency.png").exists()


def test_bars_of_methods_on_several_data_sets(example):
    def write(name, data, figure):
        Path(name).write_text(json.dumps({"data": data, "mAP": figure, "rank1": figure + 5}))
        return name

    entries = [
        f"{label}={write(f'{label}-{data}.json', data, figure)}"
        for label, figure in (("zero-shot", 30), ("CLIP-ReID", 50), ("SCING", 55))
        for data in ("Market-1501", "Occluded-Duke")
    ]
    code, out = example("bars.py", "bars.png", *entries)
    assert (code, out) == (0, "Picture: bars.png\n")
    with Image.open("bars.png") as picture:
        assert picture.width > 4 * 500
    broken = write("broken.json", "Market-1501", 1)
    Path(broken).write_text("{}")
    for more, said in (
        (("x=broken.json",), "broken.json is no result of scing evaluate --json"),
        (("x=gone.json",), "gone.json is no result of scing evaluate --json"),
        ((entries[2],), "is a second result of CLIP-ReID on Market-1501"),
    ):
        code, _ = example("bars.py", "other.png", *entries, *more)
        assert said in code
    assert "no file but that of zero-shot" in example("bars.py", "other.png", entries[0])[0]
    assert not Path("other.png").exists()


def test_a_query_s_own_image_and_rows_without_a_person_are_no_matches(tmp_path):
    rows = [
        *(Sample("a.jpg", "anna", "", split) for split in ("query", "gallery")),  # the same file in both parts
        Sample("b.jpg", "anna", "", "gallery"),
        *(Sample(f"{split}.jpg", "", "", split) for split in ("query", "gallery")),
        Sample("lone.jpg", "otto", "", "query"),
    ]
    for row in rows:
        (tmp_path / row.path).write_bytes(row.path.encode())
    queries, gallery = _chosen(Manifest(tmp_path, tuple(rows), "own"), 9, 0)
    assert [row.path for row in queries] == ["a.jpg"]
    assert [[row.path for row in own] for own in gallery] == [["b.jpg"]]
