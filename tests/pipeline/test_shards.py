"""`scing embed --shards` and `--merge`: together the bytes of one process, whoever does which part."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import pytest

from scing_cli.core.artifacts import file_digest, write_json
from scing_cli.core.index import GalleryIndex, index_lock, read_stamp, write_lock
from scing_cli.core.synthetic import write_world
from scing_cli.core.workflows.embed import embed_shards as module
from scing_cli.core.workflows.embed import embed_work
from scing_cli.core.workflows.embed import merge_shards as merge_module
from scing_cli.core.workflows.embed.shard_plan import read_plan

BATCH = ("--batch-size", "4")


@pytest.fixture
def embed(scing, finished, crops, here):
    def run(*more, images=crops, output="g.faiss", batch=BATCH):
        return scing("embed", "--run", finished, "--images", images, "--output", output, *batch, *more)

    return run


class Killed(BaseException):
    """The end of a process, which no code of it hears of."""


@pytest.fixture
def killed_at(monkeypatch):
    """Run a merge that ends where it would call a function."""

    def gone(*_given, **_named):
        raise Killed

    def run(name, command):
        with monkeypatch.context() as patch:
            patch.setattr(merge_module, name, gone)
            with pytest.raises(Killed):
                command()

    return run


def bytes_of(name):
    return [file_digest(file) for file in (name, name.with_suffix(".rows-1"))]


def test_the_merged_index_has_the_bytes_of_one_process(scing, embed, here):
    assert embed(output="one.faiss").code == 0
    first = embed("--shards", "5", "--shard", "3", "--json").json
    assert (first["made"], first["shards"], first["missing"], first["added"]) == ([3], 5, [0, 1, 2, 4], 8)
    again = embed("--shards", "5", "--shard", "3")
    assert "Shard 3 is there already." in again.err
    early = scing("embed", "--merge", "--output", "g.faiss")
    assert early.code == 2
    assert "4 of 5 shards are missing in g.shards: 0-2, 4." in early.err
    rest = embed("--shards", "5")
    assert "4 shards made here, with 22 rows; 5 of 5 are there. Next: scing embed --merge --output g.faiss" in " ".join(
        rest.out.split()
    )
    done = scing("embed", "--merge", "--output", "g.faiss", "--json")
    assert (done.json["added"], done.json["count"], done.json["left_out"]) == (30, 30, [])
    assert bytes_of(here / "g.faiss") == bytes_of(here / "one.faiss")
    assert not (here / "g.shards").exists()
    assert "There are no shards of h.faiss" in scing("embed", "--merge", "--output", "h.faiss").err


def test_more_shards_than_batches_leave_some_empty(scing, embed, here):
    made = embed("--shards", "40", "--json").json
    assert len(made["made"]) == 8
    assert embed("--shards", "40", "--shard", "0").code == 0
    assert scing("embed", "--merge", "--output", "g.faiss", "--index-type", "hnsw").code == 0
    assert read_stamp(here / "g.faiss").kind == "hnsw"


def test_images_that_cannot_be_read_are_left_out_and_listed(scing, embed, crops, here):
    """All of one shard, and one of another."""
    files = sorted(crops.iterdir())
    for file in (*files[8:12], files[2]):
        file.write_bytes(b"no image")
    assert embed(output="one.faiss").code == 0
    made = embed("--shards", "8")
    assert "5 of 30 images cannot be read and are left out." in made.err
    assert not list((here / "g.shards").glob("0002*.faiss"))
    assert len(list((here / "g.shards").glob("0003*.faiss"))) == 1
    merged = scing("embed", "--merge", "--output", "g.faiss")
    assert "5 of 30 images cannot be read and are left out. All are listed in g.left-out.csv." in merged.err
    assert bytes_of(here / "g.faiss") == bytes_of(here / "one.faiss")
    ours, theirs = (list(csv.reader((here / f"{name}.left-out.csv").open())) for name in ("g", "one"))
    assert ours == theirs
    assert len(ours) == 6
    strict = embed("--shards", "8", "--strict", output="s.faiss")
    assert (strict.code, "Without --strict, they are left out" in strict.err) == (2, True)


def test_no_image_at_all(scing, embed, crops, here):
    for file in crops.iterdir():
        file.write_bytes(b"no image")
    assert embed("--shards", "3").code == 0
    told = scing("embed", "--merge", "--output", "g.faiss")
    assert told.code == 2
    assert "None of the 30 images can be read:" in told.err
    assert not (here / "g.faiss").exists()


@pytest.mark.parametrize("how", ["moved away", "empty", "of another user"])
def test_a_machine_that_does_not_reach_the_images_finishes_no_shard(scing, embed, crops, here, monkeypatch, how):
    assert embed(output="one.faiss").code == 0
    assert embed("--shards", "5", "--shard", "0").code == 0
    away = crops.rename(here / "away")
    if how != "moved away":
        crops.mkdir()
    if how == "of another user":
        for file in away.iterdir():
            shutil.copy2(file, crops)

        def forbidden(file, *more):
            raise PermissionError(13, "Permission denied", str(file))

        monkeypatch.setattr("scing_cli.core.index.rows.file_digest", forbidden)
    told = embed("--shards", "5")
    assert (told.code, "Is their disk mounted on this machine" in told.err) == (2, True), told.err
    assert read_plan(here / "g.shards").missing() == [1, 2, 3, 4]
    monkeypatch.undo()
    monkeypatch.chdir(here)
    shutil.rmtree(crops, ignore_errors=True)
    away.rename(crops)
    assert embed("--shards", "5").code == 0
    assert scing("embed", "--merge", "--output", "g.faiss").code == 0
    assert bytes_of(here / "g.faiss") == bytes_of(here / "one.faiss")


def test_an_image_that_was_deleted_since_the_listing_is_left_out(scing, embed, crops, here):
    assert embed("--shards", "5", "--shard", "0").code == 0
    max(crops.iterdir()).unlink()
    assert embed("--shards", "5").code == 0
    assert scing("embed", "--merge", "--output", "g.faiss", "--json").json["count"] == 29


def test_labels_cameras_and_a_data_set(scing, finished, world, here):
    shared = ("embed", "--run", finished, "--data", world, *BATCH)
    assert scing(*shared, "--output", "one.faiss").code == 0
    assert scing(*shared, "--output", "g.faiss", "--shards", "3").code == 0
    assert scing("embed", "--merge", "--output", "g.faiss").code == 0
    assert bytes_of(here / "g.faiss") == bytes_of(here / "one.faiss")
    assert {row.identity for row in GalleryIndex.read(here / "g.faiss").rows()} != {""}


def test_several_folders_of_images(scing, finished, world, here):
    """In another order they are another plan."""
    folders = ("--images", world / "query", "--images", world / "bounding_box_test")
    shared = ("embed", "--run", finished, *BATCH)
    assert scing(*shared, *folders, "--output", "one.faiss").code == 0
    assert scing(*shared, *folders, "--output", "g.faiss", "--shards", "3", "--shard", "1").code == 0
    turned = scing(*shared, *folders[2:], *folders[:2], "--output", "g.faiss", "--shards", "3")
    assert (turned.code, "this command has images" in turned.err) == (2, True), turned.err
    assert scing(*shared, *folders, "--output", "g.faiss", "--shards", "3").code == 0
    assert scing("embed", "--merge", "--output", "g.faiss").code == 0
    assert bytes_of(here / "g.faiss") == bytes_of(here / "one.faiss")


def test_several_data_sets(scing, finished, world, tmp_path_factory, here):
    other = tmp_path_factory.mktemp("data") / "other"
    write_world(other, identities=4, cameras=2, images_per_camera=1, seed=9, workers=1)
    shared = ("embed", "--run", finished, "--data", world, "--data", other, *BATCH)
    assert scing(*shared, "--output", "one.faiss").code == 0
    assert scing(*shared, "--output", "g.faiss", "--shards", "5").code == 0
    assert scing("embed", "--merge", "--output", "g.faiss").code == 0
    assert bytes_of(here / "g.faiss") == bytes_of(here / "one.faiss")


def test_processes_that_work_in_other_folders(scing, embed, crops, here, monkeypatch):
    """What is relative to the folder that a process works in is the same place for all of them."""
    assert embed(output="one.faiss").code == 0
    assert embed("--shards", "4", "--shard", "2", images=crops.relative_to(here)).code == 0
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    assert embed("--shards", "4", output="../g.faiss", images=f"../{crops.name}").code == 0
    monkeypatch.chdir(here.parent)
    assert scing("embed", "--merge", "--output", here / "g.faiss").code == 0
    assert bytes_of(here / "g.faiss") == bytes_of(here / "one.faiss")


@pytest.mark.parametrize("portion", [1, 7])
def test_portions_of_a_shard(scing, embed, here, monkeypatch, portion):
    assert embed(output="one.faiss").code == 0
    monkeypatch.setattr(embed_work, "PORTION", portion)
    assert embed("--shards", "2").code == 0
    assert scing("embed", "--merge", "--output", "g.faiss").code == 0
    assert bytes_of(here / "g.faiss") == bytes_of(here / "one.faiss")


def test_observations_in_several_spectra(scing, spectra, here):
    shared = ("embed", "--model", "scing-tiny", "--data", spectra, "--split", "all", "--spectra", "rgb,nir,tir", *BATCH)
    assert scing(*shared, "--output", "one.faiss").code == 0
    assert scing(*shared, "--output", "g.faiss", "--shards", "4").code == 0
    assert scing("embed", "--merge", "--output", "g.faiss").code == 0
    assert bytes_of(here / "g.faiss") == bytes_of(here / "one.faiss")


def test_the_listing_is_made_once(scing, embed, crops, here):
    """An image that comes later is for --append."""
    assert embed("--shards", "4", "--shard", "0").code == 0
    shutil.copy(next(crops.iterdir()), crops / "later.jpg")
    assert embed("--shards", "4").code == 0
    assert scing("embed", "--merge", "--output", "g.faiss", "--json").json["count"] == 30
    assert embed("--append", "--json").json["added"] == 1


def test_another_wish_than_the_plan_is_refused(scing, embed, world, here):
    assert embed("--shards", "4", "--shard", "0").code == 0
    others = [
        (("--shards", "5"), {}, "a plan with shards 4; this command has shards 5"),
        (("--shards", "4"), {"batch": ("--batch-size", "2")}, "batch size 4; this command has batch size 2"),
        (("--shards", "4", "--precision", "fp32"), {}, "this command has"),
        (("--shards", "4", "--descriptor", "concat"), {}, "descriptor projected; this command has descriptor concat"),
        (("--shards", "4"), {"images": world / "query"}, "this command has images"),
    ]
    for more, named, message in others:
        told = embed(*more, **named)
        assert (told.code, message in told.err) == (2, True), told.err
        assert "Use the same options on every machine." in told.err
    assert read_plan(here / "g.shards").missing() == [1, 2, 3]


def test_options_that_do_not_fit_are_refused(scing, embed, here):
    for more, message in (
        (("--shard", "1"), "--shard has no effect without --shards."),
        (("--shards", "4", "--shard", "4"), "--shard 4: the 4 shards have the numbers 0 to 3."),
        (("--shards", "4", "--append"), "--append has no effect with --shards."),
        (("--shards", "4", "--index-type", "ivf"), "--index-type has no effect with --shards."),
        (("--shards", "0"), "--shards 0: must be at least 1."),
        (("--merge",), "--run, --images have no effect with --merge."),
        (("--shards", "4", "--export", "x.onnx"), "no effect with --export"),
    ):
        told = embed(*more)
        assert (told.code, message in told.err) == (2, True), told.err
    for more in (("--append",), ("--prune",), ("--shards", "4"), ("--strict",), ("--compact",)):
        assert "no effect with --merge" in scing("embed", "--merge", "--output", "g.faiss", *more).err
    assert embed().code == 0
    assert "g.faiss is there already." in embed("--shards", "4").err
    assert not (here / "g.shards").exists()
    assert embed("--shards", "4", "--force").code == 0
    assert "is there already" in scing("embed", "--merge", "--output", "g.faiss").err
    assert scing("embed", "--merge", "--output", "g.faiss", "--force").code == 0


def test_foreign_cut_and_swapped_shards_are_named(scing, embed, here):
    assert embed("--shards", "4").code == 0
    folder = here / "g.shards"
    shutil.copytree(folder, here / "kept")
    indexes = sorted(folder.glob("*.faiss"))
    names = [index.name for index in indexes]
    assert [name[:5] for name in names] == ["0000-", "0001-", "0002-", "0003-"]

    def merge():
        told = scing("embed", "--merge", "--output", "g.faiss")
        assert told.code == 2
        assert not (here / "g.faiss").exists()
        shutil.rmtree(folder)
        shutil.copytree(here / "kept", folder)
        return told.err

    shutil.copy(indexes[1], indexes[2])
    assert f"{names[2]} is not shard 2 of this plan." in merge()
    shutil.copy(folder / "0001.json", folder / "0002.json")
    assert "0002.json is of another plan" in merge()
    indexes[3].write_bytes(indexes[3].read_bytes()[:-40])
    assert f"{names[3]} is cut short" in merge()
    indexes[3].unlink()
    told = merge()
    assert f"There is no index g.shards/{names[3]}" in told.replace(str(here) + "/", "")
    assert "run the embed command again with --shard 3" in told
    indexes[0].with_suffix(".rows-1").write_bytes(indexes[2].with_suffix(".rows-1").read_bytes())
    assert "it makes this shard anew" in merge()
    content = bytearray(indexes[1].read_bytes())
    content[90] ^= 1
    indexes[1].write_bytes(content)
    assert f"{names[1]} is damaged" in merge()
    (folder / "plan.json").write_text("{}")
    assert "checksum does not match" in merge()
    (folder / "mine.txt").write_text("mine")
    assert scing("embed", "--merge", "--output", "g.faiss").code == 0
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]


def test_a_damaged_mark_is_made_again(embed, here):
    assert embed("--shards", "4").code == 0
    (here / "g.shards" / "0002.json").write_text("{}")
    shutil.copy(here / "g.shards" / "0000.json", here / "g.shards" / "0003.json")
    assert embed("--shards", "4", "--shard", "2", "--json").json["made"] == [2]
    assert embed("--shards", "4", "--shard", "3", "--json").json["made"] == [3]


def test_a_shard_in_work_is_left_to_its_process(scing, embed, here):
    assert embed("--shards", "3", "--shard", "0").code == 0
    plan = read_plan(here / "g.shards")
    with write_lock(plan.work(1)):
        told = embed("--shards", "3", "--shard", "1")
        assert (told.code, "Nothing is left to do here." in told.err) == (0, True)
        assert embed("--shards", "3", "--json").json["missing"] == [1]
    assert embed("--shards", "3", "--json").json["made"] == [1]
    index = Path(plan.mark(2).index)
    with write_lock(plan.work(2)):
        assert "still makes shard 2" in scing("embed", "--merge", "--output", "g.faiss").err
        left = [index.name, index.with_suffix(".rows-1").name, "0002.json"]
        assert sorted(file.name for file in plan.folder.iterdir()) == [".0002.faiss.lock", *left]


def test_who_cannot_write_is_told_so(embed, here, monkeypatch):
    """It is not the same as a shard that another process makes."""
    assert embed("--shards", "3", "--shard", "0").code == 0

    def denied(file, **_options):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(index_lock, "acquire_lock", denied)
    for more in ((), ("--shard", "1")):
        told = embed("--shards", "3", *more)
        assert (told.code, "Permission denied" in told.err) == (2, True)


def test_an_interruption_says_what_is_there(embed, here, monkeypatch):
    make, made = module._make, []

    def interrupted(*given):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(make(*given))
        return made[-1]

    monkeypatch.setattr(module, "_make", interrupted)
    told = embed("--shards", "5")
    assert told.code == 130
    assert "Interrupted; 2 of 5 shards are there, 2 of them made here." in told.err
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert embed("--shards", "5", "--json").json["made"] == [2, 3, 4]


@pytest.mark.parametrize("more", [(), ("--shard", "1")])
def test_a_worker_that_comes_after_the_merge_ends_in_peace(scing, embed, here, monkeypatch, more):
    assert embed("--shards", "3").code == 0
    opened = module._opened

    def merged_meanwhile(plan, *given):
        found = opened(plan, *given)
        assert scing("embed", "--merge", "--output", "g.faiss").code == 0
        return found

    monkeypatch.setattr(module, "_opened", merged_meanwhile)
    told = embed("--shards", "3", *more)
    assert told.code == 0
    assert ("its shards were merged meanwhile." in told.err) == bool(more)
    assert not (here / "g.shards").exists()
    assert len(GalleryIndex.read(here / "g.faiss")) == 30


def test_a_worker_that_reads_the_listing_while_a_merge_ends_ends_in_peace(scing, embed, here, monkeypatch):
    assert embed("--shards", "3").code == 0
    open_model = module.open_model

    def merged_meanwhile(*given, **named):
        assert scing("embed", "--merge", "--output", "g.faiss").code == 0
        return open_model(*given, **named)

    monkeypatch.setattr(module, "open_model", merged_meanwhile)
    told = embed("--shards", "3")
    assert told.code == 0
    assert "its shards were merged meanwhile." in told.err
    assert not (here / "g.shards").exists()


def test_a_worker_that_waits_for_a_plan_does_not_make_it_again(scing, embed, here, monkeypatch):
    planning = module.planning

    def made_and_merged_meanwhile(*given):
        monkeypatch.setattr(module, "planning", planning)
        assert embed("--shards", "3").code == 0
        assert scing("embed", "--merge", "--output", "g.faiss").code == 0
        return planning(*given)

    monkeypatch.setattr(module, "planning", made_and_merged_meanwhile)
    told = embed("--shards", "3")
    assert told.code == 2
    assert "g.faiss is there already" in told.err
    assert not (here / "g.shards").exists()


def test_shards_that_cannot_be_removed_do_no_harm(scing, embed, here, monkeypatch):
    assert embed("--shards", "3").code == 0

    def denied(folder, **_named):
        raise PermissionError(1, "Operation not permitted", str(folder))

    with monkeypatch.context() as patch:
        patch.setattr(merge_module, "sweep_shards", denied)
        told = scing("embed", "--merge", "--output", "g.faiss")
    assert told.code == 0
    assert "g.shards is merged, but cannot be removed: Operation not permitted." in told.err
    assert len(GalleryIndex.read(here / "g.faiss")) == 30
    assert embed("--shards", "3", "--force").code == 0
    assert scing("embed", "--merge", "--output", "g.faiss", "--force").code == 0


def test_a_merge_that_ended_before_it_removed_the_shards_is_settled(scing, embed, crops, here, killed_at):
    """What it merged is not taken for the work of a later command, whose images are others by now."""
    assert embed("--shards", "3").code == 0

    killed_at("_remove", lambda: scing("embed", "--merge", "--output", "g.faiss"))
    assert GalleryIndex.read(here / "g.faiss").stamp.count == 30
    first, *_, last = sorted(crops.iterdir())
    shutil.copyfile(last, first)
    again = embed("--shards", "3", "--force")
    assert "has the shards of g.shards already: they are removed." in again.err
    assert scing("embed", "--merge", "--output", "g.faiss", "--force").code == 0
    vectors = GalleryIndex.read(here / "g.faiss").vectors()
    assert abs(float(vectors[0] @ vectors[-1]) - 1) < 1e-5
    assert embed("--shards", "3", "--force").code == 0
    killed_at("join", lambda: scing("embed", "--merge", "--output", "g.faiss", "--force"))
    assert scing("embed", "--merge", "--output", "g.faiss", "--force").code == 0


@pytest.mark.parametrize("more", [(), ("--force",)])
def test_a_merge_that_was_killed_at_its_end_is_ended_by_the_same_command(scing, embed, crops, here, killed_at, more):
    """It used to say that the index is there already, and the list of unreadable images was never written."""
    min(crops.iterdir()).write_bytes(b"no image")
    assert embed("--shards", "3").code == 0

    killed_at("report_passed", lambda: scing("embed", "--merge", "--output", "g.faiss"))
    assert not (here / "g.left-out.csv").exists()
    again = scing("embed", "--merge", "--output", "g.faiss", "--json", *more)
    assert again.code == 0, again.err
    assert (again.json["added"], again.json["count"], len(again.json["left_out"])) == (29, 29, 1)
    assert (here / "g.left-out.csv").exists()
    assert not (here / "g.shards").exists()


@pytest.mark.parametrize("there", [True, False])
def test_shards_stay_if_another_command_changed_the_index_after_a_merge_was_killed(
    scing, embed, crops, here, tmp_path, monkeypatch, there
):
    """A nightly append has written the index since: nobody has merged the shards."""
    nightly = tmp_path / "nightly"
    nightly.mkdir()
    shutil.copyfile(min(crops.iterdir()), nightly / "new.jpg")
    if there:
        assert embed("--append", images=nightly).code == 0
    assert embed("--shards", "3", *(["--force"] if there else [])).code == 0

    def killed(*_given, **_named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(merge_module, "join", killed)
        assert scing("embed", "--merge", "--output", "g.faiss", "--force").code == 130
    (nightly / "new.jpg").rename(nightly / "newer.jpg")
    assert embed("--append", images=nightly).code == 0
    merged = scing("embed", "--merge", "--output", "g.faiss", "--force")
    assert merged.code == 0, merged.err
    assert "was changed after a merge that did not end, and lacks the shards of" in merged.err
    assert GalleryIndex.read(here / "g.faiss").stamp.count == 30


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"former": 3}', b"\xff\xfe", {}, {"former": ""}, {"former": [], "newest": 0},
     {"former": "a/b", "newest": 0}, {"former": "", "newest": -1}, {"former": "", "newest": 0, "format": 9}],
    ids=str,
)  # fmt: skip
def test_a_damaged_mark_of_a_merge_is_told(scing, embed, here, text):
    """Cut, edited or with values that nobody writes: one message, and nothing is removed or merged."""
    assert embed("--shards", "3").code == 0
    mark = here / "g.shards" / "merging.json"
    if isinstance(text, dict):
        write_json(mark, {"format": 1, **text})
    else:
        mark.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = sorted(mark.parent.iterdir())
    for told in (scing("embed", "--merge", "--output", "g.faiss"), embed("--shards", "3")):
        assert (told.code, told.err.count("Error:")) == (2, 1), told.err
        assert "g.shards/merging.json" in told.err
        assert sorted(mark.parent.iterdir()) == before
    mark.unlink()
    assert scing("embed", "--merge", "--output", "g.faiss").code == 0


def test_what_was_passed_over_is_counted_by_the_merge(scing, embed, crops, here):
    """Also of a name that is not UTF-8."""
    for name in ("notes.txt", "more.txt", ".hidden"):
        (crops / name).write_text("x")
    (crops / "gone.jpg").symlink_to("nowhere")
    (crops / os.fsdecode(b"\xff.dat")).write_text("x")
    plain = embed("--json", output="one.faiss").json
    assert embed("--shards", "3").code == 0
    merged = scing("embed", "--merge", "--output", "g.faiss", "--json")
    assert len(merged.json["passed_over"]) == 4
    kept = ("reason", "count")
    assert [[entry[key] for key in kept] for entry in merged.json["passed_over"]] == [
        [entry[key] for key in kept] for entry in plain["passed_over"]
    ]
    assert "Passed over: 1 dangling link" in " ".join(merged.err.split())
