"""Market-1501's layout, from folders of empty files."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import at_most

from scing_cli.core.datasets import Dropped, read_data
from scing_cli.core.datasets.passed_over import passed_text
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import Sample


def test_names_give_identity_camera_and_split_in_sorted_order(make_market) -> None:
    root = make_market(
        train=["0007_c3s3_077419_03.jpg", "0002_c1s1_000451_03.jpg"],
        query=["0005_c2_f0046985.jpg"],
        gallery=["1501_c6s4_002877_01.jpg", "0005_c12_f0046985.JPG"],
    )
    data = read_data(root)
    assert data.layout == "market1501"
    assert data.manifest.root == root
    assert data.manifest.name == "Market-1501"
    assert data.manifest.samples == (
        Sample("bounding_box_train/0002_c1s1_000451_03.jpg", "0002", "1", "train"),
        Sample("bounding_box_train/0007_c3s3_077419_03.jpg", "0007", "3", "train"),
        Sample("query/0005_c2_f0046985.jpg", "0005", "2", "query"),
        Sample("bounding_box_test/0005_c12_f0046985.JPG", "0005", "12", "gallery"),
        Sample("bounding_box_test/1501_c6s4_002877_01.jpg", "1501", "6", "gallery"),
    )
    assert (data.junk, data.dropped, data.notes) == (0, (), ())


FILES = st.tuples(
    st.sampled_from(["train", "query", "gallery"]),
    st.integers(-1, 20000),
    st.integers(0, 4),
    st.integers(1, 99),
    st.text("abs_-. 0Ü", max_size=8),
    st.sampled_from([".jpg", ".JPG", ".jpeg", ".png", ".Tif", ".bmp", ".webp"]),
)


@settings(deadline=None, max_examples=100)
@given(files=st.lists(FILES, max_size=12, unique_by=lambda file: (file[0], name_of(file).lower())))
def test_any_names_in_any_order_are_read_by_identity_and_camera(files, tmp_path_factory) -> None:
    """Identities of any width, cameras of one or two digits, further fields of any kind."""
    root = tmp_path_factory.mktemp("market")
    folders = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
    for folder in folders.values():
        (root / folder).mkdir()
    for file in files:
        (root / folders[file[0]] / name_of(file)).touch()
    data = read_data(root)
    assert data.junk == sum(identity == -1 for _, identity, *_ in files)
    assert data.dropped == ()
    expected = [
        Sample(f"{folders[split]}/{name_of(file)}", digits(file), str(file[3]), split)
        for split in folders
        for file in sorted(files, key=name_of)
        if file[0] == split and file[1] != -1
    ]
    assert list(data.manifest) == expected


def digits(file) -> str:
    """The identity with leading zeros, or -1."""
    _, identity, zeros, *_ = file
    return "-1" if identity == -1 else "0" * zeros + str(identity)


def name_of(file) -> str:
    _, _, _, camera, rest, suffix = file
    return f"{digits(file)}_c{camera}{'s' if rest[:1] == '0' else ''}{rest}{suffix}"


def test_junk_is_counted_and_distractors_stay_in_the_gallery(make_market) -> None:
    root = make_market(
        train=["0002_c1s1_000001_00.jpg"],
        query=["-1_c2s1_000001_00.jpg"],
        gallery=["-1_c1s1_000001_00.jpg", "-1_c3s1_000001_00.jpg", "0000_c4s1_000001_00.jpg"],
    )
    data = read_data(root)
    assert (data.junk, data.dropped) == (3, ())
    assert [sample.path for sample in data.manifest] == [
        "bounding_box_train/0002_c1s1_000001_00.jpg",
        "bounding_box_test/0000_c4s1_000001_00.jpg",
    ]
    (note,) = data.notes
    assert note == (
        "Identity 0000 is read as distractors, since it is only in the gallery (1). Distractors are ranked as "
        "wrong images. If it is a person, put one of its images into the query folder."
    )


@pytest.mark.parametrize("split", ["train", "query"])
def test_identity_0_is_a_person_if_it_is_in_train_or_query(make_market, split: str) -> None:
    zero = "000_c1s1_000001_00.jpg"
    data = read_data(make_market(**{split: [zero, "001_c1.jpg"], "gallery": [zero]}))
    assert [(row.identity, row.split) for row in data.manifest] == [("000", split), ("001", split), ("000", "gallery")]
    assert data.dropped == ()
    assert (
        f"Identity 000 is read as a person, since it is in {split} (1). In Market-1501 it marks distractors: if it does "
        "here, move its images out of every part but the gallery."
    ) in data.notes


@pytest.mark.parametrize("name", ["photo.jpg", "Copy of 0001_c1.jpg", "0001_camera1.jpg", "-2_c1s1.jpg", "٣_c1.jpg"])
def test_other_names_are_dropped_with_a_reason(make_market, name: str) -> None:
    data = read_data(make_market(train=[name, "0001_c1s1_000001_00.jpg"]))
    reason = "its name does not start with IDENTITY_cCAMERA, such as 0001_c1"
    assert data.dropped == (Dropped(f"bounding_box_train/{name}", reason),)
    assert len(data.manifest) == 1


def test_hidden_files_and_files_that_are_no_images_are_passed_over_and_counted(make_market) -> None:
    root = make_market(query=["Thumbs.db", ".0001_c1.jpg", ".DS_Store", "readme.txt", "0001_c1.png"])
    data = read_data(root)
    assert [sample.path for sample in data.manifest] == ["query/0001_c1.png"]
    assert data.dropped == ()
    assert passed_text(data.passed) == (
        "Passed over: 2 files or folders of the system (.DS_Store, Thumbs.db); 1 hidden file or folder "
        "(query/.0001_c1.jpg); other file: 1 .txt."
    )


def test_a_name_that_is_no_utf8_is_dropped(make_market) -> None:
    root = make_market(query=["0001_c1.jpg"])
    try:
        Path(os.fsdecode(os.fsencode(root) + b"/query/0002_c1_\xff.jpg")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    data = read_data(root)
    assert data.dropped == (Dropped("query/0002_c1_\ufffd.jpg", "its name is not UTF-8"),)
    assert len(data.manifest) == 1


def test_links_are_read_and_dangling_ones_are_counted(make_market, tmp_path: Path) -> None:
    root = make_market()
    photo = tmp_path / "photo.jpg"
    photo.touch()
    (root / "query" / "0001_c1.jpg").symlink_to(photo)
    (root / "query" / "0002_c1.jpg").symlink_to(tmp_path / "gone.jpg")
    data = read_data(root)
    assert [sample.identity for sample in data.manifest] == ["0001"]
    assert passed_text(data.passed) == "Passed over: 1 dangling link (query/0002_c1.jpg)."


def test_a_fifo_is_never_read_as_an_image(make_market) -> None:
    root = make_market(query=["0001_c1.jpg"])
    os.mkfifo(root / "query" / "0002_c1.jpg")
    assert [sample.identity for sample in read_data(root).manifest] == ["0001"]


def test_folders_inside_a_marker_folder_are_noted(make_market) -> None:
    root = make_market(query=["0001_c1.jpg"])
    (root / "query" / "0001_c2.jpg").mkdir()
    data = read_data(root)
    assert len(data.manifest) == 1
    assert any("query contains a folder (0001_c2.jpg), not read" in note for note in data.notes)


def test_complete_but_empty_marker_folders_are_read(make_market) -> None:
    data = read_data(make_market())
    assert len(data.manifest) == 0
    assert data.layout == "market1501"


def test_twenty_thousand_files_are_listed_in_a_moment_without_asking_for_each(make_market, monkeypatch) -> None:
    root = make_market()
    for number in range(20_000):
        os.close(
            os.open(
                root / "bounding_box_train" / f"{number // 20 + 1:04}_c{number % 6 + 1}s1_{number:06}_00.jpg",
                os.O_CREAT,
            )
        )
    asked = []
    ask = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: asked.append(path) or ask(path, **options))
    with at_most(200):
        data = read_data(root)
    assert len(data.manifest) == 20_000
    assert len(data.manifest.identities()) == 1_000
    assert len(asked) < 40


@pytest.mark.long
def test_three_hundred_thousand_files_in_one_folder_are_listed_in_seconds(make_market, capsys) -> None:
    """And memory grows by no more than 1 KiB per file, rows included."""
    root, count = make_market(), 300_000
    for number in range(count):
        name = f"{number // 20 + 1:05}_c{number % 6 + 1}s1_{number:06}_00.jpg"
        os.close(os.open(root / "bounding_box_test" / name, os.O_CREAT))
    start = time.perf_counter()
    with at_most(400):
        rows = len(read_data(root).manifest)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    read_data(root)
    bytes_each = tracemalloc.get_traced_memory()[1] / rows
    tracemalloc.stop()
    with capsys.disabled():
        print(json.dumps({"files": rows, "seconds": seconds, "bytes per file": bytes_each}))
    assert rows == count
    assert bytes_each < 1024


def test_captions_are_joined_by_path(make_market) -> None:
    root = make_market(train=["0001_c1.jpg", "0002_c1.jpg"])
    (root / "captions.csv").write_text(
        'path,caption\n./bounding_box_train/0001_c1.jpg,"A woman in red,\nwith a bag"\nelsewhere/x.jpg,Nobody\n',
        encoding="utf-8",
    )
    data = read_data(root)
    assert [sample.caption for sample in data.manifest] == ["A woman in red,\nwith a bag", ""]
    assert data.notes == ("captions.csv names 1 file not in the data, such as 'elsewhere/x.jpg'.",)


def test_faulty_captions_are_refused_with_their_lines(make_market) -> None:
    root = make_market(train=["0001_c1.jpg"])
    (root / "captions.csv").write_text("path,caption\na.jpg,x\n,y\n./a.jpg,z\nb.jpg\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_data(root)
    text = str(caught.value)
    assert "captions.csv has 2 faults" in text
    assert "line 3: the path is empty" in text
    assert "line 5: it has 1 field, the header 2" in text


def test_captions_without_their_column_are_refused(make_market) -> None:
    root = make_market()
    (root / "captions.csv").write_text("path,text\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"captions\.csv has no column `caption`; its columns are: 'path', 'text'"):
        read_data(root)


@pytest.mark.parametrize("folders", [("image_train", "image_query", "image_test"), ("train", "query", "gallery")])
def test_identity_0_marks_distractors_only_in_the_gallery_of_market1501(touch, folders: tuple[str, str, str]) -> None:
    train, query, gallery = folders
    data = read_data(touch(f"{train}/0001_c1_1.jpg", f"{query}/0002_c1_1.jpg", f"{gallery}/0000_c2_1.jpg"))
    assert "0000" in data.manifest.identities()
    assert "Identity 0000 is read as a person: it marks distractors only in Market-1501's layout." in data.notes
