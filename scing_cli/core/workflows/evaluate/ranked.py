"""The ranking of two sides, and the report of an evaluation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.errors import SettingError, agreeing, counted
from scing_cli.core.evaluation import PROTOCOLS, TEXT, Choice, Reranking, Scores, Side, protocol_of
from scing_cli.core.evaluation import evaluate as rank
from scing_cli.core.evaluation.cost import Cost, reranking_cost
from scing_cli.core.evaluation.products import Products
from scing_cli.core.evaluation.tables import PublishedRow
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import in_words
from scing_cli.core.workflows.evaluate.word_counts import DIRECTIONS, REASON, WordCounts
from scing_cli.core.workflows.shared.scoring import Caution

NUMBERS = ("mAP", "mINP", "rank1", "rank5", "rank10", "queries", "valid_queries")
PUBLISHED = ("table", "row", "mAP", "rank1", "source", "note")
WORTH_SAYING = Cost(seconds=60, memory=1e9)
LIMIT = Cost(seconds=600, memory=8e9)


@dataclasses.dataclass(frozen=True)
class Reranked:
    """What the same rankings score when they are re-ranked, and how that was done."""

    settings: Reranking
    scores: Scores

    def summary(self) -> dict[str, Any]:
        """Return the figures and the settings, ready for JSON."""
        settings = {"k1": self.settings.k1, "k2": self.settings.k2, "lambda": self.settings.lambda_}
        return {name: getattr(self.scores, name) for name in NUMBERS[:5]} | settings


@dataclasses.dataclass(frozen=True)
class EvaluationReport:
    """The result of `evaluate`.

    Args:
        scores: In percent.
        protocol: The protocol, and why it was chosen.
        gallery: Rows ranked.
        data: What was evaluated on.
        model: What embedded it.
        run: The run folder, if it is a run's model.
        lost: The queries that have no true match, and why: a key of `evaluation.REASONS`.
        published: The paper's figures of the same method on the same data.
        published_note: Why there are none, where that is worth saying.
        reranked: The figures with re-ranking, if requested; `scores` are those without it.
        output: Where the report was written, if one was requested.
        left_out: By split, the images that cannot be read, with the reasons; the scores are of the others.
        cautions: What flatters the figures.
        direction: `text-to-image` or `image-to-text`; empty where images are compared with images.
        words: What was counted of captions; None for images alone, and for vectors of another program.
        drop: The spectra that were taken away.
        unseen: Rows without an image that the model reads, which were left out.
    """

    scores: Scores
    protocol: Choice
    gallery: int
    data: str
    model: str
    run: Path | None
    lost: tuple[tuple[str, str], ...] = ()
    published: tuple[PublishedRow, ...] = ()
    published_note: str = ""
    reranked: Reranked | None = None
    output: Path | None = None
    left_out: Mapping[str, tuple[Dropped, ...]] = dataclasses.field(default_factory=dict)
    cautions: tuple[Caution, ...] = ()
    direction: str = ""
    words: WordCounts | None = None
    drop: tuple[str, ...] = ()
    unseen: int = 0

    def summary(self, *, list_lost: bool) -> dict[str, Any]:
        """Return it ready for JSON.

        Args:
            list_lost: Whether each query without a true match is named.
        """
        figures = {name: getattr(self.scores, name) for name in NUMBERS} | {"gallery": self.gallery}
        figures |= {"protocol": self.protocol.name, "protocol_reason": self.protocol.reason}
        if self.direction:
            figures["direction"] = self.direction
        if self.drop:
            figures["drop"] = list(self.drop)
        if self.unseen:
            figures["unseen"] = self.unseen
        if self.words:
            figures |= self.words.summary()
        figures |= {"data": self.data, "run": str(self.run) if self.run else None, "model": self.model}
        figures["published"] = [{name: getattr(row, name) for name in PUBLISHED} for row in self.published]
        figures["cautions"] = [caution.summary() for caution in self.cautions]
        if self.published_note:
            figures["published_note"] = self.published_note
        if self.reranked:
            figures["reranked"] = self.reranked.summary()
        if list_lost:
            figures["lost"] = [{"query": query, "reason": reason} for query, reason in self.lost]
        figures["left_out"] = [
            {"split": split, **dataclasses.asdict(fault)} for split, faults in self.left_out.items() for fault in faults
        ]
        if self.output:
            figures["report"] = str(self.output)
        return figures

    def gallery_of(self) -> str:
        """Return what the rows of the gallery are: `image` or `caption`."""
        return DIRECTIONS[self.direction] if self.direction else "image"

    def lost_line(self) -> str:
        """Return a sentence about the queries without a true match; empty if there are none."""
        if not self.lost:
            return ""
        lost = counted(self.scores.lost.total, "query has", "queries have")
        return f"{lost} no true match left: {self.scores.lost.reasons(self.gallery_of())}."

    def unseen_line(self) -> str:
        """Return a sentence about the rows without an image that the model reads; empty if there are none."""
        if not self.unseen:
            return ""
        have, are = agreeing(self.unseen, "has", "have"), agreeing(self.unseen, "is", "are")
        return f"{counted(self.unseen, 'row')} {have} no image that the model reads and {are} left out."

    def title(self, *, data: bool = True) -> str:
        """Return the name of the data, and what was taken away from it; with `data` False, only that, if anything."""
        without = f"without {in_words(self.drop)}" if self.drop else ""
        return ", ".join(filter(None, (self.data if data or not without else "", without)))

    def left_out_line(self) -> str:
        """Return a sentence about the images that were left out; empty if there are none."""
        if not self.left_out:
            return ""
        images = (counted(len(faults), f"{split} image") for split, faults in self.left_out.items())
        are = agreeing(sum(map(len, self.left_out.values())), "is", "are")
        return f"{' and '.join(images)} cannot be read and {are} left out: the figures are of the others."


def check_cost(reranking: Reranking, sizes: tuple[int, int, int], *, yes: bool, reporter: Reporter) -> None:
    """Say what a re-ranking will take where that is much, and stop where it is very much.

    Args:
        reranking: The settings.
        sizes: Queries, gallery rows, width.
        yes: Whether it may take any time and memory.
        reporter: Gets a note of more than a minute or 1 GB.

    Raises:
        SettingError: If it takes more than 10 minutes or 8 GB, and that was not agreed to.
    """
    cost = reranking_cost(*sizes, reranking)
    what = f"Re-ranking {counted(sizes[0], 'query', 'queries')} and {counted(sizes[1], 'gallery row')} takes {cost}."
    if cost.exceeds(LIMIT) and not yes:
        raise SettingError(what, "If that is as it should be, add --yes; else leave --rerank out.")
    if cost.exceeds(WORTH_SAYING):
        reporter.note(what)


def rank_sides(
    query: Side,
    gallery: Side,
    protocol: str,
    reporter: Reporter,
    *,
    products: Products | None = None,
    reranking: Reranking | None = None,
) -> tuple[Choice, Scores, Reranked | None]:
    """Choose the protocol, rank, and re-rank if requested."""
    chosen = protocol_of(protocol, query, gallery)
    if chosen.name == TEXT:
        chosen = Choice(TEXT, REASON)
    ranked = functools.partial(rank, query, gallery, protocol=chosen.name, products=products, reporter=reporter)
    plain = ranked()
    return chosen, plain, Reranked(reranking, ranked(reranking=reranking)) if reranking is not None else None


def lost_queries(query: Side, scores: Scores) -> tuple[tuple[str, str], ...]:
    """Return the queries without a true match, and why; a caption is named by its image and its words."""
    return tuple(
        (f"{query.names[number]}: {query.texts[number]}" if query.texts else query.names[number], reason)
        for number, reason in scores.lost.why
    )


def without_cameras(chosen: Choice, query: Side, gallery: Side) -> tuple[Caution, ...]:
    """Return the caution that images of the query's own camera count as hits; none for words."""
    compared = PROTOCOLS[chosen.name].filter
    if chosen.name == TEXT or (compared and all(any(getattr(side, compared)) for side in (query, gallery))):
        return ()
    reason = "no camera is known of one side" if chosen.name == "market" else chosen.reason
    text = (
        f"Protocol {chosen.name}: {reason}. Nothing is left out of the ranking: images by the query's own camera "
        "count, and they are the easiest to find."
    )
    return (Caution("no-camera", text, len(query)),)
