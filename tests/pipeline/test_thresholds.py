"""`scing search --threshold`, `--false-match-rate` and `--report`: which hits are matches, and by which report."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from fixtures import put
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse
from safetensors.numpy import load_file

from scing_cli.core.datasets import read_data
from scing_cli.core.evaluation.rates import four_digits

PEOPLE, IMAGES = 12, 3  # 12 * 3 queries, as many rows: 36 * 33 = 1,188 different-identity pairs


def crowd(folder, people=PEOPLE):
    """A data set of one's own, without cameras."""
    lines = ["path,identity,split"]
    for person in range(people):
        for image in range(IMAGES):
            for place, split in enumerate(("query", "gallery")):
                path = f"{split}/{person:02}_{image}.png"
                put(folder / path, person, 2 * image + place)
                lines.append(f"{path},person {person},{split}")
    (folder / "crowd.csv").write_text("\n".join(lines) + "\n")
    return folder / "crowd.csv"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return crowd(tmp_path_factory.mktemp("crowd"))


@pytest.fixture(scope="module")
def run(finished, data, tmp_path_factory):
    """A run with a report of the crowd in it, beside it the report, an index of the crowd and another report."""
    from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice, embed
    from scing_cli.core.workflows.evaluate.evaluate_data import evaluate
    from scing_cli.core.workflows.shared.model import ModelChoice

    folder = tmp_path_factory.mktemp("thresholds")
    own = Path(shutil.copytree(finished, folder / "run"))
    evaluate(ModelChoice(run=own), data=data, output=folder / "report")
    embed(ModelChoice(run=own), GalleryChoice(data=data), output=folder / "crowd.faiss")
    return own


@pytest.fixture
def photos(data):
    return sorted((data.parent / "query").glob("*.png"))


@pytest.fixture
def search(scing, run):
    return lambda *options: scing("search", *options, "--index", run.parent / "crowd.faiss")


@pytest.fixture
def hits(search, photos):
    """All rows of the index, best first, for the first photo."""
    return search(photos[0], "-k", "36", "--json").json["results"][0]["hits"]


@pytest.fixture(scope="module")
def different(run, data):
    """The cosines of all pairs of different people, from the vectors that the run keeps."""
    vectors = [load_file(run / "embeddings" / f"crowd-{part}.safetensors")["vectors"] for part in ("query", "gallery")]
    names = [[row.identity for row in read_data(data).manifest.part(part)] for part in ("query", "gallery")]
    scores = [
        float(np.float32(np.dot(a, b)))
        for a, asked in zip(vectors[0], names[0], strict=True)
        for b, shown in zip(vectors[1], names[1], strict=True)
        if asked != shown
    ]
    assert len(scores) == 1188
    return np.array(scores)


def least(different, rate):
    """The lowest score at which no larger share of the pairs matches, found by trying them all."""
    kept = [score for score in different if (different > score).mean() <= rate]
    return min(kept)


def between(hits, number):
    return (hits[number - 1]["score"] + hits[number]["score"]) / 2


@pytest.mark.parametrize("number", [1, 4, 13])
def test_hits_below_the_threshold_are_shown_nowhere(search, photos, hits, tmp_path, number):
    score = between(hits, number)
    outputs = {}
    for name, options in (("all", ("-k", number)), ("matches", ("-k", "36", "--threshold", score))):
        files = ("--csv", tmp_path / f"{name}.csv", "--montage", tmp_path / f"{name}.png")
        outputs[name] = search(photos[0], *options, *files, "--json").json["results"][0]["hits"]
    assert outputs["matches"] == outputs["all"] == hits[:number]
    for ending in ("csv", "png"):
        assert (tmp_path / f"matches.{ending}").read_bytes() == (tmp_path / f"all.{ending}").read_bytes()
    shown = search(photos[0], "-k", "36", "--threshold", score)
    assert f"A match scores {four_digits(score)} or more." in shown.err
    assert sum(line.startswith("│") for line in shown.out.splitlines()) == number


def test_json_says_whether_there_is_a_match_and_how_near_the_next_one_is(search, photos, hits):
    score = between(hits, 3)
    told = search(photos[0], "-k", "36", "--threshold", score, "--json").json
    assert told["threshold"] == {"score": score, "false_match_rate": None, "source": ""}
    (found,) = told["results"]
    assert (found["match"], found["best_below"]) == (True, hits[3]["score"])
    alone = search(photos[0], "-k", "3", "--threshold", score, "--json").json["results"][0]
    assert (alone["match"], alone["best_below"]) == (True, None)
    assert list(search(photos[0], "--json").json["results"][0]) == ["query", "hits"]


def test_a_hit_at_the_threshold_itself_is_a_match(search, photos, hits):
    told = search(photos[0], "-k", "36", "--threshold", repr(hits[5]["score"]), "--json").json
    assert told["results"][0]["hits"] == hits[:6]


def test_without_a_match_the_best_score_is_told_and_all_files_are_written(search, photos, hits, tmp_path):
    best = [search(photo, "-k", "1", "--json").json["results"][0]["hits"][0]["score"] for photo in photos[:2]]
    score = max(best) + 1e-4
    files = ("--csv", tmp_path / "a.csv", "--montage", tmp_path / "a.png", "--saliency", tmp_path / "b.png")
    shown = search(*photos[:2], "--threshold", score, *files)
    assert shown.code == 0, shown.err
    for photo, own in zip(photos[:2], best, strict=True):
        assert f"{photo}: no match: the best score is {own:.4f}" in " ".join(shown.out.split())
    assert list(csv.reader((tmp_path / "a.csv").open(newline=""))) == [
        ["query", "rank", "score", "identity", "camera", "path"]
    ]
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert (tmp_path / "b.png").stat().st_size > 1000
    told = search(*photos[:2], "--threshold", score, "--json").json
    assert [(own["match"], own["hits"]) for own in told["results"]] == [(False, [])] * 2
    assert [own["best_below"] for own in told["results"]] == pytest.approx(best, abs=1e-6)


def test_of_several_photos_each_has_its_own_matches(search, photos):
    together = search(*photos[:6], "-k", "36", "--json").json["results"]
    score = together[0]["hits"][2]["score"]
    told = search(*photos[:6], "-k", "36", "--threshold", score, "--json").json["results"]
    for own, whole in zip(told, together, strict=True):
        assert own["hits"] == [hit for hit in whole["hits"] if hit["score"] >= score]
    assert len({len(own["hits"]) for own in told}) > 1


def test_where_filters_leave_no_row_no_best_score_is_told(search, photos):
    result = search(photos[0], "--threshold", "0.5", "--identity", "nobody", "--allow-missing")
    assert f"{photos[0]}: no match" in " ".join(result.out.split())
    assert "the best score" not in result.out
    told = search(photos[0], "--threshold", "0.5", "--identity", "nobody", "--allow-missing", "--json").json["results"][
        0
    ]
    assert (told["match"], told["best_below"]) == (False, None)


def test_re_ranking_loses_no_match(search, photos):
    for photo in photos[:6]:
        first, second = search(photo, "-k", "2", "--json").json["results"][0]["hits"]
        score = (first["score"] + second["score"]) / 2
        for more in ((), ("--group", "identity")):
            told = search(photo, "-k", "1", "--rerank", "--threshold", score, "--json", *more).json["results"][0]
            assert [hit["path"] for hit in told["hits"]] == [first["path"]]
            assert told["best_below"] == pytest.approx(second["score"])


def test_re_ranked_hits_keep_their_order_and_lose_what_scores_less(search, photos, hits):
    score = between(hits, 9)
    whole = search(photos[0], "-k", "20", "--rerank", "--json").json["results"][0]["hits"]
    told = search(photos[0], "-k", "20", "--rerank", "--threshold", score, "--json").json["results"][0]
    paths = [hit["path"] for hit in whole if hit["score"] >= score]
    assert [hit["path"] for hit in told["hits"]] == paths
    assert [hit["rank"] for hit in told["hits"]] == list(range(1, len(paths) + 1))
    assert told["best_below"] == max(hit["score"] for hit in whole if hit["score"] < score)


def test_the_rate_of_the_report_gives_its_exact_threshold(search, run, photos, different):
    content = json.loads((run / "report.json").read_text(encoding="utf-8"))
    (point,) = [own for own in content["verification"]["points"] if own["rate"] == 0.01]
    told = search(photos[0], "-k", "36", "--false-match-rate", "1e-2", "--json")
    threshold = told.json["threshold"]
    assert threshold["score"] == point["threshold"] == pytest.approx(least(different, 0.01), abs=1e-6)
    far = 1e-6  # products round in their own way
    assert math.floor(0.01 * 1188) - 1 <= (different >= threshold["score"] - far).sum()
    assert (different >= threshold["score"] + far).sum() <= 0.01 * 1188
    assert (threshold["false_match_rate"], threshold["source"]) == (0.01, "crowd, 36 queries in 36 rows")
    said = f"A match scores {four_digits(point['threshold'])} or more: false-match rate 0.01, measured on crowd, 36 queries in"
    assert said in told.err
    assert "Of 36 rows about 0.36 would match a stranger." in told.err
    rows = len(search(photos[0], "-k", "36", "--exclude-identity", "person 3", "--json").json["results"][0]["hits"])
    assert 0 < rows < 36
    filtered = search(photos[0], "--exclude-identity", "person 3", "--false-match-rate", "1e-2")
    assert f"Of {rows} rows about {0.01 * rows:.2g} would match a stranger." in filtered.err
    (found,) = told.json["results"]
    assert all(hit["score"] >= point["threshold"] for hit in found["hits"])
    assert found["best_below"] < point["threshold"]


@pytest.mark.parametrize("rate", [0.0085, 0.011, 0.02, 0.05, 0.1, 0.3, 0.5, 0.9])
def test_a_rate_between_those_of_the_report_is_kept_by_a_score_that_is_hardly_higher(search, photos, different, rate):
    score = search(photos[0], "--false-match-rate", rate, "--json").json["threshold"]["score"]
    exact = least(different, rate)
    assert exact - 1e-6 <= score <= exact + 1 / 2048
    assert (different >= score).mean() <= rate


def test_a_report_can_be_named_by_its_folder_or_its_file(search, run, photos):
    kept = search(photos[0], "--false-match-rate", "0.05", "--json").json
    for named in (run.parent / "report", run.parent / "report" / "report.json", run, run / "report.json"):
        assert search(photos[0], "--false-match-rate", "0.05", "--report", named, "--json").json == kept


def test_a_report_of_another_part_of_the_data_is_told(scing, search, run, photos, tmp_path):
    own = Path(shutil.copytree(run, tmp_path / "run"))
    kept = (own / "report.json").read_bytes()
    made = scing("evaluate", "--run", own, "--split", "train", "--output", tmp_path / "report")
    assert "a run separates the people that it was trained on too well" in made.out
    assert "The run keeps no thresholds of the split train: name this report with --report." in made.err
    assert (own / "report.json").read_bytes() == kept, "people of the training tell nothing about others"
    told = search(photos[0], "--false-match-rate", "0.05", "--report", tmp_path / "report", "--json").json
    assert told["threshold"]["source"] == "wörld of crops (train), 18 queries in 18 rows"


def test_the_mean_of_photos_is_warned_of_where_a_rate_was_asked_for(search, photos):
    warning = "The rate was measured with single photos; the mean of several scores higher."
    asked = ("--false-match-rate", "0.05")
    assert warning in search(*photos[:3], *asked, "--join", "mean").err
    assert warning not in search(*photos[:3], *asked).err
    assert warning not in search(*photos[:3], "--threshold", "0.5", "--join", "mean").err


@pytest.fixture
def plain(scing, data, tmp_path, monkeypatch):
    """A search with a plain model, whose index names no run."""
    monkeypatch.chdir(tmp_path)
    assert scing("embed", *MODEL, "--data", data, "--output", "plain.faiss").code == 0
    return lambda *options: scing("search", *options, "--index", "plain.faiss")


def test_an_index_of_a_plain_model_needs_a_report_that_is_named(scing, plain, data, photos):
    refused = plain(photos[0], "--false-match-rate", "0.05")
    refuse(refused, "there is no report of the model", f"scing evaluate {' '.join(MODEL)} --data DIR --output report")
    refuse(refused, "then search again with --report report")
    assert scing("evaluate", *MODEL, "--data", data, "--output", "report").code == 0
    told = plain(photos[0], "--false-match-rate", "0.05", "--report", "report", "--json").json["threshold"]
    assert told["source"] == "crowd, 36 queries in 36 rows"
    refuse(plain(photos[0], "--false-match-rate", "0.05"), "there is no report")
