"""Remember which images were decoded without a fault: a later check skips them while they are unchanged."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from pathlib import Path

from scing_cli.core.artifacts.files import cache_folder, replacing
from scing_cli.core.errors import ScingError
from scing_cli.core.safe_reading import MOST, check_ordinary, read_limited

SIZE = 16  # bytes of a key


class DecodedImages:
    """The images that were decoded before, on this machine; a file of the cache folder stores their keys.

    A key identifies a file by device, inode, size and time of the last change, so moving it does not matter. Without a
    readable or writable cache, images are only decoded again.
    """

    def __init__(self) -> None:
        self._file = cache_folder() / "decoded-images"
        self._keys = self._read()

    def __contains__(self, file: Path) -> bool:
        try:
            return file_key(file) in self._keys
        except (OSError, ValueError):
            return False

    def add(self, files: Iterable[Path]) -> None:
        """Store images that were decoded now."""
        new = set()
        for file in files:
            with contextlib.suppress(OSError):  # it was removed meanwhile
                new.add(file_key(file))
        if new <= self._keys:
            return
        self._keys = self._read() | new  # another process may have added some
        if len(self._keys) * SIZE > MOST:
            self._keys = new
        with contextlib.suppress(ScingError, OSError), replacing(self._file) as temporary:
            temporary.write_bytes(b"".join(sorted(self._keys)))

    def _read(self) -> set[bytes]:
        try:
            check_ordinary(self._file)
            content = read_limited(self._file)
        except (OSError, ValueError):
            return set()
        return {content[start : start + SIZE] for start in range(0, len(content), SIZE)}


def file_key(file: Path) -> bytes:
    """Return the key of a file in its present state.

    Raises:
        OSError: If there is no such file.
    """
    state = file.stat()
    facts = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    return hashlib.sha256(repr(facts).encode()).digest()[:SIZE]
