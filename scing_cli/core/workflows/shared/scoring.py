"""Parts of a data set as the two sides of an evaluation, and their scores."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from scing_cli.core.datasets.checks import check_evaluation, gallery_of
from scing_cli.core.embeddings import Embedder
from scing_cli.core.embeddings.text_embedder import TextEmbedder
from scing_cli.core.errors import spelled
from scing_cli.core.evaluation import TEXT, Labels, Scores, Side, evaluate
from scing_cli.core.index import file_keys
from scing_cli.core.manifest import Manifest
from scing_cli.core.pairs import Rows
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Observation, Source, image_files
from scing_cli.core.workflows.shared.caption_side import captions_of, embed_captions, images_of_test
from scing_cli.core.workflows.shared.vectors import embed_files


@dataclasses.dataclass(frozen=True, slots=True)
class Caution:
    """One reason why figures are better than they should be.

    Args:
        kind: `copies`, `trained-on`, `no-camera` or `other-rows`.
        text: The sentence for people.
        count: How many queries it concerns.
    """

    kind: str
    text: str
    count: int

    def summary(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return dataclasses.asdict(self)


def trained_on(people: Sequence[str], queries: int) -> tuple[Caution, ...]:
    """Return the caution that queries show people of the training; none without such queries.

    Args:
        people: The identity of each such query; empty where unknown.
        queries: The number of all queries.
    """
    if not people:
        return ()
    such = f", such as {spelled(people[0])}" if people[0] else ""
    shows = "query shows people" if queries == 1 else "queries show people"
    text = (
        f"{len(people):,} of {queries:,} {shows} of the training{such}: a run separates the people that it was trained "
        "on too well."
    )
    return (Caution("trained-on", text, len(people)),)


def sides(manifest: Manifest, split: str) -> tuple[Manifest, Manifest]:
    """Return queries and gallery of a split.

    The queries of `query` are searched in `gallery`. Any other split is searched in itself: every image of it is a
    query, and no image is a hit of itself.

    Raises:
        DataError: If a part has no row, or no identity is in both parts.
    """
    check_evaluation(manifest, split)
    return manifest.part(split), manifest.part(gallery_of(split))


def labels_of(part: Manifest, sources: Sequence[Source] | None = None) -> Labels:
    """Return whose image each row of a part is.

    Args:
        part: The rows.
        sources: What a model reads of each row; None for all its images.
    """
    identities, cameras = [sample.identity for sample in part], [sample.camera for sample in part]
    images: Sequence[tuple[str, ...]] = ()
    if sources is None:
        images = image_keys(part) if part.spectra() else ()
    elif any(isinstance(source, Observation) for source in sources):
        keys_of = iter(file_keys(itertools.chain.from_iterable(map(image_files, sources))))
        images = [tuple(itertools.islice(keys_of, len(image_files(source)))) for source in sources]
    keys = file_keys(part.files())
    return Labels(identities=identities, cameras=cameras, keys=keys, scenes=scenes_of(part), images=images)


def image_keys(part: Manifest) -> list[tuple[str, ...]]:
    """Return the keys of all images of each row."""
    keys = iter(file_keys(part.all_files()))
    return [tuple(itertools.islice(keys, len(row.paths))) for row in part]


def scenes_of(part: Manifest) -> list[str]:
    """Return the scene of each row; nothing for data without scenes."""
    scenes = [sample.scene for sample in part]
    return scenes if any(scenes) else []


def side_of(part: Manifest, vectors: Rows, sources: Sequence[Source]) -> Side:
    """Return the vectors of a part, shape (N, D), with its labels, its names, and what the model reads of each row."""
    labels, names = labels_of(part, sources), [sample.path for sample in part]
    return Side(
        vectors,
        identities=labels.identities,
        cameras=labels.cameras,
        keys=labels.keys,
        scenes=labels.scenes,
        images=labels.images,
        names=names,
        files=list(sources),
    )


def score_parts(query: Manifest, gallery: Manifest, embedder: Embedder, *, protocol: str, reporter: Reporter) -> Scores:
    """Embed both parts, of the data that the encoder was trained with, and rank the gallery for every query."""
    queries = _embedded(query, embedder, "embed query", reporter)
    rows = queries if gallery == query else _embedded(gallery, embedder, "embed gallery", reporter)
    return evaluate(queries, rows, protocol=protocol, reporter=reporter)


def score_captions(
    part: Manifest, split: str, words: TextEmbedder, embedder: Embedder, *, reporter: Reporter
) -> Scores:
    """Rank all images of a split for each of its captions; nothing is left out.

    Args:
        part: All rows.
        split: The split.
        words: Embeds the captions.
        embedder: Embeds the images.
        reporter: Shows progress.

    Raises:
        DataError: If no image of the split has a caption.
    """
    images = images_of_test(part, split)
    queries, _ = embed_captions(captions_of(images, split), words, reporter)
    return evaluate(queries, _embedded(images, embedder, "embed gallery", reporter), protocol=TEXT, reporter=reporter)


def _embedded(part: Manifest, embedder: Embedder, text: str, reporter: Reporter) -> Side:
    cameras = [sample.camera for sample in part]
    sources = part.sources(embedder.spectra)
    return side_of(part, embed_files(embedder, sources, cameras=cameras, reporter=reporter, text=text), sources)
