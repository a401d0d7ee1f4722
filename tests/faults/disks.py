"""Full and read-only disks: a small file system in memory if one can be mounted, else a file size limit."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

PAGE = 4096  # bytes: what such a file system gives out at a time


class MemoryDisk:
    """A tmpfs of 8 MiB that is filled to the last pages."""

    says = ("No space left on device", "database or disk is full")

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def with_room(self, size: int) -> Iterator[None]:
        """Leave so many bytes free for a block."""
        ballast = self.folder / ".ballast"
        free = os.statvfs(self.folder)
        with ballast.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, max(free.f_bavail * free.f_frsize - size, 1))
        try:
            yield
        finally:
            ballast.unlink()


class Limited:
    """No file may be longer than so many bytes: Python ignores the signal, so that the write fails."""

    says = ("File too large", "disk I/O error")

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def with_room(self, size: int) -> Iterator[None]:
        """Let no file grow beyond so many bytes in a block."""
        former = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, former)


def mount(*arguments: object) -> bool:
    """Mount something; tell whether that is allowed here."""
    try:
        return subprocess.run(["mount", *map(str, arguments)], capture_output=True, timeout=20).returncode == 0
    except OSError:
        return False


def unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, timeout=20)


@contextlib.contextmanager
def memory_disk(folder: Path) -> Iterator[MemoryDisk | None]:
    """Mount a small disk on a new folder; None where that is not allowed."""
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=16m", "none", folder):
        yield None
        return
    try:
        yield MemoryDisk(folder)
    finally:
        unmount(folder)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[bool]:
    """Make a folder read-only, even to root; tell whether that is possible here."""
    if not mount("--bind", folder, folder):
        modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        try:
            yield not os.access(folder, os.W_OK)
        finally:
            for path, mode in modes.items():
                path.chmod(mode)
        return
    try:
        yield mount("-o", "remount,bind,ro", folder, folder)
    finally:
        unmount(folder)
