"""The schemas of this program's JSON files: a checksum shows damage, a schema shows values that nobody may write.

Entries that a schema does not name are ignored: they are of another version.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from scing_cli.core.spectra import SPECTRA

LARGEST_SIDE = 4096  # pixels
MOST_SEGMENTS = 1000  # of an index; it never writes so many
LONGEST_PATH = 4096  # characters; no system has longer paths
NO_ZERO = r"^[^\x00]*$"  # no system has names with a zero byte


PathText = Annotated[str, Field(min_length=1, max_length=LONGEST_PATH, pattern=NO_ZERO)]
Word = Annotated[str, Field(max_length=LONGEST_PATH, pattern=NO_ZERO)]
Digest = Annotated[str, Field(pattern=r"^\w{1,128}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Size = Annotated[int, Field(ge=1, le=2**17)]
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
Means = Annotated[list[Annotated[float, Field(ge=-100, le=100)]], Field(min_length=3, max_length=3)]
Deviations = Annotated[list[Annotated[float, Field(ge=1e-4, le=100)]], Field(min_length=3, max_length=3)]
Descriptor = Literal["projected", "concat", "class"]


def _ordered(names: list[str]) -> list[str]:
    if names != [name for name in SPECTRA if name in names]:
        raise ValueError(f"must be some of {', '.join(SPECTRA)}, each once, in this order")
    return names


SpectraNames = Annotated[list[Word], Field(min_length=1), AfterValidator(_ordered)]
Missing = Literal["mean", "zero"]


class Entry(BaseModel):
    """Base of all schemas; types are strict: no text for a number, no number for a truth value."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())


class GeometryEntry(Entry):
    """A `Geometry`."""

    height: Side
    width: Side
    patch: Side
    stride: Side
    mean: Means
    std: Deviations
    interpolation: Literal["bicubic", "bilinear"]

    @model_validator(mode="after")
    def _patches_fit(self) -> Self:
        if self.stride > self.patch or self.patch > min(self.height, self.width):
            raise ValueError(
                f"patches of {self.patch} with a stride of {self.stride} do not fit {self.height}x{self.width} pixels"
            )
        return self


class PromptedEntry(Entry):
    """Sizes of a tower's deep prompts: both or neither."""

    prompt_tokens: Size | None = None
    prompt_depth: Size | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.prompt_tokens is None) != (self.prompt_depth is None):
            raise ValueError("prompt_tokens and prompt_depth belong together")
        return self


class BoundEntry(Entry):
    """Numbers of the prompts of an encoder of several spectra."""

    specific: Size
    semantic: Size
    bind: Size


class TowerEntry(PromptedEntry):
    """Sizes of an image tower: its `config`."""

    width: Size
    layers: Annotated[int, Field(ge=1, le=256)]
    heads: Size
    embed_dim: Size
    mlp_ratio: Annotated[float, Field(gt=0, le=64)]
    quick_gelu: bool
    cameras: list[str] | None = None
    spectra: SpectraNames | None = None
    missing: Missing | None = None
    dmpt: BoundEntry | None = None


class TextSizesEntry(PromptedEntry):
    """All sizes of a text tower: its `sizes`."""

    width: Size
    layers: Annotated[int, Field(ge=1, le=256)]
    heads: Size
    embed_dim: Size
    mlp_ratio: Annotated[float, Field(gt=0, le=64)]
    quick_gelu: bool
    context_length: Size
    vocab_size: Annotated[int, Field(ge=1, le=2**20)]


def _unit_or_bytes(number: float) -> float:
    if number not in (1.0, 255.0):
        raise ValueError("must be 1 or 255")
    return number


class DataEntry(Entry):
    """The data of a run."""

    root: PathText
    name: Word
    fingerprint: Digest
    layout: Word = "csv"
    given: PathText | None = None
    sources: list[PathText] | None = None
    include_val: bool = False
    objects: Word = "person"


class ModelEntry(Entry):
    """The CLIP that a run started from."""

    model: PathText
    pretrained: PathText
    digest: Digest
    text_digest: Digest | None = None
    geometry: GeometryEntry
    spectra: SpectraNames | None = None
    missing: Missing | None = None


class RunFile(Entry):
    """A run's run.json."""

    made: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT[\d:.+-]{8,40}$")]
    data: DataEntry
    identities: list[str]
    model: ModelEntry
    settings: dict[str, Any]
    planned: dict[Word, dict[Word, Any]] = Field(default_factory=dict)
    branched: dict[Word, Word] | None = None
    seed: Count = 0
    machine: dict[str, Word] = Field(default_factory=dict)
    versions: dict[str, Word] = Field(default_factory=dict)


class TextEncoderEntry(Entry):
    """A text tower that stage 2 trained."""

    digest: Digest
    file_digest: Digest
    model: TextSizesEntry


class VisualStamp(Entry):
    """The stamp of stage 2, `visual/stamp.json`; `text` describes the text tower of a method that trains it."""

    digest: Digest
    file_digest: Digest
    model: TowerEntry
    geometry: GeometryEntry
    embed_dim: Size
    width: Size
    grid: Annotated[list[Side], Field(min_length=2, max_length=2)]
    started_from: Digest | None = None
    text: TextEncoderEntry | None = None
    run: Digest | None = None


class OpenVinoFiles(Entry):
    """Digests of an OpenVINO model's files."""

    xml: Digest = Field(alias="encoder.xml")
    bin: Digest = Field(alias="encoder.bin")


class OpenVinoStamp(Entry):
    """The stamp of an OpenVINO model."""

    digest: Digest
    geometry: GeometryEntry
    model: TowerEntry
    embed_dim: Size
    files: OpenVinoFiles
    precision: Literal["bf16", "fp32"]
    openvino: Word = ""
    least_cosine: Annotated[float, Field(ge=-1.001, le=1.001)] | None = None
    crops: Count | None = None


class TextTowerEntry(PromptedEntry):
    """Sizes of a text tower."""

    layers: Annotated[int, Field(ge=1, le=256)]
    heads: Size
    quick_gelu: bool


class OpenVinoTextStamp(Entry):
    """The stamp of a text tower's OpenVINO model."""

    digest: Digest
    model: TextTowerEntry
    embed_dim: Size
    context_length: Size
    files: OpenVinoFiles
    least_cosine: Annotated[float, Field(ge=-1.001, le=1.001)]
    warnings: list[Word] = Field(default_factory=list)


class GraphStatement(Entry):
    """What a graph file, or the JSON next to it, states about an encoder; every key may be left out.

    `mean` and `std` are in the order of `channels`, and apply after pixels are scaled to 0 to `range`.
    """

    format: Annotated[int, Field(ge=1, le=1)] | None = None
    height: Side | None = None
    width: Side | None = None
    mean: Annotated[list[Annotated[float, Field(ge=-1000, le=1000)]], Field(min_length=3, max_length=3)] | None = None
    std: Annotated[list[Annotated[float, Field(ge=1e-6, le=1000)]], Field(min_length=3, max_length=3)] | None = None
    interpolation: Literal["bicubic", "bilinear"] | None = None
    channels: Literal["rgb", "bgr"] | None = None
    range: Annotated[float, AfterValidator(_unit_or_bytes)] | None = None
    descriptor: Word | None = None
    output: Word | None = None
    digest: Digest | None = None
    made_by: Word | None = None


class IndexModel(Entry):
    """Where an index says that its model is."""

    run: PathText | None = None
    relative_run: PathText | None = None
    relative_model: PathText | None = None
    relative_pretrained: PathText | None = None
    model: PathText | None = None
    pretrained: PathText | None = None
    stride: Side | None = None
    seed: Count | None = None
    statistics: Word | None = None
    interpolation: Word | None = None
    spectra: SpectraNames | None = None
    missing: Missing | None = None
    engine: Word | None = None
    precision: Word | None = None


class SegmentStamp(Entry):
    """One part of an index that has files of its own."""

    generation: Count
    count: Count
    rows_digest: Digest
    vectors_digest: Digest


class IndexStamp(Entry):
    """The stamp of an index."""

    model_digest: Digest
    model: IndexModel
    descriptor: Descriptor
    width: Size
    count: Count = 0
    next_id: Count = 0
    generation: Count = 0
    rows_digest: Annotated[str, Field(pattern=r"^\w{0,128}$")] = ""
    kind: Word = "flat"
    vectors_digest: Annotated[str, Field(pattern=r"^\w{0,128}$")] = ""
    segments: list[SegmentStamp] = Field(default_factory=list, max_length=MOST_SEGMENTS)
    removed_digest: Annotated[str, Field(pattern=r"^\w{0,128}$")] = ""
    changed_digest: Annotated[str, Field(pattern=r"^\w{0,128}$")] = ""
    recall: Annotated[float, Field(ge=0, le=1)] | None = None
