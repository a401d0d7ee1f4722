"""Remember the digests of files: a later command reads a file again only if it has changed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from scing_cli.core.artifacts.decoded_images import SIZE, file_key
from scing_cli.core.artifacts.files import cache_folder, replacing
from scing_cli.core.errors import ScingError
from scing_cli.core.safe_reading import MOST, check_ordinary, read_limited

DIGEST = 32  # bytes of a digest, after those of its key


class KnownDigests:
    """The digests of files that were read before, on this machine; a file of the cache folder stores them.

    A file is known by device, inode, size and time of the last change, as in `DecodedImages`. Without a readable or
    writable cache, files are only read again.
    """

    def __init__(self) -> None:
        self._file = cache_folder() / "digests"
        self._digests = self._read()

    def get(self, key: bytes) -> str:
        """Return the digest for the key of a file, in hexadecimal; empty if it is not known."""
        return self._digests.get(key, b"").hex()

    def add(self, digests: Mapping[bytes, str]) -> None:
        """Store digests by the keys that the files had before they were read."""
        new = {key: bytes.fromhex(digest) for key, digest in digests.items()}
        if not new:
            return
        self._digests = self._read() | new  # another process may have added some
        if len(self._digests) * (SIZE + DIGEST) > MOST:
            self._digests = new
        with contextlib.suppress(ScingError, OSError), replacing(self._file) as temporary:
            temporary.write_bytes(b"".join(key + self._digests[key] for key in sorted(self._digests)))

    def _read(self) -> dict[bytes, bytes]:
        try:
            check_ordinary(self._file)
            content = read_limited(self._file)
        except (OSError, ValueError):
            return {}
        whole = len(content) - len(content) % (SIZE + DIGEST)
        return {
            content[start : start + SIZE]: content[start + SIZE : start + SIZE + DIGEST]
            for start in range(0, whole, SIZE + DIGEST)
        }


def key_of(file: Path) -> bytes:
    """Return the key of a file in its present state; empty if there is none."""
    try:
        return file_key(file)
    except (OSError, ValueError):
        return b""
