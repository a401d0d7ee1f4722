"""Long runs: memory use stays constant while hundreds of thousands of images are embedded, appended and searched."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from faults.killing import Command

from scing_cli.core.index import GalleryIndex
from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice, embed
from scing_cli.core.workflows.search.search_gallery import search
from scing_cli.core.workflows.shared.model import ModelChoice

MIB = 1024  # KiB
pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")


class Used(NamedTuple):
    """What a command has used: its answer, seconds, peak memory besides mapped files in KiB, and that over its time."""

    answer: dict
    seconds: float
    peak: int
    course: list[int]


def memory(pid):
    """Return a process's memory besides mapped files, in KiB; zero once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.split("RssAnon:")[1].split()[0]) if "RssAnon:" in status else 0


def measured(command):
    """Run a command to its end, and look at its memory every 20 ms."""
    start, course, done = time.monotonic(), [], threading.Event()
    process = command.start()

    def look():
        while not done.wait(0.02):
            course.append(memory(process.pid))

    looking = threading.Thread(target=look)
    looking.start()
    out, err = process.communicate(timeout=1800)
    done.set()
    looking.join()
    assert process.returncode == 0, err
    return Used(json.loads(out), time.monotonic() - start, max(course), [size for size in course if size])


def write_crops(folder, crops, numbers):
    """Write distinct JPEGs: the crops in turn, each with its number as a comment."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        content, note = crops[number % len(crops)], b"%09d" % number
        segment = b"\xff\xfe" + (len(note) + 2).to_bytes(2, "big") + note
        (folder / f"{number:06}.jpg").write_bytes(content[:2] + segment + content[2:])


def grow(run, folder, crops, *, steps, size):
    """Append `size` new images `steps` times, and search after each; return what the commands used."""
    images, index = folder / "images", folder / "gallery.faiss"
    photo = folder / "photo.jpg"
    photo.write_bytes(crops[0])
    appends, searches = [], []
    for step in range(steps):
        write_crops(images, crops, range(step * size, (step + 1) * size))
        arguments = ("--run", run, "--images", images, "--output", index, "--index-type", "flat", "--json")
        append = measured(Command(("embed", *arguments, *(["--append"] if step else [])), folder, folder))
        assert (append.answer["added"], append.answer["count"]) == (size, (step + 1) * size)
        search = measured(Command(("search", photo, "--index", index, "-k", "5", "--json"), folder, folder))
        assert len(search.answer["results"][0]["hits"]) == 5
        appends.append(append)
        searches.append(search)
    return appends, searches


def slope(peaks, size):
    """Return by how many bytes a peak grows with each row of the index."""
    rows = size * np.arange(1, len(peaks) + 1)
    return 1024 * float(np.polyfit(rows, peaks, 1)[0])


def crops_of(world):
    return [file.read_bytes() for file in sorted(world.glob("*/*.jpg"))]


def test_memory_is_measured(finished, world, tmp_path):
    """The soak in small: 3 times 200 images need no more memory than the first 200."""
    appends, searches = grow(finished, tmp_path, crops_of(world), steps=3, size=200)
    assert len(GalleryIndex.read(tmp_path / "gallery.faiss")) == 600
    for used in (appends, searches):
        assert all(one.course and max(one.course) <= one.peak for one in used)
        assert used[-1].peak - used[0].peak < 40 * MIB


@pytest.mark.long
def test_two_hundred_thousand_rows(finished, world, tmp_path):
    """A row costs its vector and what is known of the image; while images are decoded and embedded, nothing grows."""
    steps, size = 10, 20_000
    start = time.monotonic()
    appends, searches = grow(finished, tmp_path, crops_of(world), steps=steps, size=size)
    shutil.rmtree(tmp_path / "images")
    print(f"\n{steps * size:,} rows in {time.monotonic() - start:.0f} s")
    for name, used in (("append", appends), ("search", searches)):
        peaks = [one.peak for one in used]
        print(f"{name}: peaks {[round(peak / MIB) for peak in peaks]} MiB, {slope(peaks, size):,.0f} bytes per row")
        print(f"{name}: seconds {[round(one.seconds, 1) for one in used]}")
        assert slope(peaks, size) < 800
    for number in (0, steps - 1):
        course = appends[number].course
        print(f"append {number + 1} over its time, MiB: {[round(now / MIB) for now in course[:: len(course) // 20]]}")
    half = appends[0].course[len(appends[0].course) // 2 :]  # of it, nearly all is decoding and embedding
    assert max(half) - half[0] < 16 * MIB


@pytest.mark.long
def test_a_process_that_goes_on(finished, world, tmp_path):
    """A program that calls the library again and again needs no more memory than after the first calls."""
    images, index = tmp_path / "images", tmp_path / "gallery.faiss"
    write_crops(images, crops := crops_of(world), range(2000))
    choice, gallery, sizes = ModelChoice(run=finished), GalleryChoice(images=images), []
    embed(choice, gallery, output=index)
    for number in range(200):
        write_crops(images, crops, range(2000 + number, 2001 + number))
        assert embed(choice, gallery, output=index, append=True).added == 1
        assert len(search([images / f"{number:06}.jpg"], index=index, k=5).results[0].hits) == 5
        sizes.append(memory(os.getpid()))
    print(f"\n200 appends and searches, MiB after every 20th: {[round(size / MIB) for size in sizes[::20]]}")
    assert sizes[-1] - sizes[50] < 32 * MIB
