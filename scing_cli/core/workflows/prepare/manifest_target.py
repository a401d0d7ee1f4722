"""Where `prepare` writes the manifest, and with how many workers it works."""

from __future__ import annotations

from pathlib import Path

from scing_cli.core.errors import SettingError
from scing_cli.core.manifest import display_name
from scing_cli.core.threads import default_workers


def check_workers(workers: int | None) -> int:
    """Return the number of workers; by default one for each processor.

    Raises:
        SettingError: If it is below 1.
    """
    if workers is not None and workers < 1:
        raise SettingError(f"--workers {workers}: must be at least 1.")
    return workers or default_workers()


def manifest_target(source: Path, output: Path | None) -> Path:
    """Return the path of the manifest: the given one, or `NAME.csv` in the working folder."""
    return output or Path(f"{display_name(source.absolute())}{'.manifest' if source.is_file() else ''}.csv")
