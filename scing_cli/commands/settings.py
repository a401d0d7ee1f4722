"""The settings of both training stages as options: None leaves the choice to the file, then to the default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from scing_cli.commands.options import MACHINE, MODEL
from scing_cli.core.method_table import METHODS
from scing_cli.core.runtime import PRECISIONS

_SCHEDULE = "Schedule"
_METHOD = "Method"


def _setting(name: str, *, text: str, metavar: str | None = None, panel: str) -> Any:
    """Declare a stage's setting: None leaves the choice to the file, then to the default named in `text`."""
    return typer.Option(name, help=text, metavar=metavar, rich_help_panel=panel, show_default=False)


Config = Annotated[
    Path | None, typer.Option("--config", help="Settings of both stages; options go before it.", metavar="FILE.toml")
]
Method = Annotated[
    str | None, _setting("--method", text=f"{', '.join(METHODS)} (scing).", metavar="NAME", panel=_METHOD)
]
Model = Annotated[
    str | None, _setting("--model", text="CLIP to start from (ViT-B-16-quickgelu).", metavar="NAME", panel=MODEL)
]
Pretrained = Annotated[
    str | None,
    _setting(
        "--pretrained", text="Its weights (openai; scing-tiny has its own).", metavar="TAG|FILE|random", panel=MODEL
    ),
]
Stride = Annotated[
    int | None, _setting("--stride", text="Patch stride; 12 overlaps (the patch size).", metavar="16|12", panel=MODEL)
]
Statistics = Annotated[
    str | None,
    _setting(
        "--statistics", text="Pixel mean and deviation: 0.5 or CLIP's own (half).", metavar="half|clip", panel=MODEL
    ),
]
Gate = Annotated[
    str | None, _setting("--gate", text="SVIP's gate, scing alone (channel).", metavar="channel|token", panel=_METHOD)
]
Tokens = Annotated[int | None, _setting("--tokens", text="L, learnable tokens per identity (4).", panel=_METHOD)]
FusedTokens = Annotated[
    int | None, _setting("--fused-tokens", text="M of them take SVIP's part, scing alone (2).", panel=_METHOD)
]
Consistency = Annotated[
    bool | None,
    typer.Option(
        "--no-consistency",
        help="Leave PDCA out, which scing alone has.",
        callback=lambda left_out: False if left_out else None,
        rich_help_panel=_METHOD,
        show_default=False,
    ),
]
ConsistencyWeight = Annotated[
    float | None, _setting("--consistency-weight", text="PDCA's: lambda of Eq. 16 (1).", panel=_METHOD)
]
Contrast = Annotated[
    str | None,
    _setting("--contrast", text="Positives of Eq. 1 (supervised).", metavar="supervised|infonce", panel=_METHOD),
]
Similarity = Annotated[
    str | None,
    _setting(
        "--similarity",
        text="How the losses compare images and texts (cosine).",
        metavar="cosine|dot",
        panel=_METHOD,
    ),
]
Views = Annotated[
    str | None,
    _setting(
        "--views",
        text="PDCA's: two anew at every step, or two of N encoded once (fresh).",
        metavar="fresh|bank:N",
        panel=_METHOD,
    ),
]
FeatureDropout = Annotated[
    float | None, _setting("--feature-dropout", text="PDCA's: on perturbed views' features (0.5).", panel=_METHOD)
]
Occlusion = Annotated[
    float | None, _setting("--occlusion", text="PDCA's: probability in a perturbed view (0.5).", panel=_METHOD)
]
ViewFlip = Annotated[float | None, _setting("--flip", text="PDCA's, as --occlusion (0.5).", panel=_METHOD)]
ViewErase = Annotated[float | None, _setting("--erase", text="PDCA's, as --occlusion (0.5).", panel=_METHOD)]
ViewCrop = Annotated[float | None, _setting("--crop", text="PDCA's, as --occlusion (0.5).", panel=_METHOD)]
IdentityText = Annotated[
    str | None,
    _setting(
        "--identity-text",
        text="How w_k is made (mean-condition).",
        metavar="mean-condition|mean-text",
        panel=_METHOD,
    ),
]
Stage2Loss = Annotated[
    str | None,
    _setting("--stage2-loss", text="The losses, for every method (paper).", metavar="paper|clip-reid", panel=_METHOD),
]
CameraEmbedding = Annotated[
    bool | None,
    _setting(
        "--camera-embedding",
        text="SIE: learn a vector for each training camera (off).",
        panel=_METHOD,
    ),
]
TripletWeight = Annotated[float | None, _setting("--triplet-weight", text="gamma of Eq. 20 (1).", panel=_METHOD)]
Margin = Annotated[float | None, _setting("--margin", text="Of the triplet (0.2; clip-reid's 0.3).", panel=_METHOD)]
LabelSmoothing = Annotated[
    float | None, _setting("--label-smoothing", text="Of every cross-entropy (0; clip-reid's 0.1).", panel=_METHOD)
]
Epochs = Annotated[int | None, _setting("--epochs", text="Epochs (120).", panel=_SCHEDULE)]
Lr = Annotated[float | None, _setting("--lr", text="Learning rate (5e-5).", panel=_SCHEDULE)]
WeightDecay = Annotated[float | None, _setting("--weight-decay", text="Adam's, coupled (5e-4).", panel=_SCHEDULE)]
Schedule = Annotated[
    str | None,
    _setting("--schedule", text="The rate after the warm-up (steps).", metavar="steps|cosine", panel=_SCHEDULE),
]
Milestones = Annotated[
    str | None,
    _setting("--milestones", text="Epochs at which the rate falls to a tenth (30,50).", metavar="N,N", panel=_SCHEDULE),
]
WarmupEpochs = Annotated[
    int | None, _setting("--warmup-epochs", text="Epochs of rising rate (0; in stage 2 10).", panel=_SCHEDULE)
]
WarmupLr = Annotated[
    float | None, _setting("--warmup-lr", text="Where it rises from (a tenth of --lr).", panel=_SCHEDULE)
]
FinalLr = Annotated[float | None, _setting("--final-lr", text="Where a cosine ends (1e-6).", panel=_SCHEDULE)]
FirstEpoch = Annotated[
    int | None,
    _setting("--first-epoch", text="Number of the first epoch; CLIP-ReID's is 1 (0).", metavar="0|1", panel=_SCHEDULE),
]
BiasLrFactor = Annotated[
    float | None, _setting("--bias-lr-factor", text="Biases learn at so many times the rate (1).", panel=_SCHEDULE)
]
Sampler = Annotated[
    str | None,
    _setting(
        "--sampler",
        text="Batches of identities, or of any images (identity).",
        metavar="identity|random",
        panel=_SCHEDULE,
    ),
]
TrainBatchSize = Annotated[int | None, _setting("--batch-size", text="Images in a batch (64).", panel=_SCHEDULE)]
Instances = Annotated[int | None, _setting("--instances", text="Images per identity in a batch (4).", panel=_SCHEDULE)]
Flip = Annotated[float | None, _setting("--flip", text="Probability (0.5).", panel=_SCHEDULE)]
Erase = Annotated[float | None, _setting("--erase", text="Probability (0.5).", panel=_SCHEDULE)]
VisualOcclusion = Annotated[
    float | None, _setting("--occlusion", text="Probability (0); raise it for occluded queries.", panel=_SCHEDULE)
]
Crop = Annotated[float | None, _setting("--crop", text="Probability (0.5).", panel=_SCHEDULE)]
TrainSeed = Annotated[int | None, _setting("--seed", text="Every draw follows from it (0).", panel=MACHINE)]
TrainPrecision = Annotated[
    str | None,
    _setting(
        "--precision",
        text="Of the towers; auto is bf16 where the machine has it.",
        metavar="|".join(PRECISIONS),
        panel=MACHINE,
    ),
]
Compile = Annotated[
    bool | None,
    _setting("--compile/--no-compile", text="Compile the towers' blocks, for GPUs (off).", panel=MACHINE),
]
Validate = Annotated[bool, typer.Option("--validate", help="Evaluate the result on the split val.")]
