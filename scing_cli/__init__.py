"""SCING: person re-identification by selective cross-modal prompt tuning.

The library's face: the six functions of the command line with their reports, and what a notebook needs. Importing it
costs nothing; each name is loaded when it is first used::

    import scing_cli as scing

    model = scing.load_model("runs/market")           # or model="scing-small", or index="gallery.faiss"
    vectors = model.embed(["a.jpg", pil_image])       # (2, D) float32, unit length
    index = scing.load_index("gallery.faiss")
    hits = index.search(vectors, k=5)                 # records: pandas.DataFrame(hits)

Paths may be `str` or `Path`. Where no reporter is given, warnings are Python's own (`ScingWarning`), notes go to the
logger `scing_cli`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scing_cli.core.datasets import read_data as read_data
    from scing_cli.core.errors import ScingError as ScingError
    from scing_cli.core.errors import ScingWarning as ScingWarning
    from scing_cli.core.index import RowFilter as RowFilter
    from scing_cli.core.library import HitRecord as HitRecord
    from scing_cli.core.library import Index as Index
    from scing_cli.core.library import Model as Model
    from scing_cli.core.library import draw_hits as draw_hits
    from scing_cli.core.library import load_index as load_index
    from scing_cli.core.library import load_model as load_model
    from scing_cli.core.settings import PromptSettings as PromptSettings
    from scing_cli.core.settings import VisualSettings as VisualSettings
    from scing_cli.core.spectra import Observation as Observation
    from scing_cli.core.spectra import View as View
    from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice as GalleryChoice
    from scing_cli.core.workflows.embed.embed_gallery import embed as embed
    from scing_cli.core.workflows.embed.embed_report import EmbedReport as EmbedReport
    from scing_cli.core.workflows.embed.embed_shards import ShardsReport as ShardsReport
    from scing_cli.core.workflows.embed.embed_shards import embed_shards as embed_shards
    from scing_cli.core.workflows.embed.export_encoder import ExportReport as ExportReport
    from scing_cli.core.workflows.embed.export_encoder import export_encoder as export_encoder
    from scing_cli.core.workflows.embed.merge_shards import merge_shards as merge_shards
    from scing_cli.core.workflows.evaluate.evaluate_data import evaluate as evaluate
    from scing_cli.core.workflows.evaluate.ranked import EvaluationReport as EvaluationReport
    from scing_cli.core.workflows.prepare.prepare_data import Preparation as Preparation
    from scing_cli.core.workflows.prepare.prepare_data import prepare as prepare
    from scing_cli.core.workflows.search.match_threshold import MatchRule as MatchRule
    from scing_cli.core.workflows.search.search_gallery import SearchReport as SearchReport
    from scing_cli.core.workflows.search.search_gallery import search as search
    from scing_cli.core.workflows.shared.machine import Machine as Machine
    from scing_cli.core.workflows.shared.model import ModelChoice as ModelChoice
    from scing_cli.core.workflows.train.prompts_stage import PromptsReport as PromptsReport
    from scing_cli.core.workflows.train.prompts_stage import train_prompts as train_prompts
    from scing_cli.core.workflows.train.visual_stage import VisualReport as VisualReport
    from scing_cli.core.workflows.train.visual_stage import train_visual as train_visual

__version__ = "0.1.0"

_WORKFLOWS = "scing_cli.core.workflows."
_LAZY: Mapping[str, str] = MappingProxyType(
    {
        "prepare": _WORKFLOWS + "prepare.prepare_data",
        "Preparation": _WORKFLOWS + "prepare.prepare_data",
        "train_prompts": _WORKFLOWS + "train.prompts_stage",
        "PromptsReport": _WORKFLOWS + "train.prompts_stage",
        "train_visual": _WORKFLOWS + "train.visual_stage",
        "VisualReport": _WORKFLOWS + "train.visual_stage",
        "embed": _WORKFLOWS + "embed.embed_gallery",
        "GalleryChoice": _WORKFLOWS + "embed.embed_gallery",
        "EmbedReport": _WORKFLOWS + "embed.embed_report",
        "embed_shards": _WORKFLOWS + "embed.embed_shards",
        "ShardsReport": _WORKFLOWS + "embed.embed_shards",
        "merge_shards": _WORKFLOWS + "embed.merge_shards",
        "export_encoder": _WORKFLOWS + "embed.export_encoder",
        "ExportReport": _WORKFLOWS + "embed.export_encoder",
        "evaluate": _WORKFLOWS + "evaluate.evaluate_data",
        "EvaluationReport": _WORKFLOWS + "evaluate.ranked",
        "search": _WORKFLOWS + "search.search_gallery",
        "SearchReport": _WORKFLOWS + "search.search_gallery",
        "MatchRule": _WORKFLOWS + "search.match_threshold",
        "Machine": _WORKFLOWS + "shared.machine",
        "ModelChoice": _WORKFLOWS + "shared.model",
        "PromptSettings": "scing_cli.core.settings",
        "VisualSettings": "scing_cli.core.settings",
        "load_model": "scing_cli.core.library",
        "Model": "scing_cli.core.library",
        "load_index": "scing_cli.core.library",
        "Index": "scing_cli.core.library",
        "HitRecord": "scing_cli.core.library",
        "draw_hits": "scing_cli.core.library",
        "read_data": "scing_cli.core.datasets",
        "RowFilter": "scing_cli.core.index",
        "Observation": "scing_cli.core.spectra",
        "View": "scing_cli.core.spectra",
        "ScingError": "scing_cli.core.errors",
        "ScingWarning": "scing_cli.core.errors",
    }
)
__all__ = ["__version__", *_LAZY]  # noqa: PLE0604 - names of the table


def __getattr__(name: str) -> Any:
    """Load a name of the library's face."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
