"""Outer folders that are not people: times, groups and places, with people inside or their images."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.errors import DataError

PEOPLE = ("anna", "ben", "carl")
TIMES = {
    "days": ("Monday", "Tuesday", "Wednesday", "Thursday"),
    "short days": ("mon", "tue", "wed"),
    "German days": ("Montag", "Dienstag"),
    "numbered days": ("day1", "day2", "day3", "day4"),
    "weeks": ("week 1", "week 2"),
    "months": ("January", "February", "March"),
    "months of years": ("Jan 2024", "Feb 2024"),
    "dates": ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"),
    "dates without signs": ("20240101", "20240102"),
    "dates in words": ("5 May 2024", "6 May 2024"),
    "dates that end with the year": ("31.01.2024", "01.02.2024"),
    "moments": ("2024-01-01_1200", "2024-01-01T13-30-00"),
    "times of the day": ("morning", "evening"),
    "dates with other words": ("15.03.2023 Ausflug", "Party 2023-03-16"),
    "years and words": ("2023 Rome", "2024 Oslo"),
    "calendar weeks": ("KW12", "KW 13"),
    "dates and others": ("2024-01-01", "2024-01-02", "rest"),
}
GROUPS = {
    "folds": ("fold1", "fold2", "fold3", "fold4"),
    "batches": ("batch_1", "batch_2"),
    "sessions": ("Session A", "Session B"),
    "parts of a folder of a camera": ("100CANON", "101CANON"),
    "views": ("face", "body"),
    "images and views": ("images", "masks"),
    "runs of a detector": ("predict", "predict2", "predict3"),
    "states": ("backup", "current"),
    "before and after": ("before", "after"),
    "albums": ("Photos from 2021", "Photos from 2022"),
    "German albums": ("Fotos 2020", "Fotos 2021"),
    "folders of a phone": ("WhatsApp Images", "Camera", "Screenshots", "Download"),
    "German parts": ("Trainingsdaten", "Testdaten", "Validierung"),
    "French parts": ("entraînement", "requête"),
    "Spanish parts": ("entrenamiento", "consulta", "galería"),
    "Chinese parts": ("训练集", "测试集"),
    "letters of parts": ("q", "g"),
    "kinds of objects": ("person", "car"),
    "several kinds": ("Monday", "door", "batch 1"),
}
PLACES = {
    "places": ("door", "yard", "hall", "gate"),
    "numbered places": ("site 1", "site 2"),
    "floors": ("floor 1", "floor 2"),
    "German places": ("Eingang", "Ausgang", "Tür"),
    "French places": ("entrée", "sortie"),
}
NUMBERED = {"runs": ("run_a", "run_b"), "years": ("2022", "2023"), "short dates": ("240131", "240201")}


def cross(outer: tuple[str, ...], pattern: str) -> list[str]:
    return [pattern.format(folder, who) for folder, who in itertools.product(outer, PEOPLE)]


def refused(root: Path) -> DataError:
    """Return the refusal, after all layouts that it names have been tried: they work as they are printed."""
    with pytest.raises(DataError) as caught:
        read_data(root)
    layouts = [line.partition("--layout ")[2].removesuffix(".") for line in caught.value.remedy.splitlines()]
    assert any(layouts)
    for layout in filter(None, layouts):
        assert read_data(root, layout=layout).layout == layout
    return caught.value


@pytest.mark.parametrize("part", ["", "train/"])
@pytest.mark.parametrize("kind", [*TIMES, *GROUPS, *PLACES, *NUMBERED])
def test_times_groups_and_places_with_people_inside_are_refused(touch, kind: str, part: str) -> None:
    outer = {**TIMES, **GROUPS, **PLACES, **NUMBERED}[kind]
    error = refused(touch(*cross(outer, part + "{}/{}/1.jpg")))
    assert any(name in error.what for name in outer)
    assert ("camera-folders" in error.remedy) is (kind in PLACES)


@pytest.mark.parametrize("kind", [*TIMES, *GROUPS, *PLACES])
@pytest.mark.parametrize("pattern", ["{}/{}.jpg", "{}/{}_1.jpg", "{}/IMG_{}.jpg"])
def test_times_groups_and_places_of_images_are_refused(touch, kind: str, pattern: str) -> None:
    outer = {**TIMES, **GROUPS, **PLACES}[kind]
    error = refused(touch(*cross(outer, pattern)))
    assert any(name in error.what for name in outer)
    assert "camera-folders" not in error.remedy


@pytest.mark.parametrize("inner", ["cam1/{}", "room A/{}", "2024-01-01/{}", "{}/x/y"])
def test_camera_folders_is_named_only_where_people_are_right_below(touch, inner: str) -> None:
    error_or_data = touch(*(f"{place}/{inner.format(who)}/1.jpg" for place in PLACES["places"] for who in PEOPLE))
    offered = "camera-folders" in refused(error_or_data).remedy
    assert offered is (inner == "{}/x/y")


def test_rooms_of_uneven_depth_are_refused(touch) -> None:
    root = touch("rooms/floor 1/room A/anna/1.jpg", "rooms/floor 1/carl/1.jpg", "rooms/floor 2/dora/1.jpg")
    assert "floor 1, floor 2 are named like places" in refused(root).what


@pytest.mark.parametrize(
    "paths",
    [
        [f"cuhk01/campus/{who:04}{n:03}.png" for who in (1, 2, 3) for n in range(1, 5)],
        [f"rp/randperson_subset/{who:08}_s00_c0{c}_f0.jpg" for who in range(3) for c in range(2)],
        [f"3DPeS/RGB/{who}_{n}_FRAME_{n}_RGB.bmp" for who in (1, 2) for n in range(3)],
        [f"mine/team/{who}_{n}.jpg" for who in PEOPLE for n in (1, 2)],
        [f"mine/team/person{who}-{n}.jpg" for who in (1, 2) for n in (1, 2)],
        [f"mine/team/p{who}_cam{c}_{n}.jpg" for who in (1, 2) for c in (1, 2) for n in (1, 2)],
        [f"{folder}/{who}_{n}.jpg" for folder in ("x", "y") for who in PEOPLE for n in (1, 2)],
        [f"{folder}/id{who}_{n}.jpg" for folder in ("x", "y") for who in (1, 2) for n in (1, 2)],
        [f"T000{track}/0001C{camera}T0001F001.jpg" for track, camera in ((1, 1), (2, 2))],
        [f"{who}_cam{c}/{n}.jpg" for who in PEOPLE for c in "12" for n in "12"],
        [f"c{c}-{who}/{n}.jpg" for who in PEOPLE for c in "12" for n in "12"],
        [f"{who} 2024-01-0{day}/{n}.jpg" for who in PEOPLE for day in "12" for n in "12"],
        [f"00{who}_0{k}/{n}.jpg" for who in "12" for k in "12" for n in "12"],
        ["Photos/2024/01/IMG_1.jpg", "Photos/2024/02/IMG_2.jpg"],
    ],
)
def test_folders_of_files_of_several_people_are_refused(touch, paths: list[str]) -> None:
    refused(touch(*paths))


@pytest.mark.parametrize(
    ("paths", "people"),
    [
        ([f"{who}/{who}_{n}.jpg" for who in PEOPLE for n in (1, 2)], set(PEOPLE)),
        ([f"{who}/IMG_{n}.jpg" for who in PEOPLE for n in (1, 2)], set(PEOPLE)),
        ([f"{who}/{view}_{n}.jpg" for who in PEOPLE for view in ("front", "side") for n in "12"], set(PEOPLE)),
        ([f"{who}/{device}_{n}.jpg" for who in PEOPLE for device in ("phone", "laptop") for n in "12"], set(PEOPLE)),
        (
            [f"Aaron_{name}/Aaron_{name}_000{n}.jpg" for name in ("Eckhart", "Guiel") for n in "12"],
            {"Aaron_Eckhart", "Aaron_Guiel"},
        ),
        ([f"ORL/s{who}/{n}.pgm" for who in "12" for n in "12"], {"s1", "s2"}),
        (
            ["April/1.jpg", "Anna/1.jpg", "Carl Hall/1.jpg", "May/2.jpg", "Ben/1.jpg"],
            {"April", "Anna", "Carl Hall", "May", "Ben"},
        ),
        ([f"{who}/{part}_{n}.jpg" for who in PEOPLE for part in ("query", "gallery") for n in "12"], set(PEOPLE)),
        ([f"{who}/person_{n}.jpg" for who in PEOPLE for n in "12"], set(PEOPLE)),
        ([f"{who}/00{hundred}00.jpg" for who in PEOPLE for hundred in range(4)], set(PEOPLE)),
        ([f"{who}/{frame:05}.jpg" for who in PEOPLE for frame in range(150)], set(PEOPLE)),
        (["anna/iphone/1.jpg", "ben/webcam/1.jpg", "carl/1.jpg"], set(PEOPLE)),
        ([f"{who} (1)/{n}.jpg" for who in PEOPLE for n in "12"], {f"{who} (1)" for who in PEOPLE}),
        (
            [f"{who}_c{c}/{n}.jpg" for who, c in zip(PEOPLE, "123", strict=True) for n in "12"],
            {"anna_c1", "ben_c2", "carl_c3"},
        ),
        ([f"class_{who}/0{n}.jpg" for who in "12" for n in "12"], {"class_1", "class_2"}),
        ([f"track_{who}/frame_000{n}.jpg" for who in "12" for n in "12"], {"track_1", "track_2"}),
        ([f"{who}/0000{frame}.jpg" for who in PEOPLE for frame in (997, 998, 999)] + ["anna/0001000.jpg"], set(PEOPLE)),
    ],
)
def test_people_are_still_people(touch, paths: list[str], people: set[str]) -> None:
    assert set(read_data(touch(*paths)).manifest.identities()) == people


def test_one_folder_among_people_that_may_hold_several_is_named(touch) -> None:
    notes = read_data(touch("anna/1.jpg", "ben/1.jpg", "unknown/1.jpg", "Monday/1.jpg", "carl/1.jpg")).notes
    assert "Some of them may hold images of several people: Monday, unknown." in notes


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from([*TIMES, *GROUPS, *PLACES, *NUMBERED]),
    people=st.lists(
        st.sampled_from(["anna", "ben", "carl", "Dora Lang", "7", "0001", "person_3"]), min_size=2, unique=True
    ),
    above=st.lists(st.sampled_from(["data", "my own", "set 3"]), max_size=2, unique=True),
    ragged=st.booleans(),
)
def test_recurring_people_never_become_cameras(kind, people, above, ragged, tmp_path_factory) -> None:
    """Inner names that recur under outer folders of any of these kinds, below any folders, with some missing."""
    outer = {**TIMES, **GROUPS, **PLACES, **NUMBERED}[kind]
    root = tmp_path_factory.mktemp("recur")
    for place, (folder, who) in enumerate(itertools.product(outer, people)):
        if not (ragged and place == 1):
            file = root.joinpath(*above, folder, who, "1.jpg")
            file.parent.mkdir(parents=True)
            file.touch()
    with pytest.raises(DataError, match="is not read as one folder per person"):
        read_data(root)


CAMERAS = st.builds(
    "{}{}{}".format,
    st.sampled_from(["Kamera", "kamera", "caméra", "cámara", "camara", "Telecamera", "摄像头", "相机"]),
    st.sampled_from(["", " ", "_", "-"]),
    st.integers(1, 99),
) | st.builds("192.168.{}.{}".format, st.integers(0, 255), st.integers(1, 254))


@settings(deadline=None, max_examples=40)
@given(cameras=st.lists(CAMERAS, min_size=2, max_size=4, unique_by=str.casefold))
def test_cameras_in_other_languages_are_cameras(cameras, tmp_path_factory) -> None:
    base = tmp_path_factory.mktemp("cameras")
    for folder, who in itertools.product(cameras, PEOPLE):
        for file in (base / "images" / folder / f"{who}.jpg", base / "people" / folder / who / "1.jpg"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    with pytest.raises(DataError, match="named like cameras"):
        read_data(base / "images")
    rows = read_data(base / "people").manifest
    assert {(row.identity, row.camera) for row in rows} == set(itertools.product(PEOPLE, cameras))


def test_days_of_a_recorder_are_cameras(touch) -> None:
    assert "named like cameras" in refused(touch("D01_20230101/1.jpg", "D02_20230101/1.jpg")).what


@pytest.mark.parametrize(
    "paths",
    [
        [f"video_{v}/crops/{t}/frame_1.jpg" for v in "ab" for t in (1, 2, 3)],
        [f"video{v}/track_{t}/1.jpg" for v in "12" for t in (1, 2, 3, 4)],
        [f"xyz{v}/crops/{t}/1.jpg" for v in "ab" for t in (1, 2)],
        [f"xyz{v}/crops/person/1.jpg" for v in "ab"],
        ["predict/crops/person/1.jpg"],
        [f"{place}/s0{who}/1.jpg" for place in ("5a", "5b") for who in (1, 2, 3)],
        ["Meier/Anna/1.jpg", "Meier/Ben/1.jpg", "Otto/Cleo/1.jpg", "Otto/Anna/1.jpg"],
    ],
)
def test_tracks_and_people_inside_folders_are_not_cameras(touch, paths: list[str]) -> None:
    refused(touch(*paths))


@settings(deadline=None, max_examples=60)
@given(
    outer=st.lists(st.sampled_from(["Berlin", "Hamburg", "5a", "5b", "red", "Haus A"]), min_size=2, unique=True),
    people=st.integers(1, 4),
    name=st.sampled_from(["p{}", "s0{}", "{}_x", "child {}", "Team{}"]),
)
def test_words_that_recur_inside_folders_are_refused_however_few(outer, people, name, tmp_path_factory) -> None:
    root = tmp_path_factory.mktemp("few")
    for folder, who in itertools.product(outer, range(1, people + 2)):
        (root / folder / name.format(who)).mkdir(parents=True)
        (root / folder / name.format(who) / "1.jpg").touch()
    assert "camera-folders" in refused(root).remedy


@pytest.mark.parametrize("copy", ["anna (1)", "anna - Kopie", "anna copy", "anna - Copy (2)", "Anna - Copie"])
def test_copies_of_folders_are_warned_of(touch, copy: str) -> None:
    data = read_data(touch("anna/1.jpg", f"{copy}/1.jpg", "ben/1.jpg"))
    assert len(data.manifest.identities()) == 3
    (warning,) = [text for text in data.warnings if "named like one folder and its copies" in text]
    assert copy in warning
