"""Load exported models in processes that cannot import scing: plain onnxruntime, open_clip and transformers.

Each program reads its arguments from JSON: the export, photos, and the file to write. It prepares the photos with Pillow
and NumPy from the export's own metadata, and writes the unit vectors at batches of 1, 3 and 64.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from patience import HANG

PIXELS = """
import json, sys
sys.modules["scing_cli"] = None  # an import of it would fail
import numpy as np
from PIL import Image

place, photos, out = json.load(sys.stdin)

def prepared(facts, photos):
    how = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}[facts["interpolation"]]
    size = (facts["width"], facts["height"])
    images = [np.asarray(Image.open(photo).convert("RGB").resize(size, how), np.float32) for photo in photos]
    pixels = np.stack(images) / 255 * facts["range"]
    assert facts["channels"] == "rgb"
    normal = (pixels - np.float32(facts["mean"])) / np.float32(facts["std"])
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2), np.float32)

def finish(facts, run):
    pixels = prepared(facts, photos)
    many = np.concatenate([pixels] * 64)[:64]
    found = {"one": np.concatenate([run(each[None]) for each in pixels]), "three": run(pixels[:3]), "many": run(many)}
    np.savez(out, **found, digest=facts["digest"])
"""
ONNX = (
    PIXELS
    + """
import onnxruntime
session = onnxruntime.InferenceSession(place, providers=["CPUExecutionProvider"])
facts = json.loads(session.get_modelmeta().custom_metadata_map["scing"])
assert [given.name for given in session.get_inputs()] == ["images"]
finish(facts, lambda pixels: session.run([facts["output"]], {"images": pixels})[0])
"""
)
OPEN_CLIP = (
    PIXELS
    + """
import open_clip, torch
from pathlib import Path
facts = json.loads((Path(place) / "open_clip_config.json").read_text())["scing"]
model, _, preprocess = open_clip.create_model_and_transforms("local-dir:" + place)
own = torch.stack([preprocess(Image.open(photo)) for photo in photos]).numpy()
np.testing.assert_allclose(own, prepared(facts, photos), atol=1e-5)
with torch.no_grad():
    text = model.encode_text(open_clip.get_tokenizer("ViT-B-32")(["a photo of a person"]))
    assert text.shape[1] == model.visual.output_dim
    finish(facts, lambda pixels: model.encode_image(torch.from_numpy(pixels), normalize=True).numpy())
"""
)
TRANSFORMERS = (
    PIXELS
    + """
import torch
from pathlib import Path
from transformers import CLIPImageProcessor, CLIPModel, CLIPVisionModelWithProjection
facts = json.loads((Path(place) / "config.json").read_text())["scing"]
model, report = CLIPModel.from_pretrained(place, output_loading_info=True)
assert not any(report[part] for part in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
tower = CLIPVisionModelWithProjection.from_pretrained(place).eval()
processor = CLIPImageProcessor.from_pretrained(place)
own = processor([Image.open(photo) for photo in photos], return_tensors="np")["pixel_values"]
assert np.abs(own - prepared(facts, photos)).max() < 0.05  # it resizes tensors, not Pillow's images
def run(pixels):
    with torch.no_grad():
        found = tower(pixel_values=torch.from_numpy(pixels)).image_embeds
        return torch.nn.functional.normalize(found, dim=1).numpy()
finish(facts, run)
"""
)


def vectors_elsewhere(program: str, place: Path, photos: list[Path], out: Path) -> dict[str, np.ndarray]:
    """Run a program in an isolated process and return what it wrote."""
    given = json.dumps([str(place.resolve()), list(map(str, photos)), str(out)])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", program],
        input=given,
        cwd=out.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    with np.load(out) as found:
        return dict(found)
