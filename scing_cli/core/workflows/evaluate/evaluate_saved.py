"""The evaluation of embeddings that any program has saved: no model is loaded, and without a report no torch."""

from __future__ import annotations

from scing_cli.core.datasets.missing_values import word_notes
from scing_cli.core.datasets.spelling import side_notes
from scing_cli.core.errors import counted
from scing_cli.core.evaluation import TEXT, Choice, Reranking, SavedPart, Side, read_saved
from scing_cli.core.paths import StrPath, as_path
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.evaluate.cautions import of_equal_vectors
from scing_cli.core.workflows.evaluate.ranked import (
    EvaluationReport,
    check_cost,
    lost_queries,
    rank_sides,
    without_cameras,
)
from scing_cli.core.workflows.evaluate.word_counts import check_words
from scing_cli.core.workflows.shared.scoring import Caution


def evaluate_saved(
    source: StrPath,
    *,
    queries: str = "images",
    direction: str | None = None,
    protocol: str = "auto",
    reranking: Reranking | None = None,
    yes: bool = False,
    output: StrPath | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> EvaluationReport:
    """Score embeddings that any program has saved; see `evaluation.read_saved`.

    Args:
        source: An .npz file, or a folder of .npy files.
        queries: `images`, or `text` if one side is of captions: then nothing is left out, and cameras are not read.
        direction: With `text`: `text-to-image` (the usual one) if the queries are captions, `image-to-text` if the
            gallery is.
        protocol: auto, market or no-camera; for words `auto` alone, which is then `text`.
        reranking: How to re-rank, if the figures with it are wanted too.
        yes: Whether that may take long.
        output: A folder for a report, if one is wanted.
        reporter: Where progress goes.

    Raises:
        DataError: If the arrays cannot be used, or no query has a true match left.
        SettingError: If re-ranking would take long, and that was not agreed to; or the folder holds other files; or
            words cannot be compared so.
    """
    source, output = as_path(source), as_path(output)
    direction = check_words(queries, direction, protocol, {"--rerank": reranking is not None})
    protocol = TEXT if direction else protocol
    if output is not None:
        from scing_cli.core.workflows.evaluate.report import check_folder

        check_folder(output)
    parts = read_saved(source, cameras=not direction)
    for part, side in zip(parts, ("query", "gallery"), strict=True):
        if part.junk:
            reporter.note(f"{counted(part.junk, f'{side} row')} of identity -1 (junk): left out.")
        if part.changed:
            reporter.note(f"{counted(part.changed, f'{side} vector')} made unit length.")
    identities, cameras = (
        [*one, *other]
        for one, other in ((parts[0].identities, parts[1].identities), (parts[0].cameras, parts[1].cameras))
    )
    for warning in (*side_notes(*parts), *word_notes(identities, "identity"), *word_notes(cameras, "camera")):
        reporter.warn(warning)
    query, gallery = (_side(part, name) for part, name in zip(parts, ("query", "gallery"), strict=True))
    if reranking is not None:
        check_cost(reranking, (len(query), len(gallery), gallery.width), yes=yes, reporter=reporter)
    chosen, scores, reranked = rank_sides(query, gallery, protocol, reporter, reranking=reranking)
    rows = len(gallery.identities)
    report = EvaluationReport(
        scores,
        chosen,
        rows,
        source.name,
        "saved embeddings",
        None,
        lost_queries(query, scores),
        reranked=reranked,
        cautions=() if direction else _cautions(query, gallery, chosen),
        direction=direction,
    )
    if output is None:
        return report
    from scing_cli.core.workflows.evaluate.report import Subject, write_report

    return write_report(output, report, (query, gallery), Subject(), reporter=reporter)


def _cautions(query: Side, gallery: Side, chosen: Choice) -> tuple[Caution, ...]:
    return (*of_equal_vectors(query, gallery, chosen.name), *without_cameras(chosen, query, gallery))


def _side(part: SavedPart, name: str) -> Side:
    """Return a side whose rows go by their numbers in the arrays, from 0."""
    names = [f"{name} {number}" for number in part.vectors.numbers]
    return Side(part.vectors, identities=part.identities, cameras=part.cameras, names=names)
