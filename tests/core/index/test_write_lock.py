"""One writer at a time: real processes that write one index."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import filelock
import numpy as np
import pytest
from patience import HANG

from scing_cli.core.artifacts import files
from scing_cli.core.errors import IndexFileError
from scing_cli.core.index import Entry, GalleryIndex, check_writable, index_lock, write_lock

HOLD = """
import sys, time
from pathlib import Path
from scing_cli.core.index import write_lock
with write_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""
APPEND = """
import sys
from pathlib import Path
import numpy as np
from scing_cli.core.index import Entry, GalleryIndex, write_lock
path = Path(sys.argv[1])
for number in range(int(sys.argv[3])):
    with write_lock(path, patience=1800):
        index = GalleryIndex.read(path)
        index.add(np.eye(4, dtype=np.float32)[:1], [Entry(f"/{sys.argv[2]}/{number}.jpg")])
        index.write(path, locked=True)
"""


def process(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def small(path: Path) -> GalleryIndex:
    index = GalleryIndex.create(
        np.eye(4, dtype=np.float32),
        [Entry(f"/{i}.jpg") for i in range(4)],
        model_digest="a",
        model={},
        descriptor="concat",
    )
    index.write(path)
    return index


@pytest.fixture
def path(tmp_path: Path) -> Path:
    small(tmp_path / "gallery.faiss")
    return tmp_path / "gallery.faiss"


@pytest.fixture
def writer(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it is killed."""
    held = process(HOLD, path, HANG)
    assert held.stdout is not None
    assert held.stdout.readline() == "held\n"
    yield held
    held.kill()
    held.communicate()


def test_a_second_writer_waits_and_then_says_that_another_is_writing(
    path: Path, writer: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = time.monotonic()
    with (
        pytest.raises(IndexFileError, match=r"Another process is writing .*gallery\.faiss"),
        write_lock(path, patience=1),
    ):
        pass
    assert time.monotonic() - start >= 1
    monkeypatch.setattr(index_lock, "PATIENCE", 0.1)
    with pytest.raises(IndexFileError, match="Another process is writing"):
        GalleryIndex.read(path).write(path)
    assert len(GalleryIndex.read(path)) == 4  # reading needs no lock


def test_the_lock_ends_with_a_process_that_is_killed(path: Path, writer: subprocess.Popen[str]) -> None:
    writer.kill()
    writer.wait()
    assert path.with_name(".gallery.faiss.lock").exists()
    with write_lock(path, patience=1):
        pass
    assert sorted(file.name for file in path.parent.iterdir()) == ["gallery.faiss", "gallery.rows-1"]


def test_no_row_is_lost_between_processes_that_append(path: Path) -> None:
    writers = [process(APPEND, path, name, 10) for name in "abc"]
    assert [writer.communicate(timeout=HANG)[0] for writer in writers] == ["", "", ""]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    index = GalleryIndex.read(path)
    assert sorted(row.path for row in index.rows()[4:]) == [f"/{name}/{i}.jpg" for name in "abc" for i in range(10)]
    assert [row.id for row in index.rows()] == list(range(34))
    assert len(list(path.parent.iterdir())) == 2


def test_a_lock_on_a_file_that_lost_its_name_meanwhile_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its former holder removed it after it had been opened here: who comes next would lock another file."""
    file, take, taken = path.with_name(".gallery.faiss.lock"), files._lock, []

    def late(handle: int) -> bool:
        taken.append(handle)
        if len(taken) == 1:
            file.unlink()
        return take(handle)

    monkeypatch.setattr(files, "_lock", late)
    with write_lock(path):
        assert len(taken) == 2
        with pytest.raises(IndexFileError, match="Another process is writing"), write_lock(path, patience=0.1):
            pass


def test_the_lock_is_the_one_that_filelock_takes_on_this_system(path: Path, writer: subprocess.Popen[str]) -> None:
    """So it is `LockFileEx` on Windows, as for everybody who uses `filelock` there."""
    other = filelock.FileLock(path.with_name(".gallery.faiss.lock"))
    with pytest.raises(filelock.Timeout):
        other.acquire(timeout=0.1)
    writer.kill()
    writer.wait()
    with (
        other.acquire(timeout=1),
        pytest.raises(IndexFileError, match="Another process is writing"),
        write_lock(path, patience=0.1),
    ):
        pass


def test_the_first_byte_is_free_for_the_lock_of_windows(path: Path, writer: subprocess.Popen[str]) -> None:
    """There, byte 0 is locked and nobody else can read it: the holder's line begins at byte 1."""
    locked = path.with_name(".gallery.faiss.lock").read_bytes()
    assert locked[1:].startswith(b"process %d on " % writer.pid)
    with (
        pytest.raises(IndexFileError, match=rf"gallery\.faiss \(process {writer.pid} on \S+, since [\d :-]+\)\.\n"),
        write_lock(path, patience=0.1),
    ):
        pass


def test_where_open_files_cannot_be_removed_the_lock_goes_after_its_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "REMOVES_OPEN_FILES", False)  # as on Windows
    unlink, closed = Path.unlink, []

    def careful(file: Path) -> None:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handle)
        closed.append(file)
        unlink(file)

    lock_file = tmp_path / "g.lock"
    handle = files.acquire_lock(lock_file)
    assert handle is not None
    monkeypatch.setattr(Path, "unlink", careful)
    files.release_lock(lock_file, handle)
    assert closed == [lock_file]
    assert list(tmp_path.iterdir()) == []


def test_threads_shut_each_other_out(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with write_lock(tmp_path / "g.faiss", patience=HANG):
                inside += 1
                most = max(most, inside)
                time.sleep(0.002)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_folder_that_knows_no_locks_is_written_without(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(handle: int, how: int) -> None:
        raise OSError(number, "not here")

    monkeypatch.setattr("fcntl.flock", fail)
    assert GalleryIndex.read(path).write(path).generation == 2


def test_where_no_index_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "a.faiss")
    (tmp_path / "folder.faiss").mkdir()
    (tmp_path / "file").touch()
    for place, message in (
        (tmp_path / "a.idx", r"a\.idx: the name of an index ends in \.faiss"),
        (tmp_path / "folder.faiss", r"folder\.faiss is a folder"),
        (tmp_path / "none" / "a.faiss", "there is no folder .*none"),
        (tmp_path / "file" / "a.faiss", "there is no folder .*file"),
    ):
        with pytest.raises(IndexFileError, match=message):
            check_writable(place)
    if Path("/proc/self").is_dir():  # which not even root can write
        for attempt in (check_writable, lambda place: write_lock(place).__enter__()):
            with pytest.raises(IndexFileError, match=r"Cannot write /proc/a\.faiss"):
                attempt(Path("/proc/a.faiss"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder.faiss"]
