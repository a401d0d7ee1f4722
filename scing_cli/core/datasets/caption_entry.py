"""The schema of one entry of a JSON list of images with captions: file, person, captions, part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from scing_cli.core.datasets.caption_file import MOST_CAPTIONS
from scing_cli.core.errors import spelled
from scing_cli.core.manifest import is_text

LONGEST = 20_000  # characters of a text; with all its captions, an entry still fits into a line of a CSV
SHOWN = 60  # characters of a value that a message quotes


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("has a NUL character")
    if not is_text(value):
        raise ValueError("has half a Unicode character")
    if len(value) > LONGEST:
        raise ValueError(f"has {len(value):,} characters; at most {LONGEST:,} are read")
    return value


def _named(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty")
    return value


def _identity(value: Any) -> Any:
    """Return a number as text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _captions(value: Any) -> Any:
    """Return a single text as a list."""
    return [value] if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(_text)]
Name = Annotated[Text, AfterValidator(_named)]


class CaptionEntry(BaseModel):
    """An entry; further fields, such as `processed_tokens`, are ignored.

    Args:
        path: The image, in the field `file_path`.
        identity: The person, a number or a text, in the field `id`.
        captions: Descriptions of the image; a single text counts as one.
        split: The part.
    """

    model_config = ConfigDict(strict=True, frozen=True)

    path: Name = Field(alias="file_path")
    identity: Annotated[Name, BeforeValidator(_identity)] = Field(alias="id")
    captions: Annotated[list[Text], Field(max_length=MOST_CAPTIONS), BeforeValidator(_captions)]
    split: Name


class EntryOfImagePath(CaptionEntry):
    """The same, with the image in the field `img_path`.

    Args:
        path: The image.
    """

    path: Name = Field(alias="img_path")


def check_entry(item: Any, schema: type[CaptionEntry]) -> CaptionEntry | str:
    """Return an item of a list as an entry, or what is wrong with it, on one line."""
    if not isinstance(item, Mapping):
        return f"it is {_shown(item)}, not an object with the fields of an image"
    try:
        return schema.model_validate(item)
    except ValidationError as error:
        return _reason(error)


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    field, *inner = first["loc"]
    where = f"{field} {int(inner[0]) + 1}" if inner else str(field)
    kind = first["type"]
    if kind == "missing":
        return f"the field {field} is missing"
    if kind == "value_error":
        return f"{where} {first['msg'].removeprefix('Value error, ')}"
    if kind == "too_long":
        return f"it has {len(first['input']):,} captions; at most {MOST_CAPTIONS} are read"
    wanted = "a number or a text" if field == "id" else "a list of texts" if kind == "list_type" else "a text"
    return f"{where} is {_shown(first['input'])}, not {wanted}"


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, list | dict) else "a list" if isinstance(value, list) else "an object"
    return spelled(text if len(text) <= SHOWN else text[:SHOWN] + "…")
