"""Which spectra a model reads of a data set, and the rows that have an image of them."""

from __future__ import annotations

import dataclasses

from scing_cli.core.errors import DataError, SettingError, counted, spelled
from scing_cli.core.manifest import Manifest
from scing_cli.core.runtime import Reporter
from scing_cli.core.settings import PromptSettings, find_method
from scing_cli.core.settings.spelled_values import ALL
from scing_cli.core.spectra import VISIBLE, in_words, ordinary, parse_spectra


def chosen_spectra(settings: PromptSettings, manifest: Manifest, reporter: Reporter) -> tuple[str, ...]:
    """Return the spectra that a training reads; none for the ordinary model of visible images.

    Args:
        settings: Of stage 1.
        manifest: The data.
        reporter: Receives a note if the data have more spectra than a method reads by default.

    Raises:
        SettingError: If the data have no image of a spectrum that is named.
        DataError: If the data have one spectrum, and the method reads several unless it is told otherwise.
    """
    there, spec = manifest.spectra() or (VISIBLE,), find_method(settings.method)
    if spec.spectral and settings.spectra == ALL and len(there) == 1:
        raise DataError(
            f"{spelled(manifest.name)} has {in_words(there)} images alone, and --method {settings.method} reads "
            "several spectra of each observation.",
            f"To train it on one: --spectra {there[0]}. Or name the others in the columns near_infrared and thermal.",
        )
    chosen = there if settings.spectra == ALL else parse_spectra(settings.spectra, "--spectra")
    if lacking := tuple(spectrum for spectrum in chosen if spectrum not in there):
        raise SettingError(
            f"--spectra {settings.spectra}: {spelled(manifest.name)} has no {in_words(lacking)} images.",
            f"Spectra that it has: {', '.join(there)}.",
        )
    further = tuple(spectrum for spectrum in there if spectrum not in chosen)
    if further and "spectra" not in settings.model_fields_set:
        reporter.note(
            f"Only the {in_words(chosen)} images are read; the data have {in_words(further)} ones too: --spectra {ALL}"
        )
    return chosen if spec.spectral else ordinary(chosen)


def trainable_rows(manifest: Manifest, spectra: tuple[str, ...], reporter: Reporter) -> Manifest:
    """Leave out the rows of training without an image that the model reads, and report how many these are.

    Args:
        manifest: The rows; those of other splits stay.
        spectra: The model's spectra; none for a model of ordinary images.
        reporter: Receives a warning about rows that are left out.
    """
    readable = set(manifest.seen_in(spectra).samples)
    rows = tuple(row for row in manifest if row.split != "train" or row in readable)
    if without := len(manifest) - len(rows):
        names = in_words(spectra or (VISIBLE,)).replace(" and ", " or ")
        have = counted(without, "training row has", "training rows have")
        reporter.warn(f"{have} no {names} image: left out.")
    return dataclasses.replace(manifest, samples=rows)
