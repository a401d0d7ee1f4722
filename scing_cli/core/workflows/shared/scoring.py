"""Two parts of a data set and an embedder -> figures."""

from __future__ import annotations

from scing_cli.core.datasets.checks import check_evaluation, gallery_of
from scing_cli.core.embeddings import Embedder
from scing_cli.core.evaluation import Scores, evaluate
from scing_cli.core.index import file_keys
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.shared.vectors import embed_files


def sides(manifest: Manifest, split: str) -> tuple[Manifest, Manifest]:
    """Return queries and gallery of a split.

    The queries of `query` are searched in `gallery`. Any other split is searched in itself: every image of it is a
    query, and no image counts for itself (`evaluation.evaluate`).

    Raises:
        DataError: If a part has no row, or no identity stands in both.
    """
    check_evaluation(manifest, split)
    return manifest.part(split), manifest.part(gallery_of(split))


def score_parts(query: Manifest, gallery: Manifest, embedder: Embedder, *, protocol: str, reporter: Reporter) -> Scores:
    """Embed both parts, of the data that the encoder was trained with, and rank the gallery for every query."""
    seen_by, held_by = ([sample.camera for sample in part] for part in (query, gallery))
    queries = embed_files(embedder, query.files(), cameras=seen_by, reporter=reporter, text="embed query")
    rows = queries
    if gallery != query:
        rows = embed_files(embedder, gallery.files(), cameras=held_by, reporter=reporter, text="embed gallery")
    return evaluate(
        queries,
        rows,
        [sample.identity for sample in query],
        [sample.identity for sample in gallery],
        seen_by,
        held_by,
        protocol=protocol,
        query_keys=file_keys(query.files()),
        gallery_keys=file_keys(gallery.files()),
        reporter=reporter,
    )
