"""MSMT17's lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import read_data
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import Sample

FOLDERS = [("train", "test"), ("mask_train_v2", "mask_test_v2")]
LISTS = {
    "train": "0000/0000_000_01_0303morning_0015_0.jpg 0\n0001/0001_001_14_0303noon_0016_0.jpg 1\n",
    "val": "0001/0001_002_15_0303noon_0016_1_ex.jpg 1\n",
    "query": "0000/0000_003_05_0303morning_0508_0.jpg 0\n",
    "gallery": "0000/0000_004_06_0303morning_0508_0.jpg 0\n3059/3059_004_07_0303morning_0508_0.jpg 3059\n",
}


@pytest.fixture
def make_msmt(tmp_path: Path):
    """Return a function that writes the lists and the folders of one version, and returns the root."""

    def make(folders: tuple[str, str] = FOLDERS[0], **lists: str | None) -> Path:
        root = tmp_path / "MSMT17"
        for folder in folders:
            root.joinpath(folder).mkdir(parents=True)
        for split, text in {**LISTS, **lists}.items():
            if text is not None:
                root.joinpath(f"list_{split}.txt").write_bytes(text.encode())
        return root

    return make


@pytest.mark.parametrize("folders", FOLDERS)
def test_lists_give_identity_camera_and_split_in_their_own_order(make_msmt, folders) -> None:
    train, test = folders
    data = read_data(make_msmt(folders))
    assert data.layout == "msmt17"
    assert data.manifest.samples == (
        Sample(f"{train}/0000/0000_000_01_0303morning_0015_0.jpg", "0000", "01", "train"),
        Sample(f"{train}/0001/0001_001_14_0303noon_0016_0.jpg", "0001", "14", "train"),
        Sample(f"{train}/0001/0001_002_15_0303noon_0016_1_ex.jpg", "0001", "15", "val"),
        Sample(f"{test}/0000/0000_003_05_0303morning_0508_0.jpg", "test-0000", "05", "query"),
        Sample(f"{test}/0000/0000_004_06_0303morning_0508_0.jpg", "test-0000", "06", "gallery"),
        Sample(f"{test}/3059/3059_004_07_0303morning_0508_0.jpg", "test-3059", "07", "gallery"),
    )
    assert data.notes == (
        "1 identity is in train and in val: scores of train-visual --validate are not those of unseen people.",
    )


def test_val_can_be_trained_on(make_msmt) -> None:
    rows = read_data(make_msmt(), include_val=True).manifest
    assert [row.split for row in rows] == ["train", "train", "train", "query", "gallery", "gallery"]


def test_val_may_be_missing_and_windows_ends_and_marks_do_no_harm(make_msmt) -> None:
    root = make_msmt(val=None, train="\ufeff" + LISTS["train"].replace("\n", "\r\n") + "\r\n")
    assert [row.identity for row in read_data(root).manifest.part("train")] == ["0000", "0001"]


def test_all_faulty_lines_are_told(make_msmt) -> None:
    lines = "0000/0000_000_01_a.jpg 0\n0000/0000_000_01_a.jpg 0\nonly-a-path.jpg\n0001/0001_x.jpg 1\na/b_c_d.jpg x\n"
    with pytest.raises(DataError) as caught:
        read_data(make_msmt(train=lines))
    assert "list_train.txt has 4 faults:" in caught.value.what
    for fault in (
        "line 2: '0000/0000_000_01_a.jpg' is in line 1 already",
        "line 3: 'only-a-path.jpg' is not a path and a number",
        "line 4: '0001/0001_x.jpg' names no camera: its third field should be a number",
        "line 5: 'a/b_c_d.jpg x' is not a path and a number",
    ):
        assert fault in caught.value.what


def test_a_list_that_is_no_text_is_refused(make_msmt) -> None:
    root = make_msmt()
    (root / "list_query.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"list_query\.txt is not UTF-8 text"):
        read_data(root)


LINES = st.lists(
    st.tuples(st.integers(0, 4100), st.integers(1, 15), st.text("morning_ex09", max_size=9)), max_size=8, unique=True
)


@settings(deadline=None, max_examples=60)
@given(lists=st.tuples(*[LINES] * 4), end=st.sampled_from(["\n", "\r\n"]), mark=st.booleans(), last=st.booleans())
def test_any_lines_in_any_order_are_rows_in_that_order(lists, end, mark, last, tmp_path_factory) -> None:
    root = tmp_path_factory.mktemp("msmt")
    expected = []
    for folder in ("train", "test"):
        (root / folder).mkdir()
    for split, lines in zip(LISTS, lists, strict=True):
        folder, before = ("test", "test-") if split in {"query", "gallery"} else ("train", "")
        paths = [f"{who:04}/{who:04}_000_{camera:02}_{rest}.jpg" for who, camera, rest in lines]
        text = end.join(f"{path} {who}" for path, (who, *_) in zip(paths, lines, strict=True))
        (root / f"list_{split}.txt").write_bytes((("\ufeff" * mark) + text + end * last).encode())
        expected += [
            Sample(f"{folder}/{path}", f"{before}{who:04}", f"{camera:02}", split)
            for path, (who, camera, _) in zip(paths, lines, strict=True)
        ]
    assert list(read_data(root).manifest) == expected
