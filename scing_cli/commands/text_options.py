"""The options of searches by words, and what they give."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from scing_cli.core.errors import SettingError, one_line, spelled
from scing_cli.core.safe_reading import check_ordinary, read_limited

STDIN = Path("-")
Texts = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        help="Words that describe a person, as a query; with photos, joined with each. May be repeated.",
        metavar="WORDS",
    ),
]
TextFile = Annotated[
    Path | None, typer.Option("--text-file", help="A file of such words, one query per line; - is standard input.")
]
TextWeight = Annotated[
    float | None,
    typer.Option(
        "--text-weight", min=0, max=1, help="Weight of words joined with a photo, which has the rest; 0.5 if not given."
    ),
]


def texts_given(
    texts: Sequence[str], file: Path | None, photos: Sequence[Path], *, only_photos: Mapping[str, bool], weight: bool
) -> list[str]:
    """Return the texts of both options, in this order; blank lines of the file are not texts.

    Args:
        texts: The values of `--text`.
        file: The file of `--text-file`; `-` is standard input; None without one.
        photos: The photos; `-` reads standard input too.
        only_photos: Options that have an effect on photos alone, and whether they were given.
        weight: Whether `--text-weight` was given, which needs both.

    Raises:
        SettingError: If the file cannot be read, has no text, or is read twice, or an option has no effect.
    """
    words = bool(texts) or file is not None
    for option in (option for option, given in only_photos.items() if given and words and not photos):
        raise SettingError(f"{option} has no effect on words.", "Name a photo too, or leave it out.")
    if weight and not (words and photos):
        raise SettingError("--text-weight joins words with a photo.", "Give --text and a photo, or leave it out.")
    if file is None:
        return list(texts)
    if file == STDIN and STDIN in photos:
        raise SettingError("--text-file - and - both read standard input.", "Give one of them as a file.")
    try:
        if file == STDIN:
            content = getattr(sys.stdin, "buffer", io.BytesIO()).read()
        else:
            check_ordinary(file)
            content = read_limited(file)
        marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        lines = content.decode("utf-16" if marked else "utf-8-sig").splitlines()
    except FileNotFoundError:
        raise SettingError(f"--text-file {spelled(file)} is missing.", "It has one text per line.") from None
    except UnicodeDecodeError:
        raise SettingError(
            f"--text-file {spelled(file)} is not a text in UTF-8.", "It has one text per line."
        ) from None
    except (OSError, ValueError) as error:
        raise SettingError(f"--text-file {spelled(file)} cannot be read: {one_line(error)}.") from error
    found = [line.removeprefix("\ufeff") for line in lines]  # lists that are joined have a mark at each start
    found = [line for line in found if line.strip()]
    if not found:
        raise SettingError(f"--text-file {spelled(file)} has no text.", "It has one text per line.")
    return [*texts, *found]
