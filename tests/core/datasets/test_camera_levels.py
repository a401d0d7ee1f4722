"""Cameras of people's folders: in folders between the person and the files, or in the names of the files."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.errors import DataError

ASIDE = st.sampled_from(
    [
        *("2024-01-01", "20240101", "2024-01-01_1200", "Monday", "January", "morning", "session1", "batch_2"),
        *("track 7", "T0001", "seq_3", "clip2", "face", "body", "upper body", "front", "RGB", "images", "outfit 2"),
    ]
)
SURE = st.sampled_from(
    [
        "{who}_c{cam}_{n}",
        "{who}_C{cam}_F{n}",
        "{who}_cam{cam}_{n}",
        "x_cam{cam}-{n}",
        "2024-01-0{n}_cam{cam}",
        "camera_{cam}_{n}",
    ]
)
NUMBERS = st.integers(1, 999).map("{:04}".format)


def make(root: Path, paths: list[str]) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def labels(root: Path) -> set[tuple[str, str]]:
    return {(row.identity, row.camera) for row in read_data(root).manifest}


@settings(deadline=None, max_examples=60)
@given(
    people=st.lists(NUMBERS, min_size=2, max_size=4, unique=True),
    cameras=st.lists(st.integers(1, 9), min_size=2, max_size=3, unique=True),
    spelling=SURE,
    tracks=st.sampled_from(["none", "own", "shared", "mixed"]),
    zeros=st.booleans(),
    parts=st.sampled_from([("",), ("train/",), ("query/", "gallery/")]),
)
def test_cameras_in_file_names_are_read_through_any_folders_of_tracks(
    people, cameras, spelling, tracks, zeros, parts, tmp_path_factory
) -> None:
    """`own`: each track has a number of its own; `shared`: they count from 1; `mixed`: a track has several cameras."""
    assume(tracks != "shared" or len(people) > 2 or "{who}" in spelling)  # may be cameras with people
    paths, expected, number = [], set(), itertools.count(5000)
    for who, part in itertools.product(people, parts):
        for place, camera in enumerate(cameras):
            cam = f"{camera:02}" if zeros else str(camera)
            own = {
                "none": "",
                "own": f"{next(number)}/",
                "shared": f"{(place + int(who)) % 3 + 1:04}/",
                "mixed": "0001/",
            }
            paths += [f"{part}{who}/{own[tracks]}{spelling.format(who=who, cam=cam, n=n)}.jpg" for n in (1, 2)]
            expected.add((who, cam))
    assert labels(make(tmp_path_factory.mktemp("tracks"), paths)) == expected


@pytest.mark.parametrize(
    "paths",
    [
        ["query/0004/0007/0004_C1_F0001.jpg", "query/0004/0007/0004_C2_F0001.jpg", "gallery/0004/0008/0004_C2_F1.jpg"],
        ["0004/0007/0004C1T0001F001.jpg", "0004/0008/0004C2T0002F001.jpg", "0005/0009/0005C1T0001F1.jpg"],
        ["0004/1/0004C2T0001F001.jpg", "0004/2/0004C1T0002F001.jpg", "0005/1/0005C1T0001F001.jpg"],
    ],
)
def test_the_note_names_the_cameras_and_the_folders_that_are_not_used(touch, paths: list[str]) -> None:
    data = read_data(touch(*paths))
    assert {row.camera for row in data.manifest} == {"1", "2"}
    assert {row.identity for row in data.manifest} <= {"0004", "0005"}
    (note,) = [note for note in data.notes if note.startswith("The cameras are read from the file names: 0004")]
    inner = sorted({path.split("/")[-2] for path in paths})
    assert note.endswith(f"The folders inside ({', '.join(inner)}) are not used.")


@pytest.mark.parametrize("file", ["x_c{}_{}", "C{}_{}", "x_cam{}_{}", "{2}_c{0}_{1}"])
@pytest.mark.parametrize("folder", ["cam1", "camera 1", "c01", "001", "door"])
def test_folders_that_file_names_contradict_are_no_cameras(touch, folder: str, file: str) -> None:
    """Either the file names are read, or the data is refused: never the folder."""
    root = touch(
        *(f"{who}/{folder}/{file.format(cam, n, who)}.jpg" for who in ("anna", "ben") for cam in (2, 3) for n in "12")
    )
    try:
        cameras = {camera for _, camera in labels(root)}
    except DataError as refused:
        told = refused
    else:
        assert cameras == {"2", "3"}
        return
    assert "file names" in told.what or "the same names" in told.what
    assert "camera-folders" not in told.remedy


@settings(deadline=None, max_examples=60)
@given(
    people=st.lists(st.sampled_from(["anna", "ben", "0007", "person 3"]), min_size=1, max_size=3, unique=True),
    cameras=st.lists(st.sampled_from(["cam1", "cam2", "Camera B", "CAM_7"]), min_size=1, max_size=3, unique=True),
    above=st.lists(ASIDE, max_size=2, unique=True),
    below=st.lists(ASIDE, max_size=1),
    alone=st.booleans(),
)
def test_what_is_not_like_a_camera_is_not_one(people, cameras, above, below, alone, tmp_path_factory) -> None:
    """Times, tracks and parts of the body above and below cameras, or without any cameras."""
    levels = ["/".join([*above, *([] if alone else [camera]), *below]) for camera in cameras]
    paths = [f"{who}/{level}/{n}.jpg" for who in people for level in levels for n in (1, 2)]
    if len(people) == 1:
        paths.append("carl/1.jpg")
    root = make(tmp_path_factory.mktemp("aside"), paths)
    expected = {(who, "" if alone else camera) for who in people for camera in cameras}
    assert labels(root) == expected | ({("carl", "")} if len(people) == 1 else set())
    unused = set(above) | set(below if alone else [])
    notes = [
        note for note in read_data(root).notes if note.startswith("Folders inside that are not named like cameras")
    ]
    assert len(notes) == bool(unused)
    assert all(name in notes[0] for name in unused)


@pytest.mark.parametrize(
    ("paths", "seen"),
    [
        (
            ["London/London_worker_0/1.jpg", "London/London_worker_1/1.jpg", "Paris/Paris_worker_0/1.jpg"],
            r"folders inside them \(London_worker_0, .*\) are not named like cameras, and none of them is in several",
        ),
        (["sales/anna/1.jpg", "sales/ben/1.jpg", "research/carl/1.jpg"], "none of them is in several"),
        (["cellar/carl/1.jpg", "attic/room A/anna/1.jpg", "attic/ben/1.jpg"], "none of them is in several"),
        (
            [f"0001/{word}-01/{angle}/1.png" for word in ("bg", "nm") for angle in ("000", "090")],
            "which may be people or cameras",
        ),
        (
            [f"{who}/building {b}/cam{c}/1.jpg" for who in ("anna", "ben") for b in "AB" for c in "12"],
            r"the folder cam1 inside them is in several further folders \(building A, building B\)",
        ),
        (
            [f"alpha/door/{who}/1.jpg" for who in ("anna", "ben")] + ["beta/door/carl/1.jpg"],
            "which may be people or cameras",
        ),
    ],
)
def test_levels_that_cannot_be_told_are_refused(touch, paths: list[str], seen: str) -> None:
    root = touch("0002/bg-01/000/1.png", *paths) if paths[0].startswith("0001") else touch(*paths)
    with pytest.raises(DataError, match=seen) as caught:
        read_data(root)
    assert "--layout identity-folders" in caught.value.remedy
    assert "camera-folders" not in caught.value.remedy
    forced = read_data(root, layout="identity-folders")
    assert len(forced.manifest) == len({path for path in root.rglob("*.*") if path.is_file()})
    assert any(
        warning.lower().startswith(caught.value.what.partition(": ")[2][:20].lower()) for warning in forced.warnings
    )


def test_numbers_that_may_be_cameras_are_said(touch) -> None:
    data = read_data(touch(*(f"{who}/c{n}.jpg" for who in ("anna", "ben") for n in "123")))
    assert {row.camera for row in data.manifest} == {""}
    assert any(note.startswith("Some file names may state cameras, such as c1.jpg, but") for note in data.notes)


def test_a_folder_of_one_person_next_to_cameras_is_not_a_camera(touch) -> None:
    data = read_data(touch(*(f"{who}/cam{n}/1.jpg" for who in ("anna", "ben") for n in "12"), "anna/notes/1.jpg"))
    assert {(row.identity, row.camera) for row in data.manifest if "notes" in row.path} == {("anna", "")}
    assert {row.camera for row in data.manifest} == {"cam1", "cam2", ""}
    assert "Folders inside that are not named like cameras are not used: notes." in data.notes


def test_a_few_file_names_with_cameras_are_said(touch) -> None:
    data = read_data(touch("anna/anna_c1_1.jpg", "anna/2.jpg", "anna/3.jpg", "ben/1.jpg"))
    assert {row.camera for row in data.manifest} == {""}
    assert any(note.startswith("Some file names may state cameras, such as anna_c1_1.jpg") for note in data.notes)


def test_the_junk_of_mars_is_junk(touch) -> None:
    data = read_data(touch(*(f"train/{who}/{who}C{c}T0001F001.jpg" for who in ("0001", "0002", "00-1") for c in "12")))
    assert {(row.identity, row.camera) for row in data.manifest} == {(w, c) for w in ("0001", "0002") for c in "12"}
    assert data.junk == 2


@pytest.mark.parametrize(
    "name", ["c{}_{}", "C{}-{}", "ch0{}_{}", "c{}s1_{}", "frame_{1}_c{0}", "camera 0{} ({})", "cam{}-{}"]
)
def test_cameras_of_any_spelling_that_recur_are_read(touch, name: str) -> None:
    files = [f"{who}/{name.format(c, n)}.jpg" for who in ("anna", "ben") for c in "12" for n in ("001", "002")]
    cameras = {row.camera.lstrip("0") for row in read_data(touch(*files)).manifest}
    assert cameras == {"1", "2"}


def test_one_stray_folder_is_not_a_camera(touch) -> None:
    data = read_data(touch("anna/1.jpg", "anna/zip/2.jpg", "ben/1.jpg", "carl/1.jpg"))
    assert {(row.identity, row.camera) for row in data.manifest} == {("anna", ""), ("ben", ""), ("carl", "")}
    assert "Folders inside that are not named like cameras are not used: zip. A CSV can name the cameras." in data.notes


def test_words_that_people_share_are_refused_with_both_readings(touch) -> None:
    root = touch(*(f"{who}/{where}/1.jpg" for who in ("anna", "ben", "carl") for where in ("alpha", "beta")))
    with pytest.raises(DataError, match=r"the same names \(alpha, beta\) are inside several of them") as caught:
        read_data(root)
    assert "--layout camera-folders" in caught.value.remedy
    data = read_data(root, layout="identity-folders")
    assert {row.camera for row in data.manifest} == {"alpha", "beta"}
    assert data.notes[-1] == "If the outer folders are cameras, and those inside are people: --layout camera-folders."
    other = read_data(root, layout="camera-folders")
    assert set(other.manifest.identities()) == {"alpha", "beta"}


@pytest.mark.parametrize("names", ["12", "AB"])
def test_short_numbers_and_letters_that_people_share_are_cameras(touch, names: str) -> None:
    root = touch(*(f"{who}/{where}/1.jpg" for who in ("anna", "ben", "carl") for where in names))
    assert labels(root) == {(who, where) for who in ("anna", "ben", "carl") for where in names}


@pytest.mark.parametrize("people", [("0001", "0002"), ("person_1", "person_2")])
def test_words_inside_folders_that_are_surely_people_are_cameras(people, tmp_path) -> None:
    paths = [f"{who}/{where}/1.jpg" for who in people for where in ("alpha", "beta")]
    assert labels(make(tmp_path, paths)) == {(who, where) for who in people for where in ("alpha", "beta")}


@settings(deadline=None, max_examples=30)
@given(
    people=st.lists(st.sampled_from(["anna", "ben", "carl", "person 3"]), min_size=2, max_size=3, unique=True),
    level=st.sampled_from(["crops", "out", "xyz", "stuff/more", "frames/xyz"]),
    cameras=st.sampled_from([(), ("cam1", "cam2"), ("door", "yard")]),
)
def test_one_folder_that_all_people_have_is_not_a_camera(people, level, cameras, tmp_path_factory) -> None:
    paths = [f"{who}/{level}/{camera}/{n}.jpg" for who in people for camera in cameras or [""] for n in (1, 2)]
    root = make(tmp_path_factory.mktemp("constant"), paths)
    assert labels(root) == {(who, camera) for who in people for camera in cameras or [""]}
    (note,) = [note for note in read_data(root).notes if note.startswith("Folders inside that are not named like")]
    assert all(name in note for name in level.split("/"))
