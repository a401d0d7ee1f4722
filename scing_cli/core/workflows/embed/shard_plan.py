"""The plan of `scing embed --shards`: which image belongs to which shard, and what all shards have in common.

`gallery.shards/` next to `gallery.faiss` has `plan.json`, the listing of the images that was made once
(`listing.jsonl`, a line for each image), and for each finished shard an index (such as `0007-1f0a8c3e.faiss` with its
rows, unless no image could be read) and a mark (`0007.json`), which is written last and names the index. Every process
gives an index a name of its own: also where no lock keeps two of them apart, one rename finishes a shard.

A shard is a range of the listing that begins where a batch of the whole begins, so that its vectors are those that one
process would compute. Its number decides its images, and the plan's digest is in the index of every shard: the same
work done twice gives the same file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scing_cli.core.artifacts import (
    FORMAT,
    check_content,
    read_json,
    text_digest,
    write_json,
)
from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.passed_over import PassedOver
from scing_cli.core.errors import IndexFileError, RunError
from scing_cli.core.index.index_stamp import SUFFIX
from scing_cli.core.manifest import Manifest, Sample
from scing_cli.core.safe_reading import check_ordinary
from scing_cli.core.workflows.embed.listed_gallery import Listed

PLAN, LISTING = "plan.json", "listing.jsonl"
LATEST = 2**62  # bytes; no file is as long
FILES = re.compile(
    r"\.?(\d{4,})(?:-[0-9a-f]{8}|\.unfinished)?\.(?:json|faiss|(?:rows|vectors|removed|changed)-\d+)(?:\.lock|\.[0-9a-f]{8}\.part)?"
)
DIGITS = 4  # of a shard's number in names of files; more where they are needed


class Shard(NamedTuple):
    """A range of the listing.

    Args:
        start: Where its lines begin in the listing, in bytes.
        size: Length of its lines in bytes.
        images: Number of images.
        digest: SHA-256 of its lines.
    """

    start: int
    size: int
    images: int
    digest: str


@dataclasses.dataclass(frozen=True)
class Mark:
    """What is known of a finished shard.

    Args:
        rows: Number of rows of its index.
        left_out: The images that cannot be read.
        index: The name of its index; of a shard without rows there is no such file.
    """

    rows: int
    left_out: tuple[Dropped, ...]
    index: str = ""


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """A plan that was read from its folder.

    Args:
        folder: The folder.
        digest: Digest of the plan's content.
        made_with: What makes the vectors: digest of the model, engine, precision, descriptor, width and batch size.
        model: Where the encoder is, as in `Stamp.model` of the whole index.
        asked: Which images were asked for.
        root: The folder that the paths of the listing are relative to.
        name: The name of the data.
        shards: The shards.
        passed: What was passed over in the folders of images when they were listed.
    """

    folder: Path
    digest: str
    made_with: Mapping[str, Any]
    model: Mapping[str, Any]
    asked: Mapping[str, Any]
    root: Path
    name: str
    shards: Sequence[Shard]
    passed: tuple[PassedOver, ...] = ()

    @property
    def images(self) -> int:
        """Number of images of all shards."""
        return sum(shard.images for shard in self.shards)

    def work(self, number: int) -> Path:
        """Return the file after which the lock and the partial results of a shard are named."""
        return self.folder / f"{self._numbered(number)}{SUFFIX}"

    def new_index(self, number: int) -> Path:
        """Return a file for a shard's index that no other process writes."""
        return self.folder / f"{self._numbered(number)}-{secrets.token_hex(4)}{SUFFIX}"

    def mark_file(self, number: int) -> Path:
        """Return the file that is written when a shard is finished."""
        return self.folder / f"{self._numbered(number)}.json"

    def listed(self, number: int) -> Listed:
        """Return the images of a shard.

        Raises:
            IndexFileError: If the listing was changed.
        """
        shard, file = self.shards[number], self.folder / LISTING
        try:
            check_ordinary(file)
            with file.open("rb") as stream:
                stream.seek(min(shard.start, LATEST))
                content = stream.read(min(shard.size, file.stat().st_size))
        except OSError as error:
            raise _damaged(self.folder, f"{file} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise _damaged(self.folder, f"{file} cannot be read: {error}.") from error
        if hashlib.sha256(content).hexdigest() != shard.digest:
            raise _damaged(self.folder, f"{file} was changed since the plan was made.")
        try:
            rows = list(map(_read_line, content.splitlines()))
        except (ValueError, TypeError) as error:
            raise _damaged(self.folder, f"{file} has a line that is not one of scing.") from error
        if len(rows) != shard.images:
            raise _damaged(self.folder, f"{file} does not have the number of images of the plan.")
        cameras = [camera for _, camera in rows]
        known = [camera for camera in cameras if camera is not None]
        samples = tuple(sample for sample, _ in rows)
        return Listed(Manifest(self.root, samples, self.name), known if len(known) == len(rows) > 0 else None)

    def mark(self, number: int) -> Mark | None:
        """Return the mark of a finished shard, for one without images too; None if the shard is not finished.

        Raises:
            IndexFileError: If it is damaged, or of another plan.
        """
        file = self.mark_file(number)
        if not self.shards[number].images:
            return Mark(0, ())
        if not file.exists():
            return None
        again = f"Remove it, and run the embed command again with --shard {number}."
        content = read_checked("shard mark", file, again)
        if (content["plan"], content["shard"]) != (self.digest, number):
            raise IndexFileError(f"{file} is of another plan than {self.folder / PLAN}.", again)
        lost = tuple(Dropped(path, reason) for path, reason in content["left_out"])
        mark = Mark(content["rows"], lost, content.get("index") or self.work(number).name)
        if mark.rows + len(mark.left_out) != self.shards[number].images:
            raise IndexFileError(f"{file} does not have the number of images of its shard.", again)
        return mark

    def finish(self, number: int, mark: Mark) -> None:
        """Write the mark of a shard whose index is written."""
        lost = [[fault.path, fault.reason] for fault in mark.left_out]
        content = {"format": FORMAT, "plan": self.digest, "shard": number, "rows": mark.rows, "left_out": lost}
        write_json(self.mark_file(number), {**content, "index": mark.index})

    def missing(self) -> list[int]:
        """Return the numbers of the shards that are not finished; none if the plan is gone."""
        there = set[str]()
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as found:
            there = {file.name for file in found if file.is_file()}
        if PLAN not in there:
            return []
        return [n for n, shard in enumerate(self.shards) if shard.images and self.mark_file(n).name not in there]

    def is_there(self) -> bool:
        """Return whether the plan is still in its folder; it is removed when its shards are merged."""
        return (self.folder / PLAN).exists()

    def _numbered(self, number: int) -> str:
        return f"{number:0{max(DIGITS, len(str(len(self.shards) - 1)))}d}"


def sweep_shards(folder: Path, *, keep: Collection[int] = ()) -> None:
    """Remove all files of shards, also half-written ones; other files stay.

    Args:
        folder: The folder.
        keep: The numbers of shards whose files stay.
    """
    for file in list(folder.iterdir()) if folder.is_dir() else ():
        found = FILES.fullmatch(file.name)
        if found and int(found[1]) not in keep and not file.is_dir():
            file.unlink(missing_ok=True)


def shards_folder(output: Path) -> Path:
    """Return the folder of an index's shards.

    >>> shards_folder(Path("gallery.faiss")).name
    'gallery.shards'
    """
    return output.with_name(output.name.removesuffix(SUFFIX) + ".shards")


def check_readable(folder: Path) -> None:
    """Check that this user can list a folder of shards and read its files, if it is there.

    Raises:
        IndexFileError: If not.
    """
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder):
            (folder / PLAN).exists()
    except OSError as error:
        raise IndexFileError(f"{folder} cannot be read: {error.strerror}.", "Whoever made it can allow it.") from error


def read_plan(folder: Path) -> ShardPlan | None:
    """Return the plan of a folder; None if there is none.

    Raises:
        IndexFileError: If it is damaged.
    """
    file = folder / PLAN
    if not file.exists():
        return None
    try:
        content = read_checked("shard plan", file, f"Remove {folder}, and run the embed command again.")
    except IndexFileError:
        if file.exists():
            raise
        return None  # its shards were merged just now
    shards = tuple(Shard(each["start"], each["size"], each["images"], each["digest"]) for each in content["shards"])
    if not any(shard.images for shard in shards):
        raise _damaged(folder, f"{file} plans no image.")
    return ShardPlan(
        folder,
        text_digest(json.dumps(content, sort_keys=True)),
        content["made_with"],
        content["model"],
        content["asked"],
        Path(content["root"]),
        content["name"],
        shards,
        tuple(PassedOver(**entry) for entry in content.get("passed", ())),
    )


def read_checked(kind: str, file: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON file of a folder of shards.

    Args:
        kind: Its schema, a key of `schema_kinds.KINDS`.
        file: The file.
        remedy: What to do if it is damaged.

    Raises:
        IndexFileError: If it is missing, damaged or has a value that nobody may write.
    """
    try:
        content = read_json(file, remedy=remedy)
        check_content(kind, content, file, remedy=remedy)
    except RunError as error:
        raise IndexFileError(error.what, error.remedy) from error
    return content


def _read_line(line: bytes) -> tuple[Sample, str | None]:
    """Return an image of the listing, and the camera that the encoder is told.

    Raises:
        ValueError: If the line is none that the listing can have.
        TypeError: For the same reason.
    """
    path, identity, camera, further, seen_by = json.loads(line)
    extra = tuple((name, value) for name, value in further)
    texts = [path, identity, camera, *(text for pair in extra for text in pair)] + [seen_by] * (seen_by is not None)
    if not all(isinstance(text, str) and "\0" not in text for text in texts) or not path:
        raise ValueError
    os.fsencode("".join(texts))  # raises for what cannot be a file's name
    return Sample(path, identity, camera, extra=extra), seen_by


def _damaged(folder: Path, what: str) -> IndexFileError:
    return IndexFileError(what, f"Restore it, or remove {folder} and run the embed command again.")
