"""Encoders as ONNX and OpenVINO IR: a small network in the manner of OSNet, exported with torch, and graphs by hand."""

from __future__ import annotations

import io
import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HEIGHT, WIDTH, DIM = 64, 32, 24


def _light(channels: int) -> nn.Sequential:
    """A pointwise and a depthwise convolution, OSNet's Lite 3x3."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


class OmniScale(nn.Module):
    """A residual block of streams with growing receptive fields, weighted by one gate that all of them share."""

    def __init__(self, channels: int, out: int, *, streams: int) -> None:
        super().__init__()
        middle = max(out // 4, 8)
        self.reduce = nn.Sequential(nn.Conv2d(channels, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU())
        self.streams = nn.ModuleList(
            nn.Sequential(*[_light(middle) for _ in range(depth)]) for depth in range(1, streams + 1)
        )
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(middle, max(middle // 16, 4), 1),
            nn.ReLU(),
            nn.Conv2d(max(middle // 16, 4), middle, 1),
            nn.Sigmoid(),
        )
        self.expand = nn.Sequential(nn.Conv2d(middle, out, 1, bias=False), nn.BatchNorm2d(out))
        self.shortcut = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        reduced = self.reduce(maps)
        streams = [stream(reduced) for stream in self.streams]
        fused = torch.stack([self.gate(stream) * stream for stream in streams]).sum(0)
        return torch.relu(self.shortcut(maps) + self.expand(fused))


class SmallOsnet(nn.Module):
    """A stem, stages of two omni-scale blocks each, half as large from stage to stage, and a vector.

    With `stages=(64, 256, 384, 512)`, `streams=4` and `dim=512` it is about as large as OSNet x1.0.

    Args:
        stages: Channels of the stem and of each stage.
        streams: Streams of a block.
        dim: Width of the vector.
        form: The output: `vector`, `map`, `both`, `pair`, `tokens` or `class token`.
        seed: Of the weights.
    """

    def __init__(
        self,
        *,
        stages: tuple[int, ...] = (16, 16),
        streams: int = 3,
        dim: int = DIM,
        form: str = "vector",
        seed: int = 0,
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Sequential(
            nn.Conv2d(3, stages[0], 7, 2, 3, bias=False), nn.BatchNorm2d(stages[0]), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        layers: list[nn.Module] = []
        for channels, out in itertools.pairwise(stages):
            layers += [nn.AvgPool2d(2)] if layers else []
            layers += [OmniScale(channels, out, streams=streams), OmniScale(out, out, streams=streams)]
        self.blocks = nn.Sequential(*layers)
        self.head = nn.Linear(stages[-1], dim)
        self.form = form

    def forward(self, images: Tensor) -> Any:
        maps = self.blocks(self.stem(images))
        vectors = self.head(maps.mean(dim=(2, 3)))
        tokens = maps.flatten(2).transpose(1, 2)
        return {
            "vector": vectors,
            "map": maps,
            "both": (maps, vectors),
            "tokens": tokens,
            "class token": torch.cat([tokens.mean(1, keepdim=True), tokens], 1),
            "pair": (vectors, vectors + 1),
        }[self.form]


def osnet(**options: Any) -> SmallOsnet:
    """Return a network in evaluation mode, whose batch normalisation has seen some noise."""
    model = SmallOsnet(**options)
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 3, HEIGHT, WIDTH))
    return model.eval()


def export(
    target: Path,
    model: nn.Module,
    *,
    batch: int | None = None,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    free_size: bool = False,
    outputs: tuple[str, ...] = ("vectors",),
    stated: dict[str, Any] | None = None,
) -> Path:
    """Write a network as ONNX, as its authors would: with a free batch size unless `batch` fixes it."""
    import onnx

    free: dict[int, str] = {} if batch else {0: "batch"}
    axes = {"image": free | ({2: "height", 3: "width"} if free_size else {})} | dict.fromkeys(outputs, free)
    stream = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            model,
            (torch.zeros(batch or 1, 3, *size),),
            stream,
            input_names=["image"],
            output_names=list(outputs),
            dynamic_axes={name: given for name, given in axes.items() if given},
            dynamo=False,
        )
    content = onnx.load_from_string(stream.getvalue())
    if stated is not None:
        content.metadata_props.add(key="scing", value=json.dumps(stated))
    target.write_bytes(content.SerializeToString())
    return target


def as_ir(source: Path, target: Path, stated: dict[str, Any] | None = None) -> Path:
    """Convert ONNX to OpenVINO IR."""
    from scing_cli.core.encoders.openvino_runtime import openvino, openvino_core

    graph = openvino_core().read_model(source)
    if stated is not None:
        graph.set_rt_info(json.dumps(stated), ["scing"])
    openvino.save_model(graph, target, compress_to_fp16=False)
    return target


def reference(model: nn.Module, pixels: np.ndarray, mean: Any, std: Any) -> np.ndarray:
    """Return what the network gives for pixels (B, 3, H, W) of 0 to 255, at unit length."""
    scaled = torch.from_numpy(pixels).double() / 255
    normal = (scaled - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    with torch.no_grad():
        vectors = model(normal.float())
    return torch.nn.functional.normalize(vectors, dim=1).numpy()
