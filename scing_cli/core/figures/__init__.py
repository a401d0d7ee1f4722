"""Pictures of results."""

from scing_cli.core.figures.montage import MontageHit, ranked_montage

__all__ = ["MontageHit", "ranked_montage"]
