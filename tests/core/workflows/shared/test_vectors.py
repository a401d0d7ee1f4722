"""Files -> vectors: the same vector for the same picture, few pictures in memory, advice when memory runs out."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_clip

from scing_cli.core.datasets.left_out import LeftOut
from scing_cli.core.embeddings.torch_embedder import TorchEmbedder
from scing_cli.core.errors import DataError, ImageError, ScingError
from scing_cli.core.runtime import Advance, Silent
from scing_cli.core.spectra import View
from scing_cli.core.workflows.shared import vectors
from scing_cli.core.workflows.shared.vectors import embed_files, in_threads


class Telling(Silent):
    """A reporter that remembers its bars."""

    def __init__(self) -> None:
        self.bars: dict[str, list[int]] = {}

    @contextlib.contextmanager
    def progress(self, description: str, total: int) -> Iterator[Advance]:
        self.bars[description] = [0, total]

        def advance(steps: int, text: str = "") -> None:
            self.bars[description][0] += steps

        yield advance


@pytest.fixture(scope="module")
def embedder() -> TorchEmbedder:
    return TorchEmbedder(
        tiny_clip().image, kind="projected", device=torch.device("cpu"), precision="fp32", batch_size=4, workers=2
    )


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    draw = np.random.default_rng(3)
    files = [tmp_path / f"{number}.png" for number in range(11)]
    for file in files:
        Image.fromarray(draw.integers(0, 255, (70, 40, 3), dtype=np.uint8)).save(file)
    return files


def test_a_photo_has_one_vector_alone_in_a_folder_and_with_a_box_round_all_of_it(
    embedder: TorchEmbedder, photos: list[Path]
) -> None:
    together = embed_files(embedder, photos, reporter=Silent(), text="x")
    boxed = embed_files(embedder, photos, box=(0, 0, 40, 70), reporter=Silent(), text="x")
    alone = np.concatenate([embed_files(embedder, [photo], reporter=Silent(), text="x") for photo in photos])
    np.testing.assert_allclose(boxed, together, atol=1e-6)
    np.testing.assert_allclose(alone, together, atol=1e-6)
    part = embed_files(embedder, photos[:1], box=(5, 10, 20, 30), reporter=Silent(), text="x")
    cut = photos[0].with_name("cut.png")
    with Image.open(photos[0]) as image:
        image.crop((5, 10, 25, 40)).save(cut)
    np.testing.assert_allclose(part, embed_files(embedder, [cut], reporter=Silent(), text="x"), atol=1e-6)


@pytest.mark.parametrize("box", [None, (0, 0, 40, 70)])
def test_progress_reaches_its_total_and_faults_name_the_file(
    embedder: TorchEmbedder, photos: list[Path], box: tuple[int, int, int, int] | None
) -> None:
    telling = Telling()
    embed_files(embedder, photos, box=box, reporter=telling, text="photos")
    assert telling.bars == {"photos": [11, 11]}
    photos[7].write_text("a letter\n" * 20)
    with pytest.raises(ImageError, match=r"7\.png is not an image: its first bytes are text"):
        embed_files(embedder, photos, box=box, reporter=Silent(), text="photos")


@pytest.mark.parametrize("box", [None, (0, 0, 40, 70)])
def test_files_that_cannot_be_read_are_left_out_and_the_others_keep_their_vectors(
    embedder: TorchEmbedder, photos: list[Path], box: tuple[int, int, int, int] | None
) -> None:
    whole = embed_files(embedder, photos, box=box, reporter=Silent(), text="photos")
    lost = [0, 4, 5, 6, 7, 10]  # among them a whole batch
    for row in lost:
        photos[row].write_text("a letter\n" * 20)
    telling, left_out = Telling(), LeftOut()
    found = embed_files(embedder, photos, box=box, reporter=telling, text="photos", left_out=left_out)
    assert telling.bars == {"photos": [11, 11]}
    assert [fault.path for fault in left_out.dropped()] == [str(photos[row]) for row in lost]
    assert {fault.reason for fault in left_out.dropped()} == {"is not an image: its first bytes are text"}
    kept = [row for row in range(11) if row not in lost]
    np.testing.assert_allclose(found[kept], whole[kept], atol=1e-6)
    assert not found[lost].any()
    with pytest.raises(ImageError, match=r"0\.png is not an image"):
        embed_files(embedder, photos, box=box, reporter=Silent(), text="photos", left_out=LeftOut(strict=True))


def test_a_box_that_leaves_the_photo_is_refused(embedder: TorchEmbedder, photos: list[Path]) -> None:
    with pytest.raises(DataError, match="41"):
        embed_files(embedder, photos, box=(0, 0, 41, 70), reporter=Silent(), text="x")


def test_boxed_photos_are_not_held_at_full_size(
    embedder: TorchEmbedder, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most one decoded photo a thread is alive at any time."""
    alive, most, lock = 0, 0, threading.Lock()
    read, cut = vectors.read_views, vectors.resize_views

    def counted_read(views: Sequence[View | None]) -> list[Image.Image | None]:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return read(views)

    def counted_cut(*arguments: Any, **named: Any) -> None:
        nonlocal alive
        with lock:
            alive -= 1
        cut(*arguments, **named)

    monkeypatch.setattr(vectors, "read_views", counted_read)
    monkeypatch.setattr(vectors, "resize_views", counted_cut)
    embed_files(embedder, photos, box=(0, 0, 40, 70), reporter=Silent(), text="x")
    assert 1 <= most <= 2


@pytest.mark.parametrize("box", [None, (0, 0, 40, 70)])
@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_names_the_options_that_help(
    embedder: TorchEmbedder,
    photos: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    box: tuple[int, int, int, int] | None,
    error: Exception,
) -> None:
    def fail(pixels: torch.Tensor, cameras: torch.Tensor | None = None) -> None:
        raise error

    monkeypatch.setattr(embedder.encoder, "forward", fail)
    with pytest.raises(ScingError, match="ran out of memory") as caught:
        embed_files(embedder, photos, box=box, reporter=Silent(), text="x")
    assert caught.value.remedy == "Options that help: a smaller --batch-size, --precision bf16, --device cpu."


def test_threads_keep_the_order_and_tell_the_progress() -> None:
    def slow(number: int) -> int:
        time.sleep(0.01 * (number % 3))
        return number * number

    telling = Telling()
    assert in_threads(slow, range(20), workers=4, reporter=telling, text="squares") == [n * n for n in range(20)]
    assert telling.bars == {"squares": [20, 20]}


def test_an_error_in_a_thread_drops_what_is_waiting() -> None:
    done = []

    def work(number: int) -> None:
        if number == 2:
            raise ImageError("2 is broken")
        time.sleep(0.02)
        done.append(number)

    with pytest.raises(ImageError, match="2 is broken"):
        in_threads(work, range(5_000), workers=2, reporter=Silent(), text="x")
    assert len(done) < 2_500
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
