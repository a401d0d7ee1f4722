"""What a notebook needs: open a model, embed images, open an index, search it, and draw the ranking."""

from scing_cli.core.library.loaded_index import HitRecord, Index, draw_hits, load_index
from scing_cli.core.library.loaded_model import Model, load_model

__all__ = ["HitRecord", "Index", "Model", "draw_hits", "load_index", "load_model"]
