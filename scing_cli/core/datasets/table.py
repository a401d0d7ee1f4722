"""Reader for CSV manifests, the user's own or from `write_manifest`: one row per observation, only `path` is needed."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

from scing_cli.core.datasets.column_names import other_names, renaming
from scing_cli.core.datasets.dataset import SHOWN_FAULTS, DataSet, raise_faults
from scing_cli.core.datasets.disk_names import samples_on_disk
from scing_cli.core.datasets.foreign_paths import why_foreign, with_local_paths
from scing_cli.core.datasets.spectrum_columns import check_images, first_image, image_warnings
from scing_cli.core.datasets.split_words import SplitWords
from scing_cli.core.errors import DataError, counted, share, spelled
from scing_cli.core.layouts import Parts
from scing_cli.core.manifest import CAPTION_COLUMN, COLUMNS, SPLITS, Manifest, Sample, display_name
from scing_cli.core.paths import file_keys
from scing_cli.core.safe_reading import check_ordinary

LONGEST = 2**20  # characters of a line
DELIMITERS = (",", ";", "\t")
FURTHER_CAPTIONS = ": write further captions of an image into the columns caption_2, caption_3 of its row"
COLUMNS_REMEDY = f"Columns read here: {', '.join(COLUMNS)}; only path is needed; additional columns are kept."


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """The rows of a CSV file.

    Args:
        header: Names of the columns; a column with an empty name is ignored.
        rows: For each row with as many fields as the header, the line it starts on and its fields by column.
        faults: For every other row, the line and what is wrong.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]
    faults: tuple[tuple[int, str], ...]


def read(source: Path, _parts: Parts = MappingProxyType({})) -> DataSet:
    """Read a CSV manifest; paths are relative to its folder.

    A path gets the spelling on disk where the two differ only in Unicode form or case. A file has one path, the first
    of its spellings, and one row in each split. Rows with web addresses or paths of Windows are dropped.

    Returns:
        What `read_rows` returns, with these paths.

    Raises:
        DataError: Like `read_rows`, if no row is left, or if rows of one file in one split differ.
    """
    data = with_local_paths(read_rows(source), source)
    samples, notes = samples_on_disk(data.manifest.root, data.manifest.samples)
    samples, merged = _merged(source, data.manifest.root, samples)
    check_images(source, samples)
    data = data.with_rows(samples, (*notes, *merged))
    return dataclasses.replace(data, warnings=(*data.warnings, *image_warnings(data.manifest)))


def _merged(source: Path, root: Path, samples: tuple[Sample, ...]) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """Give rows of one file the path of the first, count equal rows once, and return a note if there are any.

    Raises:
        DataError: If rows of one file in one split have different fields.
    """
    paths = list(dict.fromkeys(path for sample in samples for path in sample.paths))
    key_of = dict(zip(paths, file_keys(root / path for path in paths), strict=True))
    if len(set(key_of.values())) == len(paths):
        return samples, ()
    path_of: dict[str, str] = {}
    first: dict[tuple[str, str], tuple[str, Sample]] = {}
    faults = []
    for sample in samples:
        row = sample.with_paths(lambda path: path_of.setdefault(key_of[path], path))
        spelling, earlier = first.setdefault((row.path, row.split), (sample.path, row))
        if earlier != row:
            other = _difference(earlier, row)
            faults.append(f"  {spelled(spelling)} and {spelled(sample.path)} are one file, {other}")
    if faults:
        more = [f"  ... and {len(faults) - SHOWN_FAULTS} more"] if len(faults) > SHOWN_FAULTS else []
        what = f"{source} has rows of one file that differ:\n" + "\n".join([*faults[:SHOWN_FAULTS], *more])
        raise DataError(what, "Correct these rows, or leave one of each out.")
    rows = tuple(row for _, row in first.values())
    if len(rows) == len(samples):
        return rows, ()
    count = counted(len(samples) - len(rows), "row repeats an image", "rows repeat an image")
    return rows, (f"{count} under another spelling of its path: counted once.",)


def _difference(one: Sample, other: Sample) -> str:
    """Return the first field in which two rows of a file differ, with both values."""
    pairs = [(name, getattr(one, name), getattr(other, name)) for name in COLUMNS]
    pairs += [(name, dict(one.extra)[name], value) for name, value in other.extra]
    name, first, second = next(pair for pair in pairs if pair[1] != pair[2])
    return f"with the {name} {spelled(first)!r} and {spelled(second)!r}"


def read_rows(source: Path) -> DataSet:
    """Read a CSV manifest as it is, without looking for the images; paths are relative to its folder.

    Returns:
        The rows in the file's order. Columns beyond `COLUMNS` are in `Sample.extra`, in the file's order.

    Raises:
        DataError: If the file is not a UTF-8 CSV, lacks `path`, has no row, or has faulty rows; the message lists them.
    """
    table = read_table(source, needed=("path",))
    words = SplitWords(row.get("split", "") for _, row in table.rows)
    faults = [*table.faults, *_faults(table, words)]
    raise_faults(source, faults, f"Correct these rows. Splits are {', '.join(SPLITS)}, or empty.")
    if not table.rows:
        raise DataError(f"{source} has a header but no rows.", "Add one row per image.")
    extra_columns = [name for name in table.header if name and name not in COLUMNS]
    samples = tuple(
        Sample(
            **{name: row.get(name, "") for name in COLUMNS}
            | {"path": first_image(row), "split": words.split(row.get("split", ""))},
            extra=tuple((name, row[name]) for name in extra_columns),
        )
        for _, row in table.rows
    )
    rows = tuple(dict.fromkeys(samples))  # equal rows once, at the first position
    repeated = len(samples) - len(rows)
    note = f"{counted(repeated, 'repeated row is', 'repeated rows are')} counted once."
    manifest = Manifest(source.parent, rows, display_name(source))
    notes = (*([note] if repeated else ()), *renaming(table.header), *words.notes(), *_notes(rows), *_path_notes(rows))
    return DataSet(manifest, "csv", notes=notes)


def read_table(source: Path, *, needed: Iterable[str]) -> Table:
    """Read a UTF-8 CSV file (with or without a byte order mark) whose header has the `needed` columns.

    Fields are separated by commas, semicolons or tabs. A first line such as `sep=;`, which some spreadsheets write,
    selects the delimiter; otherwise it is the first one that finds the needed columns in the header. Case and
    surrounding spaces do not matter in names of `COLUMNS` and of further captions. Blank lines are skipped.

    Raises:
        DataError: If the file cannot be read, is not UTF-8 text or lacks a column; the message names its columns.
    """
    try:
        check_ordinary(source)
        with source.open(encoding="utf-8-sig", newline="") as stream:
            delimiter, declared = _delimiter(stream, needed)
            rows = _rows(stream, delimiter)
            if declared:
                next(rows)
            header = _header(source, next(rows, (1, []))[1], needed)
            return _table(header, rows)
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}.", "Check the path and its permissions.") from error
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x}"
        raise DataError(f"{source} is not UTF-8 text ({found}).", "Save it as CSV in UTF-8.") from error
    except (csv.Error, ValueError) as error:
        raise DataError(
            f"{source} is not a CSV: {error}.", "Separate fields by commas, semicolons or tabs; close every quote."
        ) from error


def _delimiter(stream: TextIO, needed: Iterable[str]) -> tuple[str, bool]:
    """Return the delimiter, and whether the first line declares it; rewind the stream."""
    first = next((line for line in _lines(stream) if line.strip()), "")
    stream.seek(0)
    declared = first.strip("\r\n").removeprefix("sep=")
    if first.startswith("sep=") and declared in DELIMITERS:
        return declared, True
    for mark in DELIMITERS:
        with contextlib.suppress(csv.Error):
            if set(needed) <= {_known(name) for row in csv.reader([first], delimiter=mark) for name in row}:
                return mark, False
    # None finds the needed columns: with the most frequent one, the error lists the columns as the user sees them.
    return max(DELIMITERS, key=first.count), False


def _known(name: str) -> str:
    """Return the standard form of a column's name; case and surrounding spaces do not matter."""
    known = name.strip().lower()
    return known if known in COLUMNS or CAPTION_COLUMN.fullmatch(known) else name


def _rows(stream: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank, with the number of the line it starts on, counted from 1."""
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
    while line := stream.readline(LONGEST):  # bounds the memory for a file without line ends
        if "\0" in line:
            raise csv.Error("it contains a NUL character; write one row per line")
        if len(line) == LONGEST:
            raise csv.Error(f"a line has {LONGEST:,} characters or more")
        yield line


def _header(source: Path, fields: list[str], needed: Iterable[str]) -> tuple[str, ...]:
    header = tuple(_known(name) for name in fields)
    missing = [name for name in needed if name not in header]
    if missing:
        has = f"its columns are: {', '.join(map(repr, fields))}" if fields else "it is empty"
        likely = other_names(header).get(missing[0])
        rename = f"If {likely!r} holds the {missing[0]}, rename it to {missing[0]}. " if likely else ""
        raise DataError(f"{source} has no column `{missing[0]}`; {has}.", f"{rename}{COLUMNS_REMEDY}")
    duplicates = [name for name, count in Counter(name for name in header if name).items() if count > 1]
    if duplicates:
        raise DataError(f"{source} has the column `{spelled(duplicates[0])}` more than once.", COLUMNS_REMEDY)
    return header


def _table(header: tuple[str, ...], fields: Iterator[tuple[int, list[str]]]) -> Table:
    rows: list[tuple[int, dict[str, str]]] = []
    faults: list[tuple[int, str]] = []
    for line, row in fields:
        if len(row) == len(header):
            rows.append((line, dict(zip(header, row, strict=True))))
        else:
            faults.append((line, f"it has {counted(len(row), 'field')}, the header {len(header)}"))
    return Table(header, tuple(rows), tuple(faults))


def _faults(table: Table, words: SplitWords) -> Iterator[tuple[int, str]]:
    """Yield the faults of rows that have the right number of fields."""
    first: dict[tuple[str, str], tuple[int, dict[str, str]]] = {}
    for line, row in table.rows:
        path, split = first_image(row), words.split(row.get("split", ""))
        if not path:
            yield line, "the path is empty"
        if split and split not in SPLITS:
            yield line, f"the split {row['split']!r} is unknown{words.hint(row['split'])}"
        earlier, same = first.setdefault((path, split), (line, row))
        if path and row != same:
            where = f"the split {split}" if split else "no split"
            other = {name for name in row if row[name] != same[name]}
            hint = "" if any(CAPTION_COLUMN.fullmatch(name) is None for name in other) else FURTHER_CAPTIONS
            yield line, f"{path!r} is already in {where}, with other fields, in line {earlier}{hint}"


def _notes(samples: tuple[Sample, ...]) -> Iterator[str]:
    without_identity = sum(not sample.identity for sample in samples)
    without_split = sum(not sample.split for sample in samples)
    if without_identity:
        rows = share(without_identity, len(samples), "row", "has", "have")
        yield f"{rows} no identity: they cannot be used for training or scores."
    if without_split:
        rows = share(without_split, len(samples), "row", "has", "have")
        yield f"{rows} no split: only the split `all` includes them."


def _path_notes(samples: tuple[Sample, ...]) -> Iterator[str]:
    """Yield notes on paths with backslashes, and on paths outside the file's folder; all of them are read."""
    paths = [path for sample in samples for path in sample.paths]
    outside = [path for path in paths if _leads_out(path)]
    windows = [path for path in paths if "\\" in path and "/" not in path and not why_foreign(path)]
    if windows:
        yield f"{counted(len(windows), 'path')} such as {windows[0]!r}: separate folders by /, not by \\."
    if outside:
        number = share(len(outside), len(paths), "path", "is", "are")
        yield f"{number} outside the file's folder, such as {outside[0]!r}."


def _leads_out(path: str) -> bool:
    return path.startswith("/") or posixpath.normpath(path).split("/")[0] == ".."
