"""`scing prepare --hold-out`, and the commands that `prepare` prints."""

from __future__ import annotations

import csv
import shlex
import shutil
from pathlib import Path

import pytest
from fixtures import FIXTURES, put
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse

SHORT = ("--epochs", "1", "--batch-size", "4", "--instances", "2")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_people(folder: Path, cameras: tuple[str, ...] = ("door", "yard")) -> Path:
    for identity in range(6):
        for shade, camera in enumerate(cameras):
            for number in range(2):
                put(folder / f"person {identity}" / camera / f"{number}.png", 10 * identity + number, shade)
    return folder


def run_printed(scing, line: str):
    """Run a printed command; only weights that no test has, and the length of a training, are changed."""
    program, *words = shlex.split(line)
    assert program == "scing"
    if "openai" in words:
        at = words.index("--model")
        words[at : at + 4] = MODEL
    if words[0] == "train-prompts":
        words += [*MODEL, *SHORT]
    result = scing(*words)
    assert result.code == 0, (line, result.err)
    return result


def test_the_printed_commands_lead_from_folders_of_people_to_figures(scing, here):
    people = write_people(here / "my people")
    said = scing("prepare", people.name).out.replace("\n", " ")
    assert "Nothing can be evaluated yet: no image is a query." in said
    before = Path("my people.csv").read_text()
    command = f"scing prepare {said.partition('scing prepare ')[2].partition('--hold-out 0.3')[0]}--hold-out 0.3"
    divided = run_printed(scing, command).out
    assert "Held out for testing: 2 of 6 identities, with 4 queries." in divided
    assert Path("my people.csv").read_text() == before
    following = divided.rpartition("Next: ")[2].strip()
    assert following == "scing train-prompts --data 'my people-split.csv'"
    run_printed(scing, following)
    figures = scing("evaluate", "--data", "my people-split.csv", *MODEL, "--json").json
    assert (figures["queries"], figures["valid_queries"], figures["protocol"]) == (4, 4, "market")


def test_a_division_is_repeated_and_never_replaced_by_another(scing, here):
    write_people(here / "people")
    for _ in range(2):
        told = scing("prepare", "people", "--hold-out", "0.5", "--json").json
        assert told["held_out"] == {"trained": 3, "tested": 3, "queries": 6, "untestable": 0}
    before = Path("people.csv").read_text()
    for options in ((), ("--hold-out", "0.5", "--seed", "1")):
        refuse(scing("prepare", "people", *options), "people.csv already exists", "--output")
    assert Path("people.csv").read_text() == before
    other = scing("prepare", "people", "--hold-out", "0.5", "--seed", "1", "--output", "other.csv")
    assert other.code == 0
    assert Path("other.csv").read_text() != before


def test_a_csv_without_splits_and_a_layout_of_train_alone_are_divided(scing, here):
    write_people(here / "people", cameras=("door",))
    assert scing("prepare", "people", "--output", "all.csv").code == 0
    rows = list(csv.DictReader(Path("all.csv").read_text().splitlines()))
    Path("mine.csv").write_text("path,identity\n" + "".join(f"{row['path']},{row['identity']}\n" for row in rows))
    flat = here / "flat" / "train"
    for row in rows:
        flat.mkdir(parents=True, exist_ok=True)
        shutil.copy(row["path"], flat / f"00{1 + int(row['identity'][-1]):02}_c1_{Path(row['path']).name}")
    for source in ("mine.csv", "flat"):
        told = scing("prepare", source, "--hold-out", "0.3", "--json").json
        assert told["held_out"] == {"trained": 4, "tested": 2, "queries": 2, "untestable": 0}
        figures = scing("evaluate", "--data", told["manifest"], *MODEL, "--json").json
        assert (figures["valid_queries"], figures["gallery"]) == (2, 2)


def test_people_who_cannot_be_tested_are_counted(scing, here):
    write_people(here / "people")
    shutil.rmtree(here / "people" / "person 0" / "door")
    broken = here / "people" / "person 1" / "door"
    for file in broken.iterdir():
        file.write_bytes(b"\xff\xd8 not a picture")
    shown = scing("prepare", "people", "--hold-out", "0.3").out
    assert "2 identities are for training because a query needs another image by another camera as its match." in shown


def test_divided_data_and_a_world_to_draw_are_refused_before_anything_is_written(scing, here):
    data = FIXTURES["Market-1501"].write(here / "Market")
    refuse(
        scing("prepare", data, "--hold-out", "0.3"), "has images in the split gallery already", "Leave --hold-out out"
    )
    refuse(scing("prepare", "world", "--synthetic", "--hold-out", "0.3"), "--hold-out has no effect with --synthetic")
    refuse(scing("prepare", data, "--hold-out", "30"), "--hold-out 30: must be more than 0 and less than 1.")
    assert [path.name for path in here.iterdir()] == ["Market"]


@pytest.mark.parametrize("name", ["Market-1501", "Occluded-REID", "images", "a CSV", "folders of cameras"])
def test_the_command_after_any_data_works_as_it_is_printed(scing, here, name):
    data = FIXTURES[name].write(here / "data")
    told = scing("prepare", data, "--output", "rows.csv", "--json").json
    command = {"Occluded-REID": "evaluate", "images": "embed"}.get(name, "train-prompts")
    assert shlex.split(told["next"])[:2] == ["scing", command]
    run_printed(scing, told["next"])
    if command == "embed":
        Path("rows.csv").unlink()
        again = scing("prepare", data, "--output", "rows.csv", "--json").json["next"]
        run_printed(scing, again)


def test_after_people_without_a_split_comes_the_command_that_divides_them(scing, here):
    for person in range(6):
        for camera in (1, 2):
            put(here / "people" / f"person {person}" / f"{camera}.jpg", person, camera)
    shown = scing("prepare", "people")
    told = shlex.split(shown.out.rpartition("Next: ")[2])
    assert told == ["scing", "prepare", "people", "--output", "people-split.csv", "--hold-out", "0.3"]
    again = scing(*told[1:], "--json")
    assert shlex.split(again.json["next"])[:2] == ["scing", "train-prompts"]


def test_too_few_people_to_divide_are_told_instead_of_a_command_that_fails(scing, here):
    data = FIXTURES["folders of people"].write(here / "three")
    assert "--hold-out needs at least 4 people, 2 for training and 2 for testing; three has 3." in " ".join(
        scing("prepare", data, "--json").json["notes"]
    )


def test_where_a_run_is_finished_the_printed_evaluation_uses_it(scing, finished, here):
    shutil.copytree(finished, "runs/one")
    data = FIXTURES["Occluded-REID"].write(here / "data")
    told = scing("prepare", data, "--json").json["next"]
    assert told == f"scing evaluate --data {data}"
    assert "Using the newest finished run" in run_printed(scing, told).err
