"""The schemas of this program's JSON files: a checksum shows damage, a schema shows values that nobody may write.

Entries that a schema does not name are ignored: they are of another version.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from scing_cli.core.errors import spelled
from scing_cli.core.settings import PromptSettings, VisualSettings, saved_settings
from scing_cli.core.settings.field import Settings

LARGEST_SIDE = 4096  # pixels
LONGEST_PATH = 4096  # characters; no system has longer paths
SHOWN = 60  # characters of a value that a message quotes


def _no_zero(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a zero byte")
    return text


PathText = Annotated[str, Field(min_length=1, max_length=LONGEST_PATH), AfterValidator(_no_zero)]
Word = Annotated[str, Field(max_length=LONGEST_PATH), AfterValidator(_no_zero)]
Digest = Annotated[str, Field(pattern=r"^\w{1,128}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Size = Annotated[int, Field(ge=1, le=2**17)]
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
Means = Annotated[list[Annotated[float, Field(ge=-100, le=100)]], Field(min_length=3, max_length=3)]
Deviations = Annotated[list[Annotated[float, Field(ge=1e-4, le=100)]], Field(min_length=3, max_length=3)]
Descriptor = Literal["projected", "concat"]


class _Entry(BaseModel):
    """Base of all schemas; types are strict: no text for a number, no number for a truth value."""

    model_config = ConfigDict(strict=True, extra="ignore", protected_namespaces=())


class GeometryEntry(_Entry):
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


class TowerEntry(_Entry):
    """Sizes of an image tower: its `config`."""

    width: Size
    layers: Annotated[int, Field(ge=1, le=256)]
    heads: Size
    embed_dim: Size
    mlp_ratio: Annotated[float, Field(gt=0, le=64)]
    quick_gelu: bool
    cameras: list[str] | None = None


class DataEntry(_Entry):
    """The data of a run."""

    root: PathText
    name: Word
    fingerprint: Digest
    layout: Word = "csv"
    given: PathText | None = None
    include_val: bool = False


class ModelEntry(_Entry):
    """The CLIP that a run started from."""

    model: PathText
    pretrained: PathText
    digest: Digest
    geometry: GeometryEntry


class RunFile(_Entry):
    """A run's run.json."""

    made: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT[\d:.+-]{8,40}$")]
    data: DataEntry
    identities: list[str]
    model: ModelEntry
    settings: dict[str, Any]
    seed: Count = 0
    machine: dict[str, Word] = Field(default_factory=dict)
    versions: dict[str, Word] = Field(default_factory=dict)


class VisualStamp(_Entry):
    """The stamp of stage 2, `visual/stamp.json`."""

    digest: Digest
    file_digest: Digest
    model: TowerEntry
    geometry: GeometryEntry
    embed_dim: Size
    width: Size
    grid: Annotated[list[Side], Field(min_length=2, max_length=2)]
    started_from: Digest | None = None
    run: Digest | None = None


class PromptsStamp(_Entry):
    """The stamp of stage 1, `prompts/stamp.json`."""

    identities: list[str]
    logit_scale: Annotated[float, Field(gt=0, le=1e6)]
    model_digest: Digest
    similarity: Literal["cosine", "dot"] = "cosine"
    width: Size
    file_digest: Digest
    method: Word = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    run: Digest | None = None


class OpenVinoFiles(_Entry):
    """Digests of an OpenVINO model's files."""

    xml: Digest = Field(alias="encoder.xml")
    bin: Digest = Field(alias="encoder.bin")


class OpenVinoStamp(_Entry):
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


class IndexModel(_Entry):
    """Where an index says that its model is."""

    run: PathText | None = None
    model: PathText | None = None
    pretrained: PathText | None = None
    stride: Side | None = None
    seed: Count | None = None
    statistics: Word | None = None
    engine: Word | None = None
    precision: Word | None = None


class IndexStamp(_Entry):
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


class FactsEntry(_Entry):
    """What decides whether a training is the same."""

    settings: dict[str, Any]


class MachineEntry(_Entry):
    """The machine on which a training started."""

    device: Word
    precision: Word
    threads: Count
    versions: dict[str, Word]
    images: Word


class UnfinishedGiven(_Entry):
    """What the user gave at the start of an unfinished training."""

    settings: dict[str, Any]
    path: PathText | None = None
    layout: Word = "auto"
    include_val: bool = Field(default=False, alias="include-val")
    device: Word = "auto"
    data: PathText | None = None
    pretrained: PathText | None = None
    validate_: bool = Field(default=False, alias="validate")


class UnfinishedFile(_Entry):
    """The state of an unfinished training, `state/STAGE.json`."""

    facts: FactsEntry
    given: UnfinishedGiven
    machine: MachineEntry


KINDS: Mapping[str, type[_Entry]] = MappingProxyType(
    {
        "run": RunFile,
        "visual stamp": VisualStamp,
        "prompts stamp": PromptsStamp,
        "OpenVINO stamp": OpenVinoStamp,
        "index stamp": IndexStamp,
        "unfinished training": UnfinishedFile,
    }
)
STAGE_SETTINGS: Mapping[str, type[Settings]] = MappingProxyType(
    {"train-prompts": PromptSettings, "train-visual": VisualSettings}
)


def find_fault(kind: str, content: Mapping[str, Any]) -> str:
    """Return the first fault of a file's content, with the field and its value; empty if there is none.

    Args:
        kind: A key of `KINDS`.
        content: The parsed JSON object.
    """
    fault = _fault(KINDS[kind], content)
    if not fault and kind == "run":
        stages = content["settings"]
        for stage, settings in STAGE_SETTINGS.items():
            if not fault and stage in stages:
                fault = _settings_fault(settings, stages[stage], f"settings.{stage}")
    if not fault and kind == "prompts stamp" and content.get("settings"):
        fault = _settings_fault(PromptSettings, content["settings"], "settings")
    return fault


def _settings_fault(kind: type[Settings], values: object, where: str) -> str:
    """Return the first fault of saved settings; settings of another version are ignored."""
    if not isinstance(values, dict):
        return f"{where} is {_shown(values)}: must be an object"
    known = {name.replace("_", "-") for name in kind.model_fields}
    given = {name: value for name, value in values.items() if name in known}
    try:
        saved = saved_settings(kind.model_validate(given))
    except ValidationError as error:
        return _first(error, where + ".")
    # `model_validate` reads the text "5" as the number 5; the program reads the value as it stands
    changed = [name for name, value in given.items() if not _same(saved[name], value)]
    return (
        f"{where}.{changed[0]} is {_shown(given[changed[0]])}: it has another type than this setting" if changed else ""
    )


def _same(one: object, other: object) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return one == other if numbers else json.dumps(one) == json.dumps(other)


def _fault(kind: type[_Entry], content: Mapping[str, Any]) -> str:
    try:
        # as JSON, because strict types of Python would refuse a list for a tuple
        kind.model_validate_json(json.dumps(content))
    except ValidationError as error:
        return _first(error)
    return ""


def _first(error: ValidationError, where: str = "") -> str:
    """Return the first fault of a content, with the field and its value."""
    first = error.errors(include_url=False)[0]
    field = spelled((where + ".".join(map(str, first["loc"])))[:SHOWN])
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{field} is missing"
    if not isinstance(first["input"], dict) or first["type"] != "value_error":
        return f"{field} is {_shown(first['input'])}: {reason[:1].lower()}{reason[1:]}"
    return f"{field.removesuffix('.') or 'its content'}: {reason}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return spelled(text if len(text) <= SHOWN else text[:SHOWN] + "…")
