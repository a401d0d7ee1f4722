"""Images that are left out: which errors count, how they are named, and the file that lists them."""

from __future__ import annotations

import csv
import errno
from pathlib import Path

import pytest

from scing_cli.core.datasets import Dropped
from scing_cli.core.datasets.left_out import LeftOut, report_left_out, unreadable, write_left_out
from scing_cli.core.errors import ImageError
from scing_cli.core.runtime import Silent


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def faults(count: int) -> list[Dropped]:
    return [Dropped(f"{number}.jpg", "is empty (0 bytes)") for number in range(count)]


def test_the_first_ten_are_named_and_all_are_listed(tmp_path: Path) -> None:
    notes, target = Notes(), tmp_path / "g.left-out.csv"
    report_left_out(faults(12), 1500, notes, target=target)
    assert notes.warnings == [f"12 of 1,500 images cannot be read and are left out. All are listed in {target}."]
    assert notes.notes == [*(f"  {number}.jpg: is empty (0 bytes)" for number in range(10)), "  and 2 more"]
    with target.open(encoding="utf-8", newline="") as stream:
        assert [row["path"] for row in csv.DictReader(stream)] == [fault.path for fault in faults(12)]


def test_without_such_images_nothing_is_said_and_an_earlier_list_goes(tmp_path: Path) -> None:
    notes, target = Notes(), tmp_path / "g.left-out.csv"
    assert write_left_out(target, faults(1), notes)
    report_left_out([], 5, notes, target=target)
    assert not target.exists()
    assert not notes.warnings + notes.notes


@pytest.mark.parametrize("count", [0, 2])
def test_a_file_of_ones_own_stays(tmp_path: Path, count: int) -> None:
    notes, target = Notes(), tmp_path / "g.left-out.csv"
    target.write_text("path,mine\n")
    report_left_out(faults(count), 5, notes, target=target)
    assert target.read_text() == "path,mine\n"
    assert any("stays as it is" in warning for warning in notes.warnings) is (count > 0)


def test_a_list_that_cannot_be_written_is_only_a_warning(tmp_path: Path) -> None:
    notes = Notes()
    report_left_out(faults(1), 5, notes, target=tmp_path / "file" / "x.csv")
    (tmp_path / "file2").write_text("")
    report_left_out(faults(1), 5, notes, target=tmp_path / "file2" / "x.csv")
    assert [("cannot be written" in warning) for warning in notes.warnings] == [False, True, False]


def test_the_machines_faults_leave_nothing_out() -> None:
    """Too many open files or too little memory say nothing about an image."""
    file = Path("a.jpg")
    for number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        with pytest.raises(ImageError):
            LeftOut().add(file, unreadable(file, OSError(number, "no more")))
    memory = ImageError("a.jpg cannot be decoded.")
    memory.__cause__ = MemoryError()
    with pytest.raises(ImageError):
        LeftOut().add(file, memory)
    for number in (errno.ENOENT, errno.EACCES, errno.EIO, errno.ELOOP, errno.ESTALE):
        found = LeftOut()
        found.add(file, unreadable(file, OSError(number, "gone")))
        assert file in found


def test_all_left_out_is_one_error() -> None:
    found, files = LeftOut(), [Path(f"{number}.jpg") for number in range(13)]
    found.check_not_all([])
    for file in files:
        found.check_not_all(files)
        found.add(file, unreadable(file, FileNotFoundError(errno.ENOENT, "gone")))
    with pytest.raises(ImageError) as caught:
        found.check_not_all(files, remedy="Look.")
    lines = str(caught.value).split("\n")
    assert lines[0] == "None of the 13 images can be read:"
    assert (lines[1], lines[-2], lines[-1]) == ("  0.jpg: is missing", "  and 3 more", "Look.")
    with pytest.raises(ImageError, match=r"^0\.jpg is missing\.\nLook\.$"):
        found.check_not_all(files[:1], remedy="Look.")
