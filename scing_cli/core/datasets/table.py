"""A CSV of one's own: one row per observation, only `path` is needed. What `write_manifest` writes, this reads back."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

from scing_cli.core.datasets.dataset import DataSet, display_name, raise_faults
from scing_cli.core.errors import DataError, counted, spelled
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import COLUMNS, SPLITS, Manifest, Sample
from scing_cli.core.safe_reading import check_ordinary

LONGEST = 2**20  # letters of a line
DELIMITERS = (",", ";", "\t")
COLUMNS_REMEDY = f"Columns read here: {', '.join(COLUMNS)}; only path is needed, further ones are kept."


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """The rows of a CSV file that have as many fields as its header.

    Args:
        header: Names of the columns; an empty name marks a column that is not read.
        rows: The line a row begins on, and its fields by column.
        faults: The line and what is wrong, of every other row.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    faults: tuple[tuple[int, str], ...]


def read(source: Path, _parts: Parts = MappingProxyType({})) -> DataSet:
    """Read a CSV manifest; paths are relative to its folder.

    Returns:
        The rows in the file's order; columns beyond `COLUMNS` stand in `Sample.extra`, in the file's order.

    Raises:
        DataError: If the file is no UTF-8 CSV, lacks `path`, has no row, or has faulty rows: all of them are gathered.
    """
    table = read_table(source, needed=("path",))
    faults = [*table.faults, *_faults(table)]
    raise_faults(source, faults, f"Mend these rows. Splits are {', '.join(SPLITS)}, or empty.")
    if not table.rows:
        raise DataError(f"{source} has a header and no row.", "Add one row per image.")
    further = [name for name in table.header if name and name not in COLUMNS]
    samples = tuple(
        Sample(
            **{name: row.get(name, "") for name in COLUMNS} | {"split": _split(row)},
            extra=tuple((name, row[name]) for name in further),
        )
        for _, row in table.rows
    )
    rows = tuple(dict.fromkeys(samples))
    again = len(samples) - len(rows)
    twice = "One row stands twice and counts once." if again == 1 else f"{again:,} rows stand twice and count once."
    manifest = Manifest(source.parent, rows, display_name(source))
    return DataSet(manifest, "csv", notes=(*([twice] if again else ()), *_notes(rows), *_way_out(rows)))


def read_table(source: Path, *, needed: Iterable[str]) -> Table:
    """Read a UTF-8 CSV file (with or without a byte order mark) whose header has the `needed` columns.

    Fields are parted by commas, semicolons or tabs: by what a first line such as `sep=;` says (some spreadsheets write
    it), or by the first of them that finds the needed columns in the header. Names of `COLUMNS` are known in any case
    and with spaces around them. Blank lines are passed over.

    Raises:
        DataError: If the file cannot be read, is no UTF-8 text or lacks a column; the message names those it has.
    """
    try:
        check_ordinary(source)
        with source.open(encoding="utf-8-sig", newline="") as stream:
            delimiter, said = _delimiter(stream, needed)
            rows = _rows(stream, delimiter)
            if said:
                next(rows)
            header = _header(source, next(rows, (1, []))[1], needed)
            return _table(header, rows)
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}.", "Check the path and its permissions.") from error
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x}"
        raise DataError(f"{source} is no UTF-8 text ({found}).", "Save it as CSV in UTF-8.") from error
    except (csv.Error, ValueError) as error:
        raise DataError(
            f"{source} is no CSV: {error}.", "Fields are parted by commas, semicolons or tabs; quotes stand in pairs."
        ) from error


def _delimiter(stream: TextIO, needed: Iterable[str]) -> tuple[str, bool]:
    """Return what parts the fields and whether the first line says so, and go back to the beginning."""
    first = next((line for line in _lines(stream) if line.strip()), "")
    stream.seek(0)
    told = first.strip("\r\n").removeprefix("sep=")
    if first.startswith("sep=") and told in DELIMITERS:
        return told, True
    for mark in DELIMITERS:
        with contextlib.suppress(csv.Error):
            if set(needed) <= {_known(name) for row in csv.reader([first], delimiter=mark) for name in row}:
                return mark, False
    return max(DELIMITERS, key=first.count), False


def _known(name: str) -> str:
    """Return a column's name as it is known, in whatever letters and spaces it came."""
    known = name.strip().lower()
    return known if known in COLUMNS else name


def _rows(stream: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank with the line it begins on, counted from 1."""
    reader = csv.reader(_lines(stream), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise csv.Error(f"line {line}: {error}") from error
        if row:
            yield line, row


def _lines(stream: TextIO) -> Iterator[str]:
    while line := stream.readline(LONGEST):
        if "\0" in line:
            raise csv.Error("it holds a NUL character")
        if len(line) == LONGEST:
            raise csv.Error(f"a line has {LONGEST:,} letters or more")
        yield line


def _header(source: Path, fields: list[str], needed: Iterable[str]) -> tuple[str, ...]:
    header = tuple(_known(name) for name in fields)
    missing = [name for name in needed if name not in header]
    if missing:
        has = f"its columns are: {', '.join(map(repr, fields))}" if fields else "it is empty"
        raise DataError(f"{source} has no column `{missing[0]}`; {has}.", COLUMNS_REMEDY)
    twice = [name for name, count in Counter(name for name in header if name).items() if count > 1]
    if twice:
        raise DataError(f"{source} has the column `{spelled(twice[0])}` more than once.", COLUMNS_REMEDY)
    return header


def _table(header: tuple[str, ...], fields: Iterator[tuple[int, list[str]]]) -> Table:
    rows: list[tuple[int, dict[str, str]]] = []
    faults: list[tuple[int, str]] = []
    for line, row in fields:
        if len(row) == len(header):
            rows.append((line, dict(zip(header, row, strict=True))))
        else:
            faults.append((line, f"it has {len(row)} fields, the header {len(header)}"))
    return Table(header, tuple(rows), tuple(faults))


def _faults(table: Table) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with rows that have the right number of fields."""
    first: dict[tuple[str, str], tuple[int, dict[str, str]]] = {}
    for line, row in table.rows:
        path, split = row["path"], _split(row)
        if not path:
            yield line, "the path is empty"
        if split and split not in SPLITS:
            yield line, f"the split {row['split']!r} is unknown"
        earlier, same = first.setdefault((path, split), (line, row))
        if path and row != same:
            where = f"the split {split}" if split else "no split"
            yield line, f"{path!r} stands in {where} already, with other fields, in line {earlier}"


def _split(row: Mapping[str, str]) -> str:
    """Return a row's split, in whatever letters and spaces it came."""
    return row.get("split", "").strip().lower()


def _notes(samples: tuple[Sample, ...]) -> Iterator[str]:
    nobody = sum(not sample.identity for sample in samples)
    people = {sample.identity for sample in samples} - {""}
    alike: dict[str, list[str]] = {}
    for name in sorted(people):
        alike.setdefault(name.strip().casefold(), []).append(name)
    doubtful = [names for names in alike.values() if len(names) > 1]
    if doubtful:
        yield f"{' and '.join(map(repr, doubtful[0]))} count as different people, though they are spelt nearly alike."
    nowhere = sum(not sample.split for sample in samples)
    if nobody:
        yield f"{nobody} of {len(samples)} rows have no identity: no ground for training or scores."
    if nowhere:
        yield f"{nowhere} of {len(samples)} rows have no split: only the split `all` holds them."


def _way_out(samples: tuple[Sample, ...]) -> Iterator[str]:
    """Note paths that do not lie below the file's folder: they are read all the same."""
    outside = [sample.path for sample in samples if _leads_out(sample.path)]
    windows = [sample.path for sample in samples if "\\" in sample.path and "/" not in sample.path]
    if windows:
        yield f"{counted(len(windows), 'path')} such as {windows[0]!r}: folders are parted by / here, not by \\."
    if outside:
        yield f"{len(outside):,} of {len(samples):,} paths lead out of the file's folder, such as {outside[0]!r}."


def _leads_out(path: str) -> bool:
    return path.startswith("/") or posixpath.normpath(path).split("/")[0] == ".."
