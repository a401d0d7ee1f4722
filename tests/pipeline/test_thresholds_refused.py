"""`scing search --threshold`, `--false-match-rate`, `--report`: what is refused, with a next step that works."""

from __future__ import annotations

import copy
import json
import shlex
import shutil
from pathlib import Path

import pytest
from artifacts import write_sealed
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse

STEP = "scing evaluate --run {} --data DIR --output report"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def photo(world):
    return min((world / "query").glob("*.jpg"))


@pytest.fixture
def own(scing, own_run, here):
    """A run of one's own without a report, and an index of its gallery."""
    (own_run / "report.json").unlink(missing_ok=True)
    assert scing("embed", "--run", own_run, "--output", "own.faiss").code == 0
    return own_run


@pytest.fixture
def search(scing, photo, own):
    return lambda *options: scing("search", photo, "--index", "own.faiss", *options)


@pytest.fixture(scope="module")
def whole(finished, tmp_path_factory):
    """The content of a report of the run that all tests copy."""
    from scing_cli.core.workflows.evaluate.evaluate_data import evaluate
    from scing_cli.core.workflows.shared.model import ModelChoice

    folder = tmp_path_factory.mktemp("whole")
    run = Path(shutil.copytree(finished, folder / "run"))
    evaluate(ModelChoice(run=run), output=folder / "report")
    return (run / "report.json").read_text(encoding="utf-8")


@pytest.fixture
def report(whole, own):
    """Its content, as it lies in one's own run."""
    (own / "report.json").write_text(whole, encoding="utf-8")
    return json.loads(whole)


@pytest.mark.parametrize("score", ["1.01", "-1.5", "nan", "inf", "-inf"])
def test_a_threshold_that_is_no_cosine_is_refused(scing, photo, here, score):
    refuse(scing("search", photo, "--index", "nowhere.faiss", "--threshold", score), f"--threshold {score}", "cosine")


@pytest.mark.parametrize("rate", ["0", "1", "-0.001", "1.5", "nan", "inf"])
def test_a_rate_that_is_no_share_is_refused(scing, photo, here, rate):
    result = scing("search", photo, "--index", "nowhere.faiss", "--false-match-rate", rate)
    refuse(result, f"--false-match-rate {rate}", "between 0 and 1", "1e-3")


def test_a_threshold_and_a_rate_together_are_refused(scing, photo, here):
    both = ("--threshold", "0.5", "--false-match-rate", "0.05")
    refuse(scing("search", photo, "--index", "nowhere.faiss", *both), "--threshold and --false-match-rate", "Leave one")


@pytest.mark.parametrize("options", [(), ("--threshold", "0.5")])
def test_a_report_without_a_rate_is_refused(scing, photo, here, options):
    result = scing("search", photo, "--index", "nowhere.faiss", "--report", "report", *options)
    refuse(result, "--report has no effect without --false-match-rate")


def test_without_a_report_the_next_step_leads_to_one(scing, search, own, world, here):
    refused = search("--false-match-rate", "0.05")
    refuse(refused, "there is no report of the model that made own.faiss", STEP.format(own), "then search again;")
    follow(scing, refused, world)
    assert search("--false-match-rate", "0.05").code == 0


def follow(scing, refused, data):
    """Type the command that a message names."""
    line = refused.err.split("Make one: scing ")[1].split(" then search again")[0]
    assert scing(*shlex.split(line.replace(" DIR ", f" {shlex.quote(str(data))} "))).code == 0


@pytest.mark.parametrize("made", ["concat", "projected"])
def test_a_report_of_another_descriptor_is_refused_and_the_next_step_leads_to_its_own(
    scing, search, own, world, here, made
):
    other = {"concat": "projected", "projected": "concat"}[made]
    assert scing("embed", "--run", own, "--output", "own.faiss", "--force", "--descriptor", made).code == 0
    assert scing("evaluate", "--run", own, "--descriptor", other, "--output", "first").code == 0
    refused = search("--false-match-rate", "0.05")
    refuse(refused, f"report.json is of the descriptor {other}", f"own.faiss holds {made}")
    follow(scing, refused, world)
    assert search("--false-match-rate", "0.05").code == 0


def test_a_report_of_another_model_is_refused(scing, search, own, world, here):
    assert scing("evaluate", *MODEL, "--data", world, "--output", "other").code == 0
    result = search("--false-match-rate", "0.05", "--report", "other")
    refuse(result, "other/report.json is the report of another model", "own.faiss", STEP.format(own))


def test_a_run_that_has_moved_is_named_where_it_lies_now(scing, search, own, here):
    moved = own.rename(here / "moved")
    refused = search("--run", moved, "--false-match-rate", "0.05")
    refuse(refused, STEP.format(moved))


def test_a_run_that_was_trained_on_has_no_report_any_more(scing, search, own, report):
    changed = report | {"model_digest": "0" * 64}
    write_sealed(own / "report.json", changed)
    refuse(search("--false-match-rate", "0.05"), "is the report of another model", STEP.format(own))


@pytest.mark.parametrize("place", ["nowhere", "folder"])
def test_a_report_that_is_not_there_is_refused_with_the_next_step(search, own, here, place):
    (here / "folder").mkdir()
    refuse(search("--false-match-rate", "0.05", "--report", place), f"{place}", "is missing", STEP.format(own))


@pytest.mark.parametrize(
    "text",
    ["", "{", "no JSON", "[]", "3", "null", '{"a": 1}', '{"kind": "another"}', "[" * 100_000, '{"a":' * 100_000, "\0"],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_file_that_is_no_report_is_told_in_one_message(search, own, here, text, named):
    file = here / "mine.json" if named else own / "report.json"
    file.write_text(text)
    result = search("--false-match-rate", "0.05", *(("--report", file) if named else ()))
    refuse(result, file.name, STEP.format(own))
    assert len(result.err) < 1000


DAMAGES = {
    "no data": (["data"], None),
    "no queries": (["queries"], None),
    "queries are a text": (["queries"], "many"),
    "queries are a list": (["queries"], [36]),
    "no verification": (["verification"], None),
    "verification is a list": (["verification"], [1]),
    "verification is a text": (["verification"], "x"),
    "points are a number": (["verification", "points"], 3),
    "points are numbers": (["verification", "points"], [1, 2]),
    "a rate is a list": (["verification", "points", 0, "rate"], [0.01]),
    "a rate is huge": (["verification", "points", 0, "rate"], 10**400),
    "no pairs": (["verification", "different_pairs"], None),
    "pairs are a text": (["verification", "different_pairs"], "many"),
    "pairs are a list": (["verification", "different_pairs"], [270]),
    "no curve": (["roc"], None),
    "the curve is a list": (["roc"], [[1], [2]]),
    "a score of the curve is a list": (["roc", "thresholds"], [[0.5]] * 4098),
    "a score of the curve is a text": (["roc", "thresholds"], ["x"] * 4098),
    "scores of the curve are huge": (["roc", "thresholds"], [10**400] * 4098),
    "scores of the curve are no numbers": (["roc", "thresholds"], [float("nan")] * 4098),
    "scores of the curve are no cosines": (["roc", "thresholds"], [7.5] * 4098),
    "the curve is empty": (["roc"], {"thresholds": [], "false_match": [], "true_match": []}),
    "the curve's lists differ": (["roc", "thresholds"], [0.5]),
    "a share is a text": (["roc", "false_match"], ["x"] * 4098),
    "a share is nothing": (["roc", "false_match"], [None] * 4098),
}


def damaged(report, where, value):
    content = copy.deepcopy(report)
    inner = content
    for name in where[:-1]:
        inner = inner[name]
    if value is None:
        del inner[where[-1]]
    else:
        inner[where[-1]] = value
    return content


def test_damaged_reports_are_told_in_one_message_each(search, own, report, photo):
    assert search("--false-match-rate", "0.05").code == 0
    for name, (where, value) in DAMAGES.items():
        write_sealed(own / "report.json", damaged(report, where, value))
        result = search("--false-match-rate", "0.05")
        assert result.code == 2, (name, result)
        told = "NaN is not a finite number" if name.endswith("are no numbers") else "is not a whole report"
        refuse(result, f"{own / 'report.json'} ", told, STEP.format(own))


@pytest.mark.parametrize("score", [[0.5], "x", 10**400, float("nan"), 7.5])
def test_a_damaged_point_is_told_in_one_message(search, own, report, score):
    report["verification"]["points"][0] |= {"rate": 0.05, "threshold": score}
    write_sealed(own / "report.json", report)
    told = "NaN is not a finite number" if score != score else "is not a whole report"
    refuse(search("--false-match-rate", "0.05"), told, STEP.format(own))


def test_a_report_of_a_newer_format_is_refused(search, own, report):
    write_sealed(own / "report.json", report | {"format": 2})
    refuse(search("--false-match-rate", "0.05"), "has format 2", "newer scing-cli")


def test_a_rate_too_small_for_the_data_is_refused_with_the_least_there_is(search, report):
    assert report["verification"]["different_pairs"] == 270
    refused = search("--false-match-rate", "1e-3")
    refuse(refused, "--false-match-rate 0.001", "270 pairs", "Ask for 0.04 or more", "evaluate on more data")
    assert search("--false-match-rate", "0.04").code == 0
    refuse(search("--false-match-rate", "0.036"), "Ask for 0.04 or more")


@pytest.mark.parametrize("pairs", [0, 1, 9, 10, 11])
def test_a_report_of_a_few_pairs_can_say_no_rate_at_all(search, own, report, pairs):
    report["verification"] |= {"different_pairs": pairs}
    write_sealed(own / "report.json", report)
    refused = search("--false-match-rate", "0.5")
    refuse(refused, f"{pairs} pair", "Evaluate on more data", "--threshold")
    assert "Ask for" not in refused.err
