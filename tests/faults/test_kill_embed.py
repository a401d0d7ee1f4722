"""`embed` and `embed --append`, killed at any moment: the index is the old or the new one, and a second call succeeds."""

from __future__ import annotations

import re
import shutil
import sqlite3

import faiss
import pytest
from faults.killing import Command, Moment, moments, survive

from scing_cli.core.index import GalleryIndex

FILES = re.compile(r"gallery\.(faiss|rows-\d+)")
MADE = ["encoder.bin", "encoder.xml", "stamp.json"]
UNFINISHED = re.compile(r"\.?gallery\.unfinished\..*")  # what is done is kept after every batch here
OFTEN = ("--save-minutes", "0")
LEFT = re.compile(
    r"gallery\.faiss|gallery\.rows-\d+|\.gallery\.(faiss|rows-\d+)\.[0-9a-f]{8}\.part|\.gallery\.faiss\.lock"
)


def content(index):
    """Everything that an index says: ids, rows, vectors, next id."""
    read = GalleryIndex.read(index)
    return read.rows(), read.vectors().tobytes(), read.stamp.next_id


def read_plainly(index):
    """Return the ids in faiss's file and those in the rows beside it, without this program's readers."""
    vectors = faiss.read_index(str(index))
    generation = GalleryIndex.read(index).stamp.generation
    with sqlite3.connect(index.with_name(f"gallery.rows-{generation}")) as rows:
        ids = [number for (number,) in rows.execute("SELECT id FROM rows ORDER BY id")]
    return faiss.vector_to_array(vectors.id_map).tolist(), ids


def check_whole(index, states):
    """Check that an index is one of some states, to this program and to faiss alone, each row once."""
    found = content(index)
    assert found in states
    ids, rows = read_plainly(index)
    assert sorted(ids) == rows == [row.id for row in found[0]]
    assert len(set(ids)) == len(ids) == len({row.path for row in found[0]})


def check_leftovers(index, *, refused=False):
    """Check that nothing foreign lies beside an index, and that the next write leaves it and its rows alone.

    A command that is refused, as what it wrote is there already, leaves what it had kept on the way.
    """
    for file in index.parent.iterdir():
        if not LEFT.fullmatch(file.name):
            assert UNFINISHED.fullmatch(file.name), file.name
            assert refused or file.name.endswith((".part", ".lock")), file.name
            file.unlink()
    read = GalleryIndex.read(index)
    generation = read.write(index).generation
    assert sorted(file.name for file in index.parent.iterdir()) == ["gallery.faiss", f"gallery.rows-{generation}"]


class Ground:
    """Images, the index of some of them, and the index of all after `--append`: made undisturbed."""

    def __init__(self, folder, finished, world):
        self.folder = folder
        self.run = folder / "run"
        shutil.copytree(finished, self.run)
        self.images = folder / "images"
        self.images.mkdir()
        crops = sorted(world.glob("*/*.jpg"))
        for crop in crops[:30]:
            shutil.copy2(crop, self.images)
        self.before = folder / "before" / "gallery.faiss"
        self.before.parent.mkdir()
        assert self.command(self.before).run().code == 0
        for crop in crops[30:]:
            shutil.copy2(crop, self.images)
        for old, new in zip(sorted(self.images.iterdir())[:3], crops[-3:], strict=True):
            shutil.copyfile(new, old)
        self.after, self.anew = (folder / name / "gallery.faiss" for name in ("after", "anew"))
        shutil.copytree(self.before.parent, self.after.parent)
        self.append_cost = self.command(self.after, "--append").measure()
        self.anew.parent.mkdir()
        self.fresh_cost = self.command(self.anew).measure()

    def command(self, index, *more, run=None):
        arguments = ("embed", "--run", run or self.run, "--images", self.images, "--output", index, *more)
        return Command(arguments, self.folder, index.parent)


@pytest.fixture(scope="module")
def ground(tmp_path_factory, finished, world):
    made = Ground(tmp_path_factory.mktemp("ground"), finished, world)
    before, after = content(made.before), content(made.after)
    assert (len(before[0]), len(after[0]), after[2]) == (30, 54, 57)
    return made


def append_killed(ground, folder, kills, seed):
    states = [content(ground.before), content(ground.after)]

    def fresh(number):
        index = folder / str(number) / "gallery.faiss"
        shutil.copytree(ground.before.parent, index.parent)
        return ground.command(index, "--append", *([], OFTEN)[number % 2])

    def between(command, killed):
        check_whole(command.watched / "gallery.faiss", states)

    def finish(command, ended):
        assert ended.code == 0, ended.err
        check_whole(command.watched / "gallery.faiss", states[1:])
        check_leftovers(command.watched / "gallery.faiss")

    return survive(fresh, moments(*ground.append_cost, seed=seed), kills=kills, between=between, finish=finish)


def fresh_killed(ground, folder, kills, seed):
    whole = [content(ground.anew)]

    def fresh(number):
        index = folder / str(number) / "gallery.faiss"
        index.parent.mkdir(parents=True)
        return ground.command(index, *([], ["--append"], ["--force"])[number % 3], *([], OFTEN)[number % 2])

    def between(command, killed):
        index = command.watched / "gallery.faiss"
        if index.exists():
            check_whole(index, whole)

    def finish(command, ended):
        """Plain `embed` refuses to replace the index that it had finished before it was killed; the others go on."""
        index = command.watched / "gallery.faiss"
        refused = ended.code == 2 and "is there already" in ended.err
        assert not (refused and {"--append", "--force"} & set(command.arguments))
        assert ended.code == 0 or refused, ended.err
        check_whole(index, whole)
        check_leftovers(index, refused=refused)

    return survive(fresh, moments(*ground.fresh_cost, seed=seed), kills=kills, between=between, finish=finish)


def test_a_killed_append_leaves_the_state_before_or_after(ground, tmp_path):
    assert append_killed(ground, tmp_path, 3, seed=1) >= 3


def test_a_killed_embed_leaves_no_index_or_a_whole_one(ground, tmp_path):
    assert fresh_killed(ground, tmp_path, 3, seed=2) >= 3


def test_the_next_writer_removes_what_a_killed_one_left_half_written(ground, tmp_path):
    """Of this index alone, by its names."""
    index = tmp_path / "gallery.faiss"
    for file in ground.before.parent.iterdir():
        shutil.copy(file, tmp_path)
    left = [tmp_path / f".{name}.0a1b2c3d.part" for name in ("gallery.faiss", "gallery.rows-7", "gallery.rows-2")]
    others = [
        tmp_path / name for name in (".other.faiss.0a1b2c3d.part", ".gallery.faiss.part", ".gallery.csv.0a1b2c3d.part")
    ]
    for file in (*left, *others):
        file.write_text("half")
    before = content(index)
    GalleryIndex.read(index).write(index)
    assert content(index) == before
    assert not [file for file in left if file.exists()]
    assert all(file.exists() for file in others)


@pytest.mark.long
def test_thirty_kills_of_each(ground, tmp_path):
    for name, killed in (("embed --append", append_killed), ("embed", fresh_killed)):
        count = killed(ground, tmp_path / name, 60, seed=3)
        print(f"{name}: killed {count} times, survived all")
        assert count >= 60


@pytest.mark.long
@pytest.mark.parametrize("more", [(), ("--append",), OFTEN, ("--append", *OFTEN)], ids=" ".join)
def test_a_kill_at_every_step_of_the_work_on_files(ground, tmp_path, more):
    appends = "--append" in more
    states = [content(ground.before), content(ground.after)] if appends else [content(ground.anew)]
    for step in range(1, 1000):
        index = tmp_path / str(step) / "gallery.faiss"
        index.parent.mkdir()
        if appends:
            shutil.copytree(ground.before.parent, index.parent, dirs_exist_ok=True)
        command = ground.command(index, *more)
        if not command.run(Moment(step=step)).killed:
            break
        if appends or index.exists():
            check_whole(index, states)
        ended = command.run()
        assert ended.code == 0 or "is there already" in ended.err, ended.err
        check_whole(index, states[-1:])
        check_leftovers(index, refused=ended.code != 0)
    print(f"embed {' '.join(more)}: killed at each of {step - 1} steps, survived all")
    assert step > 15


@pytest.mark.long
def test_a_kill_while_the_inference_copy_is_made(ground, tmp_path):
    """The next command makes it anew, or finds it whole; what the killed one left is not in its way."""

    def fresh(number):
        run = tmp_path / str(number) / "run"
        shutil.copytree(ground.run, run, ignore=shutil.ignore_patterns("inference"))
        command = ground.command(run.parent / "gallery.faiss", "--force", run=run)
        return Command(command.arguments, ground.folder, run / "visual")

    def between(command, killed):
        assert (command.watched / "image_encoder.safetensors").is_file()

    def finish(command, ended):
        assert ended.code == 0, ended.err
        assert not re.search("damaged|cannot be used", ended.err), ended.err
        index = command.watched.parent.parent / "gallery.faiss"
        assert content(index) == content(ground.anew)
        assert sorted(file.name for file in (command.watched / "inference").iterdir()) == MADE

    cost = fresh(0).measure()
    shutil.rmtree(tmp_path / "0")
    count = survive(fresh, moments(*cost, seed=4), kills=30, between=between, finish=finish)
    print(f"embed that makes the inference copy: killed {count} times, survived all")
    assert count >= 30
