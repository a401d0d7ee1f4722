"""Pictures of the worst, the median and the best rankings; a caption is drawn as its words."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from scing_cli.core.evaluation import Side
from scing_cli.core.figures import DARK, PAGE_LAYOUT, MontageHit, layout_of, ranked_montage, words_picture
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Observation, Source
from scing_cli.core.workflows.evaluate.report.findings import Findings
from scing_cli.core.workflows.shared.pictures import GONE, digest_of, read_picture, who
from scing_cli.core.workflows.shared.vectors import in_threads

TITLE = "The {} queries and their nearest {}s, best first"
SIGNS = 38  # pixels at the top of a hit's words that its rank and its sign cover


@dataclasses.dataclass(frozen=True, eq=False)
class RankingPicture:
    """The rankings of some queries.

    Args:
        light: For a light page.
        dark: For a dark page.
        words: The full texts of its queries or of their hits, by a name; empty without captions.
    """

    light: Image.Image
    dark: Image.Image
    words: Mapping[str, str]


@dataclasses.dataclass(frozen=True, eq=False)
class _Pictures:
    """What was read of the files that are shown."""

    pictures: Mapping[Source, Image.Image | None]
    digests: Mapping[Source, str]

    def of(self, side: Side, number: int, *, top: int = 0) -> Image.Image | None:
        """Return the picture of a row: its image, or its words; None if it cannot be read."""
        return words_picture(side.texts[number], top=top) if side.texts else self.pictures[side.files[number]]

    def note(self, query: Side, number: int, gallery: Side, row: int) -> str:
        """Return what is special about a hit: that it is a copy of the query, or the image of the caption."""
        if query.texts or gallery.texts:
            return " own image" * bool(query.texts and query.names[number] == gallery.names[row])
        asked, shown = self.digests[query.files[number]], self.digests[gallery.files[row]]
        return " same bytes" if asked and asked == shown else ""


def draw_rankings(findings: Findings, workers: int, reporter: Reporter) -> Mapping[str, RankingPicture]:
    """Draw the worst, the median and the best rankings, light and dark; nothing where there are no pictures.

    Args:
        findings: What was found.
        workers: Threads that read pictures.
        reporter: Where progress goes.
    """
    query, gallery = findings.query, findings.gallery
    if not all(side.files or side.texts for side in (query, gallery)):
        return {}
    groups = {name: numbers for name, numbers in findings.extremes().items() if numbers}
    rankings = findings.rankings([number for numbers in groups.values() for number in numbers])
    read = _read(findings, rankings, workers, reporter)
    found, precision = {}, findings.report.scores.per_query.average_precision
    for name, numbers in groups.items():
        asked = [(read.of(query, number) or GONE, _named(query, number)) for number in numbers]
        notes = [f"Query, AP {100 * precision[number]:.1f}" for number in numbers]
        hits = [[_hit(findings, number, row, score, read) for row, score in rankings[number]] for number in numbers]
        title = TITLE.format(name, findings.report.gallery_of())
        layout = PAGE_LAYOUT
        if any(isinstance(file, Observation) for side in (query, gallery) for file in side.files):
            shown = [hit.image for ranking in hits for hit in ranking]
            layout = layout_of(shown, layout, hits=[len(ranking) for ranking in hits])
        drawn = functools.partial(ranked_montage, asked, hits, title=title, notes=notes, layout=layout)
        found[name] = RankingPicture(drawn(), drawn(palette=DARK), _words(findings, numbers, rankings))
    return found


def _read(
    findings: Findings, rankings: Mapping[int, Sequence[tuple[int, float]]], workers: int, reporter: Reporter
) -> _Pictures:
    query, gallery = findings.query, findings.gallery
    shown = [] if query.texts else [query.files[number] for number in rankings]
    if not gallery.texts:
        shown += [gallery.files[row] for ranking in rankings.values() for row, _ in ranking]
    files = list(dict.fromkeys(shown))
    read = in_threads(read_picture, files, workers=workers, reporter=reporter, text="read pictures")
    pictures, digests = dict(zip(files, read, strict=True)), dict[Source, str]()
    if not (query.texts or gallery.texts):
        found = in_threads(digest_of, files, workers=workers, reporter=reporter, text="digests")
        digests = dict(zip(files, found, strict=True))
    return _Pictures(pictures, digests)


def _words(
    findings: Findings, numbers: Sequence[int], rankings: Mapping[int, Sequence[tuple[int, float]]]
) -> Mapping[str, str]:
    """Return the texts in a picture, which has no room for long ones: of its queries, or of the first hit of each."""
    query, gallery = findings.query, findings.gallery
    if query.texts:
        return {f"{place}. {query.names[number]}": query.texts[number] for place, number in enumerate(numbers, 1)}
    if gallery.texts:
        firsts = ((place, number, rankings[number][0][0]) for place, number in enumerate(numbers, 1))
        return {f"{place}. {query.names[number]}, first hit": gallery.texts[row] for place, number, row in firsts}
    return {}


def _named(query: Side, number: int) -> Sequence[str]:
    """Return the lines below a query: identity and camera, and the file's name."""
    person = who(query.identities[number], query.cameras[number])
    return [*filter(None, [person]), Path(query.names[number]).name]


def _hit(findings: Findings, number: int, row: int, score: float, read: _Pictures) -> MontageHit:
    query, gallery = findings.query, findings.gallery
    identity = gallery.identities[row]
    verdict = identity == query.identities[number] if identity else None
    first = f"{score:.3f}{read.note(query, number, gallery, row)}"
    caption = [first, who(identity, gallery.cameras[row]), Path(gallery.names[row]).name]
    return MontageHit(read.of(gallery, row, top=SIGNS), caption, verdict)
