"""`scing evaluate --queries text`: captions among images, and images among captions."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fixtures import put
from oracles.ranking import evaluate_by_loops
from pages import Page
from pipeline.conftest import MODEL
from pipeline.test_refused import refuse
from tiny import TINY_MODEL

import scing_cli
from scing_cli.core.encoders.clip import load_clip
from scing_cli.core.encoders.tokenizer import tokenize
from scing_cli.core.runtime import Silent

TEXT = ("--queries", "text")
BACK = (*TEXT, "--direction", "image-to-text")
PEOPLE, IMAGES = 6, 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of six people and of strangers, in both parts, some with two captions, some with none; equal captions."""
    folder = tmp_path_factory.mktemp("words")
    rows = []
    for person in range(PEOPLE + 1):
        for image in range(IMAGES):
            split = "query" if image == 0 else "gallery"
            put(folder / split / f"{person}_{image}.png", person, 2 * image)
            captions = [f"person {person} in a coat", f"a walker with bag {person % 2}"][: (person + image) % 3]
            identity = f"p{person}" if person < PEOPLE else ""
            rows.append([f"{split}/{person}_{image}.png", identity, str(image), split, *captions, "", ""][:6])
    rows.append([rows[0][0], "p0", "0", "gallery", "", ""])  # a file of both parts
    with (folder / "mine.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "identity", "camera", "split", "caption", "caption_2"], *rows])
    return folder / "mine.csv"


@pytest.fixture(scope="module")
def case(data):
    """The vectors of captions and images one by one, and whose they are."""
    import torch

    with data.open(newline="") as stream:
        lines = sorted(csv.DictReader(stream), key=lambda row: row["split"] == "gallery")
    rows, seen = [], set()
    for line in lines:
        if line["path"] not in seen:
            rows.append(line)
            seen.add(line["path"])
    model = scing_cli.load_model(model=TINY_MODEL, pretrained="random", machine=scing_cli.Machine(precision="fp32"))
    tower, texts = load_clip(TINY_MODEL, "random", reporter=Silent()).text, []
    owners = [row for row in rows for name in ("caption", "caption_2") if row[name]]
    for text in (row[name] for row in rows for name in ("caption", "caption_2") if row[name]):
        ids = torch.tensor([tokenize(text)])
        with torch.no_grad():
            feature = tower(tower.embed(ids), ids.shape[1] - 1)[0].double().numpy()
        texts.append(feature / np.linalg.norm(feature))
    images = np.concatenate([model.embed(str(data.parent / row["path"])) for row in rows])
    return np.array(texts), [row["identity"] for row in owners], images, [row["identity"] for row in rows]


@pytest.mark.parametrize("options", [TEXT, BACK])
def test_figures_are_those_of_the_loops(scing, data, case, options):
    texts, asked, images, shown = case
    told = scing("evaluate", *MODEL, "--data", data, *options, "--json").json
    known = [number for number, identity in enumerate(shown) if identity]
    sides = (texts, images, asked, shown)
    if options == BACK:
        sides = (images[known], texts, [shown[number] for number in known], asked)
    blank = [[""] * len(side) for side in sides[:2]]
    precision, penalty, cmc, results = evaluate_by_loops(*sides, *blank, "text")
    assert (told["mAP"], told["mINP"]) == pytest.approx((precision, penalty), abs=0.05)
    assert [told[name] for name in ("rank1", "rank5", "rank10")] == pytest.approx([cmc[0], cmc[4], cmc[9]], abs=0.05)
    assert (told["queries"], told["gallery"]) == (len(sides[0]), len(sides[1]))
    assert told["valid_queries"] == sum(result is not None for result in results)


def test_json_table_and_library_say_the_same(scing, data):
    told = scing("evaluate", *MODEL, "--data", data, *TEXT, "--json").json
    described = sum((person + image) % 3 > 0 for person in range(PEOPLE + 1) for image in range(IMAGES))
    captions = sum((person + image) % 3 for person in range(PEOPLE + 1) for image in range(IMAGES))
    expected = {"protocol": "text", "direction": "text-to-image", "queries": captions, "captions": captions}
    expected |= {"images": 21, "images_with_captions": described, "images_without_captions": 21 - described}
    expected |= {"captions_cut": 0, "captions_without_words": 0, "published": [], "cautions": []}
    assert {name: told[name] for name in expected} == expected
    shown = scing("evaluate", *MODEL, "--data", data, *TEXT)
    assert f"{captions} captions and 21 images; {21 - described} of them have no caption." in shown.out
    assert "Protocol text: words are compared with images, and nothing is left out." in shown.out
    assert shown.err.count("starts from random weights") == 1
    choice = scing_cli.ModelChoice(model=TINY_MODEL, pretrained="random")
    report = scing_cli.evaluate(choice, data=data, queries="text", reporter=Silent())
    assert report.summary(list_lost=False) == told
    lost = scing("evaluate", *MODEL, "--data", data, *TEXT, "--list-lost").out
    assert "gallery/6_1.png: person 6 in a coat has no identity" in lost


def test_a_run_an_index_and_several_data_sets(scing, finished, world, data, tmp_path):
    run = ("evaluate", "--run", finished, "--data", world)
    told = scing(*run, *TEXT, "--json").json
    assert (told["queries"], told["gallery"]) == (36, 36)
    assert told["cautions"] == told["published"] == []
    assert "published_note" not in told
    trained = scing(*run, *TEXT, "--split", "train", "--json").json
    assert [(own["kind"], own["count"]) for own in trained["cautions"]] == [("trained-on", trained["queries"])]
    assert scing("embed", "--run", finished, "--data", world, "--output", tmp_path / "g.faiss").code == 0
    only = scing(*run, *TEXT, "--index", tmp_path / "g.faiss", "--json").json
    assert (only["queries"], only["gallery"], only["images_with_captions"]) == (36, 18, 18)
    back = scing(*run, *BACK, "--index", tmp_path / "g.faiss", "--json").json
    assert (back["queries"], back["gallery"]) == (18, 36)
    both = scing(*run, "--data", data, *TEXT, "--json").json["evaluations"]
    assert both[0] == told
    assert both[1]["data"] == "mine"
    assert scing(*run, *TEXT, "--precision", "bf16", "--json").json["mAP"] == pytest.approx(told["mAP"], abs=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*TEXT, "--rerank"), "--rerank is not possible with --queries text: it orders rows by the neighbours"),
        ((*TEXT, "--protocol", "market"), "--protocol market has no effect with --queries text: a caption has no"),
        ((*TEXT, "--descriptor", "concat"), "--descriptor concat is not possible with --queries text"),
        (("--queries", "words"), "--queries 'words' is unknown."),
        ((*TEXT, "--direction", "both"), "--direction 'both' is unknown."),
        (("--direction", "image-to-text"), "--direction has no effect without --queries text."),
        (("--protocol", "text"), "--protocol text is for words."),
        ((*TEXT, "--split", "val"), "mine has no image in the split 'val'."),
        ((*TEXT, *TEXT), "--queries was given twice."),
    ],
)
def test_what_has_no_sense_is_one_message(scing, data, options, message):
    refuse(scing("evaluate", *MODEL, "--data", data, *options), message)


@pytest.mark.parametrize(
    ("captions", "identities", "message"),
    [
        ([""] * 4, "aabb", "mine has no caption in the test (splits query and gallery)."),
        (["...", "", "!", "-"], "aabb", "mine: none of the 3 captions in the test (splits query and gallery) has a"),
        (["a man"] * 4, ["", "", "", ""], "None of the 4 queries has a true match under the protocol text: 4 have no"),
    ],
)
def test_data_without_what_is_needed_is_one_message(scing, tmp_path, captions, identities, message):
    lines = ["path,identity,split,caption"]
    for number, (text, person) in enumerate(zip(captions, identities, strict=True)):
        put(tmp_path / f"{number}.png", number, 1)
        lines.append(f"{number}.png,{person},{'query' if number % 2 else 'gallery'},{text}")
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    result = scing("evaluate", *MODEL, "--data", tmp_path / "mine.csv", *TEXT)
    refuse(result, message)
    if "captions" in message or "no caption" in message:
        assert "the columns caption, caption_2 and so on of a CSV, and of captions.csv" in result.err


def test_an_image_that_cannot_be_read_takes_its_captions_along(scing, data, tmp_path):
    own = Path(shutil.copytree(data.parent, tmp_path / "own")) / "mine.csv"
    before = scing("evaluate", *MODEL, "--data", own, *TEXT, "--json").json
    (own.parent / "gallery" / "1_1.png").write_bytes(b"torn")
    told = scing("evaluate", *MODEL, "--data", own, *TEXT, "--json").json
    assert (told["queries"], told["gallery"]) == (before["queries"] - 2, before["gallery"] - 1)
    assert [fault["split"] for fault in told["left_out"]] == ["gallery"]
    refuse(scing("evaluate", *MODEL, "--data", own, *TEXT, "--strict"), "1_1.png")


def test_saved_embeddings_of_captions(scing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    query, gallery = (rng.standard_normal((count, 8)).astype(np.float32) for count in (9, 7))
    asked, shown = [str(n % 4) for n in range(9)], ["0", "1", "2", "2", "", "0", "9"]
    arrays = {"query": query, "gallery": gallery, "query_identity": asked, "gallery_identity": shown}
    np.savez("all.npz", **arrays, gallery_camera=[1] * 7)  # captions have no cameras
    told = scing("evaluate", "--embeddings", "all.npz", *TEXT, "--json").json
    unit = [side / np.linalg.norm(side.astype(np.float64), axis=1, keepdims=True) for side in (query, gallery)]
    precision, penalty, *_ = evaluate_by_loops(*unit, asked, shown, [""] * 9, [""] * 7, "text")
    assert (told["mAP"], told["mINP"]) == pytest.approx((precision, penalty), abs=1e-9)
    assert (told["protocol"], told["direction"], told["cautions"]) == ("text", "text-to-image", [])
    shown_back = scing("evaluate", "--embeddings", "all.npz", *BACK).out
    assert "2 queries have no true match left: 2 have no caption of their identity in the gallery." in shown_back
    refuse(scing("evaluate", "--embeddings", "all.npz", *TEXT, "--rerank"), "--rerank is not possible")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_text("{}")
    refuse(scing("evaluate", "--embeddings", "report", *TEXT), "report is a report or a run: it has no vectors.")


@pytest.fixture(scope="module")
def reports(finished, world, tmp_path_factory):
    """Reports of both directions, and a copy of the run that they are of."""
    folder = tmp_path_factory.mktemp("reports")
    run = Path(shutil.copytree(finished, folder / "a run", ignore=shutil.ignore_patterns("report.json")))
    choice = scing_cli.ModelChoice(run=run)
    for name, direction in (("words", None), ("back", "image-to-text")):
        scing_cli.evaluate(
            choice, data=world, queries="text", direction=direction, output=folder / name, reporter=Silent()
        )
    return folder


@pytest.mark.parametrize("name", ["words", "back"])
def test_a_report_shows_the_words(reports, name):
    page = Page((reports / name / "report.html").read_text(encoding="utf-8"))
    assert page.faults(reports / name) == []
    assert len(page.pictures()) == 3
    assert "36 captions and 36 images; all have captions." in page.texts("p")
    with (reports / name / "queries.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))
    column = "caption" if name == "words" else "best_wrong_caption"
    assert all(" " in line[column] for line in lines)
    assert {line["ignored"] for line in lines} == {"0"}
    told = json.loads((reports / name / "report.json").read_text(encoding="utf-8"))
    assert told["direction"] == ("text-to-image" if name == "words" else "image-to-text")
    precision = [float(line["average_precision"]) for line in lines if line["average_precision"]]
    assert 100 * np.mean(precision) == pytest.approx(told["mAP"], abs=1e-9)
    worst = page.facts("captions of the worst queries")
    assert len(worst) == 5
    assert all(" " in text for text in worst.values())


def test_thresholds_of_words_are_for_words_alone(scing, reports, world, tmp_path):
    run, photo = reports / "a run", min((world / "query").glob("*.jpg"))
    assert not (run / "report.json").exists()
    assert scing("embed", "--run", run, "--data", world, "--output", tmp_path / "g.faiss").code == 0
    asked = ("search", "--index", tmp_path / "g.faiss", "--false-match-rate", "0.1")
    step = f"Make one: scing evaluate --run '{run}' --queries text --data DIR --output report then search again with"
    refuse(scing(*asked, "--text", "a man"), "there is no report with words of the model that made", step)
    found = scing(*asked, "--text", "a man", "--report", reports / "words", "--json")
    told = json.loads((reports / "words" / "report.json").read_text(encoding="utf-8"))
    kept = [
        score for score, own in zip(told["roc"]["thresholds"], told["roc"]["false_match"], strict=True) if own <= 0.1
    ]
    assert found.json["threshold"]["score"] == pytest.approx(min(kept))
    refuse(scing(*asked, photo, "--report", reports / "words"), "was measured with words; scores of photos are higher.")
    refuse(scing(*asked, "--text", "a man", "--report", reports / "back"), "was measured with photos among captions.")
    both = scing(*asked, photo, "--text", "a man", "--report", reports / "words")
    refuse(both, "--false-match-rate is measured with photos or with words, not with both joined.")
    assert scing("evaluate", "--run", run, "--data", world, "--output", tmp_path / "photos").code == 0
    words = scing(*asked, "--text", "a man", "--report", tmp_path / "photos")
    refuse(words, "was measured with photos; scores of words are lower.", "--queries text")
    refuse(scing(*asked, "--text", "a man"), "report.json was measured with photos; scores of words are lower.", step)
    again = scing("evaluate", "--run", run, "--data", world, *TEXT, "--output", tmp_path / "again")
    assert "The run keeps no thresholds of words: name this report with --report." in again.err
    back = scing("evaluate", "--run", run, "--data", world, *BACK, "--output", tmp_path / "again")
    assert "No search uses the thresholds of this report, which are of images among captions" in back.err
    assert "--report" not in back.err
    assert "direction" not in json.loads((run / "report.json").read_text(encoding="utf-8"))


def test_a_report_shows_the_losses_and_the_settings_of_a_method_of_captions(scing, both_towers, tmp_path):
    assert scing("evaluate", "--run", both_towers, *TEXT, "--output", tmp_path / "report").code == 0
    page = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    prompts, visual = page.source.index("Losses of train-prompts"), page.source.index("Losses of train-visual")
    assert "sdm" in page.source[prompts:visual]
    assert all(term in page.source[visual:] for term in ("sdm", "identity"))
    first, second = page.facts("train-prompts"), page.facts("train-visual")
    assert (first["method"], first["prompt-depth"], second["stage2-loss"]) == ("prompt-decoupling", "2", "sdm+id")
    assert not {"gate", "tokens", "consistency", "milestones", "instances", "warmup-lr"} & set(first)
    assert not {"margin", "triplet-weight", "milestones", "camera-embedding"} & set(second)
    assert {"final-lr", "warmup-lr", "head-lr-factor", "mask-words"} <= set(second)
