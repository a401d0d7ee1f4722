"""Time to embed JPEG files into an index on the CPU, against the usual loop.

python tests/benchmarks/embed.py [--quick] [--repeats 3] [--images 512]      speed, and what it does to mAP
python tests/benchmarks/embed.py --memory                                    peak memory at 2,000 and 8,000 images

The usual way: open_clip's model in float32 and its own transform, batches of 64, one after the other, the vectors joined
and written as a FAISS index. Ours: what `scing embed` does, with an inference copy that is there. Both start with
weights on disk and end with an index on disk; imports are not timed. mAP is of scing-tiny on drawn people, by float32
vectors of torch and by those of the copy. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import measuring

from scing_cli.core.synthetic import write_world
from scing_cli.core.workflows.embed.embed_gallery import GalleryChoice, embed
from scing_cli.core.workflows.evaluate.evaluate_data import evaluate
from scing_cli.core.workflows.shared.machine import Machine
from scing_cli.core.workflows.shared.model import ModelChoice

BATCH = 64
TINY = Path(__file__).parents[1] / "models" / "test-clip.json"


def usual(folder: Path, model: str, weights: Path, size: tuple[int, int]) -> None:
    import faiss
    import open_clip
    import torch
    from PIL import Image

    network, _, preprocess = open_clip.create_model_and_transforms(
        model, pretrained=str(weights), force_image_size=size
    )
    network.eval()
    files, features = sorted(folder.glob("*.jpg")), []
    with torch.no_grad():
        for start in range(0, len(files), BATCH):
            images = [preprocess(Image.open(file).convert("RGB")) for file in files[start : start + BATCH]]
            features.append(torch.nn.functional.normalize(network.encode_image(torch.stack(images))))
    vectors = torch.cat(features).numpy()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(folder.parent / "usual.faiss"))


def speed(place: Path, given: argparse.Namespace) -> None:
    import open_clip
    import torch

    model, size = ("test-clip", (32, 16)) if given.quick else ("ViT-B-16-quickgelu", (256, 128))
    if given.quick:
        open_clip.add_model_config(TINY)
    torch.manual_seed(0)
    weights = place / "weights.pt"
    torch.save(open_clip.create_model(model).state_dict(), weights)
    crops = drawn_crops(place, given.images)
    choice = ModelChoice(model=str(TINY) if given.quick else model, pretrained=str(weights))

    def ours() -> None:
        embed(
            choice,
            GalleryChoice(images=crops),
            output=place / "gallery.faiss",
            force=True,
            machine=Machine(device="cpu"),
        )

    ours()  # leaves the inference copy, as the first embedding does
    times = measuring.in_turns(lambda: usual(crops, model, weights, size), ours, given.repeats, warm=False)
    figures = precision(place, identities=8 if given.quick else 256)
    apart = round(abs(figures["fp32"] - figures["copy"]), 4)
    name = f"embed {given.images} JPEG files into an index, {model}"
    measuring.line(name, *times, work=given.images, mAP=figures, mAP_apart=apart)


def precision(place: Path, identities: int) -> dict[str, float]:
    """Return the mAP of scing-tiny on drawn people, by torch's float32 vectors and by the copy's."""
    world = place / "world"
    write_world(world, identities=2, test_identities=identities, cameras=4, images_per_camera=2, seed=0, workers=2)
    choice = ModelChoice(model="scing-tiny")
    embed(choice, GalleryChoice(data=world), output=place / "tiny.faiss")  # makes the copy
    plain = evaluate(choice, data=world, machine=Machine(precision="fp32")).scores.mAP
    copied = evaluate(choice, data=world, machine=Machine(precision="bf16")).scores.mAP
    return {"fp32": round(plain, 4), "copy": round(copied, 4), "queries": 4 * identities}


def drawn_crops(place: Path, count: int) -> Path:
    """Draw JPEG files of people, as large as Market-1501's (128x64)."""
    people = -(-count // 8)
    write_world(
        place / "drawn", identities=people, test_identities=1, cameras=4, images_per_camera=2, seed=1, workers=2
    )
    crops = place / "crops"
    crops.mkdir()
    for file in sorted((place / "drawn" / "bounding_box_train").iterdir())[:count]:
        shutil.move(file, crops)
    return crops


def memory(place: Path, sizes: tuple[int, int]) -> None:
    """Embed different numbers of files with scing-tiny, each in a process of its own, and print its peak memory."""
    few = sorted(drawn_crops(place, 200).iterdir())
    code = (
        "import resource, sys\nfrom scing_cli.app import main\ntry:\n    main()\nexcept SystemExit as left:\n"
        "    print(left.code or 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    peaks = {}
    for size in sizes:
        folder = place / str(size)
        folder.mkdir()
        for number in range(size):
            shutil.copy(few[number % len(few)], folder / f"{number}.jpg")
        command = ["embed", "--model", "scing-tiny", "--images", folder, "--output", place / f"{size}.faiss"]
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True, env=os.environ
        )
        status, peak = done.stderr.split()[-2:]
        if status != "0":
            raise SystemExit(done.stderr)
        peaks[f"{size} images"] = round(int(peak) / 1024)
    vectors = round((sizes[1] - sizes[0]) * 2 * 4 * 512 / 2**20)
    print(json.dumps({"name": "peak memory of embed, MB", **peaks, "vectors and index of the difference": vectors}))


def main() -> None:
    parser = measuring.options(__doc__, repeats=3)
    parser.add_argument("--images", type=int, help="files (512; 24 with --quick)")
    parser.add_argument("--memory", action="store_true", help="measure memory instead")
    given = measuring.settle(parser.parse_args())
    given.images = given.images or (24 if given.quick else 512)
    with tempfile.TemporaryDirectory(prefix="scing-embed-") as place:
        os.environ["SCING_CACHE"] = str(Path(place) / "cache")
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        if given.memory:
            memory(Path(place), (2_000, 8_000))
        else:
            speed(Path(place), given)


if __name__ == "__main__":
    main()
