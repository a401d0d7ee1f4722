"""What was asked of an evaluation, checked before any work."""

from __future__ import annotations

import dataclasses
from collections.abc import Sized
from pathlib import Path

from scing_cli.core.datasets import DataSet
from scing_cli.core.embeddings import Embedder
from scing_cli.core.embeddings.text_embedder import TextEmbedder
from scing_cli.core.encoders.geometry import check_descriptor
from scing_cli.core.errors import SettingError
from scing_cli.core.evaluation import TEXT, Reranking
from scing_cli.core.evaluation.truth import checked_truth
from scing_cli.core.index import GalleryLocation
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.evaluate.ranked import check_cost
from scing_cli.core.workflows.evaluate.report import check_folder
from scing_cli.core.workflows.evaluate.word_counts import DIRECTIONS, check_words
from scing_cli.core.workflows.shared.caption_side import captions_of, images_of_test
from scing_cli.core.workflows.shared.embedder_choice import choose_embedder
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import OpenedModel
from scing_cli.core.workflows.shared.scoring import labels_of, sides
from scing_cli.core.workflows.shared.text_tower import check_text_tower, open_text_embedder


@dataclasses.dataclass(frozen=True)
class Request:
    """What all evaluations of one call share; see `evaluate_data.evaluate`."""

    split: str
    queries: str
    direction: str | None
    index: GalleryLocation | None
    protocol: str
    descriptor: str
    reranking: Reranking | None
    yes: bool
    output: Path | None
    strict: bool
    machine: Machine
    reporter: Reporter
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.split == "all":
            raise SettingError(
                "--split all cannot be evaluated.", "Use query (searched in gallery), or val (in itself)."
            )
        given = {"--rerank": self.reranking is not None, "--descriptor concat": self.descriptor == "concat"}
        direction = check_words(self.queries, self.direction, self.protocol, given)
        object.__setattr__(self, "direction", direction)
        if direction:
            object.__setattr__(self, "protocol", TEXT)
        check_descriptor(self.descriptor)
        if self.output is not None:
            check_folder(self.output)
        if self.index is not None:
            self._check_index(self.index)

    def _check_index(self, index: GalleryLocation) -> None:
        kind = index.stamp().descriptor
        if self.direction and kind != "projected":
            raise SettingError(
                f"{index} holds the descriptor {kind}: words are compared in the space that images and texts share.",
                "Embed the gallery again without --descriptor.",
            )

    def check_model(self, model: OpenedModel | None) -> None:
        """Refuse a model that cannot read words, if it is known before the data are read."""
        if model is not None and self.direction:
            check_text_tower(model, "--queries text")

    def check_data(self, source: DataSet) -> None:
        """Check, before anything is embedded, that a query of the data has a true match.

        Raises:
            DataError: If none has, or there is no caption that is needed.
        """
        if self.direction:
            captions = captions_of(images_of_test(source.manifest, self.split), self.split)
            if self.index is None:
                both = captions.labels(), labels_of(captions.images)
                query, gallery = both if DIRECTIONS[self.direction] == "image" else both[::-1]
                checked_truth(query, gallery, self.protocol, DIRECTIONS[self.direction])
        elif self.index is None:
            query, gallery = map(labels_of, sides(source.manifest, self.split))
            checked_truth(query, gallery, self.protocol)

    def embedder(self, model: OpenedModel, kind: str) -> Embedder:
        """Return what embeds: float32 by torch; with `--precision bf16` the inference copy, where there is one."""
        if self.machine.precision == "bf16":
            return choose_embedder(model, self.machine, kind=kind, reporter=self.reporter)
        return model.embedder(self.machine, kind=kind)

    def text_embedder(self, model: OpenedModel, reporter: Reporter) -> TextEmbedder | None:
        """Return what embeds captions, in torch as the images; None if there are none to embed.

        Args:
            model: The model of the images.
            reporter: Receives the warnings of loading the text tower.

        Raises:
            SettingError: If the model has no text tower.
            RunError: If the text tower is not the one that belongs to a run.
        """
        if not self.direction:
            return None
        return open_text_embedder(model, machine=self.machine, option="--queries text", reporter=reporter)

    def check_cost(self, query: Sized, gallery: Sized, width: int) -> None:
        """Look at what a re-ranking will take, if there is to be one."""
        if self.reranking is not None:
            check_cost(self.reranking, (len(query), len(gallery), width), yes=self.yes, reporter=self.reporter)
