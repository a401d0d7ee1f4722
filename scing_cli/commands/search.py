"""`scing search`: rank the gallery by similarity to a photo."""

from __future__ import annotations

from pathlib import Path

from scing_cli.commands import model_options, options, spectra_options, text_options
from scing_cli.commands.console import Terminal
from scing_cli.commands.option_checks import one_of, parse_box, paths_given, standard_input
from scing_cli.commands.show_search import payload_of, show
from scing_cli.commands.text_options import texts_given
from scing_cli.commands.thumbnails import open_thumbnails


def search(
    photos: options.Photos = None,
    near_infrared: spectra_options.NearInfrared = None,
    thermal: spectra_options.Thermal = None,
    text: text_options.Texts = None,
    text_file: text_options.TextFile = None,
    text_weight: text_options.TextWeight = None,
    index: options.Index = Path("gallery.faiss"),
    run: options.SearchRun = None,
    model: model_options.MovedModel = None,
    data: options.MovedData = None,
    k: options.TopK = 10,
    box: options.Box = None,
    camera: options.Camera = None,
    exclude_camera: options.ExcludeCamera = None,
    identity: options.Identity = None,
    exclude_identity: options.ExcludeIdentity = None,
    allow_missing: options.AllowMissing = False,
    group: options.Group = None,
    join: options.Join = None,
    hits_file: options.HitsFile = None,
    rerank: options.RerankHits = False,
    threshold: options.MatchThreshold = None,
    false_match_rate: options.FalseMatchRate = None,
    report: options.Report = None,
    montage: options.Montage = None,
    saliency: options.Saliency = None,
    thumbnails: options.Thumbnails = False,
    strict: options.StrictImages = False,
    device: options.Device = "auto",
    precision: options.QuickPrecision = "auto",
    seed: options.UnusedSeed = 0,
    workers: options.Workers = None,
    batch_size: options.BatchSize = 64,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Rank the gallery by similarity to a photo; scores are cosines."""
    from scing_cli.core.datasets.left_out import list_beside, write_left_out
    from scing_cli.core.index import RowFilter
    from scing_cli.core.workflows.search.hits_file import check_hits_file, write_hits
    from scing_cli.core.workflows.search.match_threshold import MatchRule
    from scing_cli.core.workflows.search.search_gallery import search as find
    from scing_cli.core.workflows.shared.machine import Machine

    terminal = Terminal(as_json=as_json)
    one_of("--group", group, ("identity",))
    one_of("--join", join, ("mean",))
    if hits_file is not None:
        check_hits_file(hits_file, as_json=as_json)
    only_photos = {"--box": box is not None, "--join": join is not None, "--strict": strict}
    words: list[str] = []
    if text or text_file is not None or text_weight is not None:
        weighted = text_weight is not None
        shown = [*(photos or []), *(near_infrared or []), *(thermal or [])]
        words = texts_given(text or [], text_file, shown, only_photos=only_photos, weight=weighted)
    strips = open_thumbnails(terminal, hits_file) if thumbnails else None
    names = (frozenset(given or ()) for given in (camera, identity, exclude_camera, exclude_identity))
    found = find(
        paths_given(photos or [], standard_input()),
        index,
        near_infrared=near_infrared or (),
        thermal=thermal or (),
        texts=words,
        text_weight=0.5 if text_weight is None else text_weight,
        run=run,
        model=model,
        data=data,
        k=k,
        box=parse_box(box),
        allowed=RowFilter(*names),
        allow_missing=allow_missing,
        each_identity_once=group == "identity",
        join=join,
        rerank=rerank,
        wanted=MatchRule(threshold, false_match_rate, report),
        montage=montage,
        saliency=saliency,
        identify=strips is not None,
        strict=strict,
        machine=Machine(device, precision, workers, batch_size),
        reporter=terminal,
    )
    if hits_file is not None:
        write_hits(hits_file, found.results)
        if hits_file != Path("-"):
            write_left_out(list_beside(hits_file), found.left_out, terminal)
    if terminal.result(payload_of(found)) or hits_file == Path("-"):
        return
    show(found, terminal, strips, parse_box(box))
    if hits_file is not None:
        terminal.say(f"Table: {hits_file}")
    for picture in filter(None, (found.montage, found.saliency)):
        terminal.say(f"Picture: {picture}")
