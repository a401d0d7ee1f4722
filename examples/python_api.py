"""Run the six commands from Python: prepare, both stages, an index, the figures, a search.

Usage: python examples/python_api.py DATA [--model NAME] [--pretrained TAG|FILE|random] [--output FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scing_cli import (
    GalleryChoice,
    ModelChoice,
    PromptSettings,
    VisualSettings,
    embed,
    evaluate,
    prepare,
    read_data,
    search,
    train_prompts,
    train_visual,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="ViT-B-16-quickgelu")
    parser.add_argument("--pretrained", help="by default the model's own: openai; shipped models bring theirs")
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--output", type=Path, default=Path("example"))
    given = parser.parse_args()
    folder = given.output

    found = prepare(given.data, output=folder / "manifest.csv")
    for name, part in found.parts.items():
        print(f"{name}: {part.identities} identities, {part.images} images, {part.cameras} cameras")

    prompts = PromptSettings(model=given.model, pretrained=given.pretrained, epochs=given.epochs)
    first = train_prompts(given.data, prompts, run=folder / "run")
    print(f"stage 1: loss {first.fit.first['loss']:.3f} -> {first.fit.last['loss']:.3f}")

    second = train_visual(VisualSettings(epochs=given.epochs), run=first.run.path)
    print(f"stage 2: loss {second.fit.first['loss']:.3f} -> {second.fit.last['loss']:.3f}")

    choice = ModelChoice(run=first.run.path)
    written = embed(choice, GalleryChoice(), output=folder / "gallery.faiss")
    print(f"{written.index}: {written.count} vectors of width {written.width}")

    scores = evaluate(choice).scores
    print(f"mAP {scores.mAP:.2f}  mINP {scores.mINP:.2f}  rank-1 {scores.rank1:.2f}")

    photo = read_data(given.data).manifest.part("query").files()[0]
    result = search(photo, written.index, k=5, montage=folder / "ranking.png")
    for rank, hit in enumerate(result.results[0].hits, 1):
        print(f"{rank}  {hit.score:.4f}  {hit.row.identity}  camera {hit.row.camera}  {hit.row.path}")


if __name__ == "__main__":
    main()
