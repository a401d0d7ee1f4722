"""Draw results as pictures: ranked montage, saliency, contact sheet, strip for the terminal."""

from scing_cli.core.figures.contact_sheet import SheetLine, contact_sheet
from scing_cli.core.figures.file import check_picture, write_picture
from scing_cli.core.figures.heat import overlay, saliency_montage
from scing_cli.core.figures.montage import MontageHit, ranked_montage
from scing_cli.core.figures.montage_style import DARK, PAGE_LAYOUT, Layout
from scing_cli.core.figures.strip import hits_that_fit, ranked_strip
from scing_cli.core.figures.together import layout_of, together
from scing_cli.core.figures.words import words_picture

__all__ = [
    "DARK",
    "PAGE_LAYOUT",
    "Layout",
    "MontageHit",
    "SheetLine",
    "check_picture",
    "contact_sheet",
    "hits_that_fit",
    "layout_of",
    "overlay",
    "ranked_montage",
    "ranked_strip",
    "saliency_montage",
    "together",
    "words_picture",
    "write_picture",
]
