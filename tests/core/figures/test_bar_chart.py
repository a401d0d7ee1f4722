"""Bar charts: they show the given data."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scing_cli.core.figures.bar_chart import BAR, LINE, Bar, bar_chart

WORDS = {"line_label": "before", "spread_label": "± 1", "unit": "percent"}
GROUPS = {"mAP": [Bar("one", 40.0, 2.0), Bar("two", 20.0)], "rank-1": [Bar("one", 10.0), Bar("two", 30.0, 1.0)]}


def colour(name):
    return np.array([int(name[place : place + 2], 16) for place in (1, 3, 5)])


def drawn(file, name):
    pixels = np.asarray(Image.open(file).convert("RGB")).astype(int)
    return (np.abs(pixels - colour(name)).sum(axis=2) < 12).sum(axis=1)  # how many pixels of that colour in each row


def test_bars_are_as_long_as_their_values(tmp_path):
    bar_chart(tmp_path / "a.png", {"mAP": GROUPS["mAP"]}, lines={"mAP": 30.0}, **WORDS)
    lengths = drawn(tmp_path / "a.png", BAR)
    bars = lengths[lengths > 0]
    assert bars.max() / np.median(bars[bars < bars.max() * 0.7]) == pytest.approx(2.0, rel=0.1)
    assert (drawn(tmp_path / "a.png", LINE) > 0).sum() > 50


def test_each_group_has_a_panel(tmp_path):
    lines = {"mAP": 1.0, "rank-1": 1.0}
    bar_chart(tmp_path / "one.png", {"mAP": GROUPS["mAP"]}, lines=lines, **WORDS)
    bar_chart(tmp_path / "two.png", GROUPS, lines=lines, **WORDS)
    widths = [Image.open(tmp_path / name).width for name in ("one.png", "two.png")]
    assert widths[1] > 1.5 * widths[0]


def test_a_format_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="xyz"):
        bar_chart(tmp_path / "a.xyz", GROUPS, lines={"mAP": 1.0, "rank-1": 1.0}, **WORDS)
    assert not list(tmp_path.iterdir())
