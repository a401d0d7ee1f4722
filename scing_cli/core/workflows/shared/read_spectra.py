"""The rows of data that a model of some spectra reads, and what it reads of each."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from scing_cli.core.errors import DataError, SettingError, agreeing, counted, spelled
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import SPECTRA, VISIBLE, Observation, Source, in_words, parse_spectra

if TYPE_CHECKING:
    from scing_cli.core.workflows.shared.model import OpenedModel

EACH = "each"  # of --drop: every case
READS = "A model of several spectra is trained with --spectra, or by --method dmpt."


def rows_seen(
    manifest: Manifest,
    spectra: Sequence[str],
    reporter: Reporter,
    *,
    model: str,
    drop: Sequence[str] = (),
    what: str = "row",
) -> Manifest:
    """Return the rows that a model can read, and say how many it cannot, and which images have no effect.

    Args:
        manifest: The rows.
        spectra: The model's spectra; none for a model of ordinary images.
        reporter: Receives the notes and warnings.
        model: The model's name.
        drop: Spectra that are taken away.
        what: What the rows are called.

    Raises:
        DataError: If no row is left.
    """
    there = manifest.spectra() or (VISIBLE,)
    read = tuple(spectrum for spectrum in spectra or (VISIBLE,) if spectrum not in drop)
    if lacking := tuple(spectrum for spectrum in read if spectrum not in there):
        reporter.note(f"{spelled(manifest.name)} has no {in_words(lacking)} images, which {model} reads too.")
    seen, several = manifest.seen_in(read), in_words(read)
    if not len(seen):
        raise DataError(
            f"No {what} of {spelled(manifest.name)} has an image that {model} reads: {several}.",
            f"The data have {in_words(there)} images.",
        )
    unread = tuple(spectrum for spectrum in there if spectrum not in read and spectrum not in drop)
    if unread:
        have = agreeing(len(unread), "image has", "images have")
        reporter.note(f"{model} reads the {several} image: the {in_words(unread)} {have} no effect.")
    if len(seen) < len(manifest):
        without = len(manifest) - len(seen)
        have, are = agreeing(without, "has", "have"), agreeing(without, "is", "are")
        kinds = f"{several} image" if len(read) == 1 else "image of these spectra"
        reporter.warn(f"{without:,} of {counted(len(manifest), what)} {have} no {kinds}, and {are} left out.")
    return seen


def note_across(asked: Collection[str], shown: Collection[str], missing: str, reporter: Reporter) -> None:
    """Say that queries and gallery have no spectrum in common, so that they are compared across spectra.

    Args:
        asked: The spectra of the queries.
        shown: Those of the gallery.
        missing: What the model takes a missing spectrum for.
        reporter: Receives the note.
    """
    if asked and shown and set(asked).isdisjoint(shown):
        one, other = (in_words(tuple(name for name in SPECTRA if name in each)) for each in (asked, shown))
        taken = "mid grey" if missing == "zero" else "the mean of those that are there"
        reporter.note(
            f"The queries are {one} images, the gallery's are {other}: they are compared across spectra, in which a "
            f"missing one counts as {taken}."
        )


def sources_of(manifest: Manifest, spectra: Sequence[str], drop: Sequence[str] = ()) -> list[Source]:
    """Return what a model reads of each row, in manifest order, without the spectra that are taken away.

    Args:
        manifest: The rows; each has an image that is left (`rows_seen`).
        spectra: The model's spectra; none for a model of ordinary images.
        drop: Spectra that are taken away.
    """
    sources = manifest.sources(spectra)
    if not drop:
        return sources
    kept = [spectrum not in drop for spectrum in spectra]
    return [
        Observation(tuple(view if keep else None for view, keep in zip(source.views, kept, strict=True)))
        if isinstance(source, Observation)
        else source
        for source in sources
    ]


def drop_cases(drop: str | None, model: OpenedModel) -> list[tuple[str, ...]]:
    """Return the cases of spectra to take away: none, those that were named, or each case that leaves something.

    Args:
        drop: Names of spectra, `each`, or None.
        model: The model that reads what is left.

    Raises:
        SettingError: If the model does not read one of them, or nothing is left.
    """
    if drop is None:
        return [()]
    spectra, name = model.spectra, model.label()
    away = spectra if drop == EACH else parse_spectra(drop, "--drop")
    unknown = tuple(spectrum for spectrum in away if spectrum not in spectra)
    if unknown or len(spectra) < 2:
        read = f"the {in_words(spectra)} image" if spectra else "one image of each row"
        nothing = f"no {in_words(unknown)} image" if unknown else "nothing"
        raise SettingError(
            f"--drop {drop}: {name} reads {read}, so there is {nothing} to take away.",
            "Name what it reads, or leave --drop out." if len(spectra) > 1 else f"Leave --drop out. {READS}",
        )
    if drop == EACH:
        return [case for count in range(1, len(spectra)) for case in itertools.combinations(spectra, count)]
    if set(away) == set(spectra):
        raise SettingError(f"--drop {drop}: nothing is left that {name} reads.", "Name fewer.")
    return [away]
