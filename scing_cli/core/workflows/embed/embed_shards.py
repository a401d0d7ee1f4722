"""Embed a gallery shard by shard: any number of processes, on any number of machines, each take the next free one."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scing_cli.core.datasets.dataset import Dropped
from scing_cli.core.datasets.left_out import LeftOut, report_left_out
from scing_cli.core.embeddings import Embedder
from scing_cli.core.embeddings.openvino_embedder import CROPS
from scing_cli.core.encoders.geometry import check_descriptor
from scing_cli.core.errors import IndexFileError, IndexHeldError, InterruptionError, SettingError, counted
from scing_cli.core.index import GalleryIndex, as_file, as_location, write_lock
from scing_cli.core.paths import StrPath, as_paths, lasting
from scing_cli.core.reporting import LIBRARY_REPORTER
from scing_cli.core.runtime import Reporter
from scing_cli.core.workflows.embed.embed_work import ShardBars, Work
from scing_cli.core.workflows.embed.gallery_images import GalleryChoice
from scing_cli.core.workflows.embed.listed_gallery import Listed, open_and_list
from scing_cli.core.workflows.embed.make_shard_plan import check_same, planning, write_plan
from scing_cli.core.workflows.embed.merge_shards import settle_merge
from scing_cli.core.workflows.embed.partial_index import INTERRUPTED, MINUTES
from scing_cli.core.workflows.embed.shard_plan import Mark, ShardPlan, read_plan, shards_folder
from scing_cli.core.workflows.shared.embedder_choice import Crops, choose_embedder
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice, OpenedModel, open_model

REACH_REMEDY = "Is their disk mounted on this machine, and may this user read it? The shard is left to be made again."


@dataclasses.dataclass(frozen=True)
class ShardsReport:
    """What one process did.

    Args:
        folder: The folder of the shards.
        index: The index that they will become.
        shards: Number of shards.
        made: The shards that this process made.
        added: Images that it embedded.
        left_out: Images among them that cannot be read, with the reasons.
        missing: Shards that no process has finished so far.
    """

    folder: Path
    index: Path
    shards: int
    made: tuple[int, ...]
    added: int
    left_out: tuple[Dropped, ...]
    missing: tuple[int, ...]


def embed_shards(
    choice: ModelChoice,
    gallery: GalleryChoice,
    *,
    shards: int,
    shard: int | None = None,
    output: StrPath = Path("gallery.faiss"),
    force: bool = False,
    descriptor: str = "projected",
    save_minutes: float = MINUTES,
    strict: bool = False,
    machine: Machine | None = None,
    reporter: Reporter = LIBRARY_REPORTER,
) -> ShardsReport:
    """Embed one shard of a gallery, or every shard that no other process has taken; `merge_shards` joins them.

    The first process lists the images; all others use its listing. A shard that is there already is not made again.

    Args:
        choice: Which model; the same for all processes.
        gallery: Which images; the same for all processes.
        shards: Number of shards; the same for all processes.
        shard: The one to make, 0 to `shards` - 1; None for one after the other, until none is free.
        output: The index that the shards will become.
        force: `merge_shards` will replace an existing index.
        descriptor: As for `embed`.
        save_minutes: As for `embed`.
        strict: As for `embed`.
        machine: As for `embed`.
        reporter: Receives notes and progress.

    Raises:
        SettingError: If the numbers do not fit, or the shards that are there were made by other options.
        IndexFileError: If the index is there already, or the folder of its shards is damaged or cannot be written.
        ImageError: With `strict`, if an image cannot be read.
        InterruptionError: On Ctrl-C or SIGTERM.
    """
    from scing_cli.core.artifacts.shard_schemas import MOST_SHARDS  # pydantic takes a tenth of a second to import

    location, machine = as_file(output, "--shards"), machine or Machine()
    output = location.named
    if not 1 <= shards <= MOST_SHARDS:
        raise SettingError(f"--shards {shards}: must be at least 1 and at most {MOST_SHARDS:,}.")
    if shard is not None and not 0 <= shard < shards:
        raise SettingError(f"--shard {shard}: the {shards:,} shards have the numbers 0 to {shards - 1}.")
    folder = shards_folder(output)
    location.check_writable()
    settle_merge(folder, output, reporter)
    location.check_free(force=force)
    check_descriptor(descriptor)
    wish = Wish(choice, gallery, shards, descriptor, machine)
    plan, opened = read_plan(folder), None
    if plan is None:
        with planning(folder, reporter):
            location.check_free(force=force)  # its shards may have been made and merged meanwhile
            plan = read_plan(folder)
            if plan is None:
                plan, opened = _new_plan(output, wish, reporter)
    made: list[tuple[int, int, tuple[Dropped, ...]]] = []
    with _unless_merged(plan, reporter):
        model, embedder = opened or _opened(plan, wish, reporter)
        work = Work(model, embedder, output, machine, save_minutes, LeftOut(strict=strict), reporter)
        try:
            for each in _make_all(plan, work, shard):
                made.append(each)  # noqa: PERF402 - what was made counts when the loop is interrupted
        except (KeyboardInterrupt, InterruptionError) as error:
            raise _interrupted(plan, len(made)) from error
    left_out = tuple(fault for _, _, faults in made for fault in faults)
    added = sum(rows for _, rows, _ in made)
    report_left_out(left_out, added + len(left_out), reporter)
    numbers = tuple(number for number, _, _ in made)
    return ShardsReport(folder, output, shards, numbers, added, left_out, tuple(plan.missing()))


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a command asks for."""

    choice: ModelChoice
    gallery: GalleryChoice
    shards: int
    descriptor: str
    machine: Machine


def _new_plan(output: Path, wish: Wish, reporter: Reporter) -> tuple[ShardPlan, tuple[OpenedModel, Embedder]]:
    """List the images and write the plan; return it with the model."""
    model, listed = open_and_list(wish.choice, wish.gallery, reporter)
    embedder = _embedder(model, wish, listed, len(listed.manifest), reporter)
    made_with, where = _made_with(model, embedder), model.seen_from(output)
    folder, asked = shards_folder(output), _asked(wish.gallery)
    if (plan := read_plan(folder)) is not None:  # made while this process listed the images: no lock kept it away
        check_same(plan, wish.shards, {**asked, **made_with})
        return plan, (model, embedder)
    return write_plan(folder, listed, wish.shards, made_with=made_with, model=where, asked=asked), (model, embedder)


def _opened(plan: ShardPlan, wish: Wish, reporter: Reporter) -> tuple[OpenedModel, Embedder]:
    """Open the model for a plan that is there, and check that it is the plan's."""
    check_same(plan, wish.shards, _asked(wish.gallery))
    model = open_model(wish.choice, reporter=reporter)
    first = next(number for number, each in enumerate(plan.shards) if each.images)
    embedder = _embedder(model, wish, plan.listed(first), plan.images, reporter)
    check_same(plan, wish.shards, _made_with(model, embedder))
    return model, embedder


@contextlib.contextmanager
def _unless_merged(plan: ShardPlan, reporter: Reporter) -> Iterator[None]:
    """End a block in peace if files are missing because another process has merged the shards."""
    try:
        yield
    except IndexFileError:
        if plan.is_there():
            raise
        reporter.note(f"{plan.folder} has no plan any more: its shards were merged meanwhile.")


def _interrupted(plan: ShardPlan, made: int) -> InterruptionError:
    there = len(plan.shards) - len(plan.missing())
    what = f"Interrupted; {there:,} of {counted(len(plan.shards), 'shard')} are there, {made:,} of them made here."
    return InterruptionError(what, "Run the same command again to go on.", number=INTERRUPTED, again=True)


def _asked(gallery: GalleryChoice) -> dict[str, Any]:
    """Return which images are asked for, ready for JSON."""
    places = {"images": gallery.images, "data": gallery.data}
    named = {
        name: None if given is None else [lasting(path).as_posix() for path in as_paths(given)]
        for name, given in places.items()
    }
    return {**named, "layout": gallery.layout, "split": gallery.split}


def _made_with(model: OpenedModel, embedder: Embedder) -> dict[str, Any]:
    return {
        "model_digest": model.digest,
        "engine": embedder.engine,
        "precision": embedder.precision,
        "descriptor": embedder.kind,
        "width": embedder.width,
        "batch_size": embedder.batch_size,
    }


def _embedder(model: OpenedModel, wish: Wish, listed: Listed, count: int, reporter: Reporter) -> Embedder:
    """Return the embedder for `count` images, of which `listed` has the first ones."""
    some = listed.part(0, CROPS)
    crops = Crops(some.sources(model), some.cameras)
    return choose_embedder(model, wish.machine, kind=wish.descriptor, crops=crops, count=count, reporter=reporter)


def _make_all(plan: ShardPlan, work: Work, only: int | None) -> Iterator[tuple[int, int, tuple[Dropped, ...]]]:
    """Make the shards that are free; yield number, rows and unreadable images of each."""
    numbers = plan.missing() if only is None else [only]
    while numbers:
        made_any = False
        for number in numbers:
            if not plan.is_there():
                raise IndexFileError(f"{plan.folder} has no plan any more.", "Run the command again.")
            try:
                made = _make(plan, number, work)
            except IndexHeldError as error:
                if only is not None:
                    work.reporter.note(f"{error.what} Nothing is left to do here.")
                continue
            if made is not None:
                made_any = True
                yield number, *made
            elif only is not None:
                work.reporter.note(f"Shard {number} is there already.")
        # A process that held a shard may have ended without it.
        numbers = plan.missing() if only is None and made_any else []


def _is_finished(plan: ShardPlan, number: int) -> bool:
    """Return whether a shard is finished; a damaged or foreign mark counts as none."""
    try:
        return plan.mark(number) is not None
    except IndexFileError:
        return False


def _make(plan: ShardPlan, number: int, work: Work) -> tuple[int, tuple[Dropped, ...]] | None:
    """Embed the images of a shard, write its index and then its mark; None if that was done before.

    Raises:
        IndexHeldError: If another process is making it.
        ImageError: If this machine does not reach its images.
    """
    if _is_finished(plan, number):
        return None
    place, left_out = plan.work(number), LeftOut(strict=work.left_out.strict)
    bars = ShardBars(work.reporter, f"shard {number} of {len(plan.shards)}")
    own = dataclasses.replace(work, output=place, left_out=left_out, reporter=bars)
    with write_lock(place, patience=0):
        if _is_finished(plan, number):
            return None
        with own.embedded(None, plan.listed(number)) as (new, committing):
            left_out.check_reachable(REACH_REMEDY)
            target = plan.new_index(number)
            if len(new):
                index = GalleryIndex.empty(
                    own.embedder.width,
                    model_digest=own.model.digest,
                    model=shard_model(plan, number, own.model.seen_from(target)),
                    descriptor=own.embedder.kind,
                )
                new.add_to(index)
                with committing(as_location(target).state):
                    index.write(target, locked=True)
            plan.finish(number, Mark(len(new), left_out.dropped(), target.name))
    return len(new), left_out.dropped()


def shard_model(plan: ShardPlan, number: int, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return `Stamp.model` of a shard's index, which also says of which plan and which shard it is."""
    return {**model, "plan": plan.digest, "shard": number}
