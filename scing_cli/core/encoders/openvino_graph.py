"""CLIP's image tower as a graph that OpenVINO runs, built from its weights alone.

It computes what `image.ImageEncoder` computes in evaluation mode. The last block is run for the class token alone:
nothing else of what leaves it is read.

Legend: B batch, H x W' pixels, n patches, W width of the tower, h heads, D width of the joint embedding, C cameras.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scing_cli.core.encoders.geometry import Geometry
from scing_cli.core.encoders.openvino_runtime import openvino, ops

Node = Any
State = Mapping[str, npt.NDArray[np.float32]]
EPSILON = 1e-5  # of the layer norms, as in open_clip
QUICK = 1.702


def image_graph(state: State, geometry: Geometry, model: Mapping[str, Any]) -> openvino.Model:
    """Build the graph of an image tower.

    Args:
        state: The tower's weights under its own names, float32.
        geometry: The tower's.
        model: The tower's `config`.

    Returns:
        A model with the inputs `pixels`, (B, 3, H, W') float32, normalised, and, for a tower that knows cameras,
        `cameras`, (B,) int64: places of their vectors, C for none; and the outputs `cls`, (B, W), and `projected`,
        (B, D), not of unit length.
    """
    tower = _Tower(state, int(model["heads"]), quick_gelu=bool(model["quick_gelu"]))
    pixels = ops.parameter([-1, 3, geometry.height, geometry.width], np.float32, name="pixels")
    inputs = [pixels]
    first = _constant(state["class_embedding"].reshape(1, 1, -1))
    if model.get("cameras"):
        places = ops.parameter([-1], np.int64, name="cameras")
        inputs.append(places)
        table = np.concatenate([state["camera_embedding"], np.zeros((1, len(state["class_embedding"])), np.float32)])
        first = ops.add(first, ops.unsqueeze(ops.gather(_constant(table), places, _whole(0)), _whole(1)))
    tokens = tower.norm(tower.tokens(pixels, first, geometry), "ln_pre")
    layers = int(model["layers"])
    for number in range(layers):
        tokens = tower.block(tokens, f"transformer.resblocks.{number}.", last=number == layers - 1)
    cls = tower.norm(ops.squeeze(tokens, _whole(1)), "ln_post")
    projected = ops.matmul(cls, _constant(state["proj"]), transpose_a=False, transpose_b=False)
    outputs = [ops.result(node, name=name) for node, name in ((cls, "cls"), (projected, "projected"))]
    graph = openvino.Model(outputs, inputs, "image encoder")
    for number, node in enumerate(graph.get_ordered_ops()):  # OpenVINO counts on in a process: two graphs would differ
        if node.get_type_name() not in {"Parameter", "Result"}:
            node.set_friendly_name(f"{node.get_type_name()}_{number}")
    return graph


class _Tower:
    """The parts of the tower.

    Args:
        state: Its weights.
        heads: h.
        quick_gelu: Whether the MLPs use x * sigmoid(1.702 x).
    """

    def __init__(self, state: State, heads: int, *, quick_gelu: bool) -> None:
        self.state = state
        self.heads = heads
        self.quick_gelu = quick_gelu

    def tokens(self, pixels: Node, first: Node, geometry: Geometry) -> Node:
        """Cut pixels into patches and add the class token, (1 or B, 1, W), and the positions: (B, 1 + n, W)."""
        step, weights = [geometry.stride] * 2, self.state["conv1.weight"]
        patches = ops.convolution(pixels, _constant(weights), step, [0, 0], [0, 0], [1, 1])
        patches = ops.reshape(patches, _whole(0, len(weights), -1), special_zero=True)  # (B, W, n)
        patches = ops.transpose(patches, _whole(0, 2, 1))
        batch = ops.slice(ops.shape_of(pixels), *(_whole(value) for value in ([0], [1], [1], [0])))
        first = ops.broadcast(first, ops.concat([batch, _whole(1, len(weights))], 0))
        return ops.add(ops.concat([first, patches], 1), _constant(self.state["positional_embedding"][None]))

    def block(self, tokens: Node, name: str, *, last: bool) -> Node:
        """Run a residual attention block on (B, 1 + n, W); of the last one only the class token is wanted."""
        normal = self.norm(tokens, name + "ln_1")
        asking = normal
        if last:
            tokens, asking = (_first_place(node) for node in (tokens, normal))
        tokens = ops.add(tokens, self.attention(asking, normal, name + "attn."))
        hidden = self.linear(self.norm(tokens, name + "ln_2"), name + "mlp.c_fc.")
        hidden = ops.swish(hidden, _constant(np.float32(QUICK))) if self.quick_gelu else ops.gelu(hidden, "erf")
        return ops.add(tokens, self.linear(hidden, name + "mlp.c_proj."))

    def attention(self, asking: Node, normal: Node, name: str) -> Node:
        """Let some places, (B, q, W), attend to all, (B, 1 + n, W)."""
        weights, biases = (np.split(self.state[f"{name}in_proj_{part}"], 3) for part in ("weight", "bias"))
        query, key, value = (
            self._by_head(_affine(node, weight, bias))
            for node, weight, bias in zip((asking, normal, normal), weights, biases, strict=True)
        )
        mixed = ops.transpose(ops.scaled_dot_product_attention(query, key, value), _whole(0, 2, 1, 3))
        width = len(biases[0])
        return self.linear(ops.reshape(mixed, _whole(0, -1, width), special_zero=True), name + "out_proj.")

    def norm(self, node: Node, name: str) -> Node:
        """Apply a layer norm over the last axis."""
        normal = ops.mvn(node, _whole([-1]), True, EPSILON, "inside_sqrt")
        scaled = ops.multiply(normal, _constant(self.state[name + ".weight"]))
        return ops.add(scaled, _constant(self.state[name + ".bias"]))

    def linear(self, node: Node, name: str) -> Node:
        """Apply a linear layer to the last axis."""
        return _affine(node, self.state[name + "weight"], self.state[name + "bias"])

    def _by_head(self, node: Node) -> Node:
        """Part (B, places, W) by heads: (B, h, places, W / h)."""
        parted = ops.reshape(node, _whole(0, 0, self.heads, -1), special_zero=True)
        return ops.transpose(parted, _whole(0, 2, 1, 3))


def _affine(node: Node, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> Node:
    return ops.add(ops.matmul(node, _constant(weight), transpose_a=False, transpose_b=True), _constant(bias))


def _first_place(node: Node) -> Node:
    return ops.slice(node, *(_whole(value) for value in ([0], [1], [1], [1])))


def _constant(values: Any) -> Node:
    return ops.constant(np.asarray(values, order="C"))


def _whole(*values: Any) -> Node:
    """Return whole numbers as a constant: one alone as a scalar, a list of one as a vector."""
    return _constant(np.array(values[0] if len(values) == 1 else values, np.int64))
