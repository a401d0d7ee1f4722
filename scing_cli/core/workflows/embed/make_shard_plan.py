"""Make the plan of `scing embed --shards`, once for all processes, and check that a later command agrees with it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scing_cli.core.artifacts import FORMAT, acquire_lock, lock_holder, release_lock, replacing, write_json
from scing_cli.core.datasets.passed_over import PassedOver
from scing_cli.core.errors import DataError, IndexFileError, SettingError, spelled
from scing_cli.core.manifest import CAPTION_COLUMN, is_text
from scing_cli.core.paths import lasting
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.embed.listed_gallery import Listed
from scing_cli.core.workflows.embed.shard_plan import LISTING, PLAN, Shard, ShardPlan, read_plan, sweep_shards

LOCK = ".plan.lock"
PATIENCE = 3600.0  # seconds to wait for the process that lists the images


def write_plan(
    folder: Path,
    listed: Listed,
    count: int,
    *,
    made_with: Mapping[str, Any],
    model: Mapping[str, Any],
    asked: Mapping[str, Any],
) -> ShardPlan:
    """Divide a listing into shards, write it and the plan, and return the plan. The caller must hold `planning`.

    Args:
        folder: The folder of the shards.
        listed: The images.
        count: Number of shards; some have no image if there are fewer batches.
        made_with: As in `ShardPlan`.
        model: As in `ShardPlan`.
        asked: As in `ShardPlan`.

    Raises:
        DataError: If the name of the images' folder is not UTF-8.
        ScingError: If a file cannot be written.
    """
    root = lasting(listed.manifest.root).as_posix()
    if not is_text(root):
        raise DataError(
            f"{spelled(root)} has a name that is not UTF-8, which a plan cannot hold.", "Rename the folder."
        )
    batch, total = int(made_with["batch_size"]), len(listed.manifest)
    sweep_shards(folder)  # of a plan that is gone: they would pass for shards of this one
    batches = -(-total // batch)
    bounds = [min(total, batches * number // count * batch) for number in range(count + 1)]
    shards, start = list[Shard](), 0
    with replacing(folder / LISTING) as temporary, temporary.open("wb") as stream:
        rows = _lines(listed)
        for first, last in itertools.pairwise(bounds):
            digest, size = hashlib.sha256(), 0
            for _ in range(first, last):
                line = next(rows)
                digest.update(line)
                size += stream.write(line)
            shards.append(Shard(start, size, last - first, digest.hexdigest()))
            start += size
    content = {"format": FORMAT, "made_with": dict(made_with), "model": dict(model), "asked": dict(asked)}
    content |= {"root": root, "name": listed.manifest.name, "shards": [shard._asdict() for shard in shards]}
    content["passed"] = [_as_text(entry) for entry in listed.passed]
    write_json(folder / PLAN, content)
    plan = read_plan(folder)
    if plan is None:
        raise IndexFileError(f"{folder / PLAN} was removed by another process.", "Run the command again.")
    return plan


@contextlib.contextmanager
def planning(folder: Path, reporter: Reporter) -> Iterator[None]:
    """Hold the lock of a folder's plan; wait for another process that makes or merges it.

    Raises:
        IndexFileError: If the folder cannot be written, or the other process takes too long.
    """
    file = folder / LOCK
    try:
        handle = _acquire(file, patience=0)
        if handle is None:
            reporter.note(f"Another process makes or merges the plan{lock_holder(file)}: waiting for it.")
            handle = _acquire(file, patience=PATIENCE)
    except OSError as error:
        raise IndexFileError(f"Cannot write {folder}: {error.strerror}.", "Choose another --output.") from error
    if handle is None:
        raise IndexFileError(f"{folder} is still locked{lock_holder(file)}.", "Run the command again later.")
    try:
        yield
    finally:
        release_lock(file, handle)
        with contextlib.suppress(OSError):  # it stays if there is anything in it
            folder.rmdir()


def _acquire(file: Path, *, patience: float) -> int | None:
    """Acquire a lock in a folder that another holder may remove at any time, when it is empty."""
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return acquire_lock(file, patience=patience)


def check_same(plan: ShardPlan, count: int, wanted: Mapping[str, Any]) -> None:
    """Check that a command asks for the work of a plan.

    Args:
        plan: The plan.
        count: The number of shards that the command names.
        wanted: What the command asks for, of `made_with` and `asked`.

    Raises:
        SettingError: If it does not; the message names the first difference.
    """
    known = {**plan.asked, **plan.made_with, "shards": len(plan.shards)}
    for name, value in {**wanted, "shards": count}.items():
        if known.get(name) != value:
            raise SettingError(
                f"{plan.folder} has a plan with {_said(name, known.get(name))}; this command has {_said(name, value)}.",
                f"Use the same options on every machine. For other work: another --output, or remove {plan.folder}.",
            )


def _as_text(entry: PassedOver) -> dict[str, Any]:
    """Return what was passed over, ready for JSON: names that are not UTF-8 are spelled."""
    texts = {
        name: text if is_text(text) else spelled(text)
        for name, text in dataclasses.asdict(entry).items()
        if name != "count"
    }
    return {**texts, "count": entry.count}


def _said(name: str, value: Any) -> str:
    shown = "none" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{name.replace('_', ' ')} {spelled(shown)}"


def _lines(listed: Listed) -> Iterator[bytes]:
    """Yield a line of JSON for each image: path, identity, camera, further columns, and the encoder's camera."""
    cameras: Sequence[str | None] = listed.cameras or [None] * len(listed.manifest)
    for row, camera in zip(listed.manifest, cameras, strict=True):
        extra = [pair for pair in row.extra if pair[1] and not CAPTION_COLUMN.fullmatch(pair[0])]
        yield json.dumps([row.path, row.identity, row.camera, extra, camera]).encode() + b"\n"
