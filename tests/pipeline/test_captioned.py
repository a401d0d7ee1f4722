"""Data sets with captions through the command line: what `prepare` counts and says, and what the commands do then."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
from captioned import CAPTIONED, ENTRIES
from fixtures import FIXTURES
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse


@pytest.fixture(scope="module", params=CAPTIONED)
def captioned(request, tmp_path_factory) -> tuple[str, Path]:
    return request.param, FIXTURES[request.param].write(tmp_path_factory.mktemp("captioned") / "data")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_prepare_counts_captions_and_writes_them(scing, captioned, here):
    name, data = captioned
    told = scing("prepare", data, "--json")
    entries = ENTRIES[name]()
    wanted = {"train": 0, "val": 0, "query": 0, "gallery": 0}
    for entry in entries:
        split = {"train": "train", "test": "gallery"}.get(entry["split"].lower(), "val")
        wanted[split] += len(entry["captions"])
    assert {part: counts["captions"] for part, counts in told.json["parts"].items()} == {
        part: count for part, count in wanted.items() if count or part != "val"
    }
    cut = 20 if name == "UFine6926" else 0
    assert told.json["captions"] == {"images_without": 0, "captions_cut": cut}
    assert ("20 of 20 captions have more than CLIP's 77 tokens (up to " in told.err) == bool(cut)
    published = "UFine3C" if name == "UFine6926" else name
    assert told.json["published"]["name"] == published
    sure = f"This is not {published} as published" in told.err
    assert sure == (name != "CUHK-PEDES")
    assert told.json["next"] == f"scing train-prompts --method prompt-decoupling --data {data}"
    with Path(told.json["manifest"]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, entry in zip(rows, entries, strict=True):
        texts = [row["caption"], *(row.get(f"caption_{number}", "") for number in range(2, 9))]
        assert [text for text in texts if text] == entry["captions"]


def test_the_table_has_captions_and_the_note_says_how_to_search_by_them(scing, captioned, here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    name, data = captioned
    shown = scing("prepare", data).out
    heading = next(line for line in shown.splitlines() if "identities" in line)
    assert heading.count("captions") == (1 if name == "UFine6926" else 2)
    assert any(line.count("published") == 4 for line in shown.splitlines()) == (name != "UFine6926")
    assert not re.search(r"^│ query", shown, re.MULTILINE)
    assert re.search(r"^│ gallery", shown, re.MULTILINE)
    monkeypatch.setenv("COLUMNS", "60")
    narrow = scing("prepare", data, "--output", "again.csv").out
    assert len(re.findall(r"^  published captions [0-9,]+$", narrow, re.MULTILINE)) == (
        0 if name == "UFine6926" else 2 + (name != "ICFG-PEDES")
    )
    assert "No image is a query. The captions of the gallery are: scing evaluate --queries text" in shown


def test_an_evaluation_of_images_names_the_one_by_words(scing, captioned, here):
    _, data = captioned
    refuse(
        scing("evaluate", *MODEL, "--data", data),
        "data has no image in the split 'query': its queries are the captions of the gallery.",
        "scing evaluate --queries text",
        "--split gallery",
    )


def test_images_without_a_caption_and_missing_ones_are_counted_once(scing, here):
    data = FIXTURES["CUHK-PEDES"].write(here / "data")
    shutil.rmtree(data / "imgs" / "Market")
    entries = json.loads((data / "reid_raw.json").read_text())
    entries[0]["captions"] = []
    entries[4]["captions"] = [" "]
    entries.append({**entries[5], "file_path": "../../secret.jpg"})
    (data / "reid_raw.json").write_text(json.dumps(entries))
    told = scing("prepare", data, "--json")
    assert told.err.count("2 of 12 images are missing of those that reid_raw.json names: Market 2 of 2.") == 1
    assert told.err.count("2 of 10 images have no caption: they have no use in a training on captions") == 1
    assert told.json["captions"]["images_without"] == 2
    assert [dropped["path"] for dropped in told.json["dropped"]] == ["../../secret.jpg"]
    assert told.json["parts"]["gallery"]["images"] == 2
    refuse(scing("prepare", data, "--strict", "--output", "other.csv"), "--strict: 0 unreadable and 1 dropped files")


def test_data_without_captions_have_no_counts_of_them(scing, here):
    told = scing("prepare", FIXTURES["Market-1501"].write(here / "data"), "--json").json
    assert "captions" not in told
    assert all("captions" not in counts for counts in told["parts"].values())


def test_a_test_by_words_alone_is_evaluated_next(scing, here):
    data = FIXTURES["UFine6926"].write(here / "data")
    entries = [{**entry, "split": "test"} for entry in ENTRIES["UFine6926"]()]
    (data / "UFine6926.json").write_text(json.dumps(entries))
    told = scing("prepare", data, "--json").json["next"]
    assert told.startswith(f"scing evaluate --queries text --data {data} --model ")


def test_joint_data_keep_captions_and_keep_people_apart(scing, here):
    for name in ("CUHK-PEDES", "RSTPReid"):
        FIXTURES[name].write(here / name)
    batch = ("--epochs", "1", "--batch-size", "4", "--instances", "2")
    both = ("--data", "CUHK-PEDES", "--data", "RSTPReid")
    told = scing("train-prompts", *both, *MODEL, *batch, "--run", "run", "--json").json
    assert (told["images"], told["identities"]) == (15, 6)
    with Path("run/manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["caption"] for row in rows] == [
        entry["captions"][0] for name in ("CUHK-PEDES", "RSTPReid") for entry in ENTRIES[name]()
    ]
    assert {row["identity"].partition("/")[0] for row in rows} == {"CUHK-PEDES", "RSTPReid"}


def test_images_of_market1501_in_cuhk_pedes_are_recognised_by_their_bytes(scing, here):
    """CUHK-PEDES has a folder of Market-1501's images: a run that was trained on it has seen people of that test."""
    market, data = FIXTURES["Market-1501"].write(here / "Market-1501"), FIXTURES["CUHK-PEDES"].write(here / "data")
    entries = json.loads((data / "reid_raw.json").read_text())
    for number, image in enumerate(sorted((market / "query").glob("0011_*.jpg"))):
        path = f"Market/{number}.jpg"
        shutil.copy(image, data / "imgs" / path)
        entries.append({**entries[0], "file_path": path, "id": 11})
    (data / "reid_raw.json").write_text(json.dumps(entries))
    batch = ("--epochs", "1", "--batch-size", "4", "--instances", "2")
    assert scing("train-prompts", "--data", data, *MODEL, *batch, "--run", "run").code == 0
    assert scing("train-visual", "--run", "run", *batch, "--warmup-epochs", 0).code == 0
    told = scing("evaluate", "--run", "run", "--data", market, "--json")
    assert {caution["kind"]: caution["count"] for caution in told.json["cautions"]} == {"trained-on": 2}
    assert "2 of 4 queries show people of the training, such as 0011" in told.err


def test_from_each_data_set_to_a_search_by_words(scing, captioned, here):
    """All commands on each data set: the run learns from its pairs, and every caption of the test is a query."""
    name, data = captioned
    entries = ENTRIES[name]()
    train, test = ([entry for entry in entries if entry["split"].lower() == split] for split in ("train", "test"))
    pairs, queries = (sum(len(entry["captions"]) for entry in part) for part in (train, test))
    small = ("--epochs", "1", "--batch-size", "2", "--json")
    assert scing("prepare", data, "--json").code == 0
    given = ("--method", "prompt-decoupling", "--model", "scing-tiny", "--prompt-tokens", "1")
    first = scing("train-prompts", "--data", data, *given, *small, "--run", "run")
    assert first.code == 0, first.err
    people = len({entry["id"] for entry in train})
    assert (first.json["identities"], first.json["images"], first.json["captions"]) == (people, len(train), pairs)
    second = scing("train-visual", "--run", "run", *small, "--warmup-epochs", "0")
    assert second.code == 0, second.err
    assert second.json["trainable"]["heads"] == 193 * people
    assert scing("embed", "--run", "run", "--output", "g.faiss").code == 0
    told = scing("evaluate", "--run", "run", "--queries", "text", "--json")
    assert told.code == 0, told.err
    assert (told.json["queries"], told.json["gallery"]) == (queries, len(test))
    assert ("tokens that the model reads" in told.err) == (name == "UFine6926")
    words = test[0]["captions"][0]
    found = scing("search", "--text", words, "--index", "g.faiss", "--json")
    assert found.code == 0, found.err
    (result,) = found.json["results"]
    assert len(result["hits"]) == len(test)


def test_the_split_val_of_captioned_data_is_for_training_too(scing, captioned, here, monkeypatch):
    """The help of `--include-val` names no data set, since several have such a split."""
    monkeypatch.setenv("COLUMNS", "160")
    name, data = captioned
    has_val = any(entry["split"].lower() not in ("train", "test") for entry in ENTRIES[name]())
    parts = scing("prepare", data, "--json").json["parts"]
    told = scing("prepare", data, "--include-val", "--json", "--output", "with.csv").json
    together = sum(parts[split]["images"] for split in ("train", "val") if split in parts)
    assert told["parts"]["train"]["images"] == together
    assert ("val" in parts) == has_val
    assert ("--include-val has no effect: there is no split val." in told["notes"]) == (not has_val)
    assert "Also train on the split val, if the data have one." in scing("prepare", "--help").out


def test_summaries_of_the_trainings_are_those_of_every_method(scing, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert "make the run, and learn the method's prompts" in scing("train-prompts", "--help").out
    shown = scing("train-visual", "--help").out
    assert "tune the image encoder; with methods that learn from captions, both encoders" in shown
    assert "Probability of masking each token of a training caption" in shown
