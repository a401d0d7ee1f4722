"""Reader for MSMT17: `list_SPLIT.txt` files give the identity of each image; the images are in folders next to them.

A line is `0000/0000_000_01_0303morning_0015_0.jpg 0`: a path below the split's folder, and an identity. The third field
of the file name is the camera. Training and test identities both start at 0, but are different people: identities of
query and gallery get the prefix `test-`. Identity -1 marks junk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scing_cli.core.datasets.dataset import DataSet, Entry, gather, raise_faults
from scing_cli.core.datasets.disk_names import samples_on_disk
from scing_cli.core.errors import DataError
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import Sample, is_junk
from scing_cli.core.safe_reading import check_ordinary, read_limited

CAMERA_FIELD = 2
TESTED = ("query", "gallery")


def read(root: Path, parts: Parts) -> DataSet:
    """Read the lists of all parts; only the list of `val` may be missing.

    Args:
        root: The data set's folder, with the lists.
        parts: The folder of each split; the paths in its list are relative to it.

    Returns:
        Rows in the order of the parts, and of the lines in each list.

    Raises:
        DataError: If a list cannot be read or has faulty lines; the message lists the faults.
    """
    entries: list[Entry] = []
    for split, (folder,) in parts.items():
        source = root / f"list_{split}.txt"
        if split != "val" or source.exists():
            entries += _rows(source, split, folder)
    data = gather(root, entries)
    samples, notes = samples_on_disk(root, data.manifest.samples)
    return data.with_rows(samples, notes)


def _rows(source: Path, split: str, folder: str) -> Iterator[Sample | None]:
    faults: list[tuple[int, str]] = []
    first: dict[str, int] = {}
    for number, line in enumerate(_lines(source), start=1):
        path, _, identity = line.strip().rpartition(" ")  # the path may contain spaces
        fields = path.rpartition("/")[2].split("_")
        if not line.strip():
            continue
        if path and is_junk(identity):
            yield None
        elif not path or not identity.isdecimal():
            faults.append((number, f"{line.strip()!r} is not a path and a number"))
        elif len(fields) <= CAMERA_FIELD or not fields[CAMERA_FIELD].isdecimal():
            faults.append((number, f"{path!r} names no camera: its third field should be a number"))
        elif first.setdefault(path, number) != number:
            faults.append((number, f"{path!r} is in line {first[path]} already"))
        else:
            name = f"{int(identity):04d}"
            yield Sample(f"{folder}/{path}", f"test-{name}" if split in TESTED else name, fields[CAMERA_FIELD], split)
    raise_faults(source, faults, "Copy the list again from where the data came from.")


def _lines(source: Path) -> list[str]:
    try:
        check_ordinary(source)
        return read_limited(source).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}.", "Check the path and its permissions.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not UTF-8 text.", "Copy the list again from where the data came from.") from error
    except ValueError as error:
        raise DataError(f"{source} cannot be read: {error}.", "Copy the list again from where it came from.") from error
