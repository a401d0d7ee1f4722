"""`scing prepare` in detail: which files it replaces, its options, published counts, Ctrl-C."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import HANG
from pipeline.test_refused import nothing_in, refuse

from scing_cli.core.datasets.published_counts import PUBLISHED

HAND_MADE = (
    "path,identity\nphoto.jpg,me\n",
    "path,identity,camera,split,caption\nphoto.jpg,me,1,train,\n",
    "a letter, no table\n",
)


@pytest.mark.parametrize("content", HAND_MADE)
def test_a_file_of_somebody_is_not_overwritten(scing, world, here, content):
    own = Path(f"{world.name}.csv")
    own.write_text(content)
    refuse(scing("prepare", world), own.name, "already exists", "--output")
    assert own.read_text() == content
    refuse(scing("prepare", world, "--output", own), own.name, "--output")
    assert scing("prepare", world, "--output", "other.csv", "--json").json["manifest"] == "other.csv"
    assert own.read_text() == content


def test_a_split_made_by_hand_is_not_overwritten(scing, world, here):
    assert scing("prepare", world).code == 0
    own = Path(f"{world.name}.csv")
    edited = own.read_text().replace(",train,", ",val,", 3)
    own.write_text(edited)
    refuse(scing("prepare", world), "line 2", "another identity, camera or split", "--output")
    assert own.read_text() == edited


def test_a_manifest_of_the_same_data_is_replaced(scing, own_world, here):
    first = scing("prepare", own_world, "--json").json
    before = Path(first["manifest"]).read_text()
    assert scing("prepare", own_world, "--json").json == first
    assert Path(first["manifest"]).read_text() == before
    min((own_world / "query").glob("*.jpg")).unlink()
    assert scing("prepare", own_world, "--json").json["parts"]["query"]["images"] == 17
    assert Path(first["manifest"]).read_text().count("\n") == before.count("\n") - 1


def test_a_csvs_manifest_is_replaced_and_the_csv_itself_never(scing, world, here):
    photo = min((world / "query").glob("*.jpg"))
    Path("mine.csv").write_text(f"path,identity\n{photo},1\n")
    assert scing("prepare", "mine.csv").code == scing("prepare", "mine.csv").code == 0
    refuse(scing("prepare", "mine.csv", "--output", "mine.csv"), "is the source file itself", "--output")
    assert Path("mine.csv").read_text() == f"path,identity\n{photo},1\n"


def test_no_world_is_drawn_where_its_manifest_cannot_be_written(scing, here):
    Path("crowd.csv").write_text("path\nphoto.jpg\n")
    refuse(scing("prepare", "crowd", "--synthetic", "--identities", "2"), "crowd.csv", "--output")
    assert [path.name for path in here.iterdir()] == ["crowd.csv"]


def test_a_new_world_of_the_same_name_replaces_the_old_ones_manifest(scing, here):
    draw = ("prepare", "crowd", "--synthetic", "--cameras", "2", "--images-per-camera", "1", "--json", "--identities")
    assert scing(*draw, "3").code == 0
    Path("crowd").rename("old")
    assert scing(*draw, "2").json["parts"]["train"] == {"identities": 2, "images": 4, "cameras": 2, "captions": 4}


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--workers", "-1"), ("--workers -1: must be at least 1.",)),
        (("--workers", "0"), ("--workers 0: must be at least 1.",)),
        (("--batch-size", "0"), ("--batch-size 0: must be at least 1.",)),
        (("--device", "tpu"), ("--device 'tpu' is unknown", "auto, cpu, cuda")),
        (("--precision", "fp8"), ("--precision 'fp8' is unknown", "auto, fp32, bf16")),
        (("--identities", "4"), ("--identities has no effect without --synthetic", "Add --synthetic")),
        (("--test-identities", "4"), ("--test-identities", "--synthetic")),
        (("--cameras", "4"), ("--cameras", "--synthetic")),
        (("--images-per-camera", "1", "--cameras", "4"), ("--cameras, --images-per-camera", "--synthetic")),
        (("--occluded-queries",), ("--occluded-queries", "--synthetic")),
        (("--occluded-training", "0.5"), ("--occluded-training", "--synthetic")),
        (("--wording", "unmet"), ("--wording", "--synthetic")),
        (("--layout", "duke"), ("'duke'", "market1501")),
    ],
)
def test_option_values(scing, world, here, options, parts):
    refuse(scing("prepare", world, *options), *parts)
    nothing_in(here)


@pytest.mark.parametrize("workers", ["-1", "0"])
def test_a_world_needs_workers_too(scing, here, workers):
    refuse(scing("prepare", "crowd", "--synthetic", "--workers", workers), f"--workers {workers}: must be at least 1.")
    nothing_in(here)


@pytest.mark.parametrize("wording", ["odd", "", "Unmet"])
def test_a_world_has_one_of_two_wordings(scing, here, wording):
    draw = ("prepare", "crowd", "--synthetic", "--wording", wording)
    refuse(scing(*draw), f"--wording {wording}: not a wording.", "Give one of: usual, unmet.")
    nothing_in(here)


@pytest.mark.parametrize("layout", ["csv", "duke"])
def test_a_world_has_its_own_layout(scing, here, layout):
    refuse(scing("prepare", "crowd", "--synthetic", "--layout", layout), f"--layout {layout}", "market1501")
    nothing_in(here)


@pytest.mark.parametrize("workers", [-1, 0])
def test_the_library_says_the_same(world, here, workers):
    from scing_cli.core.errors import SettingError
    from scing_cli.core.workflows.prepare.draw_world import draw_world
    from scing_cli.core.workflows.prepare.prepare_data import prepare

    for call in (lambda: prepare(world, workers=workers), lambda: draw_world(Path("crowd"), workers=workers)):
        with pytest.raises(SettingError, match=f"--workers {workers}: must be at least 1"):
            call()
    nothing_in(here)


def test_the_common_options_are_taken(scing, world, here):
    plain = scing("prepare", world, "--json").json
    options = ("--device", "cpu", "--precision", "fp32", "--batch-size", "8", "--workers", "1", "--seed", "3")
    assert scing("prepare", world, *options, "--json").json == plain
    shown = " ".join(scing("prepare", "--help").out.replace("│", " ").split())
    assert "No effect here; accepted so that all commands have the same options" in shown


def test_the_options_of_a_world_keep_their_defaults(scing, here):
    parts = scing("prepare", "crowd", "--synthetic", "--identities", "2", "--json").json["parts"]
    assert parts["train"] == {"identities": 2, "images": 2 * 4 * 2, "cameras": 4, "captions": 2 * 4 * 2}
    assert parts["query"] == {"identities": 2, "images": 2 * 4, "cameras": 4, "captions": 2 * 4}


def make_files(root, name):
    """Make empty files in Market-1501's layout with the published identities, images and cameras."""
    first = {"train": 1, "query": 2001, "gallery": 2001}
    folders = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    for part, count in PUBLISHED[name].parts.items():
        folder = root / folders[part]
        folder.mkdir(parents=True)
        for number in range(count.images):
            identity = first[part] + number % count.identities
            folder.joinpath(f"{identity:04}_c{number % count.cameras + 1}_f{number:07}.jpg").touch()
    return root


@pytest.fixture(scope="module")
def duke(tmp_path_factory):
    """Occluded-Duke's counts, in files that no decoder reads."""
    return make_files(tmp_path_factory.mktemp("published") / "Occluded_Duke", "Occluded-Duke")


def test_published_counts_stand_beside_those_found_within_eighty_columns(scing, duke, here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = scing("prepare", duke)
    assert result.code == 0
    assert result.err.count("Warning") == 0
    rows = [re.split(r"\s*[│┃]\s*", line)[1:-1] for line in result.out.splitlines() if line.startswith(("│", "┃"))]
    assert rows[0] == ["", "", "published", "", "published", "", "published"]
    assert rows[1] == ["part", "identities", "identities", "images", "images", "cameras", "cameras"]
    assert rows[2] == ["train", "702", "702", "15,618", "15,618", "8", "8"]
    assert rows[4] == ["gallery", "1,110", "1,110", "17,661", "17,661", "8", "8"]
    assert "Published: Occluded-Duke (images: its paper; identities: widely quoted, not found" in result.out
    assert "35,489 files unreadable, listed in the manifest with the reason:" in result.out
    assert max(len(line) for line in result.out.splitlines() if line.startswith(("│", "┃", "┏", "└"))) <= 80


def test_one_missing_image_is_warned_of_and_refused_when_strict(scing, duke, here):
    image = max((duke / "query").glob("*.jpg"))
    image.unlink()
    try:
        result = scing("prepare", duke, "--json")
        refuse(
            scing("prepare", duke, "--strict"),
            f"--strict: {duke} is not Occluded-Duke as published",
            "query has 2,209 images (published: 2,210)",
            "Leave out --strict",
        )
    finally:
        image.touch()
    assert result.code == 0
    assert result.err.count("Warning: ") == 1
    assert "Warning: This is not Occluded-Duke as published: query has 2,209 images (published: 2,210)." in result.err
    assert result.json["published"]["name"] == "Occluded-Duke"
    assert result.json["published"]["parts"]["train"] == {"identities": 702, "images": 15618, "cameras": 8}
    assert [one["part"] for one in result.json["published"]["differences"]] == ["query"]


def test_counts_without_a_source_warn_and_are_never_refused(scing, duke, here):
    image = min((duke / "query").glob("2001_c1_*.jpg"))
    renamed = image.rename(image.with_name("2999_c1_x.jpg"))
    try:
        result = scing("prepare", duke, "--strict")
    finally:
        renamed.rename(image)
    assert "Warning: Occluded-Duke: query has 520 identities (published: 519); no source was found" in result.err
    refuse(result, "--strict", "unreadable and 0 dropped")


def test_a_drawn_world_is_beside_no_published_counts(scing, world, here):
    assert scing("prepare", world, "--json").json["published"] is None
    assert "published" not in scing("prepare", world).out
    assert scing("prepare", world, "--strict").code == 0


def children_time():
    """Return the CPU seconds of all ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def interrupt(command, folder, begun):
    """Start a command, send it Ctrl-C as a terminal does (to it and what it started) once it has begun."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # a child inherits it if we ignore the signal
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "scing_cli", *command],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, former)
    try:
        end = time.monotonic() + HANG
        while not begun(process) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=HANG)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return process.returncode, out, err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_while_a_world_is_drawn(here, workers):
    command = ("prepare", "crowd", "--synthetic", "--identities", "400", "--workers", workers)
    result = interrupt(command, here, lambda _process: any(here.glob(".crowd*/bounding_box_train/*.jpg")))
    assert result == (130, "", "Interrupted.\n")
    nothing_in(here)


def test_ctrl_c_while_images_are_opened(here, tmp_path):
    from PIL import Image

    big = tmp_path / "big.jpg"
    Image.effect_noise((2500, 2500), 60).save(big)
    rows = "".join(f"{number}.jpg\n" for number in range(400))
    for number in range(400):
        (tmp_path / f"{number}.jpg").hardlink_to(big)
    (tmp_path / "many.csv").write_text(f"path\n{rows}")

    def opened(process):
        links = Path(f"/proc/{process.pid}/fd")
        return links.is_dir() and any(os.path.realpath(link).endswith(".jpg") for link in links.iterdir())

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to see that images are being opened")
    before, start = children_time(), time.process_time()
    for _ in range(3):
        Image.open(big).load()
    all_of_them = (time.process_time() - start) / 3 * 400
    result = interrupt(("prepare", str(tmp_path / "many.csv"), "--workers", "1"), here, opened)
    assert result == (130, "", "Interrupted.\n")
    assert children_time() - before < all_of_them / 2
    nothing_in(here)


def test_a_usage_error_keeps_its_code_and_help_is_no_error(scing, here):
    wrong = scing("prepare", "--nonsense")
    assert wrong.code == 2
    assert "No such option" in wrong.err
    assert "Interrupted" not in wrong.err
    helped = scing("prepare", "--help")
    assert (helped.code, helped.err) == (0, "")
