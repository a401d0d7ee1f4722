"""Two parts of a data set and an embedder -> figures."""

from __future__ import annotations

import dataclasses

from scing_cli.core.datasets.checks import check_evaluation
from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.evaluation import Scores, choose_protocol, evaluate
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.runtime import Reporter


def sides(manifest: Manifest, split: str) -> tuple[Manifest, Manifest]:
    """Return queries and gallery of a split.

    The queries of `query` are searched in `gallery`. Any other split is searched in itself: where it has cameras every
    image is a query (the same-camera filter keeps it from finding itself), else each identity's first image is, and the
    others are the gallery.

    Raises:
        DataError: If a part has no row, or no identity stands in both.
    """
    check_evaluation(manifest, split)
    queries = manifest.part(split)
    if split == "query":
        return queries, manifest.part("gallery")
    cameras = [sample.camera for sample in queries]
    if choose_protocol("auto", cameras, cameras).name == "market":
        return queries, queries
    first: dict[str, Sample] = {}
    for sample in queries:
        first.setdefault(sample.identity, sample)
    chosen = set(first.values())
    rest = tuple(sample for sample in queries if sample not in chosen)
    return dataclasses.replace(queries, samples=tuple(first.values())), dataclasses.replace(queries, samples=rest)


def score_parts(query: Manifest, gallery: Manifest, embedder: Embedder, *, protocol: str, reporter: Reporter) -> Scores:
    """Embed both parts and rank the gallery for every query."""
    vectors = [
        embedder.files(part.files(), reporter=reporter, text=f"embed {name}")
        for part, name in ((query, "query"), (gallery, "gallery"))
    ]
    return score_vectors(query, gallery, vectors[0], vectors[1], protocol=protocol)


def score_vectors(query: Manifest, gallery: Manifest, queries: Vectors, rows: Vectors, *, protocol: str) -> Scores:
    """Rank the gallery for every query, both given as unit-length vectors in manifest order."""
    return evaluate(
        queries,
        rows,
        [sample.identity for sample in query],
        [sample.identity for sample in gallery],
        [sample.camera for sample in query],
        [sample.camera for sample in gallery],
        protocol=protocol,
    )
