"""`scing search`: a photo finds its like."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scing_cli.commands import options
from scing_cli.commands.console import Terminal
from scing_cli.commands.given import one_of, parse_box, paths_given

if TYPE_CHECKING:
    from scing_cli.core.workflows.search import Found

PATH_WIDTH = 38  # fits 80 columns


def search(
    photos: options.Photos,
    index: options.Index,
    run: options.SearchRun = None,
    k: options.TopK = 10,
    box: options.Box = None,
    camera: options.Camera = None,
    exclude_camera: options.ExcludeCamera = None,
    identity: options.Identity = None,
    exclude_identity: options.ExcludeIdentity = None,
    group: options.Group = None,
    join: options.Join = None,
    hits_file: options.HitsFile = None,
    rerank: options.RerankHits = False,
    montage: options.Montage = None,
    saliency: options.Saliency = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    batch_size: options.BatchSize = 64,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Rank the gallery by its likeness to a photo; scores are cosines."""
    from scing_cli.core.index import RowFilter
    from scing_cli.core.workflows.hits_file import check_hits_file, write_hits
    from scing_cli.core.workflows.machine import Machine
    from scing_cli.core.workflows.search import search as find

    terminal = Terminal(as_json=as_json)
    one_of("--group", group, ("identity",))
    if hits_file is not None:
        check_hits_file(hits_file, as_json=as_json)
    names = (frozenset(given or ()) for given in (camera, identity, exclude_camera, exclude_identity))
    report = find(
        paths_given(photos, sys.stdin),
        index,
        run=run,
        k=k,
        box=parse_box(box),
        allowed=RowFilter(*names),
        each_identity_once=group == "identity",
        join=join,
        rerank=rerank,
        montage=montage,
        saliency=saliency,
        machine=Machine(device, precision, workers, batch_size),
        reporter=terminal,
    )
    payload: dict[str, Any] = {
        "results": [{"query": str(found.query), "hits": _hits(found)} for found in report.results]
    }
    pictures = {"montage": report.montage, "saliency": report.saliency}
    payload |= {name: str(picture) for name, picture in pictures.items() if picture}
    if hits_file is not None:
        write_hits(hits_file, report.results)
    if terminal.result(payload) or hits_file == Path("-"):
        return
    for found in report.results:
        rows = [
            (hit["rank"], f"{hit['score']:.4f}", hit["identity"], hit["camera"], _place(hit["path"]))
            for hit in _hits(found)
        ]
        terminal.table(str(found.query), ("rank", "score", "identity", "camera", "path"), rows, words=("path",))
    for picture in filter(None, pictures.values()):
        terminal.say(f"Picture: {picture}")


def _place(path: str) -> str:
    """Return a path from here where it lies below here; of a long one the end, which names the image."""
    here = f"{Path.cwd().as_posix()}/"
    text = path.removeprefix(here)
    return text if len(text) <= PATH_WIDTH else f"…{text[1 - PATH_WIDTH :]}"


def _hits(found: Found) -> list[dict[str, Any]]:
    names = ("path", "identity", "camera")
    return [
        {"rank": rank, "score": hit.score, **{name: getattr(hit.row, name) for name in names}}
        for rank, hit in enumerate(found.hits, 1)
    ]
