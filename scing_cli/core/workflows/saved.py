"""What an evaluation needs and gives; and the one of embeddings that any program has saved: no model is loaded."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.errors import SettingError, counted
from scing_cli.core.evaluation import Choice, Reranking, Scores, choose_protocol, read_saved
from scing_cli.core.evaluation import evaluate as rank
from scing_cli.core.evaluation.cost import Cost, reranking_cost
from scing_cli.core.evaluation.products import Products
from scing_cli.core.evaluation.tables import PublishedRow
from scing_cli.core.pairs import Rows
from scing_cli.core.runtime import Reporter, Silent

WORTH_SAYING = Cost(seconds=60, memory=1e9)
LIMIT = Cost(seconds=600, memory=8e9)


@dataclasses.dataclass(frozen=True)
class Reranked:
    """What the same rankings score when they are re-ranked, and how that was done."""

    settings: Reranking
    scores: Scores


@dataclasses.dataclass(frozen=True)
class EvaluationReport:
    """What `evaluate` found.

    Args:
        scores: In percent.
        protocol: Which rows counted, and why.
        gallery: Rows ranked.
        data: What was evaluated on.
        model: What embedded it.
        run: The run folder, if it is a run's model.
        lost: The queries that have no true match, and why: a key of `evaluation.REASONS`.
        published: The paper's figures of the same method on the same data.
        published_note: Why there are none, where that is worth saying.
        reranked: The figures with re-ranking, if that was asked for; `scores` are those without it.
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


@dataclasses.dataclass(frozen=True)
class Side:
    """One side of the ranking: unit-length vectors, their labels, and which image each is."""

    vectors: Rows
    identities: Sequence[str]
    cameras: Sequence[str]
    keys: Sequence[str]


def evaluate_saved(
    source: Path,
    *,
    protocol: str = "auto",
    reranking: Reranking | None = None,
    yes: bool = False,
    reporter: Reporter | None = None,
) -> EvaluationReport:
    """Score embeddings that any program has saved; see `evaluation.read_saved`.

    Args:
        source: An .npz file, or a folder of .npy files.
        protocol: auto, market or no-camera.
        reranking: How to re-rank, if the figures with it are wanted too.
        yes: Whether that may take long.
        reporter: Where progress goes.

    Raises:
        DataError: If the arrays cannot be used, or no query has a true match left.
        SettingError: If re-ranking would take long, and that was not agreed to.
    """
    reporter = reporter or Silent()
    parts = read_saved(source)
    for part, side in zip(parts, ("query", "gallery"), strict=True):
        if part.junk:
            reporter.note(f"{counted(part.junk, f'{side} row')} of identity -1 (junk): left out.")
        if part.changed:
            reporter.note(f"{counted(part.changed, f'{side} vector')} made unit length.")
    query, gallery = (Side(part.vectors, part.identities, part.cameras, [""] * len(part.identities)) for part in parts)
    if reranking is not None:
        sizes = (len(query.vectors), len(gallery.vectors), gallery.vectors.shape[1])
        check_cost(reranking, sizes, yes=yes, reporter=reporter)
    chosen, scores, reranked = rank_sides(query, gallery, protocol, reporter, reranking=reranking)
    numbers = parts[0].vectors.numbers
    lost = tuple((f"query {numbers[place]}", reason) for place, reason in scores.lost.why)
    rows = len(gallery.identities)
    return EvaluationReport(scores, chosen, rows, source.name, "saved embeddings", None, lost, reranked=reranked)


def check_cost(reranking: Reranking, sizes: tuple[int, int, int], *, yes: bool, reporter: Reporter) -> None:
    """Say what a re-ranking will take where that is much, and stop where it is very much.

    Args:
        reranking: The settings.
        sizes: Queries, gallery rows, width.
        yes: Whether it may take any time and memory.
        reporter: Is told of more than a minute or 1 GB.

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
    """Choose the protocol, say so where it is not the usual one, and rank; re-rank too if that is asked for."""
    chosen = choose_protocol(protocol, query.cameras, gallery.cameras)
    if protocol == "auto" and chosen.name == "no-camera":
        reporter.warn("Nothing is left out of the ranking (protocol no-camera): " + chosen.reason + ".")
    if chosen.name == "market" and not (any(query.cameras) and any(gallery.cameras)):
        reporter.warn("The protocol market leaves nothing out here: no camera is known of one side.")
    ranked = functools.partial(
        rank,
        query.vectors,
        gallery.vectors,
        query.identities,
        gallery.identities,
        query.cameras,
        gallery.cameras,
        protocol=chosen.name,
        query_keys=query.keys,
        gallery_keys=gallery.keys,
        products=products,
        reporter=reporter,
    )
    plain = ranked()
    return chosen, plain, Reranked(reranking, ranked(reranking=reranking)) if reranking is not None else None
