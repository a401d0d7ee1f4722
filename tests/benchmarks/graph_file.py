"""Images per second of an encoder as ONNX on the CPU, against CLIP's ViT-B/16 and against scing-tiny.

python tests/benchmarks/graph_file.py [--quick] [--repeats 3] [--images 256] [--precision auto|bf16]

The encoder has OSNet's structure and about the size of OSNet x1.0 (256x128 pixels, random weights: they do not change the
speed). Each side is what `scing embed` does with JPEG files of people: decoding, the encoder, the index. CLIP's towers run
as their OpenVINO models, which are there before the first timed run. `--precision` is that of the ONNX. Two JSON lines: `reference` is the tower.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import measuring
from embed import TINY, drawn_crops

sys.path.insert(0, str(Path(__file__).parents[1]))
from graph_models import export, osnet

from scing_cli.core.runtime import Silent
from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice, embed
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice

OSNET = {"stages": (64, 256, 384, 512), "streams": 4, "dim": 512}


def embedding(choice: ModelChoice, crops: Path, index: Path, precision: str = "auto") -> Callable[[], object]:
    images, machine = GalleryChoice(images=crops), Machine(device="cpu", precision=precision)
    return lambda: embed(choice, images, output=index, force=True, machine=machine, reporter=Silent())


def main() -> None:
    parser = measuring.options(__doc__, repeats=3)
    parser.add_argument("--images", type=int, help="files (256; 24 with --quick)")
    parser.add_argument("--precision", default="auto", help="of the ONNX: auto (float32) or bf16")
    given = measuring.settle(parser.parse_args())
    count = given.images or (24 if given.quick else 256)
    with tempfile.TemporaryDirectory(prefix="scing-graph-") as folder:
        place = Path(folder)
        os.environ["SCING_CACHE"] = str(place / "cache")
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        network = osnet(**({} if given.quick else OSNET))
        encoder = export(place / "encoder.onnx", network, size=(256, 128))
        crops = drawn_crops(place, count)
        ours = embedding(ModelChoice(model=str(encoder)), crops, place / "graph.faiss", given.precision)
        large = str(TINY) if given.quick else "ViT-B-16-quickgelu"
        towers = {
            "ViT-B/16": ModelChoice(model=large, pretrained="random"),
            "scing-tiny": ModelChoice(model="scing-tiny"),
        }
        for name, choice in towers.items():
            times = measuring.in_turns(embedding(choice, crops, place / "tower.faiss"), ours, given.repeats)
            parameters = sum(weight.numel() for weight in network.parameters())
            what = f"embed {count} JPEG files, ONNX ({given.precision}) against {name}"
            measuring.line(what, *times, work=count, parameters=parameters)


if __name__ == "__main__":
    main()
