"""Contact sheet of a data set: one line per person, one column per camera, to check that it was read correctly."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from scing_cli.core.figures.lettering import direction, fit
from scing_cli.core.figures.montage_style import FAINT, FILL, INK, PAPER, RULE, Colour

CELL = (72, 144)  # width and height, pixels
GAP = 8
MARGIN = 20
LABEL = 132
LETTER = 12


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class SheetLine:
    """One person.

    Args:
        label: Lines of text, such as the person and the part of the data set.
        images: As many per column as the sheet shows spectra, those of a column together; None if there is no image.
    """

    label: Sequence[str]
    images: Sequence[Image.Image | None]


def contact_sheet(
    title: str,
    columns: Sequence[str],
    lines: Sequence[SheetLine],
    *,
    spectra: Sequence[str] = ("",),
    cell: tuple[int, int] = CELL,
) -> Image.Image:
    """Draw the images of some people.

    Args:
        title: Title of the sheet.
        columns: Heading of each column.
        lines: The people; each has as many images per column as there are spectra.
        spectra: Heading of each image in a column, side by side; one empty text for one image per column.
        cell: Width and height of an image, pixels.

    Returns:
        An RGB picture: a line is as high as an image and 8 pixels more, and so is the width of an image.

    Raises:
        ValueError: If there is no line, or one has more or fewer images than there are columns.
    """
    headings = [f"{column}, {spectrum}" if spectrum else column for column in columns for spectrum in spectra]
    if not lines or any(len(line.images) != len(headings) for line in lines):
        raise ValueError(f"{len(lines)} lines, {len(headings)} columns")
    width, height = cell
    head = MARGIN + 2 * LETTER + 2 * GAP + LETTER
    across = max(2 * MARGIN + LABEL + len(headings) * (width + GAP), 480)
    picture = Image.new("RGB", (across, head + len(lines) * (height + GAP) + MARGIN), PAPER)
    draw = ImageDraw.Draw(picture)

    def write(corner: tuple[int, int], text: str, width: int, colour: Colour, size: int = LETTER) -> None:
        shown, letters = fit(text, width, size)
        draw.text(corner, shown, colour, letters, direction=direction(letters))

    write((MARGIN, MARGIN), title, picture.width - 2 * MARGIN, INK, LETTER + 3)
    for column, heading in enumerate(headings):
        write((MARGIN + LABEL + column * (width + GAP), head - LETTER - GAP), heading, width, FAINT)
    for row, line in enumerate(lines):
        top = head + row * (height + GAP)
        for number, text in enumerate(line.label):
            write((MARGIN, top + number * (LETTER + 4)), text, LABEL - GAP, FAINT if number else INK)
        for column, image in enumerate(line.images):
            left = MARGIN + LABEL + column * (width + GAP)
            draw.rectangle((left, top, left + width - 1, top + height - 1), fill=FILL, outline=RULE)
            if image is not None:
                inside = ImageOps.contain(image.convert("RGB"), cell, Image.Resampling.LANCZOS)
                picture.paste(inside, (left + (width - inside.width) // 2, top + (height - inside.height) // 2))
    return picture
