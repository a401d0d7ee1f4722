"""Pictures of results."""

from scing_cli.core.figures.file import check_picture, write_picture
from scing_cli.core.figures.montage import MontageHit, ranked_montage
from scing_cli.core.figures.saliency import overlay, saliency_montage
from scing_cli.core.figures.sheet import SheetLine, contact_sheet

__all__ = [
    "MontageHit",
    "SheetLine",
    "check_picture",
    "contact_sheet",
    "overlay",
    "ranked_montage",
    "saliency_montage",
    "write_picture",
]
