"""An index as gallery: what an evaluation reads of its rows, and how little of them it keeps."""

from __future__ import annotations

import tracemalloc
import types
from pathlib import Path

import numpy as np
from core.index.test_gallery import unit

from scing_cli.core.index import Entry, GalleryIndex, as_location
from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.evaluate.index_gallery import indexed_side

VIEWS = '[["rgb","/v/a.jpg",null,4,5],["tir","/t/a.jpg",null,4,5]]'


def opened(path, rows):
    made_by = {"model_digest": "a" * 64, "model": {}, "descriptor": "projected"}
    GalleryIndex.create(unit(len(rows)), rows, **made_by).write(path)
    return as_location(path).open()


def side_of(index):
    model = types.SimpleNamespace(digest="a" * 64, label=str)
    return indexed_side(
        index, as_location(index._path), model, types.SimpleNamespace(kind="projected", width=8), Silent()
    )


def test_a_side_has_the_labels_and_files_of_its_rows(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    paths = [f"{tmp_path}/link/1.jpg", f"{tmp_path}/2.jpg", f"{tmp_path}/3.jpg"]
    rows = [
        Entry(path, identity=name, camera="c", scene="s") for path, name in zip(paths, ("anna", "-1", ""), strict=True)
    ]
    index = opened(tmp_path / "g.faiss", rows)
    side = side_of(index)
    assert (side.names, side.keys) == ([paths[0], paths[2]], [f"{tmp_path}/1.jpg", paths[2]])
    assert (side.identities, side.cameras, side.scenes, side.images) == (["anna", ""], ["c", "c"], ["s", "s"], ())
    assert (list(side.files), side.files[-1:]) == ([Path(paths[0]), Path(paths[2])], [Path(paths[2])])
    np.testing.assert_array_equal(side.vectors, index.vectors([0, 2]))


def test_a_side_of_observations_has_all_their_images(tmp_path):
    rows = [Entry("/v/a.jpg", identity="anna", views=VIEWS), Entry("/v/b.jpg", identity="ben")]
    side = side_of(opened(tmp_path / "g.faiss", rows))
    assert side.images == [("/v/a.jpg", "/t/a.jpg"), ("/v/b.jpg",)]
    assert side.files[1] == Path("/v/b.jpg")
    assert [str(view.file) for view in side.files[0].views] == ["/v/a.jpg", "/t/a.jpg"]


def test_of_a_row_little_more_than_its_path_is_kept(tmp_path):
    count = 20_000
    rows = [Entry(f"/data/{number:050d}.jpg", 1, 2, "d" * 64, f"{number % 50}", "c") for number in range(count)]
    index = opened(tmp_path / "g.faiss", rows)
    tracemalloc.start()
    side = side_of(index)
    kept = tracemalloc.get_traced_memory()[0] / count
    tracemalloc.stop()
    assert len(side) == count
    assert kept < 8 * 4 + 300, kept
