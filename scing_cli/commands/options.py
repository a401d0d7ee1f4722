"""Declarations of all options, except the settings of the training stages, which `settings` declares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from scing_cli.commands.console import set_debug
from scing_cli.commands.model_options import MODEL
from scing_cli.core.devices import DEVICES, PRECISIONS
from scing_cli.core.layouts import LAYOUTS
from scing_cli.core.paths import ENGINES, named_location

MACHINE = "Machine"
RERANKING = "Re-ranking"
GALLERY = "|".join(["FILE", *(f"{name}://…" for name in ENGINES)])


def _machine(name: str, *, text: str, known: Sequence[str] = ()) -> Any:
    """Declare an option of the panel Machine."""
    return typer.Option(name, help=text, metavar="|".join(known) or None, rich_help_panel=MACHINE)


def _filter(name: str, *, text: str) -> Any:
    """Declare an option that filters the rows of an index."""
    return typer.Option(name, help=text, metavar="NAME", rich_help_panel="Which rows")


def _reranked(name: str, *, text: str) -> Any:
    """Declare an option that needs `--rerank`. Its value is None if it is not given; `text` names the default."""
    return typer.Option(name, help=text, rich_help_panel=RERANKING, show_default=False)


# every command
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of a failure.", callback=set_debug, is_eager=True)
]
Device = Annotated[str, _machine("--device", text="Device to compute on.", known=DEVICES)]
Precision = Annotated[
    str, _machine("--precision", text="Precision of the encoder; auto is fp32 here.", known=PRECISIONS)
]
QuickPrecision = Annotated[
    str, _machine("--precision", text="fp32 uses torch; on a CPU, auto uses an OpenVINO model.", known=PRECISIONS)
]
Workers = Annotated[
    int | None, _machine("--workers", text="Threads that decode images (default: one per core, at most 16).")
]
BatchSize = Annotated[int, _machine("--batch-size", text="Images per batch of the encoder (OpenVINO: at most 16).")]
UnusedDevice = Annotated[
    str,
    _machine("--device", text="No effect here; accepted so that all commands have the same options.", known=DEVICES),
]
UnusedPrecision = Annotated[str, _machine("--precision", text="No effect here, like --device.", known=PRECISIONS)]
UnusedBatchSize = Annotated[int, _machine("--batch-size", text="No effect here, like --device.")]
UnusedSeed = Annotated[
    int, typer.Option("--seed", help="No effect here, like --device.", min=0, rich_help_panel=MACHINE)
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all random numbers.", min=0, rich_help_panel=MACHINE)]

# data
Source = Annotated[Path, typer.Argument(help="A data set folder, or your own CSV.", metavar="DIR|CSV")]
SeveralData = Annotated[
    list[Path] | None, typer.Option("--data", help="A data set folder or CSV; may be repeated.", metavar="DIR|CSV")
]
MovedData = Annotated[
    Path | None, typer.Option("--data", help="The new folder of the images, if they were moved.", metavar="DIR")
]
MovedPretrained = Annotated[
    str | None,
    typer.Option("--pretrained", help="The new path of the weights of stage 1, if they were moved.", metavar="FILE"),
]
_LAYOUT = typer.Option("--layout", help=f"Layout of the data: {', '.join(('auto', *LAYOUTS))}.", metavar="NAME")
_INCLUDE_VAL = typer.Option(
    "--include-val", help="Also train on the split val, if the data have one.", show_default=False
)
Layout = Annotated[str, _LAYOUT]
OptionalLayout = Annotated[str | None, _LAYOUT]
IncludeVal = Annotated[bool, _INCLUDE_VAL]
OptionalIncludeVal = Annotated[bool | None, _INCLUDE_VAL]
ManifestOutput = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The manifest to write (default: ./NAME-OF-DIR.csv).", metavar="FILE.csv"),
]
HoldOut = Annotated[
    float | None,
    typer.Option(
        "--hold-out",
        help="Hold out this share of the people, such as 0.3: their images become query and gallery.",
        metavar="SHARE",
    ),
]
Sheet = Annotated[
    Path | None, typer.Option("--sheet", help="Write a picture of some people's images.", metavar="OUT.png")
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Fail on dropped or unreadable files, and on counts other than the published ones."),
]
StrictImages = Annotated[
    bool,
    typer.Option("--strict", help="Stop at the first image that cannot be read; by default such images are left out."),
]

# runs and models
NewRun = Annotated[
    Path | None, typer.Option("--run", help="The run folder to create (default: a new one in ./runs).", metavar="DIR")
]
Resume = Annotated[
    bool | None,
    typer.Option(
        "--resume/--no-resume",
        help="Resume the newest interrupted run, or start over (default: resume if all options are the same).",
        show_default=False,
    ),
]
SaveMinutes = Annotated[
    float,
    typer.Option("--save-minutes", help="Minutes between saves; Ctrl-C saves too.", min=0.0, metavar="M"),
]
PromptsRun = Annotated[
    Path | None, typer.Option("--run", help="A run with prompts (default: the newest in ./runs).", metavar="DIR")
]
BranchName = Annotated[
    str | None,
    typer.Option("--as", help="Train in a new run next to it, with a copy of its stage 1.", metavar="NAME"),
]
RunFolder = Annotated[
    Path | None, typer.Option("--run", help="A trained run (default: the newest finished one).", metavar="DIR")
]
SearchRun = Annotated[
    Path | None,
    typer.Option("--run", help="The run with the model (default: the model that the index names).", metavar="DIR"),
]
DescriptorKind = Annotated[
    str,
    typer.Option(
        "--descriptor", help="The vector to compare (R10).", metavar="projected|concat|class", rich_help_panel=MODEL
    ),
]

# embed, evaluate, search
GallerySplit = Annotated[str, typer.Option("--split", help="The part to embed.", metavar="gallery|query|train|val|all")]
QuerySplit = Annotated[str, typer.Option("--split", help="The split with the queries.", metavar="query|val")]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        "--images",
        help="Any folder of images instead of a data set; needs no labels; may be repeated.",
        metavar="DIR",
    ),
]
IndexOutput = Annotated[
    Path,
    typer.Option("--output", "-o", help="The index to write.", metavar=GALLERY, parser=named_location),
]
Append = Annotated[bool, typer.Option("--append", help="Add new and changed images to an existing index.")]
Prune = Annotated[
    bool, typer.Option("--prune", help="Drop rows whose files are missing; without --append, embed nothing.")
]
Compact = Annotated[
    bool,
    typer.Option("--compact", help="Write a large index as two files again; without --append, embed nothing."),
]
Shards = Annotated[
    int | None,
    typer.Option(
        "--shards", help="Divide the work into N shards; each process takes the next free one.", metavar="N", min=1
    ),
]
Shard = Annotated[
    int | None, typer.Option("--shard", help="Make only this shard, 0 to N - 1.", metavar="I", show_default=False)
]
Merge = Annotated[bool, typer.Option("--merge", help="Join the shards into the index; embed nothing.")]
IndexType = Annotated[
    str,
    typer.Option(
        "--index-type",
        help="By size (auto), exact (flat), or approximate and faster.",
        metavar="auto|flat|ivf|hnsw",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing index.")]
Index = Annotated[Path, typer.Option("--index", help="The index to search.", metavar=GALLERY, parser=named_location)]
GalleryIndexFile = Annotated[
    Path | None,
    typer.Option("--index", help="Use an index as the gallery.", metavar=GALLERY, parser=named_location),
]
SavedEmbeddings = Annotated[
    Path | None,
    typer.Option(
        "--embeddings",
        help="Score saved arrays instead of a model: query, gallery and their identities.",
        metavar="NPZ|DIR",
    ),
]
ListLost = Annotated[bool, typer.Option("--list-lost", help="List each query without a true match, with the reason.")]
ReportFolder = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Write a report with curves, thresholds and pictures of failures.", metavar="DIR"
    ),
]
Rerank = Annotated[
    bool,
    typer.Option(
        "--rerank",
        help="Also show the scores after k-reciprocal re-ranking.",
        rich_help_panel=RERANKING,
    ),
]
K1 = Annotated[
    int | None, _reranked("--k1", text="Number of nearest neighbours searched for reciprocal ones (default: 20).")
]
K2 = Annotated[
    int | None, _reranked("--k2", text="Number of neighbours whose weights are averaged (default: 6); 1 turns it off.")
]
Lambda = Annotated[float | None, _reranked("--lambda", text="Weight of the original distance, 0 to 1 (default: 0.3).")]
Yes = Annotated[
    bool,
    typer.Option("--yes", help="Re-rank even if it needs more than 10 minutes or 8 GB.", rich_help_panel=RERANKING),
]
Protocol = Annotated[
    str,
    typer.Option(
        "--protocol", help="Which gallery rows are left out for a query.", metavar="auto|market|scene|no-camera"
    ),
]
Photos = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Photos of one person each, or folders of them; - reads paths from standard input.",
        metavar="PHOTO|DIR|-...",
    ),
]
TopK = Annotated[int, typer.Option("-k", help="Hits per photo.")]
Box = Annotated[str | None, typer.Option("--box", help="The person's box in the photo, in pixels.", metavar="X,Y,W,H")]
Camera = Annotated[list[str] | None, _filter("--camera", text="Only this camera's rows; may be repeated.")]
ExcludeCamera = Annotated[
    list[str] | None, _filter("--exclude-camera", text="Leave this camera's rows out; may be repeated.")
]
Identity = Annotated[list[str] | None, _filter("--identity", text="Only this identity's rows; may be repeated.")]
ExcludeIdentity = Annotated[
    list[str] | None, _filter("--exclude-identity", text="Leave this identity's rows out; may be repeated.")
]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Only warn of names that no row has.", rich_help_panel="Which rows")
]
Group = Annotated[
    str | None, typer.Option("--group", help="identity: show only the best row of each identity.", metavar="identity")
]
Join = Annotated[
    str | None,
    typer.Option("--join", help="All photos show one person: search with their mean vector.", metavar="mean"),
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
    float | None, typer.Option("--threshold", help="Show only hits with at least this score.", metavar="SCORE")
]
FalseMatchRate = Annotated[
    float | None,
    typer.Option(
        "--false-match-rate",
        help="Take the threshold for this rate, such as 1e-3, from the model's report.",
        metavar="RATE",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report", help="The report for --false-match-rate (default: the last one of the run).", metavar="DIR"
    ),
]
Montage = Annotated[Path | None, typer.Option("--montage", help="Draw the ranking as a picture.", metavar="OUT.png")]
Saliency = Annotated[
    Path | None,
    typer.Option(
        "--saliency", help="Draw the ranking with heat maps of the regions that raise the scores.", metavar="OUT.png"
    ),
]
Thumbnails = Annotated[
    bool,
    typer.Option("--thumbnails", help="Show the photo and its first hits in the terminal, if it supports pictures."),
]
