"""`scing evaluate --output` on data of every kind: hostile names, no cameras, saved embeddings, missing images."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter

import numpy as np
import pytest
from fixtures import put
from oracles import report as oracle
from pages import Page
from pipeline.conftest import MODEL
from safetensors.numpy import load_file

from scing_cli.core.datasets import read_data
from scing_cli.core.errors import spelled
from scing_cli.core.figures.montage_style import FILL

FIGURES = ("mAP", "mINP", "rank1", "rank5", "rank10")
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '" onerror="alert(1)',
    "two\nlines",
    "one\rline",
    "عربي\u200f\u202etxt.exe",
    "a & b &amp; <!--",
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def report(scing, here):
    """Evaluate with a report and return its page, its JSON and its lines: `report("--run", run)`."""

    def make(*options, output="report"):
        result = scing("evaluate", *options, "--output", output)
        assert result.code == 0, result.err
        folder = here / output
        assert sorted(path.name for path in folder.iterdir()) == ["queries.csv", "report.html", "report.json"]
        page = Page((folder / "report.html").read_text(encoding="utf-8"))
        assert page.faults(folder) == []
        assert len(set(page.ids())) == len(page.ids())
        with (folder / "queries.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            lines = list(csv.DictReader(stream))
        return page, json.loads((folder / "report.json").read_text(encoding="utf-8")), lines

    return make


def write_table(file, names, cameras=("door", "yard")):
    """A data set of one's own: each name is a person, in the file names and in the cameras' names too."""
    rows = []
    for number, name in enumerate(names):
        for shade, (camera, split) in enumerate(zip(cameras, ("query", "gallery"), strict=True)):
            path = f"{name} {split}.png"
            put(file.parent / path, number, shade)
            rows.append({"path": path, "identity": name, "camera": camera and f"{camera} {name}", "split": split})
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_hostile_names_are_text_and_nothing_else(report, own_run, here):
    (here / "mean").mkdir()
    (here / "kind").mkdir()
    table = write_table(here / "mean" / '<img src=x onerror=alert(1)> "&".csv', HOSTILE)
    twin = write_table(here / "kind" / "mine.csv", [f"person {number}" for number in range(len(HOSTILE))])
    run = own_run.rename(here / '"><svg onload=alert(1)>')
    page, told, lines = report("--run", run, "--data", table)
    harmless, _, _ = report("--run", run, "--data", twin, output="other")
    assert page.shape() == harmless.shape()
    assert page.texts("h1") == [f"{table.stem}: evaluation"]
    assert f"{run}, protocol market" in page.texts("p")[0]
    assert [line["identity"] for line in lines] == list(HOSTILE)
    assert [line["query"] for line in lines] == [f"{name} query.png" for name in HOSTILE]
    assert {line["best_wrong_identity"] for line in lines} <= set(HOSTILE)
    heads = [text for text in page.texts("th") if text.startswith("yard")]
    assert Counter(heads) == Counter(" ".join(spelled(line) for line in f"yard {name}".split()) for name in HOSTILE)
    assert {pair["query_camera"] for pair in told["cameras"]} == {f"door {name}" for name in HOSTILE}
    assert len(page.pictures()) == 2  # six queries: five worst, one best


def test_a_gallery_image_that_is_gone_leaves_its_place_empty(report, finished, own_world, here, scing):
    assert scing("embed", "--run", finished, "--data", own_world, "--output", "own.faiss").code == 0
    gallery = sorted((own_world / "bounding_box_test").glob("*.jpg"))
    asked = ("--run", finished, "--data", own_world, "--index", "own.faiss")
    whole, before, lines = report(*asked)
    for file in gallery[::2]:
        file.unlink()
    page, after, others = report(*asked, output="later")
    differ = {"written", "fingerprint", "self_digest"}  # the data has fewer rows now; its gallery is not asked for
    assert {name: before[name] for name in before if name not in differ} == {
        name: after[name] for name in after if name not in differ
    }
    assert lines == others
    assert page.shape() == whole.shape()

    def empty(shown):
        pixels = np.asarray(shown.convert("RGB")).astype(int)
        return int((np.abs(pixels - np.array(FILL)).sum(axis=2) < 12).sum())

    for full, lacking in zip(whole.pictures(), page.pictures(), strict=True):
        assert lacking.size == full.size
        assert empty(lacking) > empty(full) + 5 * 128 * 200


@pytest.fixture
def saved(scing, own_run, world, here):
    """A run's own vectors as arrays of another program, with a row of junk, and what its report must say."""
    assert scing("evaluate", "--run", own_run).code == 0
    manifest, case, arrays = read_data(world).manifest, {}, {}
    for part in ("query", "gallery"):
        rows = list(manifest.part(part))
        vectors = load_file(own_run / "embeddings" / f"{manifest.name}-{part}.safetensors")["vectors"]
        case[part] = vectors
        case[f"{part}_identities"] = [row.identity for row in rows]
        case[f"{part}_cameras"] = [row.camera for row in rows]
        arrays[part] = np.insert(vectors, 2, vectors[0], axis=0)
        arrays[f"{part}_identity"] = np.insert(np.array([int(row.identity) for row in rows]), 2, -1)
        arrays[f"{part}_camera"] = np.insert(np.array([int(row.camera) for row in rows]), 2, 9)
    case |= {
        f"{part}_identities": [str(int(name)) for name in case[f"{part}_identities"]] for part in ("query", "gallery")
    }
    np.savez(here / "<b>all.npz", **arrays)
    return case


def test_saved_embeddings_have_a_report_without_pictures_and_settings_of_a_run(report, saved, scing):
    page, told, lines = report("--embeddings", "<b>all.npz")
    assert page.texts("h2") == ["Ranking", "Which score means the same identity", "Cameras", "Settings"]
    assert page.texts("h1") == ["<b>all.npz: evaluation"]
    assert not page.pictures()
    assert page.texts("summary") == ["this evaluation"]
    figures = scing("evaluate", "--embeddings", "<b>all.npz", "--json").json
    assert {name: told[name] for name in figures} == figures
    assert told["model_digest"] == told["fingerprint"] == told["descriptor"] == ""
    names = [[f"{part} {number}" for number in range(19) if number != 2] for part in ("query", "gallery")]
    assert [line["query"] for line in lines] == names[0]
    for number, line in enumerate(lines):
        expected = oracle.query_line(saved, "market", number, *names)
        for name in ("average_precision", "first_rank", "matches", "ignored", "best_wrong_score"):
            assert float(line[name]) == pytest.approx(expected[name], abs=1e-6), name
        assert (line["best_wrong"], line["best_wrong_identity"]) == (
            expected["best_wrong"],
            expected["best_wrong_identity"],
        )


def test_names_of_another_encoding_come_through_a_report(report, saved, here):
    arrays = dict(np.load("<b>all.npz"))
    for part in ("query", "gallery"):
        arrays[f"{part}_identity"] = np.array([b"p\xff%d" % name for name in arrays[f"{part}_identity"]])
        arrays[f"{part}_camera"] = np.array([b"c\xff%d" % name for name in arrays[f"{part}_camera"]])
    name = os.fsdecode(b"all\xff.npz")
    np.savez(name, **arrays)
    page, told, lines = report("--embeddings", name)
    assert os.fsencode(told["data"]) == b"all\xff.npz"
    assert {line["identity"][:2] for line in lines} == {"p\udcff"}
    assert "c\\udcff1" in page.texts("th")


def test_without_cameras_there_is_no_section_of_them(report, here):
    page, told, lines = report(*MODEL, "--data", write_table(here / "mine.csv", ["anna", "ben", "carl"], ("", "")))
    assert told["protocol"] == "no-camera"
    assert page.texts("h2") == [
        *("Worst queries", "Ranking", "Which score means the same identity", "Settings"),
    ]
    assert told["cameras"] == []
    assert {line["ignored"] for line in lines} == {"0"}
    assert {line["camera"] for line in lines} == {""}
    assert [text for text in page.texts("li") if "Protocol no-camera" in text] == [told["cautions"][0]["text"]]
    assert not any("Protocol no-camera" in text for text in page.texts("p"))


def test_one_person_alone_has_a_report_without_thresholds(report, here):
    page, told, lines = report(*MODEL, "--data", write_table(here / "mine.csv", ["anna"]))
    assert told["verification"]["different_pairs"] == 0
    assert told["verification"]["equal_error"] is None
    assert sum(text.startswith("No threshold: ") for text in page.texts("p")) == 3
    assert [line["best_wrong"] for line in lines] == [""]
    assert "false-match rate" not in page.texts("th")


def test_queries_that_do_not_count_are_told_in_all_three_files(report, here):
    table = write_table(here / "mine.csv", ["anna", "ben", "carl"])
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace('"ben query.png","ben"', '"ben query.png","nobody"'), encoding="utf-8")
    page, told, lines = report(*MODEL, "--data", table)
    assert told["lost"] == [{"query": "ben query.png", "reason": "absent"}]
    assert [line["lost"] for line in lines] == ["", "absent", ""]
    assert (lines[1]["average_precision"], lines[1]["first_rank"], lines[1]["matches"]) == ("", "", "0")
    assert lines[1]["best_wrong"]
    assert "1 query has no true match left: 1 has no image of its identity in the gallery." in page.texts("li")


def test_the_re_ranked_figures_stand_below_the_plain_ones(report, finished, own_run):
    asked = ("--run", own_run, "--rerank", "--k1", "4", "--k2", "2", "--lambda", "0.5")
    page, told, _ = report(*asked)
    assert told["reranked"]["k1"] == 4
    assert page.rows("") == [
        ["this evaluation", *(f"{told[name]:.2f}" for name in FIGURES)],
        ["re-ranked", *(f"{told['reranked'][name]:.2f}" for name in FIGURES)],
    ]
    assert page.rows("")[0][1:] != page.rows("")[1][1:]


def test_a_part_searched_in_itself_is_named(report, own_run):
    page, told, lines = report("--run", own_run, "--split", "gallery")
    assert told["split"] == page.facts("this evaluation")["split"] == "gallery"
    assert {line["ignored"] for line in lines} == {"1"}  # itself


def test_an_index_that_was_the_gallery_is_named(report, own_run, finished):
    page, told, _ = report("--run", own_run, "--index", finished.parent / "gallery.faiss")
    assert (told["index"], told["precision"]) == ("gallery.faiss", "fp32")
    assert page.facts("this evaluation")["index"] == "gallery.faiss"
