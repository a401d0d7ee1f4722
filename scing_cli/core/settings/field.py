"""Description of a setting: an annotation that help, options and messages are made from; the base class of settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from scing_cli.core.errors import SettingError

IMAGES, PAIRS = "images", "pairs"  # kinds of training rows: an image, or an image with one of its captions
METHOD, MODEL, SCHEDULE, MACHINE = PANELS = ("Method", "Model", "Schedule", "Machine")

Probability = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


@dataclasses.dataclass(frozen=True)
class Setting:
    """The description of a field, as in `epochs: Annotated[Count, Setting("Number of epochs.", SCHEDULE)] = 120`.

    Args:
        help: One sentence.
        panel: One of `PANELS`.
        option: The option, if it is not `--` and the field's name. `--no-…` sets the field to False.
        metavar: Placeholder of the value in the help, if it does not follow from the type.
        default: The default in words, if the field's default is None.
        methods: The methods that read the setting; empty if all do.
        rows: The kind of training rows (`MethodSpec.rows`) for which the setting has a meaning; empty for all.
        idle_with: Pairs of another field and its value with which this setting has no effect.
        default_with: Other defaults: each is another field, its values, and the default of this field with one of them.
    """

    help: str
    panel: str
    option: str = ""
    metavar: str = ""
    default: str = ""
    methods: tuple[str, ...] = ()
    rows: str = ""
    idle_with: tuple[tuple[str, object], ...] = ()
    default_with: tuple[tuple[str, tuple[object, ...], object], ...] = ()

    def with_default(self, field: str, *values: object, default: object) -> Setting:
        """Return the setting with another default where another field has one of these values."""
        return dataclasses.replace(self, default_with=(*self.default_with, (field, values, default)))


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys, dashes or underscores in names."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        alias_generator=lambda name: name.replace("_", "-"),
        defer_build=True,  # `--help` reads the fields only, and should start fast
    )

    @model_validator(mode="wrap")
    @classmethod
    def _defaults_that_depend(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Fill in defaults that depend on other fields; they do not count as given."""
        if not isinstance(values, dict):
            return handler(values)
        given = {name.replace("-", "_"): value for name, value in values.items()}
        added: dict[str, Any] = {}
        for name, setting in cls.described():
            for other, those, default in setting.default_with if name not in given else ():
                if given.get(other, added.get(other)) in those:
                    added[name] = default
        built = handler(values | {name.replace("_", "-"): value for name, value in added.items()})
        built.model_fields_set.difference_update(added)
        return built

    @classmethod
    def described(cls) -> Iterator[tuple[str, Setting]]:
        """Yield the name and the description of each field that is an option, in order."""
        for name, field in cls.model_fields.items():
            for entry in field.metadata:
                if isinstance(entry, Setting):
                    yield name, entry


def option_of(name: str, setting: Setting) -> str:
    """Return the command-line option of a setting.

    >>> option_of("fused_tokens", Setting("M of them.", METHOD))
    '--fused-tokens'
    """
    return setting.option or f"--{name.replace('_', '-')}"


def check_used(settings: Settings) -> None:
    """Check that every setting given by option or file has an effect.

    Raises:
        SettingError: If one has no effect with another setting; the message names both.
    """
    described = dict(settings.described())
    for name in filter(settings.model_fields_set.__contains__, described):
        for other, value in described[name].idle_with:
            if getattr(settings, other) == value:
                option, with_ = option_of(name, described[name]), _spelled(other, described[other], value)
                given = other in settings.model_fields_set
                remedy = "Leave out one of the two." if given else f"Leave it out, or give another {with_.split()[0]}."
                raise SettingError(f"{option} has no effect with {with_}.", remedy)


def _spelled(name: str, setting: Setting, value: Any) -> str:
    option = option_of(name, setting)
    return option if isinstance(value, bool) else f"{option} {value}"
