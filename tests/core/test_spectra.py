"""Spectra: which image of an observation a model reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from scing_cli.core.errors import SettingError
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.spectra import Observation, View, file_of, parse_spectra, views_of


def manifest(*samples: Sample) -> Manifest:
    return Manifest(Path("data"), samples, "data")


WHOLE = Sample("v.jpg", "1", extra=(("near_infrared", "n.jpg"), ("thermal", "t.jpg")))
WARM = Sample("w.jpg", "2", extra=(("thermal", "w.jpg"),))
STRIP = Sample("s.jpg", "3", extra=(("crops", "3x1"),))


def test_rows_of_ordinary_images_are_files():
    rows = manifest(Sample("a.jpg"), Sample("b.jpg", extra=(("weather", "wet"),)))
    assert rows.spectra() == ()
    assert rows.sources() == [Path("data/a.jpg"), Path("data/b.jpg")]
    assert rows.sources(("rgb",)) == [Observation((View(file),)) for file in rows.files()]
    assert rows.seen_in(()) == rows.seen_in(("rgb", "tir")) == rows
    assert len(rows.seen_in(("nir", "tir"))) == 0


def test_an_observation_has_the_images_that_its_columns_name():
    rows = manifest(WHOLE, WARM, STRIP)
    assert rows.spectra() == ("rgb", "nir", "tir")
    assert dict(WARM.images) == {"tir": ("w.jpg", None)}
    whole, warm, strip = rows.sources(("rgb", "nir", "tir"))
    root = Path("data")
    assert whole == Observation(tuple(View(root / name) for name in ("v.jpg", "n.jpg", "t.jpg")))
    assert warm == Observation((None, None, View(root / "w.jpg")))
    assert strip == Observation(tuple(View(root / "s.jpg", part) for part in range(3)))
    assert strip.files == (root / "s.jpg",)
    assert [file_of(source) for source in (whole, warm, root)] == [root / "v.jpg", root / "w.jpg", root]


def test_a_model_of_ordinary_images_reads_the_visible_one():
    rows = manifest(WHOLE, WARM, STRIP).seen_in(())
    assert [row.path for row in rows] == ["v.jpg", "s.jpg"]
    assert rows.sources() == [Path("data/v.jpg"), Observation((View(Path("data/s.jpg"), 0),))]
    with pytest.raises(ValueError, match="needs an image"):
        manifest(WHOLE, WARM).sources()


@pytest.mark.parametrize("text", ["", "red", "rgb,rgb", "tir,thermal", "rgb,"])
def test_unknown_spectra_are_refused(text):
    with pytest.raises(SettingError, match="--spectra"):
        parse_spectra(text, "--spectra")


def test_a_file_is_the_visible_image_of_any_model_that_reads_one():
    file = Path("a.jpg")
    assert views_of(file) == (View(file),)
    assert views_of(file, ("rgb", "tir")) == (View(file), None)
    both = Observation((None, View(file)))
    assert views_of(both, ("rgb", "tir")) == both.views
    with pytest.raises(ValueError, match="needs an image"):
        views_of(file, ("tir",))
    with pytest.raises(ValueError, match="2 spectra for a model of 3"):
        views_of(both, ("rgb", "nir", "tir"))
