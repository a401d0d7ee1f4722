"""The images of an observation in the rows of an index: which files they are, and whether these have changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from scing_cli.core.paths import lasting
from scing_cli.core.spectra import SPECTRA, View

LATEST = 2**63 - 1  # the greatest integer of SQLite; as nanoseconds since 1970, a time in 2262


def file_state(file: Path) -> tuple[int, int]:
    """Return the size and time of an image file, as in `Entry`. Times after 2262 become the last one SQLite can store.

    Raises:
        OSError: If there is no such file.
    """
    status = file.stat()
    return status.st_size, min(status.st_mtime_ns, LATEST)


def observed_state(images: Mapping[str, View]) -> tuple[int, int, str]:
    """Return the size, the time and the images of an observation, as in `Entry`.

    Args:
        images: The image of each spectrum.

    Returns:
        The sum of the sizes, the newest time, and the images as JSON: a list of spectrum, absolute path, part of a
        strip or null, size and time of each, so that a file that is replaced by an older one is noticed too.

    Raises:
        OSError: If there is no such file.
    """
    states = {view.file: file_state(view.file) for view in images.values()}
    entries = [
        [spectrum, lasting(view.file).as_posix(), view.part, *states[view.file]] for spectrum, view in images.items()
    ]
    sizes, times = zip(*states.values(), strict=True)
    return sum(sizes), max(times), json.dumps(entries, separators=(",", ":"))


def joint_digest(digests: Sequence[str]) -> str:
    """Return the digest of the files of an observation: of one file its own, of several the SHA-256 of their digests.

    Args:
        digests: The digest of each file, in the order of the spectra; if one is empty, so is the result.
    """
    if len(digests) == 1 or not all(digests):
        return digests[0] if all(digests) else ""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def observed_images(views: str) -> dict[str, View]:
    """Return the image of each spectrum that a row has in `views`; none for an ordinary image, or a damaged text."""
    if not views:
        return {}
    try:
        found = {spectrum: View(Path(path), part) for spectrum, path, part, *_ in json.loads(views)}
    except (ValueError, TypeError):
        return {}
    sound = all(view.part is None or isinstance(view.part, int) for view in found.values())
    return {spectrum: found[spectrum] for spectrum in SPECTRA if spectrum in found} if sound else {}


def shape_of(views: str) -> tuple[tuple[str, int | None], ...]:
    """Return which spectra a row has, and which part of a strip each one is; nothing for an ordinary image."""
    return tuple((spectrum, view.part) for spectrum, view in observed_images(views).items())


def with_files(views: str, present: Mapping[Path, Path]) -> str:
    """Return the images of a row with other paths of its files; those without one stay as they are."""
    entries = json.loads(views)
    for entry in entries:
        entry[1] = present.get(Path(entry[1]), Path(entry[1])).as_posix()
    return json.dumps(entries, separators=(",", ":"))


def sizes_of(views: str) -> dict[Path, int]:
    """Return the sizes that the files of a row had; of an ordinary image, and where it does not say, none."""
    if not observed_images(views):
        return {}
    return {Path(entry[1]): entry[3] for entry in json.loads(views) if len(entry) > 3}
