"""From one stage to the next: kept settings, a second image encoder from one stage 1, and the printed commands."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
from pathlib import Path

import pytest
from fixtures import FIXTURES
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse

from scing_cli.core.artifacts import open_run
from scing_cli.core.training import Trainer

SHORT = ("--epochs", "1", "--batch-size", "8")
PLANNED = "[train-visual]\nepochs = 3\nbatch-size = 6\ninstances = 3\nlr = 1e-4\nmilestones = [2]\n"


@pytest.fixture
def stop_at(monkeypatch):
    """Call what hears Ctrl-C before a step's gradients are computed; the dry run's step is number 0.

    No signal is sent: in a process that has run much else, one has ended the process without a trace.
    """
    real, count = Trainer._gradients, []

    def stop(step):
        count.clear()

        def gradients(self, *arguments, **options):
            count.append(1)
            if len(count) == step + 1:
                signal.getsignal(signal.SIGINT)(signal.SIGINT, None)
            return real(self, *arguments, **options)

        monkeypatch.setattr(Trainer, "_gradients", gradients)

    return stop


@pytest.fixture
def here(tmp_path, monkeypatch):
    for kind, name in (("Market-1501", "m"), ("folders of people", "some people")):
        FIXTURES[kind].write(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def next_of(result):
    """Return the command after `Next:`, as words."""
    (line,) = [line for line in result.out.splitlines() if line.startswith("Next: ")]
    program, *words = shlex.split(line.removeprefix("Next: "))
    assert program == "scing"
    return words


def visual_settings(run):
    return json.loads(Path(run, "run.json").read_text())["settings"]["train-visual"]


def test_the_printed_commands_lead_to_a_search(scing, here):
    """Also on folders of people without a gallery, with a space in the name, and where an index is in the way."""
    assert scing("embed", "--model", "scing-tiny", "--images", "m/query").code == 0
    result = scing("train-prompts", "--data", "some people", *MODEL, *SHORT)
    names = []
    while result.code == 0 and "Next: " in result.out:
        words = next_of(result)
        names.append(words[0])
        result = scing(*words, *(SHORT if words[0] == "train-visual" else ()))
        assert result.code == 0, (words, result.err)
    assert names == ["train-visual", "embed", "search"]


def test_settings_of_the_file_are_kept_for_stage_2(scing, here):
    Path("own.toml").write_text(PLANNED)
    done = scing("train-prompts", "--data", "m", *MODEL, *SHORT, "--config", "own.toml", "--run", "r")
    assert done.code == 0, done.err
    result = scing(*next_of(done), "--json")
    assert result.code == 0, result.err
    assert "Settings of stage 2 from the settings file of stage 1: epochs 3, batch-size 6" in result.err
    kept = visual_settings("r")
    assert (kept["epochs"], kept["batch-size"], kept["instances"], kept["lr"], kept["milestones"]) == (
        3,
        6,
        3,
        1e-4,
        [2],
    )


@pytest.mark.parametrize(
    ("options", "file", "expected"),
    [
        (("--epochs", "1"), None, (1, 6, 1e-4)),
        (("--lr", "2e-4"), None, (3, 6, 2e-4)),
        ((), "[train-visual]\nepochs = 1\nbatch-size = 8\n", (1, 8, 5e-5)),
        (("--lr", "3e-4"), "[train-visual]\nepochs = 1\nbatch-size = 8\n", (1, 8, 3e-4)),
    ],
)
def test_options_and_an_own_file_override_them(scing, here, options, file, expected):
    Path("own.toml").write_text(PLANNED)
    assert scing("train-prompts", "--data", "m", *MODEL, *SHORT, "--config", "own.toml").code == 0
    if file:
        Path("other.toml").write_text(file)
        options = (*options, "--config", "other.toml")
    result = scing("train-visual", *options, "--json")
    assert result.code == 0, result.err
    assert ("Settings of stage 2 from" in result.err) == (file is None)
    found = visual_settings(result.json["run"])
    assert (found["epochs"], found["batch-size"], found["lr"]) == expected


def test_without_a_file_the_run_is_as_before(scing, here):
    assert scing("train-prompts", "--data", "m", *MODEL, *SHORT, "--run", "r").code == 0
    assert "planned" not in json.loads(Path("r/run.json").read_text())


def test_moved_data_are_known_to_later_commands(scing, here):
    assert scing("train-prompts", "--data", "m", *MODEL, *SHORT, "--run", "r").code == 0
    shutil.move("m", "moved")
    done = scing("train-visual", "--run", "r", *SHORT, "--data", "moved")
    assert done.code == 0, done.err
    assert scing(*next_of(done)).code == 0
    assert scing("evaluate", "--run", "r").code == 0


def test_a_second_encoder_from_the_same_stage_1(scing, here):
    assert scing("train-prompts", "--data", "m", *MODEL, *SHORT).code == 0
    first = scing("train-visual", *SHORT, "--json").json
    before = {file: file.read_bytes() for file in Path(first["run"]).rglob("*") if file.is_file()}
    refuse(scing("train-visual", "--run", first["run"], *SHORT), "already has a trained image encoder", "--as NAME")
    second = scing("train-visual", "--as", "second", *SHORT, "--seed", "5", "--json")
    assert second.code == 0, second.err
    assert second.json["run"] == "runs/second"
    assert second.json["digest"] != first["digest"]
    assert {file: file.read_bytes() for file in before} == before
    for name in ("prompts/stamp.json", "manifest.csv"):
        assert Path(first["run"], name).read_bytes() == Path("runs/second", name).read_bytes()
    assert scing("evaluate", "--run", "runs/second").code == 0
    newest = scing("embed")  # it is the newest, and that is said
    assert "Using the newest finished run: runs/second" in newest.err
    assert scing("search", min(Path("m/query").glob("*.jpg"))).code == 0
    assert scing("search", min(Path("m/query").glob("*.jpg")), "--run", first["run"]).code == 2
    refuse(scing("train-visual", "--as", "second", *SHORT), "already has a trained image encoder")
    assert open_run(Path("runs/second")).info["branched"]["from"] == Path(first["run"]).name
    third = scing(
        "train-visual", "--run", "runs/second", "--as", "third", *SHORT, "--json"
    )  # of a run that was made so
    assert third.json["digest"] == first["digest"]


@pytest.mark.parametrize("run", [None, "runs/r"])
def test_a_second_encoder_resumes(scing, here, stop_at, run):
    """Also if the run is not named: the new run is the newest then."""
    named = ("--run", run) if run else ()
    assert scing("train-prompts", "--data", "m", *MODEL, *SHORT, "--run", "runs/r").code == 0
    whole = scing("train-visual", "--run", "runs/r", "--as", "whole", *SHORT, "--json").json["digest"]
    shutil.move("runs/whole", "whole")
    command = ("train-visual", *named, "--as", "second", *SHORT)
    stop_at(1)
    stopped = scing(*command)
    assert stopped.code == 130
    assert "scing train-visual --resume --run runs/second" in stopped.err
    stop_at(99)
    done = scing(*command, "--json")
    assert done.code == 0, done.err
    assert (done.json["run"], done.json["digest"]) == ("runs/second", whole)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "r", "taken"])
def test_names_that_cannot_be_a_new_run_are_refused(scing, here, name):
    assert scing("train-prompts", "--data", "m", *MODEL, *SHORT, "--run", "r").code == 0
    Path("taken").mkdir()
    Path("taken/mine.txt").write_text("mine")
    before = sorted(here.rglob("*"))
    refuse(scing("train-visual", "--run", "r", f"--as={name}", *SHORT))
    assert sorted(here.rglob("*")) == before


def test_a_start_that_fails_leaves_no_second_run(scing, here):
    assert scing("train-prompts", "--data", "m", *MODEL, *SHORT, "--run", "r").code == 0
    refuse(scing("train-visual", "--run", "r", "--as", "second", *SHORT, "--validate"), "has no split val")
    assert not Path("second").exists()
