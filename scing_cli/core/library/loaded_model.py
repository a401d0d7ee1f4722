"""An image encoder for notebooks: images become unit vectors.

Legend: N images, D width of the descriptor.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from scing_cli.core.embeddings import Embedder, Vectors
from scing_cli.core.errors import DataError, SettingError
from scing_cli.core.index import GalleryLocation, Stamp, as_location
from scing_cli.core.library.pictures_in import Pictures, as_pictures, check_readable
from scing_cli.core.paths import StrPath, as_path
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.spectra import Observation
from scing_cli.core.workflows.shared.embedder_choice import choose_embedder
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel, open_model, reopen_model


class Model:
    """An image encoder that turns images into unit vectors; `load_model` opens one.

    Args:
        opened: The model.
        machine: Device, precision, threads and batch size.
        descriptor: `projected` or `concat` (R10).
        reporter: Receives progress and messages.
    """

    def __init__(self, opened: OpenedModel, machine: Machine, descriptor: str, reporter: Reporter) -> None:
        self._opened = opened
        self._machine = machine
        self._descriptor = descriptor
        self._reporter = reporter

    def __repr__(self) -> str:
        return f"Model({self.name!r}, width={self.width})"

    @functools.cached_property
    def _embedder(self) -> Embedder:
        return choose_embedder(self._opened, self._machine, kind=self._descriptor, reporter=self._reporter)

    @property
    def name(self) -> str:
        """The run folder, or the name and weights of a plain model."""
        return self._opened.label()

    @property
    def digest(self) -> str:
        """SHA-256 of the image encoder: vectors of equal digests and descriptors can be compared."""
        return self._opened.digest

    @property
    def descriptor(self) -> str:
        """`projected` or `concat`."""
        return self._descriptor

    @property
    def width(self) -> int:
        """D."""
        return self._embedder.width

    @property
    def spectra(self) -> tuple[str, ...]:
        """The spectra that the model reads of an observation, such as `rgb` and `tir`; none for ordinary images."""
        return self._opened.spectra

    def embed(self, images: Pictures) -> Vectors:
        """Embed images.

        Args:
            images: One image or N of them: files, PIL images, arrays, in any mixture; for a model of several spectra
                also observations, with an image for each of `spectra`. Others show the visible alone.

        Returns:
            (N, D) float32, unit length, in the order given; N is 1 for a single image.

        Raises:
            ImageError: If a file cannot be decoded.
            DataError: If an array does not hold an image, the model does not read what an observation shows, or a
                vector is not finite.
        """
        several = as_pictures(images)
        check_readable(several, self.spectra, self.name)
        vectors = np.empty((len(several), self.width), np.float32)
        files = [row for row, image in enumerate(several) if isinstance(image, Path | Observation)]
        if files:
            paths = [image for image in several if isinstance(image, Path | Observation)]
            vectors[files] = self._embedder.files(paths, reporter=self._reporter, text="embed")
        if len(files) < len(several):
            others = [(row, image) for row, image in enumerate(several) if isinstance(image, Image.Image)]
            vectors[[row for row, _ in others]] = self._embedder.images(image for _, image in others)
        if not np.isfinite(vectors).all():
            remedy = 'Load the model with precision="fp32".' if self._opened.engine is None else self._embedder.remedy
            raise DataError(f"A vector is {self._embedder.unusable}.", remedy)
        return vectors

    def embed_texts(self, texts: str | Sequence[str]) -> Vectors:
        """Embed descriptions of people, whose vectors can be compared with those of images.

        Args:
            texts: One text, or N of them.

        Returns:
            (N, D) float32, unit length; N is 1 for a single text.

        Raises:
            SettingError: If the model has no text tower, a text is empty, or the descriptor is `concat`.
            DataError: If a vector is not finite.
        """
        from scing_cli.core.workflows.search.text_queries import check_descriptor_of_texts, checked_words, text_vectors
        from scing_cli.core.workflows.shared.text_tower import for_each_spectrum

        check_descriptor_of_texts(self._descriptor)
        found = text_vectors(
            checked_words([texts] if isinstance(texts, str) else texts), self._opened, reporter=self._reporter
        )
        return for_each_spectrum(found, self.width) if self.spectra else found


def load_model(
    run: StrPath | None = None,
    *,
    model: StrPath | None = None,
    pretrained: str | None = None,
    index: StrPath | None = None,
    descriptor: str = "projected",
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> Model:
    """Open the model of a run, a plain CLIP, an encoder as ONNX or OpenVINO IR, or the model that an index names.

    Args:
        run: A run folder; with `model` and `index` None too, the newest finished run in `./runs`.
        model: A plain CLIP's name, such as `scing-small`, or an `.onnx` or `.xml` file.
        pretrained: Its weights: a tag, a file or `random`.
        index: An index; its descriptor is used too.
        descriptor: `projected` or `concat` (R10).
        machine: Device, precision, threads and batch size; None for those that the command line takes by default.
        reporter: Receives progress and messages; by default, Python's warnings and logging do.

    Raises:
        SettingError: If more than one of `run`, `model` and `index` was named.
        ScingError: If it cannot be opened; the message says why and what to do.
    """
    if index is not None:
        if run is not None or model is not None:
            raise SettingError("Both an index and a model were named.", "Name one: index=, run= or model=.")
        location = as_location(index, reporter)
        return named_model(location.stamp(), location, machine or Machine(), reporter)
    name = None if model is None else os.fspath(model)
    opened = open_model(ModelChoice(run=as_path(run), model=name, pretrained=pretrained), reporter=reporter)
    return Model(opened, machine or Machine(), descriptor, reporter)


def named_model(stamp: Stamp, source: GalleryLocation, machine: Machine, reporter: Reporter) -> Model:
    """Open the model that an index names, for its descriptor.

    Args:
        stamp: The index's.
        source: The index, for messages.
        machine: Device, precision, threads and batch size.
        reporter: Receives progress and messages.

    Raises:
        IndexFileError: If the model is gone, or has changed.
    """
    opened = reopen_model(stamp.model, stamp.model_digest, source=source, reporter=reporter)
    return Model(opened, machine, stamp.descriptor, reporter)
