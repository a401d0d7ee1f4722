"""The columns near_infrared, thermal, scene and crops of a table: read, written, moved, joined, and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scing_cli.core.datasets import join_data, read_data
from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.foreign_paths import DOWNLOAD
from scing_cli.core.datasets.table import read_rows
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import Manifest, Sample, with_own_paths, write_manifest

HEADER = "path,identity,camera,split,near_infrared,thermal,scene,crops"


def table(folder: Path, *lines: str, header: str = HEADER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.csv").write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return folder / "mine.csv"


def test_each_image_is_in_the_column_of_its_spectrum(tmp_path):
    source = table(
        tmp_path,
        "v/1.jpg,a,1,train,n/1.jpg,t/1.jpg,s1,",
        "v/2.jpg,a,1,train,,t/2.jpg,s2,",
        ",b,2,train,n/3.jpg,,s2,",
        "s/4.jpg,b,2,train,,,,3x1",
    )
    manifest = read_data(source).manifest
    assert [dict(row.images) for row in manifest] == [
        {"rgb": ("v/1.jpg", None), "nir": ("n/1.jpg", None), "tir": ("t/1.jpg", None)},
        {"rgb": ("v/2.jpg", None), "tir": ("t/2.jpg", None)},
        {"nir": ("n/3.jpg", None)},
        {"rgb": ("s/4.jpg", 0), "nir": ("s/4.jpg", 1), "tir": ("s/4.jpg", 2)},
    ]
    assert [row.path for row in manifest] == ["v/1.jpg", "v/2.jpg", "n/3.jpg", "s/4.jpg"]
    assert [row.scene for row in manifest] == ["s1", "s2", "s2", ""]
    assert manifest.scenes() == ("s1", "s2")
    assert manifest.spectra() == ("rgb", "nir", "tir")
    assert [path.name for path in manifest.all_files()] == [
        "1.jpg",
        "1.jpg",
        "1.jpg",
        "2.jpg",
        "2.jpg",
        "3.jpg",
        "4.jpg",
    ]


def test_a_row_without_any_image_is_refused_with_its_line(tmp_path):
    with pytest.raises(DataError, match=r"line 3: the path is empty"):
        read_data(table(tmp_path, "v.jpg,a,1,train,,,,", ",b,1,train,,,s,"))


def test_two_rows_of_one_image_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"'n\.jpg' is already in the split train, with other fields, in line 2"):
        read_data(table(tmp_path, ",a,1,train,n.jpg,,,", ",b,1,train,n.jpg,,,"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "s.jpg,a,1,train,n.jpg,,,3x1",
            "with crops 3x1, path shows all spectra, but near_infrared names another image",
        ),
        ("v.jpg,a,1,train,x.jpg,./x.jpg,,", "near_infrared and thermal name one file"),
    ],
)
def test_an_image_of_two_spectra_is_refused(tmp_path, line, said):
    with pytest.raises(DataError) as caught:
        read_data(table(tmp_path, line))
    assert said in str(caught.value)
    assert "Name each image in the column of its spectrum: path, near_infrared, thermal." in str(caught.value)


def test_a_row_whose_path_is_the_image_of_another_spectrum_has_no_visible_one(tmp_path):
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "1.jpg").touch()
    (row,) = read_data(table(tmp_path, "n/1.jpg,a,1,train,./n/../n/1.jpg,,,")).manifest
    assert dict(row.images) == {"nir": ("n/1.jpg", None)}


def test_an_unknown_value_of_crops_is_warned_of_and_read_as_one_image(tmp_path):
    data = read_data(table(tmp_path, "v.jpg,a,1,train,,,,2x2", "w.jpg,a,1,train,,,,"))
    (warning,) = data.warnings
    assert warning == (
        "1 of 2 rows has an unknown value in the column crops, such as '2x2': path is read as one image. 3x1 means that "
        "it shows the visible, near-infrared and thermal images side by side."
    )
    assert data.manifest.spectra() == ()


def test_an_image_of_several_identities_is_warned_of(tmp_path):
    lines = ("a.jpg,a,1,train,n.jpg,t1.jpg,,", "b.jpg,b,1,train,n.jpg,t2.jpg,,", "c.jpg,b,1,train,m.jpg,t2.jpg,,")
    assert read_data(table(tmp_path, *lines)).warnings == (
        "1 near-infrared image is in rows of different identities, such as n.jpg.",
    )


def test_the_spelling_on_disk_and_foreign_paths_hold_for_every_column(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("n/1.JPG", "home/t.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    data = read_data(
        table(tmp_path, "v.jpg,a,1,train,n/1.jpg,~/t.jpg,,", "w.jpg,a,1,train,n/2.jpg,http://x.org/t.jpg,,")
    )
    (row,) = data.manifest
    assert row.paths == ("v.jpg", "n/1.JPG", (tmp_path / "home" / "t.jpg").as_posix())
    assert data.dropped == (Dropped("http://x.org/t.jpg", DOWNLOAD),)
    told = " ".join(data.notes)
    assert "1 path begins with ~, such as ~/t.jpg" in told
    assert "1 path differs from its name on disk in Unicode form or case, such as 'n/1.jpg'" in told


def test_files_of_the_system_are_passed_over_in_every_column(tmp_path):
    data = read_data(table(tmp_path, "v.jpg,a,1,train,n/Thumbs.db,,,", "w.jpg,a,1,train,n/2.jpg,,,"))
    assert [row.path for row in data.manifest] == ["w.jpg"]
    assert [entry.suffix for entry in data.passed] == ["Thumbs.db"]


def test_columns_under_other_names_are_noted(tmp_path):
    data = read_data(table(tmp_path, "v.jpg,a,x,y,z", header="path,identity,NIR,thermal_infrared,Scene"))
    assert data.manifest.spectra() == ()
    assert [note for note in data.notes if "is not read" in note] == [
        "The column 'NIR' is not read. If it holds the near-infrared images, rename it to near_infrared.",
        "The column 'thermal_infrared' is not read. If it holds the thermal images, rename it to thermal.",
        "The column 'Scene' is not read. If it holds the scene, rename it to scene.",
    ]
    with pytest.raises(DataError, match="If 'rgb' holds the path, rename it to path"):
        read_data(table(tmp_path, "v.jpg,n.jpg", header="rgb,nir"))


PATHS = st.text("abc/", min_size=1, max_size=6).map(lambda text: f"i/{text.strip('/')}x.jpg".replace("//", "/"))
ROWS = st.builds(
    lambda images, kind, scene, split: (images, kind, scene, split),
    st.lists(PATHS, min_size=3, max_size=3, unique=True),
    st.sampled_from(["all", "no visible", "visible", "thermal", "strip", "warm and near"]),
    st.sampled_from(["", "s1", "s 2"]),
    st.sampled_from(["train", "query", "gallery", ""]),
)


def sample_of(images, kind, scene, split) -> Sample:
    first, second, third = images
    cells = {
        "all": (first, second, third, ""),
        "no visible": (second, second, third, ""),
        "visible": (first, "", "", ""),
        "thermal": (third, "", third, ""),
        "strip": (first, "", "", "3x1"),
        "warm and near": (first, second, "", ""),
    }[kind]
    named = zip(("near_infrared", "thermal", "crops"), cells[1:], strict=True)
    return Sample(cells[0], "a", "1", split, extra=(*named, ("scene", scene)))


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(ROWS, min_size=1, max_size=6))
def test_what_is_written_is_read_from_any_folder(rows, tmp_path_factory):
    """Written next to the images, in another folder and in a run: the rows name the same files."""
    samples = tuple({(row.path, row.split): row for row in (sample_of(*each) for each in rows)}.values())
    root = tmp_path_factory.mktemp("data")
    manifest = Manifest(root, samples, "data")
    write_manifest(manifest, root / "one.csv")
    read = read_rows(root / "one.csv").manifest
    assert read.samples == samples
    assert read.fingerprint() == manifest.fingerprint()
    (root / "deeper").mkdir()
    write_manifest(manifest, root / "deeper" / "two.csv")
    moved = read_rows(root / "deeper" / "two.csv").manifest
    for one in (moved, with_own_paths(moved)):
        assert [{(root / path).resolve() for path in row.paths} for row in manifest] == [
            {(one.root / path).resolve() for path in row.paths} for row in one
        ]
        assert [list(row.images) for row in one] == [list(row.images) for row in manifest]
    assert not any(path.startswith("..") for row in with_own_paths(moved) for path in row.paths)


def test_joined_data_name_the_images_of_every_spectrum(tmp_path):
    sources = []
    for name in ("one", "two"):
        source = table(tmp_path / name, f"v.jpg,{name},1,train,n.jpg,t.jpg,s,", f"w.jpg,{name},1,train,,,,3x1")
        sources.append(read_data(source))
    joint = join_data(sources).manifest
    assert [row.paths for row in joint] == [
        (f"{name}/v.jpg", f"{name}/n.jpg", f"{name}/t.jpg") if whole else (f"{name}/w.jpg",)
        for name in ("one", "two")
        for whole in (True, False)
    ]
    shared = read_data(table(tmp_path / "three", "x.jpg,c,1,train,../one/n.jpg,,,"))
    with pytest.raises(DataError, match="is in two of the data sets"):
        join_data([sources[0], shared])


def test_rows_with_a_damaged_image_of_a_spectrum_that_is_read_are_left_out(tmp_path):
    from scing_cli.core.datasets.left_out import LeftOut
    from scing_cli.core.runtime import Silent
    from scing_cli.core.workflows.shared.readable import readable_rows

    for number in range(12):
        for spectrum in "vnt":
            Image.new("RGB", (4, 4)).save(tmp_path / f"{spectrum}{number}.png")
    (tmp_path / "t3.png").write_bytes(b"no image")
    lines = [f"v{number}.png,{number % 3},1,train,n{number}.png,t{number}.png,," for number in range(12)]
    manifest = read_data(table(tmp_path, *lines)).manifest

    def readable(*spectra: str) -> list[str]:
        left_out = LeftOut()
        rows = readable_rows(manifest, "train", left_out=left_out, workers=2, reporter=Silent(), spectra=spectra)
        assert [Path(fault.path).name for fault in left_out.dropped()] == ["t3.png"] * (len(rows) < 12)
        return [row.path for row in rows]

    every = [row.path for row in manifest]
    assert readable() == readable("rgb", "nir") == every
    assert readable("rgb", "nir", "tir") == [path for path in every if path != "v3.png"]
