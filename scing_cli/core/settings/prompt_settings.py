"""Settings of stage 1. A setting that only some methods read names them: `Setting(..., methods=("scing",))`."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from scing_cli.core.settings.field import (
    IMAGES,
    METHOD,
    MODEL,
    SCHEDULE,
    Count,
    Probability,
    Rate,
    Setting,
    Weight,
)
from scing_cli.core.settings.method_table import (
    BOUND,
    CONDITIONED,
    DEEP,
    METHODS,
    OF_IDENTITIES,
    SEEN,
    rows_of,
)
from scing_cli.core.settings.schedule_settings import (
    BIAS_FACTOR,
    EPOCHS,
    FINAL_LR,
    INDEPENDENT,
    LR,
    SHAPE,
    WARMUP_EPOCHS,
    WARMUP_LR,
    WEIGHT_DECAY,
    BiasFactor,
    EpochNumber,
    FinalRate,
    Schedule,
    Shape,
)
from scing_cli.core.settings.spelled_values import (
    ALL,
    BANK,
    known_condition,
    known_size,
    known_spectra,
    known_views,
    parse_size,
)
from scing_cli.core.spectra import VISIBLE

TokenCount = Annotated[int, Field(ge=1, le=64)]


class PromptSettings(Schedule):
    """Settings of stage 1 (`[train-prompts]`): model, prompts and losses."""

    epochs: Annotated[
        Count, EPOCHS.with_default("method", *DEEP, default=20).with_default("method", *BOUND, default=60)
    ] = 120
    lr: Annotated[
        Rate, LR.with_default("method", *DEEP, default=3e-4).with_default("method", *BOUND, default=3.5e-4)
    ] = 5e-5
    weight_decay: Annotated[
        Weight, WEIGHT_DECAY.with_default("method", *DEEP, default=0.0).with_default("method", *BOUND, default=1e-4)
    ] = 5e-4
    schedule: Annotated[Shape, SHAPE.with_default("method", *DEEP, *BOUND, default="cosine")] = "steps"
    warmup_epochs: Annotated[EpochNumber, WARMUP_EPOCHS.with_default("method", *BOUND, default=10)] = 0
    warmup_lr: Annotated[Rate | None, WARMUP_LR.with_default("method", *BOUND, default=3.5e-6)] = None
    final_lr: Annotated[
        FinalRate,
        FINAL_LR.with_default("method", *DEEP, default=0.0).with_default("method", *BOUND, default=3.5e-7),
    ] = 1e-6
    bias_lr_factor: Annotated[BiasFactor, BIAS_FACTOR.with_default("method", *BOUND, default=2.0)] = 1.0
    method: Annotated[str, Setting(f"One of {', '.join(METHODS)}.", METHOD, metavar="NAME")] = "scing"
    model: Annotated[str, Setting("CLIP model to start from.", MODEL, metavar="NAME")] = "ViT-B-16-quickgelu"
    pretrained: Annotated[
        str | None,
        Setting("Its weights.", MODEL, metavar="TAG|FILE|random", default="openai; shipped models have their own"),
    ] = None
    stride: Annotated[
        int | None,
        Field(ge=1, le=64),
        Setting("Patch stride; 12 makes patches overlap.", MODEL, metavar="16|12", default="the patch size"),
    ] = None
    statistics: Annotated[
        Literal["auto", "half", "clip"],
        Setting("Pixel mean and deviation: what the model's folder states, 0.5, or CLIP's own.", MODEL),
    ] = "auto"
    interpolation: Annotated[
        Literal["auto", "bicubic", "bilinear"],
        Setting("Resizing of images: what the model's folder states (else bicubic), or one of these.", MODEL),
    ] = "auto"
    image_size: Annotated[
        str | None,
        AfterValidator(known_size),
        Setting(
            "Height and width of the images in pixels.", MODEL, metavar="HxW", default="256x128, or the model's own"
        ),
    ] = None
    spectra: Annotated[
        str,
        AfterValidator(known_spectra),
        Setting(
            "Spectra that the model reads of each observation; all: those that the data have.",
            MODEL,
            metavar="rgb,nir,tir|all",
            rows=IMAGES,
        ).with_default("method", *BOUND, default=ALL),
    ] = VISIBLE
    missing: Annotated[
        Literal["mean", "zero"],
        Setting(
            "A missing spectrum counts as the mean of the others, or as grey pixels.",
            MODEL,
            rows=IMAGES,
            idle_with=(("spectra", VISIBLE),),
        ),
    ] = "mean"
    gate: Annotated[
        Literal["channel", "token"],
        Setting("SVIP's gate: one value per channel, or per token.", METHOD, methods=("scing",)),
    ] = "channel"
    condition: Annotated[
        str,
        AfterValidator(known_condition),
        Setting(
            "V that conditions the prompts: as it is, at unit length, or at length N.",
            METHOD,
            metavar="raw|unit|unit:N",
            methods=CONDITIONED,
        ).with_default("method", "cocoop", default="unit"),
    ] = "raw"
    negatives: Annotated[
        Literal["own", "query"],
        Setting(
            "The condition of the texts that an image is compared with: each its own image's, or all the image's.",
            METHOD,
            methods=CONDITIONED,
        ),
    ] = "own"
    tokens: Annotated[
        int, Field(ge=2, le=32), Setting("L, learnable tokens per identity.", METHOD, methods=OF_IDENTITIES)
    ] = 4
    prompt_start: Annotated[
        Literal["normal", "words"],
        Setting(
            'Start of the tokens: N(0, 0.02), or the words "a photo of a" (CoCoOp\'s code).',
            METHOD,
            methods=OF_IDENTITIES,
        ),
    ] = "normal"
    fused_tokens: Annotated[
        int, Field(ge=1, le=31), Setting("M of the L tokens, fused with SVIP's part.", METHOD, methods=("scing",))
    ] = 2
    consistency: Annotated[
        bool, Setting("Leave out PDCA's consistency loss.", METHOD, option="--no-consistency", methods=("scing",))
    ] = True
    consistency_weight: Annotated[
        Weight, Setting("Weight of the consistency loss, lambda of Eq. 16.", METHOD, methods=("scing",))
    ] = 1.0
    consistency_target: Annotated[
        Literal["text", "image", "both"],
        Setting(
            "What PDCA compares the views' texts with: texts, the image's feature, or both.",
            METHOD,
            methods=("scing",),
            idle_with=(("consistency", False), ("consistency_weight", 0)),
        ),
    ] = "text"
    stage1_learns: Annotated[
        Literal["prompts", "all"],
        Setting("What learns: the prompts, or the image encoder too.", METHOD, methods=OF_IDENTITIES),
    ] = "prompts"
    encoder_lr_factor: Annotated[
        float,
        Field(gt=0, le=100),
        Setting(
            "Factor of the learning rate for the image encoder.",
            SCHEDULE,
            methods=OF_IDENTITIES,
            idle_with=(("stage1_learns", "prompts"),),
        ),
    ] = 1.0
    contrast: Annotated[
        Literal["supervised", "infonce"], Setting("Positives of Eq. 1.", METHOD, methods=OF_IDENTITIES)
    ] = "supervised"
    similarity: Annotated[
        Literal["cosine", "dot"], Setting("How the losses compare images and texts.", METHOD, methods=OF_IDENTITIES)
    ] = "cosine"
    sampler: Annotated[
        Literal["identity", "random"], Setting("Batches of identities, or of any images.", SCHEDULE, rows=IMAGES)
    ] = "identity"
    views: Annotated[
        str,
        AfterValidator(known_views),
        Setting(
            "PDCA's two views: new at every step, or of N encoded once.",
            METHOD,
            metavar="fresh|bank:N",
            methods=("scing",),
            idle_with=(("consistency", False), ("consistency_weight", 0)),
        ),
    ] = "fresh"
    feature_dropout: Annotated[
        float, Field(ge=0, lt=1), Setting("Dropout on the features of PDCA's views.", METHOD, methods=("scing",))
    ] = 0.5
    occlusion: Annotated[
        Probability, Setting("Probability of occlusion in PDCA's views.", METHOD, methods=("scing",))
    ] = 0.5
    flip: Annotated[Probability, Setting("Probability of a flip in perturbed images.", METHOD, methods=SEEN)] = 0.5
    erase: Annotated[Probability, Setting("Probability of erasing in perturbed images.", METHOD, methods=SEEN)] = 0.5
    crop: Annotated[Probability, Setting("Probability of a crop in perturbed images.", METHOD, methods=SEEN)] = 0.5
    independent_augmentation: Annotated[
        bool, dataclasses.replace(INDEPENDENT, methods=("scing", *BOUND), idle_with=(("spectra", VISIBLE),))
    ] = False
    prompt_tokens: Annotated[
        int, Field(ge=1, le=64), Setting("Deep prompt tokens per block and encoder.", METHOD, methods=DEEP)
    ] = 4
    prompt_depth: Annotated[
        int, Field(ge=1, le=256), Setting("Blocks that have deep prompts of their own.", METHOD, methods=DEEP)
    ] = 12
    specific_tokens: Annotated[
        TokenCount, Setting("Prompt tokens per block that each spectrum has of its own.", METHOD, methods=BOUND)
    ] = 4
    semantic_tokens: Annotated[
        TokenCount, Setting("Prompt tokens per block that all spectra share.", METHOD, methods=BOUND)
    ] = 8
    bind_tokens: Annotated[TokenCount, Setting("Tokens through which the spectra exchange.", METHOD, methods=BOUND)] = 4
    identity_text: Annotated[
        Literal["mean-condition", "mean-text"],
        Setting("How an identity's text w_k is computed.", METHOD, methods=CONDITIONED),
    ] = "mean-condition"

    @model_validator(mode="after")
    def _some_tokens_are_not_fused(self) -> Self:
        if self.method in dict(self.described())["fused_tokens"].methods and self.fused_tokens >= self.tokens:
            raise ValueError(f"--fused-tokens {self.fused_tokens} must be less than --tokens {self.tokens} (M < L)")
        return self

    @model_validator(mode="after")
    def _views_of_an_encoder_that_learns(self) -> Self:
        if self.learns_encoder and self.bank_views is not None:
            raise ValueError(
                f"--views {self.views} are encoded once, and --stage1-learns all changes the encoder: use --views fresh"
            )
        return self

    @property
    def learns_encoder(self) -> bool:
        """True if the image encoder learns in stage 1 too (R22)."""
        return self.stage1_learns == "all"

    @property
    def identity_batches(self) -> bool:
        """True if a batch is made of P identities with K images each."""
        return self.sampler == "identity" and rows_of(self.method) == IMAGES

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images in pixels; None for the model's own."""
        return parse_size(self.image_size)

    @property
    def bank_views(self) -> int | None:
        """Number of views per image in the bank; None for fresh views."""
        bank = BANK.fullmatch(self.views)
        return int(bank[1]) if bank else None
