"""What an evaluation needs and gives; and the one of embeddings that any program has saved: no model is loaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.errors import counted
from scing_cli.core.evaluation import Choice, Scores, choose_protocol, read_saved
from scing_cli.core.evaluation import evaluate as rank
from scing_cli.core.evaluation.products import Products
from scing_cli.core.evaluation.tables import PublishedRow
from scing_cli.core.pairs import Rows
from scing_cli.core.runtime import Reporter, Silent


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


@dataclasses.dataclass(frozen=True)
class Side:
    """One side of the ranking: unit-length vectors, their labels, and which image each is."""

    vectors: Rows
    identities: Sequence[str]
    cameras: Sequence[str]
    keys: Sequence[str]


def evaluate_saved(source: Path, *, protocol: str = "auto", reporter: Reporter | None = None) -> EvaluationReport:
    """Score embeddings that any program has saved; see `evaluation.read_saved`.

    Raises:
        DataError: If the arrays cannot be used, or no query has a true match left.
    """
    reporter = reporter or Silent()
    parts = read_saved(source)
    for part, side in zip(parts, ("query", "gallery"), strict=True):
        if part.junk:
            reporter.note(f"{counted(part.junk, f'{side} row')} of identity -1 (junk): left out.")
        if part.changed:
            reporter.note(f"{counted(part.changed, f'{side} vector')} made unit length.")
    query, gallery = (Side(part.vectors, part.identities, part.cameras, [""] * len(part.identities)) for part in parts)
    chosen, scores = rank_sides(query, gallery, protocol, reporter)
    numbers = parts[0].vectors.numbers
    lost = tuple((f"query {numbers[place]}", reason) for place, reason in scores.lost.why)
    return EvaluationReport(scores, chosen, len(gallery.identities), source.name, "saved embeddings", None, lost)


def rank_sides(
    query: Side, gallery: Side, protocol: str, reporter: Reporter, *, products: Products | None = None
) -> tuple[Choice, Scores]:
    """Choose the protocol, say so where it is not the usual one, and rank."""
    chosen = choose_protocol(protocol, query.cameras, gallery.cameras)
    if protocol == "auto" and chosen.name == "no-camera":
        reporter.warn("Nothing is left out of the ranking (protocol no-camera): " + chosen.reason + ".")
    if chosen.name == "market" and not (any(query.cameras) and any(gallery.cameras)):
        reporter.warn("The protocol market leaves nothing out here: no camera is known of one side.")
    scores = rank(
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
    return chosen, scores
