"""`embed`, `evaluate` and `search` as a user types them: indexes that grow, self-matches, large galleries, notes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from guide import GUIDE, blocks
from patience import HANG
from PIL import Image
from pipeline.conftest import MODEL
from pipeline.test_refused import nothing_in, refuse

from scing_cli.core.index import KINDS, GalleryIndex, index_lock


@pytest.fixture
def crops(here):
    """Five images of noise."""
    folder = here / "crops"
    folder.mkdir()
    for number in range(5):
        noise(folder / f"{number}.png", number)
    return folder


def noise(file, number):
    pixels = np.random.default_rng(number).integers(0, 255, (64, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def size(file):
    with Image.open(file) as image:
        return image.size


def touch(file):
    later = file.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later, later))


# An image never counts for itself


@pytest.mark.parametrize("protocol", ["market", "no-camera"])
def test_a_split_searched_in_itself_does_not_find_itself(scing, world, here, protocol):
    rows = ["path,identity,camera,split"]
    files = sorted((world / "bounding_box_train").glob("*.jpg"))
    for number, file in enumerate(files):  # identities at random: only an image itself would be found
        rows.append(f"{file},p{number * 7 % 6},{number % 2 or ''},val")
    Path("mine.csv").write_text("\n".join(rows) + "\n")
    result = scing("evaluate", *MODEL, "--data", "mine.csv", "--split", "val", "--protocol", protocol, "--json").json
    assert (result["queries"], result["gallery"], result["protocol"]) == (18, 18, protocol)
    assert result["rank1"] < 90


def test_an_index_that_holds_the_queries_gives_the_figures_of_one_that_leaves_them_out(scing, finished, world, here):
    """The guide's `embed --split query --append`; the queries are the gallery's own files here, by another path."""
    Path("link").symlink_to(world, target_is_directory=True)
    rows = ["path,identity,camera,split"]
    rows += [f"{file},{file.name[:4]},{file.name[6]},query" for file in sorted((world / "query").glob("*.jpg"))]
    Path("mine.csv").write_text("\n".join(rows) + "\n")
    linked = "\n".join(row.replace(str(world), "link").replace(",query", ",gallery") for row in rows)
    Path("linked.csv").write_text(linked + "\n")
    exact = ("--run", finished, "--precision", "fp32")  # as evaluate embeds: other digits may give another first hit
    assert scing("embed", *exact).code == 0
    assert scing("embed", *exact, "--data", "linked.csv", "--append", "--json").json["count"] == 36
    command = ("evaluate", "--run", finished, "--data", "mine.csv", "--index", "gallery.faiss", "--json")
    for protocol in ("market", "no-camera"):
        found = scing(*command, "--protocol", protocol).json
        index = GalleryIndex.read(Path("gallery.faiss"))
        expected = rank1_by_loops(index, list(range(18, 36)), protocol)
        assert found["rank1"] == pytest.approx(expected)


def rank1_by_loops(index, queries, protocol):
    vectors, rows = index.vectors().astype(np.float64), index.rows()
    right = []
    for query in queries:
        own = rows[query]
        others = [
            n
            for n, row in enumerate(rows)
            if n != query and not (protocol == "market" and (row.identity, row.camera) == (own.identity, own.camera))
        ]
        best = max(others, key=lambda n: vectors[n] @ vectors[query])
        right.append(rows[best].identity == own.identity)
    return 100 * sum(right) / len(right)


def test_all_splits_at_once_cannot_be_evaluated(scing, finished, here):
    refuse(scing("evaluate", "--run", finished, "--split", "all"), "--split all", "val")


# An index that grows


def test_append_looks_at_content_and_replaces_what_has_changed(scing, crops):
    command = ("embed", *MODEL, "--images", crops, "--append", "--json")
    first = scing(*command).json
    assert (first["added"], first["replaced"], first["skipped"], first["count"]) == (5, 0, 0, 5)
    touch(crops / "1.png")
    before = Path("gallery.faiss").read_bytes()
    touched = scing(*command).json
    assert (touched["added"], touched["replaced"], touched["skipped"], touched["count"]) == (0, 0, 5, 5)
    assert Path("gallery.faiss").read_bytes() == before
    noise(crops / "2.png", 77)
    noise(crops / "new.png", 78)
    changed = scing(*command).json
    assert (changed["added"], changed["replaced"], changed["skipped"], changed["count"]) == (1, 1, 4, 6)
    index = GalleryIndex.read(Path("gallery.faiss"))
    assert [(row.id, Path(row.path).name) for row in index.rows()] == [
        (0, "0.png"), (1, "1.png"), (3, "3.png"), (4, "4.png"), (5, "2.png"), (6, "new.png"),
    ]  # fmt: skip
    assert scing("search", crops / "2.png", "--index", "gallery.faiss", "-k", "1", "--json").json["results"][0]["hits"][
        0
    ]["score"] == pytest.approx(1, abs=1e-6)
    noise(crops / "2.png", 79)
    assert "1 had changed and were replaced, 5 were there already" in " ".join(scing(*command[:-1]).out.split())


def test_an_image_named_twice_is_embedded_once(scing, crops):
    rows = [f"crops/{n}.png\n../here/crops/{n}.png\n" for n in range(5)]
    Path("mine.csv").write_text("path\n" + "".join(rows))
    result = scing("embed", *MODEL, "--data", "mine.csv", "--split", "all", "--json")
    assert (result.json["added"], result.json["count"]) == (5, 5)
    assert "5 rows repeat an image under another spelling of its path: counted once." in result.err
    again = scing("embed", *MODEL, "--images", crops, "--append", "--json").json
    assert (again["added"], again["skipped"]) == (0, 5)


def test_a_missing_image_is_named(scing, crops):
    Path("mine.csv").write_text("path\ncrops/1.png\ncrops/none.png\n")
    command = ("embed", *MODEL, "--data", "mine.csv", "--split", "all")
    refuse(scing(*command, "--strict"), "none.png")
    assert not Path("gallery.faiss").exists()
    said = scing(*command)
    assert said.code == 0
    assert "none.png: is missing" in said.err


HOLD = "import sys, time; from pathlib import Path; from scing_cli.core.index import write_lock\n"
HOLD += "with write_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(1800)"


def test_a_second_writer_is_told_and_a_killed_one_leaves_no_lock(scing, crops, monkeypatch):
    command = ("embed", *MODEL, "--images", crops)
    assert scing(*command).code == 0
    before = Path("gallery.faiss").read_bytes()
    holder = subprocess.Popen([sys.executable, "-c", HOLD, "gallery.faiss"], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        monkeypatch.setattr(index_lock, "PATIENCE", 0.3)
        noise(crops / "new.png", 9)
        refuse(scing(*command, "--append"), "Another process is writing gallery.faiss")
        refuse(scing(*command, "--force"), "Another process is writing gallery.faiss")
        assert Path("gallery.faiss").read_bytes() == before
        assert scing("search", crops / "1.png", "--index", "gallery.faiss").code == 0
    finally:
        holder.kill()
        holder.communicate()
    assert scing(*command, "--append", "--json").json["added"] == 1
    assert sorted(path.name for path in Path().glob("*gallery*")) == ["gallery.faiss", "gallery.rows-2"]


def test_two_that_append_at_once_lose_nothing(finished, crops, monkeypatch):
    from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice, embed
    from scing_cli.core.workflows.shared.model import ModelChoice

    (other := crops.with_name("more")).mkdir()
    for number in range(4):
        noise(other / f"{number}.png", 100 + number)
    monkeypatch.setattr(index_lock, "PATIENCE", HANG)

    def append(folder):
        return embed(ModelChoice(run=finished), GalleryChoice(images=folder), append=True).added

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(append, (crops, other))) == [5, 4]
    assert len(GalleryIndex.read(Path("gallery.faiss"))) == 9


def test_an_index_that_appeared_meanwhile_is_not_replaced(scing, crops, monkeypatch):
    from scing_cli.core.workflows.embed import partial_index

    files = partial_index.embed_files

    def slow(*arguments, **options):
        vectors = files(*arguments, **options)
        Path("gallery.faiss").write_text("another's")
        return vectors

    monkeypatch.setattr(partial_index, "embed_files", slow)
    refuse(scing("embed", *MODEL, "--images", crops), "gallery.faiss is there already")
    assert Path("gallery.faiss").read_text() == "another's"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("x.idx", "the name of an index ends in .faiss"),
        ("none/x.faiss", "there is no folder none"),
        ("/proc/x.faiss", "Cannot write /proc/x.faiss"),
        (".", "the name of an index ends in .faiss"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_the_work(scing, world, here, monkeypatch, output, message):
    from scing_cli.core.workflows.embed import embed_gallery

    if output.startswith("/proc") and not Path("/proc/self").is_dir():
        pytest.skip("a folder that nobody can write")
    monkeypatch.setattr(embed_gallery, "open_and_list", None)  # it would fail otherwise
    for option in ((), ("--append",), ("--force",)):
        refuse(scing("embed", *MODEL, "--data", world, "--output", output, *option), message)
    nothing_in(here)


# Search


def test_a_folder_of_photos_is_searched_like_its_photos(scing, finished, world, here):
    index = finished.parent / "gallery.faiss"
    photos = sorted((world / "query").glob("*.jpg"))
    folder = scing("search", world / "query", "--index", index, "--batch-size", "5", "--json").json["results"]
    width, height = size(photos[0])
    boxed = scing("search", *photos, "--index", index, "--box", f"0,0,{width},{height}", "--json").json["results"]
    for photo, one, other in zip(photos, folder, boxed, strict=True):
        alone = scing("search", photo, "--index", index, "--json").json["results"][0]
        assert one["query"] == other["query"] == alone["query"] == str(photo)
        for same in (one, other):
            assert [hit["path"] for hit in same["hits"]] == [hit["path"] for hit in alone["hits"]]
            assert [hit["score"] for hit in same["hits"]] == pytest.approx(
                [hit["score"] for hit in alone["hits"]], abs=1e-6
            )


def test_the_picture_shows_a_bounded_part_and_says_so(scing, here):
    (here / "crops").mkdir()
    for number in range(60):
        noise(here / "crops" / f"{number:02}.png", number)
    assert scing("embed", *MODEL, "--images", "crops").code == 0
    (here / "crops" / "33.png").unlink()
    result = scing("search", "crops", "--index", "gallery.faiss", "-k", "55", "--montage", "out.png", "--json")
    assert "first 20 of 59 photos" in result.err
    assert "first 50 hits of each photo" in result.err
    assert {len(one["hits"]) for one in result.json["results"]} == {55}
    lines = size("out.png")[1]
    assert scing("search", "crops/00.png", "--index", "gallery.faiss", "-k", "50", "--montage", "one.png").code == 0
    assert lines > 5 * size("one.png")[1]


def test_an_excluded_camera_is_told_of(scing, finished, world, here):
    photo, index = min((world / "query").glob("*.jpg")), finished.parent / "gallery.faiss"
    command = ("search", photo, "--index", index, "--json", "-k", "15")
    fewer = scing(*command, "--exclude-camera", "1")
    assert len(fewer.json["results"][0]["hits"]) == 12
    assert "The filters leave 12 rows: all are shown (-k 15)" in fewer.err
    unknown = scing(*command, "--exclude-camera", "9", "--allow-missing")
    assert len(unknown.json["results"][0]["hits"]) == 15
    assert "Warning: --exclude-camera 9: the index has no row of that camera; known: 1, 2, 3." in unknown.err
    nothing = [option for camera in "123" for option in ("--exclude-camera", camera)]
    none = scing(*command, *nothing, "--montage", "none.png")
    assert none.json["results"][0]["hits"] == []
    assert "there are no hits" in none.err


def test_queries_get_the_descriptor_of_the_index(scing, finished, here):
    assert scing("embed", "--run", finished, "--descriptor", "concat", "--precision", "fp32").code == 0
    by_index = scing("evaluate", "--run", finished, "--index", "gallery.faiss", "--json")
    assert "holds the descriptor concat: the queries get it too" in by_index.err
    named = ("evaluate", "--run", finished, "--descriptor", "concat", "--json")
    assert by_index.json == scing(*named).json == scing(*named, "--index", "gallery.faiss").json


# Kept vectors


def test_kept_vectors_are_checked(scing, own_run, here):
    shutil.rmtree(own_run / "embeddings", ignore_errors=True)
    command = ("evaluate", "--run", own_run, "--json")
    first = scing(*command)
    assert scing(*command).err.count("kept from before") == 2
    (file,) = (own_run / "embeddings").glob("*query.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 64
    file.write_bytes(content)
    again = scing(*command)
    assert again.err.count("kept from before") == 1
    assert again.json == first.json
    assert json.loads(file.with_suffix(".json").read_text())["rows"] == 18
    assert scing(*command).err.count("kept from before") == 2


def test_a_run_that_cannot_be_written_is_evaluated_all_the_same(scing, own_run, here):
    shutil.rmtree(own_run / "embeddings", ignore_errors=True)
    expected = scing("evaluate", "--run", own_run, "--json").json
    shutil.rmtree(own_run / "embeddings")
    (own_run / "embeddings").write_text("in the way: nothing can be written here, not even by root")
    result = scing("evaluate", "--run", own_run, "--json")
    assert result.json == expected
    assert result.err.count("Warning: The vectors could not be kept for the next time") == 2


def test_long_work_shows_its_progress(scing, finished, world, here, monkeypatch):
    """Every bar that a large gallery would keep waiting at; plain lines appear after a second."""
    from scing_cli.commands import console

    class Clock:
        now = 0.0

        @classmethod
        def monotonic(cls):
            cls.now += 0.7
            return cls.now

    monkeypatch.setattr(console, "time", Clock)
    shown = scing("embed", "--run", finished).err
    assert "digests: 18/18" in shown
    assert "embed: 18/18" in shown
    assert "Ranking: 18/18" in scing("evaluate", "--run", finished).err
    photo = min((world / "query").glob("*.jpg"))
    found = scing("search", photo, "--index", "gallery.faiss", "--montage", "a.png").err
    assert "embed: 1/1" in found
    assert "read pictures: 10/10" in found


def test_a_montage_is_never_drawn_over_a_photo(scing, finished, world, here):
    photo = Path(shutil.copy(min((world / "query").glob("*.jpg")), "photo.jpg"))
    other = Path(shutil.copy(max((world / "query").glob("*.jpg")), "other.jpg"))
    index = finished.parent / "gallery.faiss"
    before = other.read_bytes()
    for target in (photo, other):
        refuse(
            scing("search", photo, "--index", index, "--montage", target), "--montage", "not a picture written by scing"
        )
    assert other.read_bytes() == before
    for _ in range(2):
        assert scing("search", photo, "--index", index, "--montage", "ranking.png").code == 0


# Pruning, and kinds of indexes


def test_rows_whose_files_are_gone_are_dropped(scing, crops):
    assert scing("embed", *MODEL, "--images", crops, "--output", "a.faiss").code == 0
    (crops / "1.png").unlink()
    (crops / "3.png").rename(crops / "9.png")
    told = scing("embed", "--prune", "--output", "a.faiss", "--json").json
    assert (told["removed"], told["added"], told["count"]) == (2, 0, 3)
    rows = GalleryIndex.read(Path("a.faiss")).rows()
    assert [(row.id, Path(row.path).name) for row in rows] == [(0, "0.png"), (2, "2.png"), (4, "4.png")]
    again = scing("embed", *MODEL, "--images", crops, "--output", "a.faiss", "--append", "--prune", "--json").json
    assert (again["removed"], again["added"], again["skipped"], again["count"]) == (0, 1, 3, 4)
    assert GalleryIndex.read(Path("a.faiss")).rows()[-1].id == 5
    crops.rename("unmounted")
    refuse(scing("embed", "--prune", "--output", "a.faiss"), "Every image of the index is missing", "disk mounted")
    assert len(GalleryIndex.read(Path("a.faiss"))) == 4


def test_pruning_and_appending_at_once_keeps_what_stays(scing, crops):
    assert scing("embed", *MODEL, "--images", crops, "--output", "a.faiss").code == 0
    (crops / "0.png").unlink()
    noise(crops / "7.png", 7)
    told = scing("embed", *MODEL, "--images", crops, "--output", "a.faiss", "--append", "--prune", "--json").json
    assert (told["removed"], told["added"], told["skipped"], told["count"]) == (1, 1, 4, 5)
    assert [row.id for row in GalleryIndex.read(Path("a.faiss")).rows()] == [1, 2, 3, 4, 5]


def test_what_pruning_cannot_go_with_is_refused(scing, crops):
    refuse(scing("embed", "--prune", "--output", "a.faiss"), "There is no index a.faiss")
    refuse(scing("embed", "--prune", "--output", "nowhere/a.faiss"), "no folder nowhere")
    assert not Path("nowhere").exists()
    refuse(scing("embed", "--prune", "--force", "--output", "a.faiss"), "--force has no effect with --prune")
    refuse(scing("embed", "--prune", "--images", crops), "--images has no effect with --prune without --append")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_index_is_searched_and_grows(scing, finished, world, here, kind):
    made = scing("embed", "--run", finished, "--index-type", kind, "--precision", "fp32", "--json").json
    assert made["kind"] == kind
    assert made["recall"] is None if kind == "flat" else 0.95 <= made["recall"] <= 1
    assert made["recall_rows"] == (None if kind == "flat" else made["count"])
    evaluated = scing("evaluate", "--run", finished, "--index", "gallery.faiss", "--json").json
    assert evaluated["mAP"] == scing("evaluate", "--run", finished, "--json").json["mAP"]
    grown = scing("embed", "--run", finished, "--split", "query", "--append", "--json").json
    assert (grown["kind"], grown["added"]) == (kind, 18)
    photo = min((world / "query").glob("*.jpg"))
    (query,) = scing("search", photo, "--run", finished, "--index", "gallery.faiss", "-k", 3, "--json").json["results"]
    assert Path(query["hits"][0]["path"]).name == photo.name
    assert query["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    shown = scing("embed", "--run", finished, "--append").out
    assert ("recall@10 against flat is" in shown) == (kind != "flat")
    other = "hnsw" if kind == "flat" else "flat"
    refuse(
        scing("embed", "--run", finished, "--append", "--index-type", other),
        f"is of the type {kind}, but --index-type is {other}",
    )
    refuse(scing("embed", "--run", finished, "--index-type", "pq"), "--index-type 'pq' is unknown", "flat, ivf, hnsw")


def test_the_guides_lines_use_the_index_without_scing(scing, finished, here):
    assert scing("embed", "--run", finished).code == 0
    (code,) = [text for language, text in blocks(GUIDE / "index.md") if language == "python"]
    assert "faiss.read_index" in code
    assert "scing_cli" not in code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    first = GalleryIndex.read(Path("gallery.faiss")).rows()[0]
    assert len(lines) == 5
    assert float(lines[0].split()[0]) == pytest.approx(1, abs=1e-5)
    assert lines[0].endswith(f"{first.path} {first.identity} {first.camera}")
