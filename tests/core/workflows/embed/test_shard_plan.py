"""The plan of shards: every image is in one shard, at the place that its batch begins at, and comes back as it was."""

from __future__ import annotations

import doctest
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import HANG

from scing_cli.core.artifacts import read_json, write_json
from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.errors import DataError, IndexFileError, SettingError
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.embed import make_shard_plan, merge_shards, shard_plan
from scing_cli.core.workflows.embed.listed_gallery import Listed
from scing_cli.core.workflows.embed.make_shard_plan import check_same, planning, write_plan
from scing_cli.core.workflows.embed.shard_plan import Mark, read_plan, shards_folder

MADE = {"model_digest": "a41f" * 16, "engine": "torch", "precision": "fp32", "descriptor": "projected", "width": 24}
ASKED = {"images": ["/crops"], "data": None, "layout": "auto", "split": "gallery"}
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


def planned(folder, listed, count, batch=4):
    made = {**MADE, "batch_size": batch}
    return write_plan(folder, listed, count, made_with=made, model={"model": "m", "pretrained": "p"}, asked=ASKED)


def listing(count, **more):
    return Listed(
        Manifest(Path("/crops"), tuple(Sample(f"{i}.jpg", str(i), "door") for i in range(count)), "x"), **more
    )


@settings(max_examples=60, deadline=None)
@given(total=st.integers(1, 90), count=st.integers(1, 30), batch=st.integers(1, 9), seen=st.booleans(), data=st.data())
def test_shards_are_whole_batches_and_together_the_listing(tmp_path_factory, total, count, batch, seen, data):
    extra = data.draw(st.lists(st.tuples(st.sampled_from(["nir", "scene", "caption_2", "mine"]), WORDS), max_size=3))
    words = data.draw(st.lists(WORDS, min_size=3, max_size=3))
    samples = tuple(
        Sample(f"{words[0]}/{i}.jpg", words[1], words[2], "gallery", "a coat", tuple(extra)) for i in range(total)
    )
    cameras = [f"{words[2]}{i}" for i in range(total)] if seen else None
    listed = Listed(Manifest(Path("/crops"), samples, "name"), cameras)
    folder = tmp_path_factory.mktemp("plan")
    plan = planned(folder, listed, count, batch)
    assert plan == read_plan(folder)
    found = [plan.listed(number) for number in range(count)]
    assert all(
        sum(shard.images for shard in plan.shards[:n]) % batch == 0 for n, each in enumerate(found) if each.manifest
    )
    sizes = [-(-shard.images // batch) for shard in plan.shards]
    assert max(sizes) - min(sizes) <= 1
    kept = tuple(pair for pair in extra if pair[1] and pair[0] != "caption_2")
    rows = [row for each in found for row in each.manifest]
    assert rows == [Sample(row.path, row.identity, row.camera, extra=kept) for row in samples]
    assert [name for each in found for name in each.cameras or []] == (cameras or [])
    assert plan.missing() == [number for number, shard in enumerate(plan.shards) if shard.images]


def test_a_mark_says_what_was_left_out(tmp_path):
    plan = planned(tmp_path, listing(10), 2)
    assert plan.mark(0) is None
    lost = (Dropped("/crops/ä \u202e.jpg", "is \u202e cut"),)
    plan.finish(0, Mark(3, lost, "0000-0a1b2c3d.faiss"))
    assert plan.mark(0) == Mark(3, lost, "0000-0a1b2c3d.faiss")
    assert plan.missing() == [1]
    assert planned(tmp_path / "few", listing(3), 2).mark(0) == Mark(0, ())


def test_a_mark_of_an_earlier_version_names_no_index(tmp_path):
    plan = planned(tmp_path, listing(10), 2)
    plan.finish(0, Mark(4, (), "0000.faiss"))
    content = read_json(plan.mark_file(0))
    del content["index"]
    write_json(plan.mark_file(0), content)
    assert plan.mark(0) == Mark(4, (), "0000.faiss")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plan": "f" * 64}, "is of another plan"),
        ({"shard": 1}, "is of another plan"),
        ({"rows": 7}, "does not have the number of images"),
        ({"rows": -1}, "has an invalid value"),
        ({"left_out": [["one"]]}, "has an invalid value"),
        ({"index": "../0000-0a1b2c3d.faiss"}, "has an invalid value"),
    ],
)
def test_a_mark_of_another_plan_or_with_odd_values_is_refused(tmp_path, change, message):
    plan = planned(tmp_path, listing(10), 2)
    plan.finish(0, Mark(4, (), "0000-0a1b2c3d.faiss"))
    content = read_json(plan.mark_file(0))
    write_json(plan.mark_file(0), content | change)
    with pytest.raises(IndexFileError, match=message) as told:
        plan.mark(0)
    assert "--shard 0" in told.value.remedy


def test_a_changed_listing_or_plan_is_refused(tmp_path):
    plan = planned(tmp_path, listing(10), 3)
    file = tmp_path / "listing.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"9.jpg", b"8.jpg"))
    assert len(plan.listed(0).manifest) == 0 or plan.listed(0).manifest.samples[0].path == "0.jpg"
    with pytest.raises(IndexFileError, match="was changed since the plan was made"):
        plan.listed(2)
    file.write_bytes(whole[:-3])
    with pytest.raises(IndexFileError, match="was changed"):
        plan.listed(2)
    file.unlink()
    with pytest.raises(IndexFileError, match="cannot be read"):
        plan.listed(2)
    for change in ({"shards": []}, {"root": ""}, {"made_with": {}}):
        content = read_json(tmp_path / "plan.json")
        write_json(tmp_path / "odd" / "plan.json", content | change)
        with pytest.raises(IndexFileError, match="has an invalid value"):
            read_plan(tmp_path / "odd")
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(IndexFileError, match="checksum"):
        read_plan(tmp_path)


def test_a_new_plan_takes_nothing_of_a_former_one(tmp_path):
    plan = planned(tmp_path, listing(10), 2)
    plan.finish(0, Mark(4, (), "0000-0a1b2c3d.faiss"))
    left = [
        "0000.faiss",
        "0000-0a1b2c3d.faiss",
        "0001-0a1b2c3d.rows-1",
        "0001.rows-3",
        ".0001.unfinished.faiss.lock",
        "0001.unfinished.vectors-2",
    ]
    left += [".0001.unfinished.rows-1.0a1b2c3d.part", ".0000.json.0a1b2c3d.part"]
    others = ["mine.txt", "0001.jpg", "g.faiss", "12.json"]
    for name in (*left, *others):
        (tmp_path / name).write_text("x")
    assert planned(tmp_path, listing(10), 2).missing() == [0, 1]
    assert {file.name for file in tmp_path.iterdir()} == {"plan.json", "listing.jsonl", *others}


def test_a_plan_that_is_gone_has_nothing_missing(tmp_path):
    plan = planned(tmp_path, listing(10), 2)
    (tmp_path / "plan.json").unlink()
    assert (plan.is_there(), plan.missing()) == (False, [])


def test_a_plan_is_made_of_its_content_alone(tmp_path):
    one, two, other = (planned(tmp_path / name, listing(count), 3) for name, count in (("a", 9), ("b", 9), ("c", 10)))
    assert one.digest == two.digest != other.digest
    lines = (tmp_path / "a" / "listing.jsonl").read_text().splitlines()
    assert json.loads(lines[3]) == ["3.jpg", "3", "door", [], None]


def test_another_wish_is_refused_by_name(tmp_path):
    plan = planned(tmp_path, listing(10), 2)
    check_same(plan, 2, {**ASKED, **MADE, "batch_size": 4})
    for count, wish, message in (
        (3, {}, "a plan with shards 2; this command has shards 3"),
        (2, {"images": ["/others"]}, "images /crops; this command has images /others"),
        (2, {"precision": "bf16"}, "precision fp32; this command has precision bf16"),
        (2, {"data": ["/m"]}, "data none; this command has data /m"),
    ):
        with pytest.raises(SettingError, match=message):
            check_same(plan, count, {**ASKED, **wish})


def test_who_comes_second_waits_for_the_listing(tmp_path, monkeypatch):
    class Notes(Silent):
        said = ""

        def note(self, text):
            self.said += text

    notes = Notes()
    monkeypatch.setattr(make_shard_plan, "PATIENCE", 0.2)
    with planning(tmp_path / "x", notes):
        assert not notes.said
        with pytest.raises(IndexFileError, match="is still locked"), planning(tmp_path / "x", notes):
            pass
    assert "Another process makes or merges the plan (process " in notes.said
    assert not (tmp_path / "x").exists()


def test_who_waits_for_a_folder_that_is_removed_gets_a_new_one(tmp_path):
    waiting = threading.Event()

    class Notes(Silent):
        def note(self, text):
            waiting.set()

    def come_second():
        with planning(tmp_path / "x", Notes()):
            return (tmp_path / "x").is_dir()

    with ThreadPoolExecutor(1) as pool:
        with planning(tmp_path / "x", Notes()):
            second = pool.submit(come_second)
            assert waiting.wait(HANG)
        assert second.result(HANG)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_is_not_utf8_is_refused(tmp_path):
    odd = Listed(Manifest(Path("/crops\udcff"), (Sample("a.jpg"),), "x"))
    with pytest.raises(DataError, match="not UTF-8"):
        planned(tmp_path, odd, 1)
    assert not list(tmp_path.iterdir())


def test_names_of_files_have_as_many_digits_as_they_need(tmp_path):
    plan = planned(tmp_path, listing(3), 20_000, 1)
    assert plan.work(7).name == "00007.faiss"
    assert re.fullmatch(r"00007-[0-9a-f]{8}\.faiss", plan.new_index(7).name)
    assert planned(tmp_path / "few", listing(3), 3, 1).mark_file(2).name == "0002.json"
    assert shards_folder(Path("a.b/g.x.faiss")) == Path("a.b/g.x.shards")


def test_the_examples_hold():
    for module in (shard_plan, merge_shards):
        assert doctest.testmod(module).failed == 0
