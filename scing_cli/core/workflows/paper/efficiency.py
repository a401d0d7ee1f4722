"""Count parameters and floating-point operations of the methods, as in the paper's Table 4.

The numbers come from the modules that training builds. K is the number of identities in training.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch

from scing_cli.core.encoders.clip import ClipModel, empty_clip
from scing_cli.core.errors import SettingError
from scing_cli.core.evaluation.tables import PublishedRow, read_tables
from scing_cli.core.methods import StageInputs, Task, load_method
from scing_cli.core.methods.prompts_file import IdentityTexts
from scing_cli.core.settings import METHODS, PromptSettings, VisualSettings
from scing_cli.core.workflows.evaluate.published import rows_of
from scing_cli.core.workflows.paper.flops import forward_flops, hooked_flops


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """The model and data to count for; the defaults are those of Table 4.

    Args:
        model: A name of `known_models()`, or the path of a JSON file.
        stride: Step between patches, in pixels; None for the patch's side.
        identities: K, at least 1.
        cameras: Number of camera vectors (SIE, R15); 0 for none.

    Raises:
        SettingError: If a number is too small.
    """

    model: str = "ViT-B-16-quickgelu"
    stride: int | None = 12
    identities: int = 665
    cameras: int = 2

    def __post_init__(self) -> None:
        for option, value, least in (("--identities", self.identities, 1), ("--cameras", self.cameras, 0)):
            if value < least:
                raise SettingError(f"{option} {value}: must be at least {least}.")

    def is_published(self) -> bool:
        """True if Table 4 has the figures of this setting.

        >>> Setting().is_published(), Setting(stride=16).is_published()
        (True, False)
        """
        return dataclasses.replace(self, model=self.model.removesuffix("-quickgelu")) == Setting(model="ViT-B-16")


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """Parameters of each part of a method, including frozen ones, without buffers.

    Args:
        image_encoder: Without camera vectors.
        text_encoder: Without the word embeddings, which the text tower of CLIP-ReID's code does not contain.
        heads: Identity heads of CLIP-ReID's stage 2.
        necks: Batch normalisations before the heads, with their frozen biases.
        tokens: Prompt tokens of all identities.
        cameras: Camera vectors.
        visual: The module of the prompts' visual part: CoCoOp's meta-net, SCING's SVIP.
    """

    image_encoder: int
    text_encoder: int
    heads: int
    necks: int
    tokens: int
    cameras: int
    visual: int

    def total(self) -> int:
        """Return the sum, which is the paper's number of parameters."""
        return sum(dataclasses.astuple(self))


@dataclasses.dataclass(frozen=True, slots=True)
class MethodCost:
    """Parameters of one method.

    Args:
        parts: Parameters of both training stages, by part.
        stage1: Trained in stage 1.
        stage2: Trained in stage 2.
        inference: Used after training: the image encoder with its camera vectors.
        published: Row of the method in Table 4.
    """

    parts: Parts
    stage1: int
    stage2: int
    inference: int
    published: PublishedRow


@dataclasses.dataclass(frozen=True, slots=True)
class Efficiency:
    """Parameters and operations of all methods.

    Args:
        setting: The model and data that were counted for.
        size: Height and width of the images, in pixels.
        flops: Operations of the image encoder's forward pass for one image; a multiply-add counts as two. Inference
            uses only the image encoder, so all methods have the same number.
        hooked_flops: The same as the paper's counter measures it.
        methods: Costs by method, in the order of Table 4.
    """

    setting: Setting
    size: tuple[int, int]
    flops: int
    hooked_flops: int
    methods: dict[str, MethodCost]


def count_costs(setting: Setting | None = None) -> Efficiency:
    """Count parameters and operations of all methods; needs no weights.

    Stage 2 has the losses of CLIP-ReID for all methods, because every row of Table 4 includes their heads.

    Args:
        setting: The model and data to count for; None for those of Table 4.

    Raises:
        WeightsError: If the model is unknown.
        SettingError: If the model cannot have this stride.
    """
    setting = setting or Setting()
    encoder = empty_clip(setting.model, stride=setting.stride).tower
    return Efficiency(
        setting=setting,
        size=(encoder.geometry.height, encoder.geometry.width),
        flops=forward_flops(encoder),
        hooked_flops=hooked_flops(encoder),
        methods={method: _cost(method, setting, row) for method, row in _published().items()},
    )


def _published() -> dict[str, PublishedRow]:
    """Return the rows of Table 4 by method."""
    rows = [row for row in read_tables() if row.table == 4]
    return {method: row for row in rows for method in METHODS if row.row in rows_of({"method": method})}


def _cost(method: str, setting: Setting, published: PublishedRow) -> MethodCost:
    clip = empty_clip(setting.model, stride=setting.stride)
    encoder = _count(clip.image)
    if setting.cameras:
        clip.image.learn_cameras([str(camera) for camera in range(setting.cameras)], seed=0)
    first, second = (task.trainable() for task in _tasks(method, clip, setting))
    tokens = first.get_parameter("tokens").numel()
    parts = Parts(
        image_encoder=encoder,
        text_encoder=_count(clip.text) - _count(clip.text.token_embedding),
        heads=_count(second.get_submodule("objective.heads")),
        necks=_count(second.get_submodule("objective.necks")),
        tokens=tokens,
        cameras=_count(clip.image) - encoder,
        visual=_count(first) - tokens,
    )
    return MethodCost(
        parts=parts,
        stage1=_count(first, trainable=True),
        stage2=_count(second, trainable=True),
        inference=_count(clip.image),
        published=published,
    )


def _tasks(method: str, clip: ClipModel, setting: Setting) -> tuple[Task, Task]:
    """Build both stages on the meta device, with one image per identity."""
    labels = torch.arange(setting.identities)
    vectors = torch.empty(setting.identities, clip.image.embed_dim, device="meta")  # (K, D)
    prompts = PromptSettings(method=method, model=setting.model, stride=setting.stride)
    visual = VisualSettings(stage2_loss="clip-reid", camera_embedding=setting.cameras > 0)
    first, second = cast("tuple[Any, Any]", load_method(method).stages)  # the methods of the paper train both
    given = StageInputs(clip, labels, "fp32", features=vectors)
    texts = IdentityTexts(vectors, tuple(map(str, range(setting.identities))), clip.logit_scale, "", prompts.similarity)
    cameras = labels % setting.cameras if setting.cameras else None
    later = dataclasses.replace(given, features=None, cameras=cameras, earlier=texts)
    return first.build(prompts, given), second.build(visual, later)


def _count(module: torch.nn.Module, *, trainable: bool = False) -> int:
    return sum(value.numel() for value in module.parameters() if value.requires_grad or not trainable)


AVERAGED = ("Occluded-Duke", "Occluded-REID", "P-DukeMTMC-reID")  # of Table 4's averages


def table_2_mean(row: str) -> tuple[float | None, float | None]:
    """Return a method's mAP and rank-1 in Table 2, means over the data sets of Table 4; None where one is missing.

    >>> [round(figure, 2) for figure in table_2_mean("SCING")], table_2_mean("CLIP-ReID")
    ([79.57, 86.2], (None, None))
    """
    found = [each for each in read_tables() if (each.table, each.row) == (2, row) and each.data in AVERAGED]
    pairs = [(each.mAP, each.rank1) for each in found if each.mAP is not None and each.rank1 is not None]
    if len(pairs) < len(AVERAGED):
        return None, None
    return sum(mean for mean, _ in pairs) / len(pairs), sum(rank for _, rank in pairs) / len(pairs)
