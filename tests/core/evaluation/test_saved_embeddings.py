"""Embeddings that another program saved: read block by block, made unit length, refused where they cannot be scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.sides import side

from scing_cli.core.errors import DataError
from scing_cli.core.evaluation import UnitRows, evaluate, read_saved


def arrays(seed: int = 0, queries: int = 6, rows: int = 30, width: int = 16) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    return {
        "query": draw.standard_normal((queries, width)).astype(np.float32),
        "gallery": draw.standard_normal((rows, width)).astype(np.float32),
        "query_identity": np.arange(queries) % 4,
        "gallery_identity": np.arange(rows) % 5,
        "query_camera": np.ones(queries, int),
        "gallery_camera": np.arange(rows) % 3,
    }


def save(place: Path, content: dict[str, np.ndarray], how: str) -> Path:
    if how == "npz":
        np.savez(place / "all.npz", **content)
        return place / "all.npz"
    for name, array in content.items():
        np.save(place / f"{name}.npy", array)
    return place


@pytest.mark.parametrize("how", ["npz", "folder"])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_vectors_are_read_unit_length_with_their_labels(tmp_path: Path, how: str, kind: type) -> None:
    content = arrays() | {"query": 3 * arrays()["query"].astype(kind)}
    query, gallery = read_saved(save(tmp_path, content, how))
    wide = content["query"].astype(np.float64)
    expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    np.testing.assert_allclose(query.vectors[0:6], expected, rtol=0, atol=1e-7)
    assert query.vectors[0:6].dtype == np.float32
    assert (query.changed, query.junk) == (6, 0)
    assert query.identities == ["0", "1", "2", "3", "0", "1"]
    assert gallery.cameras[:4] == ["0", "1", "2", "0"]
    assert gallery.vectors.shape == (30, 16)


def test_a_folder_is_memory_mapped(tmp_path: Path) -> None:
    _, gallery = read_saved(save(tmp_path, arrays(), "folder"))
    assert isinstance(gallery.vectors._array, np.memmap)


@settings(deadline=None)
@given(
    seed=st.integers(0, 99),
    start=st.integers(0, 30),
    length=st.integers(0, 30),
    kind=st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_a_row_has_the_same_bits_whatever_stands_beside_it(seed: int, start: int, length: int, kind: type) -> None:
    array = np.random.default_rng(seed).standard_normal((30, 33)).astype(kind)
    rows = UnitRows(array)
    whole, part = rows[0:30], rows[start : start + length]
    np.testing.assert_array_equal(part, whole[start : start + length])
    order = np.random.default_rng(seed).permutation(30)
    np.testing.assert_array_equal(rows[order], whole[order])
    np.testing.assert_array_equal(UnitRows(array, order)[start : start + length], whole[order][start : start + length])


def test_unit_vectors_are_not_said_to_be_changed(tmp_path: Path) -> None:
    content = arrays()
    for part in ("query", "gallery"):
        content[part] /= np.linalg.norm(content[part], axis=1, keepdims=True)
    query, gallery = read_saved(save(tmp_path, content, "npz"))
    assert (query.changed, gallery.changed) == (0, 0)
    np.testing.assert_array_equal(query.vectors[0:6], content["query"])
    np.testing.assert_array_equal(gallery.vectors[np.array([4, 2])], content["gallery"][[4, 2]])


def test_texts_and_bytes_are_names_and_cameras_may_be_missing(tmp_path: Path) -> None:
    content = arrays() | {
        "query_identity": np.array(list("abcdef")),
        "gallery_identity": np.array([f"é{row}".encode() for row in range(30)]),
    }
    del content["query_camera"], content["gallery_camera"]
    query, gallery = read_saved(save(tmp_path, content, "npz"))
    assert query.identities == list("abcdef")
    assert gallery.identities[:2] == ["é0", "é1"]
    assert set(query.cameras) == set(gallery.cameras) == {""}


@pytest.mark.parametrize("junk", ["-1", " -1 ", "-01", "-1.0"])
def test_junk_may_be_spelled_as_text(tmp_path: Path, junk: str) -> None:
    content = arrays()
    texts = content["gallery_identity"].astype("U8")
    texts[[3, 7]] = junk
    _, gallery = read_saved(save(tmp_path, content | {"gallery_identity": texts}, "npz"))
    assert gallery.junk == 2
    assert junk not in gallery.identities


@pytest.mark.parametrize("how", ["npz", "folder"])
def test_junk_is_left_out_and_changes_nothing_else(tmp_path: Path, how: str) -> None:
    content = arrays()
    content["gallery_identity"][[3, 7]] = -1
    content["query_identity"][2] = -1
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    query, gallery = read_saved(save(tmp_path / "with", content, how))
    assert (query.junk, gallery.junk) == (1, 2)
    assert query.vectors.numbers.tolist() == [0, 1, 3, 4, 5]
    kept = {name: array[content[f"{name.partition('_')[0]}_identity"] != -1] for name, array in content.items()}
    others = read_saved(save(tmp_path / "without", kept, how))
    results = [
        evaluate(
            *(side(part.vectors, part.identities, part.cameras) for part in pair),
            protocol="market",
            gallery_block_size=7,
        ).summary()
        for pair in ((query, gallery), others)
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_camera": None}, "has gallery_camera, but not the other side's cameras"),
        ({"gallery": None}, "lacks the array gallery; it has: gallery_camera, gallery_identity, query"),
        ({"query": np.zeros(6, np.float32)}, "query has the shape (6,) of float32"),
        ({"query": np.ones((6, 16), int)}, "query has the shape (6, 16) of int64"),
        ({"query_identity": np.arange(5)}, "query_identity has the shape (5,); there are 6 vectors"),
        ({"gallery_camera": np.ones(30)}, "gallery_camera is of float64"),
        (
            {"query": np.zeros((6, 16), np.float32)},
            "6 of 6 query vectors have no length that is finite and above zero: rows 0, 1, 2",
        ),
    ],
)
@pytest.mark.parametrize("how", ["npz", "folder"])
def test_what_cannot_be_scored_is_refused(tmp_path: Path, change: dict, message: str, how: str) -> None:
    content = {name: array for name, array in (arrays() | change).items() if array is not None}
    place = save(tmp_path, content, how)
    with pytest.raises(DataError) as caught:
        read_saved(place)
    assert message in caught.value.what
    assert str(place) in caught.value.what


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_named_as_the_file_counts_them(tmp_path: Path, bad: float) -> None:
    content = arrays()
    content["gallery_identity"][0] = -1
    content["gallery"][9, 3] = bad
    with pytest.raises(
        DataError, match=r"1 of 30 gallery vectors has no length that is finite and above zero: rows 9 "
    ):
        read_saved(save(tmp_path, content, "npz"))


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    trap = np.array([Trap()] * 6, dtype=object)
    for how in ("npz", "folder"):
        (tmp_path / how).mkdir()
        with pytest.raises(DataError, match="Python objects, which are not read"):
            read_saved(save(tmp_path / how, arrays() | {"query_identity": trap}, how))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY\x01\x00", b"text"])
def test_files_that_hold_no_arrays_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "all.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"all\.npz"):
        read_saved(tmp_path / "all.npz")
    save(tmp_path, arrays(), "folder")
    (tmp_path / "gallery.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"gallery\.npy"):
        read_saved(tmp_path)


def test_missing_places_and_single_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.npz does not exist"):
        read_saved(tmp_path / "nowhere.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(DataError, match="holds a single array"):
        read_saved(tmp_path / "one.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty is empty"):
        read_saved(tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text("no array")
    with pytest.raises(DataError, match="lacks the array query; it has: nothing"):
        read_saved(tmp_path / "empty")
