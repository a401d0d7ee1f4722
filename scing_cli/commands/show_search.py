"""Print the result of `scing search`, as JSON or as tables."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from scing_cli.commands.console import Terminal
from scing_cli.commands.hits_table import fitting, print_hits

if TYPE_CHECKING:
    from scing_cli.commands.thumbnails import Thumbnails
    from scing_cli.core.workflows.search.search_gallery import QueryHits, SearchReport
    from scing_cli.core.workflows.shared.vectors import Box


def payload_of(found: SearchReport) -> dict[str, Any]:
    """Return the result as `--json` prints it."""
    results: list[dict[str, Any]] = [{"query": str(own.query), "hits": _hits(own)} for own in found.results]
    left_out = [dataclasses.asdict(fault) for fault in found.left_out]
    payload: dict[str, Any] = {"results": results, "left_out": left_out}
    if found.joined:
        results[0]["joined"] = [str(photo) for photo in found.joined]
    if found.threshold is not None:
        for own, result in zip(found.results, results, strict=True):
            result |= {"match": bool(own.hits), "best_below": own.best_below}
        payload["threshold"] = found.threshold.summary()
    payload["passed_over"] = [dataclasses.asdict(entry) for entry in found.passed_over]
    pictures = {"montage": found.montage, "saliency": found.saliency}
    return payload | {name: str(picture) for name, picture in pictures.items() if picture}


def _hits(found: QueryHits) -> list[dict[str, Any]]:
    names = ("path", "identity", "camera")
    return [
        {"rank": rank, "score": hit.score, **{name: getattr(hit.row, name) for name in names}}
        for rank, hit in enumerate(found.hits, 1)
    ]


def show(found: SearchReport, terminal: Terminal, strips: Thumbnails | None, box: Box | None) -> None:
    """Print a table of hits for each photo, or that it has none.

    Args:
        found: The result of the search.
        terminal: Where to print.
        strips: Shows each photo with its hits as a picture; None for tables only.
        box: The person's box in every photo.
    """
    for own in found.results:
        if not own.hits:
            below = f": the best score is {own.best_below:.4f}" if own.best_below is not None else ""
            nothing = "no hits" if found.threshold is None else "no match"
            said = f": {nothing}{below}"
            terminal.say(fitting(str(own.query), terminal.stdout, beside=len(said)) + said)
            continue
        print_hits(str(own.query), _hits(own), terminal.stdout)
        if strips is not None:
            strips.show(own, found.identities.get(own.query, ""), box)
