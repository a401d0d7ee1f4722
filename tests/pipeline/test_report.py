"""`scing evaluate --output` of a run: three files that agree with each other and with plain loops over all pairs."""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracles import report as oracle
from oracles.sides import of_case
from pages import Chart, Page
from patience import HANG
from safetensors.numpy import load_file

from scing_cli.core.artifacts import read_json
from scing_cli.core.datasets import read_data
from scing_cli.core.evaluation import evaluate
from scing_cli.core.figures import DARK, PAGE_LAYOUT
from scing_cli.core.figures.montage import COLOURS
from scing_cli.core.figures.montage_style import LIGHT

FILES = ["queries.csv", "report.html", "report.json"]
FIGURES = ("mAP", "mINP", "rank1", "rank5", "rank10")
SECTIONS = [
    *("Worst queries", "Ranking", "Which score means the same identity", "Median and best queries"),
    *("Cameras", "Training", "Settings"),
]


IDLE = {
    "train-prompts": {
        *("final-lr", "warmup-lr", "prompt-tokens", "prompt-depth", "missing", "independent-augmentation"),
        *("specific-tokens", "semantic-tokens", "bind-tokens", "encoder-lr-factor"),
    },
    "train-visual": {
        *("final-lr", "head-lr-factor", "mask-words"),
        *("prototype-momentum", "prototype-softmax", "prototype-cameras"),
    },
}


@pytest.fixture(scope="module")
def made(finished, tmp_path_factory):
    """A run and its report, by the command as a user starts it."""
    folder = tmp_path_factory.mktemp("reports")
    run = Path(shutil.copytree(finished, folder / "run"))
    command = (sys.executable, "-m", "scing_cli", "evaluate", "--run", run, "--output", folder / "new" / "report")
    environment = {**os.environ, "COLUMNS": "300"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=HANG, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"Report: {folder / 'new' / 'report' / 'report.html'}" in done.stdout
    assert "Warning" not in done.stderr, done.stderr
    return run, folder / "new" / "report"


@pytest.fixture(scope="module")
def page(made):
    return Page((made[1] / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def told(made):
    return json.loads((made[1] / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def case(made, world):
    """The run's own vectors and labels."""
    manifest, found = read_data(world).manifest, {}
    for part in ("query", "gallery"):
        rows = manifest.part(part)
        found[part] = load_file(made[0] / "embeddings" / f"{manifest.name}-{part}.safetensors")["vectors"]
        found[f"{part}_identities"] = [row.identity for row in rows]
        found[f"{part}_cameras"] = [row.camera for row in rows]
        found[f"{part}_keys"] = [row.path for row in rows]
    return found


def test_the_folder_holds_three_files_and_the_run_keeps_one_of_them(made):
    run, folder = made
    assert sorted(path.name for path in folder.iterdir()) == FILES
    own, kept = (read_json(place / "report.json") for place in (folder, run))
    assert own.pop("cameras")
    assert kept == own


def test_the_figures_are_those_of_the_command(scing, made, told):
    figures = scing("evaluate", "--run", made[0], "--list-lost", "--json").json
    assert {name: told[name] for name in figures} == figures
    assert (told["kind"], told["format"], told["split"]) == ("scing evaluation report", 1, "query")


def test_json_names_the_folder(scing, made, tmp_path):
    asked = ("evaluate", "--run", made[0], "--json")
    result = scing(*asked, "--output", tmp_path / "again").json
    assert result == scing(*asked).json | {"report": str(tmp_path / "again")}


def test_the_curve_is_that_of_the_ranking(case, told):
    scores = of_case(evaluate, **case, protocol="market")
    assert told["cmc"] == scores.cmc.tolist()
    assert len(told["cmc"]) == 50


def test_the_pairs_are_those_of_the_loops(case, told):
    pairs = {True: 0, False: 0}
    for asked, seen in zip(case["query_identities"], case["query_cameras"], strict=True):
        for shown, camera in zip(case["gallery_identities"], case["gallery_cameras"], strict=True):
            pairs[asked == shown] += asked != shown or seen != camera
    assert (told["verification"]["same_pairs"], told["verification"]["different_pairs"]) == (pairs[True], pairs[False])
    assert len(told["roc"]["thresholds"]) == len(told["roc"]["false_match"]) == len(told["roc"]["true_match"]) == 4098


def test_queries_have_a_line_each_that_says_what_the_loops_say(made, case):
    with (made[1] / "queries.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert len(lines) == len(case["query"]) == 18
    for number, line in enumerate(lines):
        expected = oracle.query_line(case, "market", number, case["query_keys"], case["gallery_keys"])
        assert list(line) == list(expected)
        for name in ("average_precision", "first_rank", "matches", "ignored", "best_wrong_score"):
            assert float(line[name]) == pytest.approx(expected[name], abs=1e-6), name
        for name in ("query", "identity", "camera", "best_wrong", "best_wrong_identity", "lost"):
            assert line[name] == expected[name], name
    assert {line["ignored"] for line in lines} == {"1"}


def test_the_mean_of_the_lines_is_the_figure(made, told):
    with (made[1] / "queries.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    mean = math.fsum(float(line["average_precision"]) for line in lines) / len(lines)
    assert 100 * mean == pytest.approx(told["mAP"], abs=1e-9)
    first = sum(line["first_rank"] == "1" for line in lines) / len(lines)
    assert 100 * first == pytest.approx(told["rank1"], abs=1e-9)


def test_the_page_has_all_sections_and_the_figures(page, told):
    assert page.texts("h2") == SECTIONS
    assert page.texts("h1") == page.texts("title") == [f"{told['data']}: evaluation"]
    shown = dict(zip(page.texts("dt"), page.texts("dd"), strict=True))
    assert (shown["mAP"], shown["rank-1"], shown["mINP"]) == tuple(f"{told[n]:.2f}" for n in ("mAP", "rank1", "mINP"))
    assert (shown["valid queries"], shown["gallery rows"]) == ("18", "18")
    assert page.rows("")[0] == ["this evaluation", *(f"{told[name]:.2f}" for name in FIGURES)]


def test_the_page_needs_nothing_from_elsewhere(page, made):
    assert page.faults(made[1]) == []
    assert len(page.pictures()) == 3


def test_the_page_links_both_files_and_forbids_what_it_does_not_need(page):
    links = [link.attributes["href"] for link in page.all("a")]
    assert links == [*(f"#part-{number}" for number in range(1, 8)), "queries.csv", "report.json"]
    assert page.texts("a")[:7] == SECTIONS
    assert [own.attributes["id"] for own in page.all("section")] == [link[1:] for link in links[:7]]
    (policy,) = [own for own in page.all("meta") if own.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy.attributes["content"]


def test_no_id_stands_twice_and_all_parts_of_charts_are_there(page):
    assert len(page.ids()) == len(set(page.ids()))
    links = re.findall(r'url\(#([^)]*)\)|xlink:href="#([^"]*)"', page.source)
    assert {"".join(own) for own in links} <= set(page.ids())


def test_the_charts_say_what_they_show_in_the_pages_colours(page, told):
    charts = [Chart(own) for own in re.findall(r"<svg.*?</svg>", page.source, re.DOTALL)]
    assert [chart.root.get("aria-label") for chart in charts] == [
        *("CMC curve", "Scores of same- and different-identity pairs", "ROC curve"),
        *("Losses of train-prompts", "Losses of train-visual"),
    ]
    for chart in charts:
        used = chart.styles("fill") | chart.styles("stroke")
        assert all(value == "none" or value.startswith("var(--") for value in used)
        assert not chart.black()
    (line,) = charts[0].paths("stroke: var(--first); stroke-width: 2")
    np.testing.assert_allclose(line[:, 1], told["cmc"], atol=0.05)


def test_losses_are_drawn_as_the_run_wrote_them(page, made):
    rows = [json.loads(line) for line in (made[0] / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    charts = [Chart(own) for own in re.findall(r"<svg.*?</svg>", page.source, re.DOTALL)][-2:]
    for chart, stage, terms in (
        (charts[0], "train-prompts", {"first": "contrast", "second": "consistency"}),
        (charts[1], "train-visual", {"first": "identity", "second": "triplet"}),
    ):
        own = [row for row in rows if row["stage"] == stage]
        for colour, term in terms.items():
            line = chart.paths(f"stroke: var(--{colour}); stroke-width: 2")[0]
            expected = [[row["epoch"], row[term]] for row in own]
            np.testing.assert_allclose(line, expected, atol=0.01, err_msg=term)


def test_with_too_few_pairs_the_page_says_that_there_is_no_threshold(page, told):
    assert told["verification"]["different_pairs"] == 270
    for rate, needed in (("0.01", "1,000"), ("0.001", "10,000"), ("0.0001", "100,000")):
        reason = f"a false-match rate of {rate} needs {needed} different-identity pairs; there are 270"
        assert f"No threshold: {reason}." in page.texts("p")
    assert [row[0] for row in page.rows("false-match rate")] == ["equal error rate"]


def test_cameras_are_as_in_the_json(page, told):
    pairs = {(pair["query_camera"], pair["gallery_camera"]): pair for pair in told["cameras"]}
    assert set(pairs) == {(down, across) for down in "123" for across in "123" if down != across}
    rows = page.rows("query \\ gallery")
    assert [row[0] for row in rows] == ["1", "2", "3"]
    for down, row in zip("123", rows, strict=True):
        for across, cell in zip("123", row[1:], strict=True):
            pair = pairs.get((down, across))
            assert cell == (f"{pair['mAP']:.1f} ({pair['valid_queries']})" if pair else "")


def test_settings_data_and_model_are_named(page, told, made, world):
    run = json.loads((made[0] / "run.json").read_text(encoding="utf-8"))
    own = page.facts("this evaluation")
    assert own["fingerprint"] == told["fingerprint"] == read_data(world).manifest.fingerprint()
    assert own["model_digest"] == told["model_digest"]
    assert len(own["model_digest"]) == 64
    assert (own["data"], own["descriptor"], own["split"]) == (told["data"], "projected", "query")
    for stage in ("train-prompts", "train-visual"):
        facts = page.facts(stage)
        assert set(run["settings"][stage]) - set(facts) == IDLE[stage]
        assert (facts["epochs"], facts["lr"]) == ("2", "0.001")
    assert page.facts("data of the training")["fingerprint"] == run["data"]["fingerprint"]
    assert page.facts("versions") == run["versions"]


def frames(shown):
    """The verdict of each hit of a picture of five rankings with ten hits each, by the colour of its frame."""
    style, pixels = PAGE_LAYOUT.style, np.asarray(shown.convert("RGB")).astype(int)
    line = style.outer[1] + 3 * style.line + 2 * style.gap  # with three lines below
    left, top = style.margin + style.step + style.gap + style.width // 2, style.margin + 2 * style.line + 1
    found = []
    for number, rank in itertools.product(range(5), range(10)):
        down, across = divmod(rank, 5)
        place = number * (2 * line + 2 * style.gap) + down * line  # with room between two rankings
        colour = pixels[top + place, left + across * style.step]
        found.append(min(COLOURS, key=lambda verdict: np.abs(colour - np.array(COLOURS[verdict])).sum()))
        assert np.abs(colour - np.array(COLOURS[found[-1]])).sum() < 40
    return found


def test_pictures_show_the_worst_first_then_the_median_and_the_best_with_right_and_wrong_hits(page, case):
    found = [oracle.query_line(case, "market", i, case["query_keys"], case["gallery_keys"]) for i in range(18)]
    order = sorted(range(18), key=lambda i: -found[i]["average_precision"])
    assert [own.attributes["alt"].split()[1] for own in page.all("img")] == ["worst", "median", "best"]
    groups = (order[:12:-1], order[7:12], order[:5])
    for shown, dark, numbers in zip(page.pictures(), page.dark_pictures(), groups, strict=True):
        hits = [(i, n) for i in numbers for n, _ in oracle.best_rows(case, "market", i, 10)]
        right = [case["query_identities"][i] == case["gallery_identities"][n] for i, n in hits]
        assert frames(shown) == frames(dark) == right
        assert shown.width <= 1152  # as wide as a page at 1200 pixels shows it: letters are not made smaller
        for picture, paper in ((shown, LIGHT.paper), (dark, DARK.paper)):
            assert np.abs(np.asarray(picture)[2, 2].astype(int) - paper).max() < 4
        assert 0 < sum(right) < 50
