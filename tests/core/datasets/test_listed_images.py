"""JSON lists of images with captions: what they say is what the rows say, and no other file is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from captioned import CAPTIONED, ENTRIES, write_list
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import DataSet, join_data, read_data
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import write_manifest

ENTRY = {"split": "train", "id": 1, "file_path": "cam_a/1.bmp", "captions": ["A man.", "He walks."]}
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
names = st.text(st.sampled_from("aZ0é_中 -"), min_size=1, max_size=6).map(lambda name: f"x{name}x.jpg")


def touch_all(folder: Path, name: str, entries: list[dict[str, Any]]) -> Path:
    """Write a list, and an empty file for each image that it names."""
    _, inside, field = CAPTIONED[name]
    for entry in entries:
        file = folder / inside / entry[field]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return write_list(folder, name, entries)


def reading(folder: Path, entries: Any) -> DataSet:
    """Write entries of CUHK-PEDES next to an image, and read them."""
    (folder / "imgs" / "cam_a").mkdir(parents=True, exist_ok=True)
    (folder / "imgs" / "cam_a" / "1.bmp").touch()
    return read_data(write_list(folder, "CUHK-PEDES", entries))


def refused(folder: Path, content: bytes | str) -> DataError:
    """Write a list of CUHK-PEDES, and return the error of reading it."""
    folder.mkdir(exist_ok=True)
    (folder / "reid_raw.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        read_data(folder)
    return caught.value


@pytest.mark.parametrize("name", CAPTIONED)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_the_list_says_is_what_the_rows_say(tmp_path_factory, name: str, data: st.DataObject) -> None:
    _, inside, field = CAPTIONED[name]
    entries = data.draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "split": st.sampled_from(["train", "test", "Train", "TEST"]),
                    field: st.tuples(st.sampled_from(["images/", "images/é/"]), names).map("".join),
                    "captions": st.lists(texts, max_size=4),
                    "id": st.one_of(st.integers(0, 10**6), st.text("ab-é", min_size=1, max_size=4)),
                    "processed_tokens": st.just([["a"]]),
                }
            ),
            min_size=1,
            max_size=5,
            unique_by=lambda entry: entry[field].casefold(),
        )
    )
    root = touch_all(tmp_path_factory.mktemp("list") / "data", name, entries)
    read = read_data(root, layout=name.lower())
    rows = [(row.path, row.identity, row.split, list(row.captions)) for row in read.manifest]
    assert rows == [
        (
            f"{inside}/{entry[field]}".lstrip("/"),
            str(entry["id"]),
            {"train": "train", "test": "gallery"}[entry["split"].lower()],
            [text for text in entry["captions"] if text.strip()],
        )
        for entry in entries
    ]
    write_manifest(read.manifest, root / "rows.csv")
    again = read_data(root / "rows.csv").manifest
    assert [(row.path, row.identity, row.split, list(row.captions)) for row in again] == rows


@pytest.mark.parametrize("name", CAPTIONED)
def test_the_rows_are_in_the_order_of_the_list(tmp_path: Path, name: str) -> None:
    entries = ENTRIES[name]()
    data = read_data(touch_all(tmp_path / "data", name, entries))
    assert [list(row.captions) for row in data.manifest] == [entry["captions"] for entry in entries]
    assert [row.identity for row in data.manifest] == [str(entry["id"]) for entry in entries]
    assert (data.layout, data.dropped, data.warnings) == (name.lower(), (), ())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it is not a list"),
        ('{"images": []}', "it is not a list"),
        ("[" * 100_000, "entry 1: it is nested too deeply"),
        ('[{"id": ' + '{"a":' * 100_000, "entry 1: it is nested too deeply"),
        ('[{"id": 1, "captions": ["A ma', "entry 1: Unterminated string"),
        ('[{"id": 1}', "after entry 1 it ends"),
        ('[{"id": 1},', "entry 2: Expecting value"),
        ('[{"id": 1} {', "after entry 1 is '{', not a comma"),
        ('[{"id": 1}] x', "there is more after the end of the list"),
        ('[{"id": 1, "id": 2}]', "entry 1: the key 'id' appears twice in an object"),
        ('[{"id": NaN}]', "entry 1: NaN is not a finite number"),
        ('[{"id": "a\0b"}]', "entry 1: Invalid control character"),
        ('[{"id": ' + "9" * 5_000 + "}]", "entry 1: Exceeds the limit"),
    ],
)
def test_a_file_that_is_no_list_of_entries_is_refused_in_one_message(tmp_path: Path, content: str, said: str) -> None:
    error = refused(tmp_path / "data", content)
    assert f"reid_raw.json cannot be read as a list of images with captions: {said}" in error.what
    assert "\n" not in error.what
    assert "Copy it again" in error.remedy


def test_a_file_of_another_encoding_or_without_entries_is_refused(tmp_path: Path) -> None:
    assert "is not UTF-8 text" in refused(tmp_path / "data", json.dumps([ENTRY]).encode("utf-16")).what
    assert "names no image." in refused(tmp_path / "data", "[]").what


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    reading(tmp_path / "data", [ENTRY])
    file = tmp_path / "data" / "reid_raw.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert len(read_data(tmp_path / "data").manifest) == 1


def test_faults_are_listed_with_the_number_of_the_entry(tmp_path: Path) -> None:
    entries = [ENTRY, "a text", {**ENTRY, "id": None}, {**ENTRY, "file_path": "2.bmp", "captions": [5]}]
    error = refused(tmp_path / "data", json.dumps([*entries, *range(20)]))
    assert "reid_raw.json has 23 faults:" in error.what
    assert "  entry 2: it is 'a text', not an object" in error.what
    assert "  entry 3: id is None, not a number or a text" in error.what
    assert "  entry 4: captions 1 is 5, not a text" in error.what
    assert error.what.count("\n") == 11
    assert "  ... and 13 more" in error.what


def test_very_many_faults_end_the_reading(tmp_path: Path) -> None:
    error = refused(tmp_path / "data", json.dumps([1] * 5_000))
    assert "has 1000 faults" in error.what
    assert error.remedy.startswith("Reading stopped there.")


def test_an_unknown_split_is_a_fault_where_the_data_set_has_no_such(tmp_path: Path) -> None:
    entries = [{**ENTRY, "split": "dev"}]
    assert [row.split for row in reading(tmp_path / "cuhk", entries).manifest] == ["val"]
    write_list(tmp_path / "icfg", "ICFG-PEDES", entries)
    with pytest.raises(DataError, match="entry 1: the split 'dev' is none of train, val, test"):
        read_data(tmp_path / "icfg")


def test_a_repeated_entry_counts_once_and_one_that_differs_is_a_fault(tmp_path: Path) -> None:
    data = reading(tmp_path / "data", [ENTRY, ENTRY, {**ENTRY, "file_path": ".\\cam_a\\1.bmp"}])
    assert (len(data.manifest), data.notes) == (1, ("2 repeated entries are counted once.",))
    for change in ({"id": 2}, {"split": "test"}):
        with pytest.raises(
            DataError, match=r"entry 2: '.*cam_a.1\.bmp' is in entry 1 already, with another id or split"
        ):
            reading(tmp_path / "data", [ENTRY, {**ENTRY, **change, "captions": ["Another."]}])


def test_captions_of_an_image_in_several_entries_are_joined(tmp_path: Path) -> None:
    lists = (["A man.", "In red."], ["In red.", "A bag.", "A bag."], ["A man."], [" ", "Tall."])
    data = reading(tmp_path / "data", [{**ENTRY, "captions": texts} for texts in lists])
    assert [row.captions for row in data.manifest] == [("A man.", "In red.", "A bag.", "Tall.")]
    assert data.notes == (
        "1 repeated entry is counted once.",
        "2 repeated entries have other captions of its image: all of them are used.",
    )
    many = [{**ENTRY, "captions": [f"{start + number}" for number in range(30)]} for start in (0, 30)]
    with pytest.raises(DataError, match=r"entry 2: .* is in entry 1 already, and has more than 50 captions with it"):
        reading(tmp_path / "data", many)


def test_empty_captions_are_left_out_and_images_without_are_kept(tmp_path: Path) -> None:
    data = reading(tmp_path / "data", [{**ENTRY, "captions": ["", " \n", "A man."]}])
    assert (data.manifest.samples[0].captions, data.notes) == (("A man.",), ("2 empty captions are left out.",))
    data = reading(tmp_path / "data", [{**ENTRY, "captions": []}])
    assert data.manifest.samples[0].captions == ()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("../secret.bmp", "its path leads out of the folder"),
        ("cam_a/../../secret.bmp", "its path leads out of the folder"),
        ("..\\secret.bmp", "its path leads out of the folder"),
        ("/etc/secret.bmp", "its path leads out of the folder"),
        (".", "its path leads out of the folder"),
        ("C:\\secret.bmp", "it is a path of Windows"),
        ("https://x.org/secret.bmp", "it is a web address"),
    ],
)
def test_a_path_that_leads_out_is_left_out_and_counted(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "data").mkdir()
    for secret in (tmp_path / "secret.bmp", tmp_path / "data" / "secret.bmp"):
        secret.touch()
    data = reading(tmp_path / "data", [ENTRY, {**ENTRY, "file_path": path}])
    assert [row.path for row in data.manifest] == ["imgs/cam_a/1.bmp"]
    assert [dropped.path for dropped in data.dropped] == [path]
    assert data.dropped[0].reason.startswith(reason)
    with pytest.raises(DataError, match=r"names no image: 1 path, such as "):
        reading(tmp_path / "data", [{**ENTRY, "file_path": path}])


def test_spellings_of_windows_and_of_unicode_are_found(tmp_path: Path) -> None:
    imgs = tmp_path / "data" / "imgs"
    for name in ("cam_a/é.bmp", "CUHK01/2.PNG"):
        (imgs / name).parent.mkdir(parents=True, exist_ok=True)
        (imgs / name).touch()
    data = reading(
        tmp_path / "data",
        [{**ENTRY, "file_path": "cam_a\\e\u0301.bmp"}, {**ENTRY, "file_path": "CUHK01\\2.png"}],
    )
    assert [row.path for row in data.manifest] == ["imgs/cam_a/é.bmp", "imgs/CUHK01/2.PNG"]
    assert "2 paths differ from their names on disk" in data.notes[0]


def test_a_very_large_list_is_refused_with_the_limit(tmp_path: Path) -> None:
    reading(tmp_path / "data", [ENTRY])
    with (tmp_path / "data" / "reid_raw.json").open("r+b") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(DataError, match="is too large: it has more than 134,217,728 bytes") as caught:
        read_data(tmp_path / "data")
    assert caught.value.remedy.startswith("Leave out fields that are not read, such as processed_tokens. A CSV")


def test_joint_data_keep_captions_and_keep_people_apart(tmp_path: Path) -> None:
    sources = [read_data(touch_all(tmp_path / name, name, ENTRIES[name]())) for name in CAPTIONED]
    joint = join_data(sources).manifest
    assert [row.captions for row in joint] == [row.captions for source in sources for row in source.manifest]
    people = sum(len(source.manifest.identities()) for source in sources)
    assert len(joint.identities()) == people
