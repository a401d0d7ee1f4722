"""Folders for a report: what is refused before any work, and what is replaced."""

from __future__ import annotations

import csv
import json
import os
import shutil

import pytest
from artifacts import edit_run
from pipeline.conftest import MODEL
from pipeline.test_refused import nothing_in, refuse

FILES = ["queries.csv", "report.html", "report.json"]


@pytest.fixture
def refused(scing, own_run, world, here):
    """Ask for a report of a run and of saved embeddings; both must be refused, and before anything is read."""

    shutil.rmtree(own_run / "embeddings", ignore_errors=True)

    def ask(output, *parts):
        for asked in (
            ("--run", own_run, "--data", world),
            ("--embeddings", "nowhere.npz"),
            (*MODEL, "--data", "nowhere"),
        ):
            result = scing("evaluate", *asked, "--output", output)
            refuse(result, f"--output {output}", *parts)
            assert "embed" not in result.err.replace("--embeddings", "")
        assert not (own_run / "report.json").exists()
        assert not (own_run / "embeddings").exists()

    return ask


def written(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_no_place_for_a_report(refused, here):
    (here / "mine.txt").write_text("mine")
    refused("mine.txt", "is a file", "Name a folder")
    assert (here / "mine.txt").read_text() == "mine"


def test_a_folder_below_a_file_is_no_place_for_a_report(refused, here):
    (here / "mine.txt").write_text("mine")
    refused("mine.txt/deeper/report", "mine.txt is a file")


def test_a_folder_with_other_files_is_left_as_it_is(refused, here):
    (here / "mine").mkdir()
    (here / "mine" / "notes.txt").write_text("mine")
    refused("mine", "holds other files", "Name a new folder")
    assert written(here / "mine") == ["notes.txt"]


@pytest.mark.parametrize("content", ["{}", '{"kind": "another"}', "[]", "no JSON", "[" * 100_000, ""])
def test_a_report_json_of_another_program_is_left_as_it_is(refused, here, content):
    (here / "mine").mkdir()
    (here / "mine" / "report.json").write_text(content)
    refused("mine", "holds other files")
    assert (here / "mine" / "report.json").read_text() == content


def test_a_run_is_no_place_for_a_report_even_where_it_keeps_one(scing, own_run, here):
    (own_run / "report.json").unlink(missing_ok=True)
    asked = ("evaluate", "--run", own_run)
    before = written(own_run)
    refuse(scing(*asked, "--output", own_run), "holds other files", "Name a new folder")
    assert written(own_run) == before
    assert scing(*asked, "--output", "report").code == 0
    refuse(scing(*asked, "--output", own_run), "holds other files")
    assert not (own_run / "report.html").exists()


def test_a_report_is_of_one_data_set(scing, own_run, world, own_world, here):
    both = ("--data", world, "--data", own_world)
    result = scing("evaluate", "--run", own_run, *both, "--output", "report")
    refuse(result, "--output", "of one data set", "one by one")
    assert "embed" not in result.err
    nothing_in(here)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes anywhere")
@pytest.mark.parametrize("output", ["shut/report", "shut/deeper/report", "shut"])
def test_a_folder_that_cannot_be_written_is_refused(refused, here, output):
    shut = here / "shut"
    shut.mkdir(mode=0o500)
    try:
        refused(output, "cannot be written")
    finally:
        shut.chmod(0o700)
    nothing_in(shut)


def test_a_link_that_leads_nowhere_is_refused(refused, here):
    (here / "link").symlink_to(here / "nowhere")
    refused("link", "leads nowhere")


def test_data_that_cannot_be_scored_leaves_no_folder(scing, own_run, world, here):
    refuse(scing("evaluate", "--run", own_run, "--data", "nowhere", "--output", "report"), "nowhere")
    refuse(scing("evaluate", "--run", own_run, "--data", world, "--split", "val", "--output", "report"), "val")
    nothing_in(here)


def test_an_earlier_report_is_replaced_and_other_files_beside_it_stay(scing, own_run, world, here):
    assert scing("evaluate", *MODEL, "--data", world, "--output", "report").code == 0
    (here / "report" / "notes.txt").write_text("mine")
    first = {name: (here / "report" / name).read_bytes() for name in FILES}
    assert scing("evaluate", "--run", own_run, "--output", "report").code == 0
    assert written(here / "report") == sorted([*FILES, "notes.txt"])
    assert (here / "report" / "notes.txt").read_text() == "mine"
    for name in FILES:
        assert (here / "report" / name).read_bytes() != first[name]
    content = json.loads((here / "report" / "report.json").read_text(encoding="utf-8"))
    assert content["model"] == str(own_run)


@pytest.mark.parametrize("there", [[], ["queries.csv"], ["queries.csv", "report.html"]])
def test_a_report_that_was_not_finished_is_replaced(scing, own_run, here, there):
    (here / "report").mkdir()
    for name in there:
        (here / "report" / name).write_text("half")
    assert scing("evaluate", "--run", own_run, "--output", "report").code == 0
    assert written(here / "report") == FILES
    with (here / "report" / "queries.csv").open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 18


def test_the_next_report_of_a_run_takes_the_place_of_the_one_it_kept(scing, own_run, world, own_world, here):
    other = own_world.rename(own_world.with_name("other"))
    for data in (world, other):
        assert scing("evaluate", "--run", own_run, "--data", data, "--output", data.name).code == 0
    assert json.loads((own_run / "report.json").read_text(encoding="utf-8"))["data"] == "other"
    assert scing("evaluate", *MODEL, "--data", world, "--output", "plain").code == 0
    assert json.loads((own_run / "report.json").read_text(encoding="utf-8"))["data"] == "other"


def test_a_run_that_cannot_keep_its_thresholds_is_only_told(scing, own_run, here):
    (own_run / "report.json").unlink(missing_ok=True)
    (own_run / "report.json").mkdir()
    (own_run / "report.json" / "mine").write_text("mine")
    result = scing("evaluate", "--run", own_run, "--output", "report")
    assert result.code == 0
    assert "The run could not keep the report's thresholds" in result.err
    assert written(here / "report") == FILES


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[" * 100_000,
        '{"stage": "train-prompts", "contrast": 1.0}',
        '{"stage": "train-prompts", "epoch": 0, "contrast": "high"}',
        '{"stage": "train-prompts", "epoch": [0], "contrast": [1]}',
        '{"stage": "train-prompts", "epoch": 0, "contrast": NaN}',
        '{"stage": "train-prompts", "epoch": 0, "contrast": null}',
        '"a text"',
    ],
)
def test_a_damaged_log_of_the_training_costs_no_more_than_its_charts(scing, own_run, here, line):
    with (own_run / "metrics.jsonl").open("a", encoding="utf-8") as log:
        log.write(line + "\n")
    result = scing("evaluate", "--run", own_run, "--output", "report")
    assert result.code == 0, result.err
    assert "Losses of train-visual" in (here / "report" / "report.html").read_text() or "{" not in line


def test_a_run_that_does_not_say_its_versions_has_a_report(scing, own_run, here):
    edit_run(own_run, lambda info: info.pop("versions"))
    assert scing("evaluate", "--run", own_run, "--output", "report").code == 0
