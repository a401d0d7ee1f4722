"""Join the shards of a gallery into one index."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from scing_cli.core.artifacts import FORMAT, text_digest, write_json
from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.left_out import list_beside, listed, report_left_out
from scing_cli.core.datasets.passed_over import report_passed
from scing_cli.core.errors import (
    UNREADABLE_REMEDY,
    ImageError,
    IndexFileError,
    IndexHeldError,
    ScingError,
    counted,
    share,
)
from scing_cli.core.index import GalleryIndex, GalleryLocation, as_file, choose_kind, join, read_stamp, write_lock
from scing_cli.core.index.index_files import generations, sweep_newer
from scing_cli.core.paths import StrPath
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.embed.embed_report import EmbedReport, report_of
from scing_cli.core.workflows.embed.make_shard_plan import planning
from scing_cli.core.workflows.embed.shard_plan import (
    LISTING,
    PLAN,
    Mark,
    ShardPlan,
    check_readable,
    read_checked,
    read_plan,
    shards_folder,
    sweep_shards,
)

MERGING = "merging.json"
SHOWN = 20  # ranges of missing shards that are named
AT_ONCE = 4096  # rows that are compared together


def merge_shards(
    output: StrPath, *, index_type: str = "auto", force: bool = False, reporter: Reporter = LIBRARY_REPORTER
) -> EmbedReport:
    """Join the shards of an index, in the order of the listing, and remove them. Opens no model.

    A flat index has the bytes that `embed` without shards would have written.

    Args:
        output: The index.
        index_type: auto (by the number of vectors), flat, ivf or hnsw.
        force: Replace an existing index.
        reporter: Receives notes.

    Raises:
        IndexFileError: If a shard is missing, damaged or of another plan, or the index is there already.
        ImageError: If no image of any shard can be read.
    """
    location = as_file(output, "--merge")
    output = location.named
    choose_kind(index_type, 0, 0)
    location.check_writable()
    folder = shards_folder(output)
    if (merged := settle_merge(folder, output, reporter)) is not None:  # by a process that was killed just after it
        return _report(location, GalleryIndex.read(output), *merged)
    location.check_free(force=force)
    if not folder.is_dir():
        raise _no_shards(output)
    with planning(folder, reporter), write_lock(output):
        location.check_free(force=force)  # another process may have merged them while this one waited
        plan = read_plan(folder)
        if plan is None:
            raise _no_shards(output)
        left_out, indexes = _checked(plan)
        with _marked(folder, output):
            index = join(output, indexes, model=plan.model, kind=index_type, locked=True)
        _end(plan, left_out, output, reporter)
    return _report(location, index, plan, left_out)


def _end(plan: ShardPlan, left_out: tuple[Dropped, ...], output: Path, reporter: Reporter) -> None:
    """Say what the index of a plan lacks, and remove its shards."""
    report_passed(plan.passed, reporter)
    report_left_out(left_out, plan.images, reporter, target=list_beside(output))
    _remove(plan, reporter)


def _report(
    location: GalleryLocation, index: GalleryIndex, plan: ShardPlan, left_out: tuple[Dropped, ...]
) -> EmbedReport:
    none = {"replaced": 0, "skipped": 0, "removed": 0}
    made_by = index.stamp.made_by()
    return report_of(location, index, made_by, plan.passed, left_out, added=len(index), **none)


def settle_merge(folder: Path, output: Path, reporter: Reporter) -> tuple[ShardPlan, tuple[Dropped, ...]] | None:
    """Remove what a merge has left that was killed: the shards if the index has them, else its half-written files.

    If the index was changed since then and does not have them, another command has changed it: the shards stay.

    Args:
        folder: The folder of the shards.
        output: The index.
        reporter: Receives a note.

    Returns:
        The plan whose shards the index has, and the images that cannot be read; None if the index has none of it.

    Raises:
        IndexFileError: If the folder cannot be read, or the mark of that merge is damaged, so that it cannot be known.
    """
    check_readable(folder)
    file, merged = folder / MERGING, None
    if not file.exists():
        return None
    with planning(folder, reporter), write_lock(output):
        if not file.exists():  # another process has removed it
            return None
        known = f"If {output} has the images of these shards, remove {folder}; if not, remove {file}."
        mark = read_checked("merge mark", file, f"{known} Then run the command again.")
        plan = read_plan(folder)
        if plan is None:
            sweep_shards(folder)
        elif mark["former"] == _state(output):
            sweep_newer(output, mark["newest"])
        elif (left_out := _merged(output, plan)) is not None:
            reporter.note(f"{output} has the shards of {folder} already: they are removed.")
            _end(plan, left_out, output, reporter)
            merged = plan, left_out
        else:
            what = f"{output} was changed after a merge that did not end, and lacks the shards of {folder}"
            reporter.note(f"{what}: they stay.")
        file.unlink(missing_ok=True)
    return merged


@contextlib.contextmanager
def _marked(folder: Path, output: Path) -> Iterator[None]:
    """Mark shards as being merged, for `settle_merge`; without the index, the mark is removed again."""
    former, newest = _state(output), max(generations(output), default=0)
    write_json(folder / MERGING, {"format": FORMAT, "former": former, "newest": newest})
    try:
        yield
    except ScingError as error:
        if _state(output) == former:
            (folder / MERGING).unlink(missing_ok=True)
        if not isinstance(error, IndexFileError) or str(folder) not in error.what:
            raise
        again = f"Remove its files from {folder}, and run the embed command again: it makes this shard anew."
        raise IndexFileError(error.what, again) from error


def _merged(output: Path, plan: ShardPlan) -> tuple[Dropped, ...] | None:
    """Return the images of a plan that cannot be read, if an index has the rows of all shards, as `join` gives them."""
    try:
        merged, first = GalleryIndex.read(output).table, 0
        left_out, indexes = _checked(plan)
        for index in indexes:
            rows = iter(GalleryIndex.read(index).table)
            while some := [row._replace(id=first + place) for place, row in enumerate(itertools.islice(rows, AT_ONCE))]:
                if merged.find(range(first, first + len(some))) != {row.id: row for row in some}:
                    return None
                first += len(some)
    except (IndexFileError, ImageError):
        return None
    return left_out


def _state(output: Path) -> str:
    """Return what changes whenever an index is written; empty if there is none."""
    try:
        stamp = read_stamp(output)
    except IndexFileError:
        return ""
    return text_digest(repr((stamp.generation, stamp.rows_digest, stamp.vectors_digest, stamp.parts)))


def _no_shards(output: Path) -> IndexFileError:
    return IndexFileError(
        f"There are no shards of {output}: {shards_folder(output) / PLAN} is missing.",
        f"Make them: scing embed --shards N --output {output}, with --run or --model, --images or --data.",
    )


def _checked(plan: ShardPlan) -> tuple[tuple[Dropped, ...], list[Path]]:
    """Check all shards; return the images that cannot be read, and the index of each shard that has one."""
    if missing := plan.missing():
        are = share(len(missing), len(plan.shards), "shard", "is", "are")
        raise IndexFileError(
            f"{are} missing in {plan.folder}: {_ranges(missing)}.",
            "Run the embed command of the others again: it makes the shards that are missing.",
        )
    left_out, indexes = list[Dropped](), list[Path]()
    for number in range(len(plan.shards)):
        mark = plan.mark(number)
        if mark is None:
            raise IndexFileError(f"{plan.mark_file(number)} was removed just now.", "Run the command again.")
        left_out += mark.left_out
        if mark.rows:
            _check_index(plan, number, mark)
            indexes.append(plan.folder / mark.index)
    if not indexes:
        lines = [f"None of the {counted(plan.images, 'image')} can be read:", *listed(left_out)]
        raise ImageError("\n".join(lines), UNREADABLE_REMEDY)
    return tuple(left_out), indexes


def _check_index(plan: ShardPlan, number: int, mark: Mark) -> None:
    """Check that the index of a shard is of this plan and this shard."""
    file = plan.folder / mark.index
    again = f"Remove {plan.mark_file(number)}, and run the embed command again with --shard {number}."
    try:
        stamp = read_stamp(file)
    except IndexFileError as error:
        raise IndexFileError(error.what, again) from error
    if (stamp.model.get("plan"), stamp.model.get("shard"), stamp.count) != (plan.digest, number, mark.rows):
        raise IndexFileError(f"{file} is not shard {number} of this plan.", again)


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers in short.

    >>> _ranges([0, 3, 4, 5, 9])
    '0, 3-5, 9'
    """
    groups = itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    found = [[number for _, number in group] for _, group in groups]
    named = [str(group[0]) if len(group) == 1 else f"{group[0]}-{group[-1]}" for group in found]
    rest = f" and {len(named) - SHOWN:,} more ranges" if len(named) > SHOWN else ""
    return ", ".join(named[:SHOWN]) + rest


def _remove(plan: ShardPlan, reporter: Reporter) -> None:
    """Remove the files of a plan; the plan itself first, so that no process takes the rest for shards.

    Files that this user may not remove are named in a warning: the index is complete without it.
    """
    try:
        _remove_all(plan, reporter)
    except OSError as error:
        reporter.warn(f"{plan.folder} is merged, but cannot be removed: {error.strerror}.")


def _remove_all(plan: ShardPlan, reporter: Reporter) -> None:
    (plan.folder / PLAN).unlink(missing_ok=True)
    (plan.folder / LISTING).unlink(missing_ok=True)
    held = [number for number in range(len(plan.shards)) if _is_held(plan.work(number))]
    for number in held:
        reporter.warn(f"Another process still makes shard {number}, which is merged already: its files stay.")
    sweep_shards(plan.folder, keep=held)
    for file in plan.folder.glob(".*.part"):
        if re.fullmatch(r"\.(?:plan\.json|listing\.jsonl|merging\.json)\.[0-9a-f]{8}\.part", file.name):
            file.unlink(missing_ok=True)
    (plan.folder / MERGING).unlink(missing_ok=True)


def _is_held(index: Path) -> bool:
    """Return whether another process is making a shard."""
    if not index.with_name(f".{index.name}.lock").exists():
        return False
    try:
        with write_lock(index, patience=0):
            return False
    except IndexHeldError:
        return True
    except IndexFileError:
        return False
