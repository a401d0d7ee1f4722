"""The contact sheet: every image in its cell, long names shortened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scing_cli.core.errors import SettingError
from scing_cli.core.figures import SheetLine, check_picture, contact_sheet, write_picture
from scing_cli.core.figures.contact_sheet import CELL, GAP, LABEL, LETTER, MARGIN

RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_images_stand_in_their_cells() -> None:
    lines = [
        SheetLine(("anna", "training"), [Image.new("RGB", (64, 128), RED), None]),
        SheetLine(("ben " * 40,), [None, Image.new("L", (300, 20), 10)]),
    ]
    sheet = np.asarray(contact_sheet("a title " * 40, ["camera 1", "camera " + "x" * 90], lines))
    top = MARGIN + 3 * LETTER + 2 * GAP
    red = np.argwhere((sheet == RED).all(axis=2))
    assert red[:, 0].min() >= top
    assert red[:, 0].max() < top + CELL[1]
    assert red[:, 1].min() >= MARGIN + LABEL
    assert red[:, 1].max() < MARGIN + LABEL + CELL[0]
    assert len(red) == CELL[0] * CELL[1]
    assert sheet.shape == (top + 2 * (CELL[1] + GAP) + MARGIN, 480, 3)


@pytest.mark.parametrize("lines", [[], [SheetLine(("anna",), [None, None])]])
def test_lines_that_do_not_fit_are_refused(lines: list[SheetLine]) -> None:
    with pytest.raises(ValueError, match="columns"):
        contact_sheet("title", ["camera 1"], lines)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "A.JPEG"])
def test_a_picture_is_written_over_pictures_of_ours_alone(tmp_path: Path, name: str) -> None:
    target, picture = tmp_path / name, Image.new("RGB", (9, 9), RED)
    check_picture(target, option="--sheet")
    write_picture(picture, target)
    check_picture(target, option="--sheet")
    for foreign in (b"", b"some bytes"):
        target.write_bytes(foreign)
        with pytest.raises(SettingError, match="already exists and is not a picture written by scing"):
            check_picture(target, option="--sheet")
    picture.save(target, format="PNG" if name.endswith("png") else "JPEG")
    with pytest.raises(SettingError, match="already exists and is not a picture"):
        check_picture(target, option="--sheet")
