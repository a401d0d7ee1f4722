"""Labels that are missing, that stand for a missing value or for several people, or that a spreadsheet has changed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from scing_cli.core.errors import counted, spelled
from scing_cli.core.manifest import Manifest

WRITTEN_FOR_NONE = frozenset(
    {
        *("nan", "none", "null", "n/a", "<na>", "nat", "(null)", "(none)", "(empty)", "nil", "undefined"),
        *("?", "??", "???", "-", "--", "---", "–", "—", "_", ".", "..", "...", "*", "#"),
        *(
            "#n/a",
            "#nv",
            "#n/v",
            "#na",
            "#value!",
            "#wert!",
            "#ref!",
            "#bezug!",
            "#name?",
            "#div/0!",
            "#null!",
            "#num!",
        ),
    }
)
FOR_SEVERAL = frozenset(
    {
        *("unknown", "unk", "unidentified", "unnamed", "unlabeled", "unlabelled", "anonymous", "nobody", "no one"),
        *("not known", "no name", "tbd", "tba", "todo", "misc", "other", "others", "various", "several", "multiple"),
        *("background", "distractor", "distractors", "noise", "stranger", "strangers", "unbekannt", "inconnu"),
    }
)
"""Words that stand for whoever is not known, not for one person or camera."""
_EXPONENT = re.compile(r"[0-9](?:[.,][0-9]+)?E\+[0-9]{1,3}", re.IGNORECASE)
_MONTH = "jan|feb|mar|mär|mrz|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
_DATE = re.compile(rf"[0-9]{{1,2}}[-. ]{{1,2}}(?:{_MONTH})\.?|(?:{_MONTH})\.?[- ][0-9]{{2,4}}", re.IGNORECASE)


def missing_notes(manifest: Manifest, *, several: bool = True) -> Iterator[str]:
    """Yield warnings of labels that may not be what they say, and one for test images without a camera.

    Args:
        manifest: The rows.
        several: Whether identities that stand for several people are meant too; folders have a note of their own.
    """
    yield from word_notes((row.identity for row in manifest), "identity", several=several)
    yield from word_notes((row.camera for row in manifest), "camera")
    tested = [row for row in manifest if row.split in {"query", "gallery"} and row.identity]
    without = sum(not row.camera for row in tested)
    if 0 < without < len(tested):
        yield (
            f"{without:,} of {len(tested):,} query and gallery rows have no camera: as a query, nothing is left out of "
            "their ranking, and as gallery images they are never left out."
        )


def word_notes(labels: Iterable[str], what: str, *, several: bool = True) -> Iterator[str]:
    """Yield a warning for each label that means a missing value elsewhere, stands for several, or was changed.

    Args:
        labels: The labels of all rows.
        what: identity or camera.
        several: Whether labels that stand for several are meant too.
    """
    one = "person" if what == "identity" else "camera"
    for value, number in Counter(labels).items():
        rows = f"{counted(number, 'row has', 'rows have')} the {what} {spelled(value)}"
        word = " ".join(value.casefold().split())
        if word in WRITTEN_FOR_NONE:
            yield (
                f"{rows}, which other programs write for a missing value: here it is the name of one {one}. If it is "
                "not, leave the field empty."
            )
        elif several and word in FOR_SEVERAL:
            many = "people" if what == "identity" else "cameras"
            yield (
                f"{rows}, which may stand for several {many}: here it is the name of one {one}. If it is not, leave "
                "the field empty."
            )
        elif _EXPONENT.fullmatch(value.strip()):
            yield (
                f"{rows}, as spreadsheets shorten long numbers: different numbers may have become this one. Write the "
                "column again, as text."
            )
        elif _DATE.fullmatch(value.strip()):
            yield (
                f"{rows}, which looks like a date: spreadsheets turn names such as 1-1 or MAR1 into dates. If it was "
                "another name, write the column again, as text."
            )
