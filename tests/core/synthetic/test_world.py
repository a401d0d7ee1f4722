"""The written world: layout, sameness, refusals, and nothing left behind."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import PIL
import pytest
from patience import HANG
from PIL import Image, features

from scing_cli.core.artifacts import acquire_lock, release_lock
from scing_cli.core.errors import DataError, ScingError, SettingError
from scing_cli.core.runtime import Advance, Silent
from scing_cli.core.synthetic import WorldCounts, render_view, worker, write_world
from scing_cli.core.synthetic.plan import QUERY, TRAIN, Settings, plan

SMALL = {"identities": 5, "cameras": 3, "images_per_camera": 2, "occluded_queries": True}
NAME = re.compile(r"(\d{4})_c(\d)s1_(\d{6})_00\.jpg")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "a world"
    counts = write_world(folder, **SMALL, seed=3)
    assert counts == WorldCounts(identities=5, test_identities=5, cameras=3, train=30, query=15, gallery=30)
    return folder


def test_the_layout_is_market_1501s(world: Path) -> None:
    parts = {path.name: sorted(path.iterdir()) for path in world.iterdir() if path.is_dir()}
    assert {name: len(files) for name, files in parts.items()} == {
        "bounding_box_train": 30,
        "query": 15,
        "bounding_box_test": 30,
    }
    seen = {name: {NAME.fullmatch(file.name).groups()[:2] for file in files} for name, files in parts.items()}
    people = {name: {identity for identity, _ in pairs} for name, pairs in seen.items()}
    assert people["bounding_box_train"] == {"0001", "0002", "0003", "0004", "0005"}
    assert people["query"] == people["bounding_box_test"] == {"0006", "0007", "0008", "0009", "0010"}
    assert all({camera for _, camera in pairs} == {"1", "2", "3"} for pairs in seen.values())
    assert not {f.name for f in parts["query"]} & {f.name for f in parts["bounding_box_test"]}
    with Image.open(parts["query"][0]) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 128))


def test_more_people_to_train_on_leave_those_to_test_as_they_are() -> None:
    few, many = (
        list(plan(Settings(count, 2, 1, occluded_queries=False, seed=4, test_identities=3))) for count in (3, 8)
    )
    assert len({shot.identity for shot in many if shot.folder != QUERY and "train" in shot.folder}) == 8
    tested = [[shot.person for shot in shots if shot.folder == QUERY] for shots in (few, many)]
    assert tested[0] == tested[1]
    assert min(shot.identity for shot in many if shot.folder == QUERY) == 9


def test_every_image_has_a_caption_and_every_caption_an_image(world: Path) -> None:
    with (world / "captions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["path"] for row in rows) == sorted(name for name in digests(world) if name.endswith(".jpg"))
    assert all(len(row["caption"].split()) >= 6 and row["caption"].endswith(".") for row in rows)
    assert len({row["caption"] for row in rows}) > 0.8 * len(rows)


def test_train_and_test_people_differ() -> None:
    shots = list(plan(Settings(16, 2, 1, occluded_queries=False, seed=0, test_identities=16)))
    train = {shot.person for shot in shots if shot.folder == "bounding_box_train"}
    test = {shot.person for shot in shots if shot.folder != "bounding_box_train"}
    assert len(train) == len(test) == 16
    assert not train & test
    assert len({shot.path for shot in shots}) == len(shots)


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_workers(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "WORTH_PROCESSES", 1)
    write_world(tmp_path / "again", **SMALL, seed=3, workers=3)
    assert digests(tmp_path / "again") == digests(world)


def test_another_seed_gives_other_bytes(world: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "other", **SMALL | {"identities": 1}, seed=4)
    ours, theirs = digests(world), digests(tmp_path / "other")
    assert set(ours.values()).isdisjoint(theirs.values())


def test_occluded_queries_change_the_queries_alone(world: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "plain", **SMALL | {"occluded_queries": False}, seed=3)
    ours, theirs = digests(world), digests(tmp_path / "plain")
    changed = {name for name in ours if ours[name] != theirs[name]}
    assert changed == {name for name in ours if name.startswith("query/")} | {"captions.csv"}


def test_occluded_training_changes_its_share_of_the_training_images_alone(world: Path, tmp_path: Path) -> None:
    write_world(tmp_path / "some", **SMALL, occluded_training=0.4, seed=3)
    write_world(tmp_path / "all", **SMALL, occluded_training=1.0, seed=3)
    ours, some, every = digests(world), digests(tmp_path / "some"), digests(tmp_path / "all")
    training = {name for name in ours if name.startswith("bounding_box_train/")}
    assert {name for name in ours if ours[name] != every[name]} == training | {"captions.csv"}
    changed = {name for name in training if ours[name] != some[name]}
    assert 0.2 < len(changed) / len(training) < 0.6
    assert all(some[name] == every[name] for name in changed)


def test_occluded_training_hides_30_to_60_percent_of_its_share() -> None:
    settings = Settings(12, 4, 2, occluded_queries=False, seed=8, test_identities=1, occluded_training=0.5)
    shots = [s for s in plan(settings) if s.folder == TRAIN]
    hidden = [
        render_view(s.person, s.camera, "world", 8, s.identity, s.camera_number, s.index, occluded=True).hidden
        for s in shots
        if s.occluded
    ]
    assert 0.35 < len(hidden) / len(shots) < 0.65
    assert 0.3 <= min(hidden) <= max(hidden) <= 0.6


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_outside_0_to_1_is_refused(tmp_path: Path, share: float) -> None:
    with pytest.raises(SettingError, match=r"--occluded-training .*: not a share.\nGive a number from 0 to 1."):
        write_world(tmp_path / "w", identities=1, cameras=1, occluded_training=share)
    assert not list(tmp_path.iterdir())


def test_occluded_queries_hide_30_to_60_percent() -> None:
    shots = [
        s for s in plan(Settings(12, 4, 1, occluded_queries=True, seed=8, test_identities=12)) if s.folder == QUERY
    ]
    hidden = [
        render_view(s.person, s.camera, "world", 8, s.identity, s.camera_number, s.index, occluded=s.occluded).hidden
        for s in shots
    ]
    assert len(hidden) == 48
    assert min(hidden) >= 0.3
    assert max(hidden) <= 0.6
    assert max(hidden) - min(hidden) > 0.1


@pytest.mark.skipif(
    (PIL.__version__, features.version("jpg")) != ("13.0.0", "6.2"),
    reason="another Pillow compresses to other bytes",
)
def test_a_world_of_visible_images_is_the_one_it_was_before_there_were_spectra(tmp_path: Path) -> None:
    write_world(
        tmp_path / "w", **SMALL | {"identities": 6, "cameras": 6, "images_per_camera": 1}, occluded_training=0.5, seed=9
    )
    digest = hashlib.sha256()
    for file in sorted(path for path in (tmp_path / "w").rglob("*") if path.is_file()):
        digest.update(file.relative_to(tmp_path / "w").as_posix().encode() + b"\0" + file.read_bytes())
    assert digest.hexdigest() == "e2504e4d9af4a044900dc6504de81d883e9b9874e8fd1401008c7f54f2fe5e89"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night") / "w"
    counts = write_world(folder, **SMALL, spectra=("tir", "rgb", "nir"), night=True, seed=3)
    assert counts == WorldCounts(identities=5, test_identities=5, cameras=3, train=30, query=15, gallery=30)
    return folder


def test_a_world_of_three_spectra_has_a_file_per_spectrum_and_a_list(night: Path) -> None:
    with (night / "observations.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["path", "identity", "camera", "split", "near_infrared", "thermal"]
    files = {name for name in digests(night) if name.endswith(".jpg")}
    assert len(files) == 3 * len(rows) == 3 * 75
    assert files == {row[column] for row in rows for column in ("path", "near_infrared", "thermal")}
    for row in rows:
        part, folder, name = row["path"].split("/")
        assert (part, folder) == (row["split"], "RGB")
        assert (row["near_infrared"], row["thermal"]) == (f"{part}/NI/{name}", f"{part}/TI/{name}")
        assert NAME.fullmatch(name).groups()[:2] == (row["identity"], row["camera"])
    assert {path.name for path in night.iterdir()} == {"train", "query", "gallery", "observations.csv"}


def test_night_changes_the_visible_images_alone_and_by_day_they_are_the_ordinary_ones(
    world: Path, night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "WORTH_PROCESSES", 1)
    write_world(tmp_path / "day", **SMALL, spectra=("rgb", "nir", "tir"), seed=3, workers=2)
    ours, theirs, ordinary = digests(tmp_path / "day"), digests(night), digests(world)
    assert {name for name in ours if ours[name] != theirs[name]} == {name for name in ours if "/RGB/" in name}
    names = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    for name, digest in ours.items():
        if "/RGB/" in name:
            assert digest == ordinary[f"{names[name.split('/')[0]]}/{Path(name).name}"]


def test_a_world_without_visible_images_leaves_their_column_empty(tmp_path: Path) -> None:
    write_world(tmp_path / "w", identities=1, cameras=1, images_per_camera=1, spectra=("nir", "tir"))
    lines = (tmp_path / "w" / "observations.csv").read_text(encoding="utf-8").splitlines()
    name = "0001_c1s1_000001_00.jpg"
    assert lines[:2] == [
        "path,identity,camera,split,near_infrared,thermal",
        f",0001,1,train,train/NI/{name},train/TI/{name}",
    ]
    assert not list((tmp_path / "w").rglob("RGB"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spectra": ("rgb", "uv")}, r"--spectra rgb,uv: there is no spectrum 'uv'"),
        ({"night": True}, r"--night needs --spectra"),
        ({"spectra": ("rgb",), "wording": "usual"}, r"--wording usual: images of several spectra get no captions"),
    ],
)
def test_spectra_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        write_world(tmp_path / "w", identities=1, cameras=1, **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match=r"is not empty\.\nName a new folder"):
        write_world(tmp_path, identities=1, cameras=1)
    with pytest.raises(DataError, match="is not a folder"):
        write_world(tmp_path / "mine.txt", identities=1, cameras=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    target = tmp_path / "empty"
    target.mkdir()
    assert write_world(target, identities=1, cameras=1, images_per_camera=1).train == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert target.stat().st_mode & 0o777 == (target / "query").stat().st_mode & 0o777


@pytest.mark.parametrize("name", ["identities", "cameras", "images_per_camera"])
def test_numbers_below_one_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingError, match=f"--{name.replace('_', '-')} 0: .* at least 1"):
        write_world(tmp_path / "w", **{name: 0})
    assert not list(tmp_path.iterdir())


class _Stopping(Silent):
    """A reporter whose user presses Ctrl-C after some images."""

    @contextlib.contextmanager
    def progress(self, description: str, total: int) -> Iterator[Advance]:
        left = [4]

        def advance(steps: int) -> None:
            left[0] -= steps
            if not left[0]:
                raise KeyboardInterrupt

        yield advance


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_left_behind_when_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(worker, "WORTH_PROCESSES", 1)
    with pytest.raises(KeyboardInterrupt):
        write_world(tmp_path / "w", identities=4, cameras=2, workers=workers, reporter=_Stopping())
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ScingError, match=r"Cannot write .*w: .+\.\nChoose another place"):
        write_world(tmp_path / "file" / "w", identities=1, cameras=1)


def test_a_process_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    settings = Settings(1, 1, 1, occluded_queries=False, seed=0, test_identities=1)
    with pytest.raises(ScingError, match=r"ended early \(exit code 1\): FileNotFoundError.*\nTry --workers 1"):
        list(worker.draw_all(tmp_path / "missing", settings, worker.WORTH_PROCESSES, 2))


def test_a_script_without_a_main_guard_may_call_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom scing_cli.core.synthetic import worker, write_world\n"
        "worker.WORTH_PROCESSES = 1\nprint(write_world(Path(sys.argv[1]), identities=2, cameras=2, workers=2))\n"
    )
    root = Path(worker.__file__).parents[3]
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "w")],
        env={"PYTHONPATH": str(root), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.stdout.splitlines() == [
        "WorldCounts(identities=2, test_identities=2, cameras=2, train=8, query=4, gallery=8)"
    ], done.stderr


def test_the_room_does_without_torch() -> None:
    code = "import sys, scing_cli.core.synthetic; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_drawn_image_is_the_one_a_file_holds(world: Path) -> None:
    shot = next(
        s for s in plan(Settings(5, 3, 2, occluded_queries=True, seed=3, test_identities=5)) if s.folder == QUERY
    )
    result = render_view(shot.person, shot.camera, "world", 3, shot.identity, shot.camera_number, 1, occluded=True)
    assert result.jpeg == (world / shot.path).read_bytes()
    assert Image.open(io.BytesIO(result.jpeg)).size == (64, 128)


def test_what_a_killed_process_left_is_swept_and_two_do_not_draw_one_world(tmp_path):
    left, others = tmp_path / ".world.abc.part" / "query", tmp_path / ".worlds.abc.part"
    left.mkdir(parents=True)
    others.mkdir()
    handle = acquire_lock(tmp_path / ".world.lock")
    with pytest.raises(ScingError, match=r"Another process is drawing .*world \(process \d+"):
        write_world(tmp_path / "world", identities=1, cameras=1, images_per_camera=1, workers=1)
    assert left.exists()
    release_lock(tmp_path / ".world.lock", handle)
    write_world(tmp_path / "world", identities=1, cameras=1, images_per_camera=1, workers=1)
    assert {path.name for path in tmp_path.iterdir()} == {"world", others.name}
