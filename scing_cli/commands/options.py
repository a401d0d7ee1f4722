"""Every option, declared once; the settings of the training stages stand in `settings`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from scing_cli.commands.console import set_debug
from scing_cli.core.layouts import LAYOUTS
from scing_cli.core.runtime import DEVICES, PRECISIONS

MACHINE = "Machine"
MODEL = "Model"
RERANKING = "Re-ranking"


def _machine(name: str, *, text: str, known: Sequence[str] = ()) -> Any:
    """Declare an option about the machine."""
    return typer.Option(name, help=text, metavar="|".join(known) or None, rich_help_panel=MACHINE)


def _filter(name: str, *, text: str) -> Any:
    """Declare a filter of an index's rows."""
    return typer.Option(name, help=text, metavar="NAME", rich_help_panel="Which rows")


def _drawn(name: str, *, text: str, least: int | None = None, most: int | None = None) -> Any:
    """Declare what belongs to `--synthetic`: None tells that it was not given; the default is named in `text`."""
    return typer.Option(name, help=text, min=least, max=most, rich_help_panel="With --synthetic", show_default=False)


def _reranked(name: str, *, text: str) -> Any:
    """Declare what belongs to `--rerank`: None tells that it was not given; the default is named in `text`."""
    return typer.Option(name, help=text, rich_help_panel=RERANKING, show_default=False)


# every command
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of a failure.", callback=set_debug, is_eager=True)
]
Device = Annotated[str, _machine("--device", text="Where to compute.", known=DEVICES)]
Precision = Annotated[str, _machine("--precision", text="Of the encoder; auto is fp32 here.", known=PRECISIONS)]
QuickPrecision = Annotated[
    str, _machine("--precision", text="fp32: torch; else the inference copy on a CPU.", known=PRECISIONS)
]
Workers = Annotated[
    int | None, _machine("--workers", text="Threads that decode images (default: one a core, at most 16).")
]
BatchSize = Annotated[int, _machine("--batch-size", text="Images encoded at a time (inference copy: at most 16).")]
UnusedDevice = Annotated[
    str,
    _machine(
        "--device",
        text="Nothing is computed on a device here: taken so that one set of options fits every command.",
        known=DEVICES,
    ),
]
UnusedPrecision = Annotated[str, _machine("--precision", text="As --device: no effect here.", known=PRECISIONS)]
UnusedBatchSize = Annotated[int, _machine("--batch-size", text="As --device: no effect here.")]
Seed = Annotated[int, typer.Option("--seed", help="Every draw follows from it.", min=0, rich_help_panel=MACHINE)]

# data
Source = Annotated[Path, typer.Argument(help="A data set folder, or a CSV of your own.", metavar="DIR|CSV")]
Data = Annotated[Path | None, typer.Option("--data", help="A data set folder or CSV.", metavar="DIR|CSV")]
SeveralData = Annotated[
    list[Path] | None,
    typer.Option("--data", help="A data set folder or CSV; several give one table.", metavar="DIR|CSV"),
]
MovedData = Annotated[
    Path | None, typer.Option("--data", help="Where the run's images lie now, if they have moved.", metavar="DIR")
]
MovedPretrained = Annotated[
    str | None,
    typer.Option("--pretrained", help="Where stage 1's weights lie now, if they have moved.", metavar="FILE"),
]
_LAYOUT = typer.Option("--layout", help=f"How to read it: {', '.join(('auto', *LAYOUTS))}.", metavar="NAME")
_INCLUDE_VAL = typer.Option("--include-val", help="Train on the split val too (MSMT17).", show_default=False)
Layout = Annotated[str, _LAYOUT]
OptionalLayout = Annotated[str | None, _LAYOUT]
IncludeVal = Annotated[bool, _INCLUDE_VAL]
OptionalIncludeVal = Annotated[bool | None, _INCLUDE_VAL]
ManifestOutput = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The manifest to write (default: ./NAME-OF-DIR.csv).", metavar="FILE.csv"),
]
Sheet = Annotated[
    Path | None, typer.Option("--sheet", help="A picture of some people's images to write.", metavar="OUT.png")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse dropped or unreadable files, and counts other than published ones.")
]
Synthetic = Annotated[bool, typer.Option("--synthetic", help="Draw a world of pedestrians into DIR first.")]
Identities = Annotated[int | None, _drawn("--identities", text="People to train on (32).", least=2)]
TestIdentities = Annotated[
    int | None, _drawn("--test-identities", text="Others, to test (as many as to train on).", least=1)
]
Cameras = Annotated[int | None, _drawn("--cameras", text="Cameras (4).", least=1)]
ImagesPerCamera = Annotated[
    int | None, _drawn("--images-per-camera", text="Images of a person by a camera (2).", least=1)
]
OccludedQueries = Annotated[bool | None, _drawn("--occluded-queries", text="Hide 30-60 % of the body in every query.")]
OccludedTraining = Annotated[
    float | None,
    _drawn("--occluded-training", text="And in this share of the training images, 0 to 1 (0).", least=0, most=1),
]

# runs and models
NewRun = Annotated[
    Path | None, typer.Option("--run", help="The run folder to make (default: a new one in ./runs).", metavar="DIR")
]
Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--no-resume",
        help="Go on with the newest interrupted one (no other option needed), or begin anew. The same command goes on.",
        show_default=False,
    ),
]
SaveMinutes = Annotated[
    float,
    typer.Option("--save-minutes", help="Save what is done that often (as Ctrl-C does).", min=0.0, metavar="M"),
]
PromptsRun = Annotated[
    Path | None, typer.Option("--run", help="A run with prompts (default: the newest in ./runs).", metavar="DIR")
]
RunFolder = Annotated[
    Path | None, typer.Option("--run", help="A trained run (default: the newest finished one).", metavar="DIR")
]
SearchRun = Annotated[
    Path | None, typer.Option("--run", help="The model to use (default: the one the index names).", metavar="DIR")
]
PlainModel = Annotated[
    str | None,
    typer.Option(
        "--model", help="A plain CLIP instead of a run, such as scing-tiny.", metavar="NAME", rich_help_panel=MODEL
    ),
]
PlainPretrained = Annotated[
    str | None,
    typer.Option("--pretrained", help="Weights of --model.", metavar="TAG|FILE|random", rich_help_panel=MODEL),
]
PlainStride = Annotated[
    int | None, typer.Option("--stride", help="Patch stride of --model.", metavar="16|12", rich_help_panel=MODEL)
]
DescriptorKind = Annotated[
    str,
    typer.Option("--descriptor", help="What is compared (R10).", metavar="projected|concat", rich_help_panel=MODEL),
]

# embed, evaluate, search
GallerySplit = Annotated[
    str, typer.Option("--split", help="Which part to embed.", metavar="gallery|query|train|val|all")
]
QuerySplit = Annotated[str, typer.Option("--split", help="Whose images are the queries.", metavar="query|val")]
Images = Annotated[
    Path | None, typer.Option("--images", help="Any folder of images instead; no labels needed.", metavar="DIR")
]
IndexOutput = Annotated[Path, typer.Option("--output", "-o", help="The index to write.", metavar="FILE")]
Append = Annotated[bool, typer.Option("--append", help="Add what the index does not hold yet.")]
Prune = Annotated[bool, typer.Option("--prune", help="Drop rows whose files are gone; alone, nothing is embedded.")]
IndexType = Annotated[
    str, typer.Option("--index-type", help="auto (by size), flat (exact), ivf or hnsw (faster).", metavar="NAME")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an index that is there.")]
Index = Annotated[Path, typer.Option("--index", help="The index to search.", metavar="FILE")]
GalleryIndexFile = Annotated[
    Path | None, typer.Option("--index", help="An index as the gallery, instead of the data's.", metavar="FILE")
]
SavedEmbeddings = Annotated[
    Path | None,
    typer.Option(
        "--embeddings",
        help="Score saved arrays instead of a model: query, gallery, and their identities.",
        metavar="NPZ|DIR",
    ),
]
ListLost = Annotated[
    bool, typer.Option("--list-lost", help="Name each query that has no true match left, and the reason.")
]
ReportFolder = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write a report: curves, thresholds, failures as pictures.", metavar="DIR"),
]
Rerank = Annotated[
    bool,
    typer.Option(
        "--rerank",
        help="Show the figures with k-reciprocal re-ranking below the plain ones.",
        rich_help_panel=RERANKING,
    ),
]
K1 = Annotated[int | None, _reranked("--k1", text="Nearest neighbours among which reciprocal ones are sought (20).")]
K2 = Annotated[int | None, _reranked("--k2", text="Neighbours over which weights are averaged (6); 1 for none.")]
Lambda = Annotated[float | None, _reranked("--lambda", text="Share of the plain distance, 0 to 1 (0.3).")]
Yes = Annotated[
    bool,
    typer.Option("--yes", help="Re-rank even if it takes more than 10 minutes or 8 GB.", rich_help_panel=RERANKING),
]
Protocol = Annotated[str, typer.Option("--protocol", help="Which gallery rows count.", metavar="auto|market|no-camera")]
Photos = Annotated[
    list[Path],
    typer.Argument(
        help="Photos of one person each, or folders of them; - reads paths from standard input.",
        metavar="PHOTO|DIR|-...",
    ),
]
TopK = Annotated[int, typer.Option("-k", help="Hits per photo.")]
Box = Annotated[
    str | None, typer.Option("--box", help="Where the person is in the photo, in pixels.", metavar="X,Y,W,H")
]
Camera = Annotated[list[str] | None, _filter("--camera", text="Only this camera's rows; may be repeated.")]
ExcludeCamera = Annotated[list[str] | None, _filter("--exclude-camera", text="Leave a camera's rows out.")]
Identity = Annotated[list[str] | None, _filter("--identity", text="Only this identity's rows; may be repeated.")]
ExcludeIdentity = Annotated[list[str] | None, _filter("--exclude-identity", text="Leave an identity's rows out.")]
Group = Annotated[
    str | None, typer.Option("--group", help="identity: show each identity once, by its best row.", metavar="identity")
]
Join = Annotated[
    str | None,
    typer.Option("--join", help="All photos show one person: search with the mean of them.", metavar="mean"),
]
HitsFile = Annotated[
    Path | None, typer.Option("--csv", help="Write the hits as a table; - for standard output.", metavar="FILE|-")
]
RerankHits = Annotated[
    bool,
    typer.Option(
        "--rerank", help="Order the first 200 hits (-k, if more) by k-reciprocal re-ranking; scores remain cosines."
    ),
]
MatchThreshold = Annotated[
    float | None, typer.Option("--threshold", help="Show only hits that score so much or more.", metavar="SCORE")
]
FalseMatchRate = Annotated[
    float | None,
    typer.Option("--false-match-rate", help="The threshold from the model's report, such as 1e-3.", metavar="RATE"),
]
Report = Annotated[
    Path | None, typer.Option("--report", help="That report (default: the last one of the run).", metavar="DIR")
]
Montage = Annotated[Path | None, typer.Option("--montage", help="Draw the ranking.", metavar="OUT.png")]
Saliency = Annotated[
    Path | None,
    typer.Option("--saliency", help="Draw the ranking with the regions that make it alike.", metavar="OUT.png"),
]
Thumbnails = Annotated[
    bool, typer.Option("--thumbnails", help="Show photo and first hits in a terminal that can show pictures.")
]
