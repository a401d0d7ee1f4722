"""Downloads one weights file, or quickly raises an error that says how to download it by hand."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.artifacts import replacing
from scing_cli.core.errors import WeightsError, one_line
from scing_cli.core.runtime import Reporter

OFFLINE_WAY = "To try scing without it: --model scing-small, a small model that comes with scing."
PROBE_SECONDS = 3.0
STALL_SECONDS = 30.0
_CHUNK = 1 << 20
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})
_DIGEST = re.compile(r"/([0-9a-f]{64})/|-([0-9a-f]{8})\.pt$")


class UnfetchedError(WeightsError):
    """A file cannot be downloaded.

    Args:
        url: The file's address.
        target: Path where the user can put the file.
        reason: Why it cannot be downloaded.
    """

    def __init__(self, url: str, target: Path, reason: str) -> None:
        super().__init__(
            f"The weights {target.stem} are not on this machine and cannot be fetched: {reason}.",
            f"Fetch {url}\nand put it at {target}\nor give the path of your file: --pretrained FILE.\n{OFFLINE_WAY}",
        )
        self.url, self.target, self.reason = url, target, reason


class Probe:
    """A test connection to an address in a thread; it fails quickly without a network or with `HF_HUB_OFFLINE=1`.

    Probes that start at the same time fail within `PROBE_SECONDS` together.

    Args:
        url: The address; if a proxy is set, the connection is to the proxy.
    """

    def __init__(self, url: str) -> None:
        self._answer: list[str] = []
        try:
            self._host, port = _first_hop(url)
        except ValueError as error:
            self._host, port = "", 0
            self._answer.append(f"the address of the proxy is invalid ({one_line(error)})")
        self._end = time.monotonic() + PROBE_SECONDS
        # A thread, because resolving a host name can take long and has no timeout.
        self._thread = threading.Thread(target=_connect, args=(self._host, port, self._answer), daemon=True)
        if not _is_offline() and not self._answer:
            self._thread.start()

    def failure(self) -> str:
        """Return why the connection failed; empty if it succeeded."""
        if _is_offline():
            return "HF_HUB_OFFLINE is set"
        if self._thread.ident is not None:
            self._thread.join(max(0.0, self._end - time.monotonic()))
        return self._answer[0] if self._answer else f"{self._host} does not answer within {PROBE_SECONDS:g} seconds"


def fetch(url: str, target: Path, *, reporter: Reporter, probe: Probe | None = None) -> Path:
    """Download a file completely or not at all; its SHA-256 is checked if the address contains it.

    Args:
        url: The file's address.
        target: Path where it is saved.
        reporter: Shows the progress, in MiB.
        probe: A probe of this address that is already running; None to start one.

    Returns:
        The target.

    Raises:
        FileNotFoundError: If the server has no such file.
        UnfetchedError: If the download fails; the message gives the address and the target path.
    """
    if reason := (probe or Probe(url)).failure():
        raise UnfetchedError(url, target, reason)
    reporter.note(f"Fetching {url}")
    request = urllib.request.Request(url, headers={"User-Agent": "scing-cli"})  # noqa: S310 - from a literal table
    try:
        with urllib.request.urlopen(request, timeout=STALL_SECONDS) as response:  # noqa: S310
            _save(response, url, target, reporter)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.NOT_FOUND:
            raise FileNotFoundError(url) from None
        raise UnfetchedError(url, target, f"the server answers {error.code} {error.reason}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: of an invalid proxy
        raise UnfetchedError(url, target, one_line(error) or type(error).__name__) from error
    return target


def _save(response: http.client.HTTPResponse, url: str, target: Path, reporter: Reporter) -> None:
    """Write a response to its target after comparing its size and digest with the expected ones."""
    length = int(response.headers.get("Content-Length") or 0)
    digest, count = hashlib.sha256(), 0
    with (
        reporter.progress(f"Fetching {target.name} (MiB)", max(1, -(-length // _CHUNK))) as advance,
        replacing(target) as temporary,
        temporary.open("wb") as stream,
    ):
        for chunk in _chunks(response, url, target):
            stream.write(chunk)
            digest.update(chunk)
            count += len(chunk)
            advance(1)
        if length and count != length:
            raise UnfetchedError(url, target, f"the connection broke off after {count:,} of {length:,} bytes")
        if not digest.hexdigest().startswith(known_digest(url)):
            raise UnfetchedError(url, target, "the received file does not have the SHA-256 in the address")


def _chunks(response: http.client.HTTPResponse, url: str, target: Path) -> Iterator[bytes]:
    """Yield a response in chunks."""
    # Reads are separate from writes, so that an OSError of the network is not confused with one of the disk.
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise UnfetchedError(url, target, f"the connection broke off: {error or type(error).__name__}") from error


def known_digest(url: str) -> str:
    """Return the SHA-256 in an address, or its first 8 digits; empty if there is none.

    >>> known_digest("https://host/vit_b_16-laion400m_e32-55e67d44.pt")
    '55e67d44'
    """
    found = _DIGEST.search(urllib.parse.urlsplit(url).path)
    return (found[1] or found[2]) if found else ""


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE


def _connect(host: str, port: int, answer: list[str]) -> None:
    """Append the reason why a host cannot be reached, or an empty text."""
    try:
        socket.create_connection((host, port), PROBE_SECONDS).close()
    except OSError as error:
        answer.append(f"{host} cannot be reached ({error.strerror or error})")
    else:
        answer.append("")


def _first_hop(url: str) -> tuple[str, int]:
    """Return the host and port that a request connects to: the proxy's if one is set.

    Raises:
        ValueError: If the proxy's address is invalid.
    """
    parts = urllib.parse.urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if not (parts.hostname or "").strip():
            raise ValueError("it names no host")
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
