"""Images that a command leaves out because they cannot be read: collect them, name them, list them in a file."""

from __future__ import annotations

import csv
import errno
from collections.abc import Sequence
from pathlib import Path

from scing_cli.core.artifacts import csv_text, replacing
from scing_cli.core.datasets.dataset import SHOWN_FAULTS, Dropped
from scing_cli.core.errors import UNREADABLE_REMEDY, ImageError, ScingError, agreeing, counted, spelled
from scing_cli.core.processes import ProcessGroup
from scing_cli.core.runtime import Reporter

_SENDABLE = (OSError, FileNotFoundError, PermissionError)  # causes that can be pickled
COLUMNS = ("path", "reason")
# The machine is at fault, not the file: to leave images out would hide it.
MACHINE_REMEDY = "The image may be sound: this machine lacks memory or open files. Try fewer --workers, or ulimit -n."
STRICT_REMEDY = (
    "Repair or remove it (scing prepare lists all such images). Without --strict, they are left out and listed."
)
MACHINE_ERRORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class LeftOut:
    """Collects the images that cannot be read. The others are used, as if these were not there.

    Args:
        strict: Raise the error of the first one instead.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self._errors: dict[Path, ImageError] = {}

    def __len__(self) -> int:
        return len(self._errors)

    def __contains__(self, file: Path) -> bool:
        return file in self._errors

    def add(self, file: Path, error: ImageError) -> None:
        """Leave a file out.

        Raises:
            ImageError: With `strict`, or if this machine ran out of memory or of open files.
        """
        if _is_of_the_machine(error):
            raise ImageError(error.what, MACHINE_REMEDY) from error
        if self.strict:
            raise ImageError(error.what, STRICT_REMEDY) from error
        self._errors.setdefault(file, error)

    def share(self, group: ProcessGroup) -> None:
        """Take up the files that the other processes of a group have left out; all have the same ones then."""
        own = [(file, error, error.__cause__) for file, error in self._errors.items()]
        sendable = [(file, error, cause if type(cause) in _SENDABLE else None) for file, error, cause in own]
        for file, error, cause in (entry for entries in group.everyone(sendable) for entry in entries):
            if file not in self._errors:
                error.__cause__ = cause
                self._errors[file] = error

    def dropped(self) -> tuple[Dropped, ...]:
        """Return the files with their reasons, in the order in which they were found."""
        return tuple(Dropped(str(file), reason_of(file, error)) for file, error in self._errors.items())

    def check_reachable(self, remedy: str) -> None:
        """Check that the files are there for this machine: one that is not there is missing beside others.

        Args:
            remedy: What to do if they are not.

        Raises:
            ImageError: If a folder is missing or empty, as on a machine without the disk, or a file cannot be opened.
        """
        for file, error in self._errors.items():
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno is None:
                continue  # what was read is no image
            if not (isinstance(cause, FileNotFoundError) and _has_entries(file.parent)):
                raise ImageError(error.what, remedy) from error

    def check_not_all(self, files: Sequence[Path], *, remedy: str = UNREADABLE_REMEDY) -> None:
        """Check that some image is left.

        Raises:
            ImageError: If all files are left out; the message names the first ones.
        """
        if not files or any(file not in self._errors for file in files):
            return
        first = self._errors[files[0]]
        if len(set(files)) == 1:
            raise ImageError(first.what, remedy) from first
        lines = [f"None of the {counted(len(files), 'image')} can be read:", *listed(self.dropped())]
        raise ImageError("\n".join(lines), remedy) from first


def reason_of(file: Path, error: ImageError) -> str:
    """Return why a file cannot be read, as the predicate of a sentence about it."""
    return error.what.removeprefix(f"{spelled(file)} ").removesuffix(".")


def unreadable(file: Path, error: OSError) -> ImageError:
    """Return the error for a file whose bytes cannot be read."""
    reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
    found = ImageError(f"{spelled(file)} {reason}.", UNREADABLE_REMEDY)
    found.__cause__ = error
    return found


def listed(dropped: Sequence[Dropped]) -> list[str]:
    """Return a line for each of the first files, and one for the others."""
    lines = [f"  {spelled(fault.path)}: {spelled(fault.reason)}" for fault in dropped[:SHOWN_FAULTS]]
    if len(dropped) > SHOWN_FAULTS:
        lines.append(f"  and {len(dropped) - SHOWN_FAULTS:,} more")
    return lines


def report_left_out(
    dropped: Sequence[Dropped], total: int, reporter: Reporter, *, what: str = "image", target: Path | None = None
) -> None:
    """Warn of the images that were left out, name the first ones, and list all in a file.

    Without such images nothing is said, and an earlier list is removed.

    Args:
        dropped: The images, with their reasons.
        total: Number of images, with those left out.
        reporter: Receives the warning and the names.
        what: What the images are.
        target: The list to write; None to write none.
    """
    written = target is not None and write_left_out(target, dropped, reporter)
    if not dropped:
        return
    all_of_them = f" All are listed in {target}." if written else ""
    are = agreeing(len(dropped), "is", "are")
    reporter.warn(f"{len(dropped):,} of {counted(total, what)} cannot be read and {are} left out.{all_of_them}")
    for line in listed(dropped):
        reporter.note(line)


def announce_left_out(number: int, total: int, reporter: Reporter, *, what: str = "image") -> None:
    """Warn before a long work that images are left out; `report_left_out` names them at its end."""
    if number:
        which = agreeing(number, "it is", "they are")
        reporter.warn(f"{number:,} of {counted(total, what)} cannot be read: {which} left out, and named at the end.")


def list_beside(output: Path) -> Path:
    """Return the file that lists the images left out of an output, next to it.

    >>> list_beside(Path("gallery.faiss")).name
    'gallery.left-out.csv'
    """
    return output.with_name(f"{output.stem}.left-out.csv")


def write_left_out(target: Path, dropped: Sequence[Dropped], reporter: Reporter) -> bool:
    """List images in a CSV file, or remove an earlier list if there are none; return whether it was written.

    A file of the same name that is not such a list stays as it is. A failure is only a warning.
    """
    try:
        if target.exists() and not _is_ours(target):
            if dropped:
                reporter.warn(f"{target} is there already and is not a list of images: it stays as it is.")
            return False
        if not dropped:
            target.unlink(missing_ok=True)
            return False
        rows = [COLUMNS, *((fault.path, fault.reason) for fault in dropped)]
        with replacing(target) as temporary:
            temporary.write_text(csv_text(rows), encoding="utf-8", errors="surrogateescape", newline="")
    except (ScingError, OSError) as error:
        reporter.warn(f"The list of images that were left out cannot be written: {str(error).splitlines()[0]}")
        return False
    return True


def _is_ours(target: Path) -> bool:
    try:
        with target.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return next(csv.reader(file), None) == list(COLUMNS)
    except (OSError, csv.Error):
        return False


def _has_entries(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is not None
    except OSError:
        return False


def _is_of_the_machine(error: ImageError) -> bool:
    cause = error.__cause__
    return isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno in MACHINE_ERRORS)
