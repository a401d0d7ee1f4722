"""Downloads one weights file from the Hugging Face hub into the hub's cache."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from scing_cli.core.encoders.fetch import Probe, UnfetchedError
from scing_cli.core.errors import one_line
from scing_cli.core.runtime import Reporter

_MIB = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def hub_address(repository: str, file: str) -> str:
    """Return the address of a file in a hub repository; `HF_ENDPOINT` can replace the host."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(repository, file)


def fetch_from_hub(repository: str, file: str, target: Path, *, reporter: Reporter, probe: Probe | None = None) -> Path:
    """Download a file of a hub repository into the hub's cache, completely or not at all, and return its path.

    Args:
        repository: `owner/name`.
        file: The file's name in the repository.
        target: Path where the user can put the file by hand; messages show it.
        reporter: Shows the progress, in MiB.
        probe: A probe of the hub that is already running; None to start one.

    Raises:
        FileNotFoundError: If the repository has no such file.
        UnfetchedError: If the download fails; without a network this takes at most 5 seconds.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    url = hub_address(repository, file)
    if reason := (probe or Probe(url)).failure():
        raise UnfetchedError(url, target, reason)
    # The HTTP client, and so the class of a connection error, depends on huggingface_hub's version. Xet raises
    # RuntimeError. An unusable proxy raises ValueError or, without the package for SOCKS, ImportError.
    broken: tuple[type[Exception], ...] = (
        RuntimeError,
        ValueError,
        ImportError,
        *cast("Any", HfHubHTTPError.__bases__),
    )
    reporter.note(f"Fetching {url}")
    try:
        with _quiet(), contextlib.ExitStack() as bars:
            found = Path(hf_hub_download(repository, file, tqdm_class=_bar_class(file, reporter, bars)))
    except LocalEntryNotFoundError as error:  # the first request failed; the cause says why
        raise UnfetchedError(url, target, _reason(error.__cause__ or error)) from error
    except EntryNotFoundError as error:
        raise FileNotFoundError(url) from error
    except broken as error:
        raise UnfetchedError(url, target, _reason(error)) from error
    _check_digest(found, url, target)
    return found


def _check_digest(found: Path, url: str, target: Path) -> None:
    """Compare a file with its SHA-256, if the cache names the file by it."""
    # On systems without symbolic links the cache uses the plain file name, and there is nothing to compare.
    blob = found.resolve()
    if not _SHA256.fullmatch(blob.name):
        return
    with blob.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != blob.name:
        found.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
        raise UnfetchedError(url, target, "the received file does not have the SHA-256 that the hub states")


def _reason(error: BaseException) -> str:
    return one_line(error).rstrip(".") or type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Stop huggingface_hub from printing connection errors and from sending telemetry."""
    from huggingface_hub import constants
    from huggingface_hub.utils.logging import get_verbosity, set_verbosity

    verbosity, telemetry = get_verbosity(), constants.HF_HUB_DISABLE_TELEMETRY
    set_verbosity(logging.ERROR)
    constants.HF_HUB_DISABLE_TELEMETRY = True  # else it sends torch's version and downloads a list
    try:
        yield
    finally:
        set_verbosity(verbosity)
        constants.HF_HUB_DISABLE_TELEMETRY = telemetry


def _bar_class(file: str, reporter: Reporter, bars: contextlib.ExitStack) -> Any:
    """Return a subclass of tqdm that shows its progress through `reporter`."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        """Counts bytes and shows MiB."""

        def __init__(self, *args: Any, total: int | None = None, initial: int = 0, **options: Any) -> None:
            options["disable"] = True  # no bar of tqdm itself
            super().__init__(*args, total=total, initial=initial, **options)  # type: ignore[no-untyped-call]
            self._bytes, self._shown = 0, 0
            self._advance = bars.enter_context(
                reporter.progress(f"Fetching {file} (MiB)", max(1, -(-(total or 0) // _MIB)))
            )
            self.update(initial)

        def update(self, n: float | None = 1) -> None:
            """Add bytes."""
            self._bytes += int(n or 0)
            whole = -(-self._bytes // _MIB)
            self._advance(whole - self._shown)
            self._shown = whole

        # Without the next two methods a download by Xet would show two bars instead of one.
        def update_transfer(self, n: float | None = 1) -> None:
            """Ignore received bytes that are not written yet."""

        def set_transfer_postfix_str(self, *_args: Any, **_options: Any) -> None:
            """Ignore the transfer rate."""

    return Bar
