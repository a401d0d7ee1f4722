"""Settings of both stages: frozen, checked once at the door, saved with the run. Messages name the option.

One TOML file may hold the tables `[data]`, `[train-prompts]` and `[train-visual]`; a key is the option's name without
its dashes in front (`fused-tokens = 2`). Order: defaults < file < options.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from scing_cli.core.errors import SettingError, spelled
from scing_cli.core.safe_reading import read_limited

Probability = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


def _rising(epochs: tuple[int, ...]) -> tuple[int, ...]:
    if list(epochs) != sorted(set(epochs)):
        raise ValueError("must rise, as in 30,50")
    return epochs


def _known_views(text: str) -> str:
    if text != "fresh" and not BANK.fullmatch(text):
        raise ValueError("must be fresh, or bank:N with N from 2 to 64, as in bank:8")
    return text


MOST = 2**14  # bytes of a settings file; names of many parts cost TOML the square of their number
BANK = re.compile(r"bank:([2-9]|[1-5][0-9]|6[0-4])")
CLIP_REID_LOSS = {"margin": 0.3, "label-smoothing": 0.1}
Milestones = Annotated[tuple[Count, ...], AfterValidator(_rising)]


class Settings(BaseModel):
    """What every table of settings shares: frozen, no unknown key, names with dashes or underscores."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, alias_generator=lambda name: name.replace("_", "-")
    )


class DataSettings(Settings):
    """Where the images are (`[data]`)."""

    path: Path | None = None
    layout: str = "auto"
    include_val: bool = False


class Schedule(Settings):
    """What both stages share: Adam with coupled weight decay, batches, the rate by epoch (paper, 4.2).

    `first_epoch` is the number that the first epoch goes by: 0, or 1 as in CLIP-ReID's code.
    """

    epochs: Count = 120
    lr: Rate = 5e-5
    weight_decay: Weight = 5e-4
    schedule: Literal["steps", "cosine"] = "steps"
    milestones: Milestones = (30, 50)
    warmup_epochs: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    warmup_lr: Rate | None = None  # a tenth of lr
    final_lr: Annotated[float, Field(ge=0, le=10)] = 1e-6
    first_epoch: Literal[0, 1] = 0
    bias_lr_factor: Annotated[float, Field(gt=0, le=100)] = 1.0
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 64
    instances: Annotated[int, Field(ge=1, le=1024)] = 4
    flip: Probability = 0.5
    erase: Probability = 0.5
    crop: Probability = 0.5
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False

    @model_validator(mode="after")
    def _batch_holds_identities(self) -> Self:
        if getattr(self, "sampler", "identity") == "random":
            return self
        if self.batch_size % self.instances or self.batch_size // self.instances < 2:
            raise ValueError(
                f"--batch-size {self.batch_size} must be a multiple of --instances {self.instances}, "
                "of at least two identities"
            )
        return self

    @property
    def identities_per_batch(self) -> int:
        """P of the P x K batches."""
        return self.batch_size // self.instances


class PromptSettings(Schedule):
    """Stage 1 (`[train-prompts]`): the model, the prompts and their losses.

    What only some methods read stands in `methods.METHODS`.
    """

    method: str = "scing"
    model: str = "ViT-B-16-quickgelu"
    pretrained: str | None = None  # the model's own: what ships with it, else openai
    stride: Annotated[int, Field(ge=1, le=64)] | None = None
    statistics: Literal["half", "clip"] = "half"
    gate: Literal["channel", "token"] = "channel"
    tokens: Annotated[int, Field(ge=2, le=32)] = 4
    fused_tokens: Annotated[int, Field(ge=1, le=31)] = 2
    consistency: bool = True
    consistency_weight: Weight = 1.0
    contrast: Literal["supervised", "infonce"] = "supervised"
    similarity: Literal["cosine", "dot"] = "cosine"
    sampler: Literal["identity", "random"] = "identity"
    views: Annotated[str, AfterValidator(_known_views)] = "fresh"
    feature_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    occlusion: Probability = 0.5
    identity_text: Literal["mean-condition", "mean-text"] = "mean-condition"

    @model_validator(mode="after")
    def _some_tokens_stay(self) -> Self:
        if self.fused_tokens >= self.tokens:
            raise ValueError(f"--fused-tokens {self.fused_tokens} must be less than --tokens {self.tokens} (M < L)")
        return self

    @property
    def bank_views(self) -> int | None:
        """Perturbed views of each image that are encoded once; None where views are fresh."""
        bank = BANK.fullmatch(self.views)
        return int(bank[1]) if bank else None


class VisualSettings(Schedule):
    """Stage 2 (`[train-visual]`): the image encoder's tuning. Each loss has a margin and a smoothing of its own."""

    stage2_loss: Literal["paper", "clip-reid"] = "paper"
    camera_embedding: bool = False
    warmup_epochs: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    occlusion: Probability = 0.0  # not the paper's: for galleries where much stands in front of people
    triplet_weight: Weight = 1.0
    margin: Annotated[float, Field(ge=0, le=2)] = 0.2
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_loss(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "clip-reid" not in (values.get("stage2-loss"), values.get("stage2_loss")):
            return values
        given = {name.replace("_", "-") for name in values}
        return values | {name: value for name, value in CLIP_REID_LOSS.items() if name not in given}


TABLES: Mapping[str, type[Settings]] = {
    "data": DataSettings,
    "train-prompts": PromptSettings,
    "train-visual": VisualSettings,
}
Kind = TypeVar("Kind", bound=Settings)


def read_config(source: Path | None) -> dict[str, dict[str, Any]]:
    """Read a settings file into its tables; no file gives empty ones.

    Every table is checked, used or not: its keys, and each value alone. Whether values go together is a question to
    the settings that options and file make up in the end (`build_settings`).

    A pipe may stand for the file, as in `--config <(command)`: one that nobody writes to is waited for. No more than
    `MOST` bytes are read of anything.

    Raises:
        SettingError: If the file cannot be read, or holds an unknown table or key, or a value that is out of range.
    """
    if source is None:
        return {name: {} for name in TABLES}
    try:
        content = tomllib.loads(read_limited(source, MOST).decode("utf-8"))
    except FileNotFoundError:
        raise SettingError(f"--config {source}: there is no such file.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SettingError(
            f"--config {source} cannot be read: {error}.", "It must be TOML, as in examples/configs."
        ) from error
    for name, table in content.items():
        if name not in TABLES or not isinstance(table, dict):
            raise SettingError(
                f"{source} has an unknown entry [{spelled(name)}].", f"Known tables: [{'], ['.join(TABLES)}]."
            )
    tables = {name: dict(content.get(name, {})) for name in TABLES}
    deeper = [f"[{name}.{spelled(key)}]" for name in TABLES for key, value in tables[name].items() if _is_table(value)]
    if deeper:
        raise SettingError(f"{source} has an unknown entry {deeper[0]}.", f"Known tables: [{'], ['.join(TABLES)}].")
    for name, kind in TABLES.items():
        try:
            kind.model_validate(_given(tables[name]))
        except ValidationError as error:
            alone = [entry for entry in error.errors(include_url=False) if entry["loc"]]  # the others name no field
            if alone:
                raise _refusal(kind, alone, f"{source}, [{name}]: ") from None
    return tables


def _is_table(value: Any) -> bool:
    """Tell whether a value is a table, or a list of anything but plain values; no setting is."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(own, dict | list) for own in value))


def build_settings(kind: type[Kind], table: Mapping[str, Any], options: Mapping[str, Any]) -> Kind:
    """Return checked settings: defaults < `table` of a file < `options` that are not None.

    Raises:
        SettingError: Naming every option that is unknown or out of range, with its value.
    """
    try:
        return kind.model_validate(_given(table) | _given(options))
    except ValidationError as error:
        raise _refusal(kind, error.errors(include_url=False)) from None


def check_used(settings: Schedule) -> None:
    """Refuse what was given, by option or file, and has no effect beside the other settings.

    Raises:
        SettingError: Naming it, and beside what.
    """
    beside = {
        "milestones": ("--schedule cosine", settings.schedule == "cosine"),
        "final_lr": ("--schedule steps", settings.schedule == "steps"),
        "warmup_lr": ("--warmup-epochs 0", settings.warmup_epochs == 0),
    }
    if isinstance(settings, PromptSettings):
        other = "--no-consistency" if not settings.consistency else "--consistency-weight 0"
        beside["views"] = (other, not settings.consistency or settings.consistency_weight == 0)
    for name, (other, idle) in beside.items():
        if idle and name in settings.model_fields_set:
            raise SettingError(f"--{name.replace('_', '-')}: of no use beside {other}.", "Leave out one of the two.")


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that are not None, under their options' names."""
    return {name.replace("_", "-"): value for name, value in values.items() if value is not None}


def _refusal(kind: type[Settings], entries: Sequence[Any], where: str = "") -> SettingError:
    """Return the error that tells all faults pydantic found."""
    unknown = any(entry["type"] == "extra_forbidden" for entry in entries)
    known = ", ".join(field.replace("_", "-") for field in kind.model_fields)
    return SettingError(where + "\n".join(map(_fault, entries)), f"Known settings here: {known}." if unknown else "")


def _fault(entry: Any) -> str:
    option = "--" + str(entry["loc"][0]) if entry["loc"] else ""
    if entry["type"] == "extra_forbidden":
        return f"unknown setting {entry['loc'][0]!r}"
    reason = str(entry["msg"]).removeprefix("Value error, ")
    value = entry["input"]
    shown = ",".join(map(str, value)) if isinstance(value, tuple | list) else value
    return f"{option} {spelled(shown)}: {reason}" if option else reason


def saved_settings(settings: Settings) -> dict[str, Any]:
    """Return settings as JSON-ready values, keyed by option name."""
    return settings.model_dump(mode="json", by_alias=True)


def given_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that were given, as `saved_settings` does all of them."""
    return settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
