"""Several data sets as one: nobody is mixed up with a namesake, and every path leads to its image."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fixtures import FIXTURES
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.datasets import join_data, join_manifests, read_data
from scing_cli.core.datasets.joint import unique_names
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import Manifest, Sample, write_manifest

KINDS = ("Market-1501", "MSMT17 V1", "a CSV", "folders by split", "folders of people")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Return data sets in several layouts; two of the folders have the same name."""
    base = tmp_path_factory.mktemp("several")
    found = []
    for number, kind in enumerate(KINDS):
        folder = base / str(number) / ("same" if number < 2 else f"set {number}")
        folder.mkdir(parents=True)
        found.append(read_data(FIXTURES[kind].write(folder)))
    return found


def test_all_rows_lead_to_their_images_and_keep_everything_else(sources):
    joint = join_data(sources).manifest
    rows = [(source.manifest, row) for source in sources for row in source.manifest]
    assert len(joint) == len(rows)
    for (manifest, row), sample in zip(rows, joint, strict=True):
        assert joint.file(sample).samefile(manifest.file(row))
        assert (sample.split, sample.caption, sample.extra) == (row.split, row.caption, row.extra)


def test_people_and_cameras_of_different_data_sets_stay_apart(sources):
    joint = join_data(sources).manifest
    for field in ("identity", "camera"):
        pairs = {(number, getattr(row, field)) for number, source in enumerate(sources) for row in source.manifest}
        known = {pair for pair in pairs if pair[1]}
        assert len({getattr(row, field) for row in joint} - {""}) == len(known)
    assert {"same/0001", "same-2/0000"} <= set(joint.identities())


def test_the_notes_say_what_stands_in_front(sources):
    first, second = join_data(sources).notes
    assert "have the name of their data set in front, as in same/0001." in first
    assert "is named same-2 there, because another data set is named same too." in second


def test_a_joint_manifest_is_read_like_any_other(sources, tmp_path):
    joint = join_data(sources).manifest
    write_manifest(joint, tmp_path / "joint.csv")
    again = read_data(tmp_path / "joint.csv").manifest
    assert [row.identity for row in again] == [row.identity for row in joint]
    assert all(again.file(row).samefile(joint.file(other)) for row, other in zip(again, joint, strict=True))


def test_the_same_image_in_two_data_sets_is_refused(sources, tmp_path):
    with pytest.raises(DataError, match="is in two of the data sets"):
        join_data([sources[0], sources[2], sources[0]])
    row = next(iter(sources[0].manifest))
    table = Manifest(tmp_path, (dataclasses.replace(row, path=sources[0].manifest.file(row).as_posix()),), "table")
    with pytest.raises(DataError, match="is in two of the data sets"):
        join_data([sources[0], dataclasses.replace(sources[1], manifest=table)])


def test_rows_without_labels_stay_without():
    folders = [Manifest(Path(f"/x/{name}"), (Sample("a.jpg"),), name) for name in ("one", "two")]
    joint = join_manifests(folders)
    assert (joint.root, joint.name) == (Path("/x"), "one+two")
    assert [row.path for row in joint] == ["one/a.jpg", "two/a.jpg"]
    assert joint.identities() == ()


@given(st.lists(st.sampled_from(["a", "b", "a-2", "a-3", "a-2-2", "b-2"]), max_size=12))
def test_names_become_unique_and_change_only_where_they_repeat(names):
    unique = unique_names(names)
    assert len(set(unique)) == len(names)
    for number, (name, own) in enumerate(zip(names, unique, strict=True)):
        assert own.startswith(name)
        assert (own == name) == (name not in names[:number])


def test_many_long_names_give_a_short_one():
    long = [Manifest(Path("/x"), (), "n" * 50) for _ in range(9)]
    assert join_manifests(long).name == "n" * 50 + "+8-more"
