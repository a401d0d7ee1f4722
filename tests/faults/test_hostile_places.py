"""Paths in a manifest, a run or an index are data: they are read, and only named files are written."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults.hostile import deadline, refused, rewrite
from patience import HANG
from PIL import Image
from tiny import TINY_MODEL

from scing_cli.core.errors import RunError
from scing_cli.core.runtime import Silent
from scing_cli.core.training.state import Checkpoints

TRAIN = ("--epochs", "1", "--batch-size", "8", "--instances", "2")
HOME = "~/photo.png"
STRANGE = (
    *(
        HOME,
        "$HOME/photo.png",
        "file:///etc/passwd",
        "http://127.0.0.1:9/x.png",
        "|touch marker",
        "$(touch marker).png",
    ),
    *(
        "",
        ".",
        "..",
        "/",
        "/dev/zero",
        "/dev/stdin",
        "/proc/self/mem",
        "../../../../../../etc/passwd",
        "CON",
        "a" * 300 + ".png",
    ),
    *("a/" * 2100 + "a.png", "\\\\host\\share\\x.png", "zeros.png", "pipe.png", "loop.png", "gone.png", "folder.png"),
)


def snapshot(folder: Path) -> dict[str, object]:
    """Return what lies below a folder: kinds, sizes, times and digests; of folders which names they hold."""
    found: dict[str, object] = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            file = Path(place, name)
            state = file.lstat()
            known = (state.st_mode, state.st_size, state.st_mtime_ns) if not file.is_dir() else (state.st_mode,)
            bytes_ = file.read_bytes() if file.is_file() and not file.is_symlink() else b""
            found[file.relative_to(folder).as_posix()] = (known, hashlib.sha256(bytes_).hexdigest())
    return found


def changes(before: dict[str, object], after: dict[str, object]) -> set[str]:
    """Return what came, went or changed."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def picture(file: Path, number: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    colour = (37 * number % 256, 91 * number % 256, 53 * number % 256)
    image = Image.new("RGB", (16, 32), colour)
    image.paste((255 - colour[0], colour[1], 128), (0, 0, 16, 4 + number % 20))
    image.save(file)


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """A folder that holds all there is to a command: home, cache, temporary files, data, and a folder to work in."""
    place = tmp_path / "sandbox"
    for name in ("here", "home", "cache", "temporary", "elsewhere", "data"):
        (place / name).mkdir(parents=True)
    for name, folder in (
        ("HOME", "home"),
        ("SCING_CACHE", "cache"),
        ("TMPDIR", "temporary"),
        ("XDG_CACHE_HOME", "home"),
    ):
        monkeypatch.setenv(name, str(place / folder))
    monkeypatch.chdir(place / "here")
    rows = [("path", "identity", "camera", "split")]
    for number in range(4):
        for part, split in enumerate(("train", "train", "query", "gallery")):
            way = (
                f"{split}{part}/{number}.png",
                f"../elsewhere/{split}{part}{number}.png",
                str(place / f"elsewhere/a{part}{number}.png"),
                f"x/../y/{part}{number}.png",
            )[number]
            (place / "data" / "x").mkdir(exist_ok=True)
            picture(place / "data" / way, number)
            rows.append((way, f"../../{number}", f"camera/../{part}", split))
    data = place / "data"
    os.mkfifo(data / "pipe.png")
    (data / "zeros.png").symlink_to("/dev/zero")
    (data / "loop.png").symlink_to("loop.png")
    (data / "gone.png").symlink_to("nowhere.png")
    (data / "folder.png").mkdir()
    with (data / "rows.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    with (data / "strange.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([*rows, *((way, "1", "", "gallery") for way in STRANGE if way)])
    picture(place / "home" / "photo.png", 9)
    return place


@pytest.fixture(params=["to be written", "read-only"])
def data(request, sandbox):
    """The data set; read-only, it cannot be written even by root."""
    folder = sandbox / "data"
    if request.param == "to be written":
        yield folder
        return
    if os.geteuid():
        for place in (folder, *folder.rglob("*")):
            if not place.is_symlink():
                place.chmod(place.stat().st_mode & 0o555)
        yield folder
        for place in (folder, *folder.rglob("*")):
            if not place.is_symlink():
                place.chmod(place.stat().st_mode | 0o200)
        return
    if not (mount("--bind", folder, folder) and mount("-o", "remount,bind,ro", folder)):
        pytest.skip("nothing may be mounted here")
    with pytest.raises(OSError, match="Read-only"):
        (folder / "new").touch()
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def mount(*arguments: object) -> bool:
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode == 0


def test_nothing_is_written_but_what_was_named(scing, sandbox, data):
    photo = data / "query2" / "0.png"
    before = snapshot(sandbox)

    def made_by(*command):
        nonlocal before
        ended = scing(*command)
        assert ended.code == 0, (command, ended.err)
        after = snapshot(sandbox)
        changed, before = changes(before, after), after
        return {name for name in changed if name.split("/")[0] != "cache"}

    assert made_by("prepare", data / "rows.csv", "--output", "m.csv", "--sheet", "s.png") == {
        "here/m.csv",
        "here/s.png",
    }
    model = ("--model", TINY_MODEL, "--pretrained", "random")
    for command in (
        ("train-prompts", "--data", data / "rows.csv", "--run", "run", *model, *TRAIN),
        ("train-visual", "--run", "run", *TRAIN),
    ):
        made = made_by(*command)
        assert made
        assert {name for name in made if not name.startswith("here/run")} == set()
    made = made_by("embed", "--run", "run", "--output", "g.faiss")
    assert {name for name in made if not name.startswith("here/run/visual/inference")} == {
        "here/g.faiss",
        "here/g.rows-1",
    }
    made = made_by("evaluate", "--run", "run", "--output", "report")
    assert {"here/report", "here/report/report.html", "here/run/embeddings", "here/run/report.json"} <= made
    kept = ("here/report", "here/run/embeddings", "here/run/report.json")
    assert {name for name in made if not name.startswith(kept)} == set()
    outputs = ("--csv", "h.csv", "--montage", "m.png", "--saliency", "why.png")
    made = made_by("search", photo, "--index", "g.faiss", *outputs)
    assert made == {"here/h.csv", "here/m.png", "here/why.png"}
    assert made_by("search", photo, "--index", "g.faiss") == set()
    assert made_by("prepare", data / "strange.csv", "--output", "strange.csv") == {"here/strange.csv"}
    made = made_by("embed", "--run", "run", "--data", "strange.csv", "--output", "strange.faiss")
    assert made == {"here/strange.faiss", "here/strange.rows-1"}
    made = made_by("evaluate", "--run", "run", "--data", "strange.csv")
    assert all(name.startswith("here/run/embeddings/strange-") for name in made)


def test_libraries_write_nothing_at_home(sandbox):
    """A process of its own: some libraries write when they are loaded first, such as a list of all fonts."""
    arrays = {"query": np.eye(4, dtype=np.float32), "query_identity": np.arange(4)}
    np.savez("a.npz", **arrays, gallery=arrays["query"], gallery_identity=arrays["query_identity"])
    around = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR"}
    command = [sys.executable, "-m", "scing_cli", "evaluate", "--embeddings", "a.npz", "--output", "report"]
    before = snapshot(sandbox)
    subprocess.run(command, env=around, check=True, capture_output=True, timeout=HANG)
    made = changes(before, snapshot(sandbox))
    assert {name for name in made if not name.startswith(("here/report", "cache"))} == set()


def test_strange_paths_are_told_each_with_its_reason(scing, sandbox):
    said = scing("prepare", "../data/strange.csv", "--output", "m.csv", "--json")
    assert said.code == 0, said.err
    lost = {entry["path"]: entry["reason"] for entry in (*said.json["unreadable"], *said.json["dropped"])}
    assert set(lost) == {way for way in STRANGE if way} - {HOME}  # the home folder has this file
    assert lost["/dev/zero"] == lost["pipe.png"] == lost["zeros.png"] == "is not a regular file"
    assert lost["gone.png"] == "is missing"
    assert "web address" in lost["http://127.0.0.1:9/x.png"]


@pytest.mark.parametrize("way", [way for way in STRANGE if way and way != HOME])
def test_a_strange_path_ends_each_command_that_must_read_it(scing, sandbox, way):
    """Where no `prepare` has marked it."""
    (sandbox / "data" / "one.csv").write_text("")
    with (sandbox / "data" / "one.csv").open("w", newline="") as stream:
        rows = [
            (own, str(part), str(part), split)
            for part in range(2)
            for split, own in (("train", way), ("query", way), ("gallery", way))
        ]
        csv.writer(stream).writerows([("path", "identity", "camera", "split"), rows[0], rows[1], rows[2]])
    model = ("--model", TINY_MODEL, "--pretrained", "random")
    table = sandbox / "data" / "one.csv"
    before = snapshot(sandbox / "here")
    for command in (
        ("embed", *model, "--data", table, "--output", "g.faiss"),
        ("evaluate", *model, "--data", table),
        ("train-prompts", *model, *TRAIN, "--data", table, "--run", "run"),
    ):
        assert refused(scing(*command)), command
    assert changes(before, snapshot(sandbox / "here")) == set()


@pytest.mark.parametrize("name", ["../../../outside", "SANDBOX/outside", "a/b", "..", "", "\0", "x" * 300, 5, None])
def test_what_a_run_calls_its_data_names_no_file_elsewhere(scing, name, own_run, sandbox):
    name = name.replace("SANDBOX", str(sandbox)) if isinstance(name, str) else name
    shutil.copytree(own_run, "run")
    rewrite(Path("run/run.json"), data={**json.loads(Path("run/run.json").read_text())["data"], "name": name})
    before = snapshot(sandbox)
    ended = scing("evaluate", "--run", "run")
    made = {own for own in changes(before, snapshot(sandbox)) if not own.startswith(("cache", "here/run/"))}
    assert made == set()
    assert ended.code == 0 or refused(ended, "run")
    assert not (sandbox.parent / "outside").exists()


@pytest.mark.parametrize("kind", ["a pipe", "a link to /dev/zero"])
def test_a_saved_step_that_is_no_ordinary_file_is_told(kind, tmp_path):
    class Told(Silent):
        def warn(self, text):
            told.append(text)

    told, saved = [], Checkpoints(tmp_path, "train-visual", facts={}, reporter=Told())
    step = tmp_path / "train-visual.000002-000000.safetensors"
    os.mkfifo(step) if kind == "a pipe" else step.symlink_to("/dev/zero")
    with deadline(), pytest.raises(RunError, match="No saved step"):
        saved.latest()
    assert [str(step) in text and "not a regular file" in text for text in told] == [True]


def test_a_lock_that_is_a_link_makes_no_file_elsewhere(scing, finished, sandbox):
    Path(".g.faiss.lock").symlink_to(sandbox / "home" / "made")
    assert refused(scing("embed", "--run", finished, "--output", "g.faiss"), "g.faiss")
    assert not (sandbox / "home" / "made").exists()


@pytest.mark.parametrize("option", ["--csv", "--montage", "--saliency", "--output"])
def test_an_output_that_is_a_link_is_replaced_not_followed(scing, option, finished, sandbox):
    name = {"--csv": "h.csv", "--output": "g.faiss"}.get(option, "p.png")
    kept = sandbox / "home" / name
    kept.write_bytes(b"")
    Path(name).symlink_to(kept)
    photo, index = sandbox / "data" / "query2" / "0.png", finished.parent / "gallery.faiss"
    command = ("search", photo, "--index", index) if option != "--output" else ("embed", "--run", finished, "--force")
    ended = scing(*command, option, name)
    assert kept.read_bytes() == b""
    assert ended.code == 0 or refused(ended, name)


def test_an_output_that_is_no_file_stays_what_it_is(scing, finished, sandbox):
    """A device, say: the superuser would put a file in its place."""
    photo, index, data = sandbox / "data" / "query2" / "0.png", finished.parent / "gallery.faiss", sandbox / "data"
    model = ("--model", TINY_MODEL, "--pretrained", "random")
    for name, command in {
        "m.csv": ("prepare", data / "rows.csv", "--output"),
        "s.png": ("prepare", data / "rows.csv", "--output", "made.csv", "--sheet"),
        "run": ("train-prompts", "--data", data / "rows.csv", *model, *TRAIN, "--run"),
        "g.faiss": ("embed", "--run", finished, "--force", "--output"),
        "report": ("evaluate", "--run", finished, "--output"),
        "h.csv": ("search", photo, "--index", index, "--csv"),
        "r.png": ("search", photo, "--index", index, "--montage"),
        "w.png": ("search", photo, "--index", index, "--saliency"),
    }.items():
        os.mkfifo(name)
        with deadline():
            assert refused(scing(*command, name), name), command
        assert Path(name).is_fifo()
