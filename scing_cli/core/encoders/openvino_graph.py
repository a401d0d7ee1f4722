"""Builds CLIP's towers as OpenVINO graphs from their weights, without torch.

The graphs compute the same as `image.ImageEncoder` and `text.TextEncoder` in evaluation mode. The image tower's last
block is computed only for the class token, because no other output of it is used.

Legend: B batch, H x W' pixels, n patches, W width of the tower, h heads, D width of the joint embedding, C cameras, T
tokens of the longest text.
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
MVN_WIDTH = 16  # OpenVINO 2026.4 fails in `mvn` over other multiples, on processors without AVX-512
LAST = np.iinfo(np.int64).max  # ends a slice at the end of the axis
EPSILON = 1e-5  # of the layer norms, as in open_clip
QUICK = 1.702  # of QuickGELU, x * sigmoid(1.702 x)


def image_graph(state: State, geometry: Geometry, model: Mapping[str, Any]) -> openvino.Model:
    """Build the graph of an image tower.

    Args:
        state: The tower's weights by name, float32.
        geometry: The tower's geometry.
        model: The tower's `config`.

    Returns:
        A graph with two inputs and two outputs. The inputs are `pixels`, (B, 3, H, W') float32, normalised, and, if the
        tower has camera vectors, `cameras`, (B,) int64: the rows of these vectors, C for none. The outputs are `cls`,
        (B, W), and `projected`, (B, D), not of unit length.
    """
    tower = _Tower(state, int(model["heads"]), quick_gelu=bool(model["quick_gelu"]))
    pixels = ops.parameter([-1, 3, geometry.height, geometry.width], np.float32, name="pixels")
    inputs = [pixels]
    first = _constant(state["class_embedding"].reshape(1, 1, -1))
    if model.get("cameras"):
        rows = ops.parameter([-1], np.int64, name="cameras")
        inputs.append(rows)
        # Row C of the table is zero, for images without a camera.
        table = np.concatenate([state["camera_embedding"], np.zeros((1, len(state["class_embedding"])), np.float32)])
        first = ops.add(first, ops.unsqueeze(ops.gather(_constant(table), rows, _whole(0)), _whole(1)))
    tokens = tower.norm(tower.tokens(pixels, first, geometry), "ln_pre")
    layers = int(model["layers"])
    for number in range(layers):
        tokens = tower.prompted(tokens, number)
        tokens = tower.block(tokens, f"transformer.resblocks.{number}.", last=number == layers - 1)
    cls = tower.norm(ops.squeeze(tokens, _whole(1)), "ln_post")
    projected = ops.matmul(cls, _constant(state["proj"]), transpose_a=False, transpose_b=False)
    outputs = [ops.result(node, name=name) for node, name in ((cls, "cls"), (projected, "projected"))]
    return _named(openvino.Model(outputs, inputs, "image encoder"))


def text_graph(state: State, model: Mapping[str, Any]) -> openvino.Model:
    """Build the graph of a text tower.

    Args:
        state: The tower's weights by name, float32.
        model: Its `layers`, `heads` and `quick_gelu`.

    Returns:
        A graph with two inputs: `ids`, (B, T) int64, and `ends`, (B,) int64, the place of each text's end token in
        `ids` from 0 on. Ids after it have no effect. The output is `projected`, (B, D), not of unit length.
    """
    tower = _Tower(state, int(model["heads"]), quick_gelu=bool(model["quick_gelu"]))
    ids, ends = (ops.parameter(shape, np.int64, name=name) for shape, name in (([-1, -1], "ids"), ([-1], "ends")))
    length = ops.slice(ops.shape_of(ids), *(_whole([value]) for value in (1, 2, 1, 0)))
    table = state["positional_embedding"]
    if prompts := tower.prompt_tokens:  # words stand after the prompts
        table, ends_of = np.concatenate((table[:1], table[1 + prompts :])), ops.add(ends, _whole(prompts))
    else:
        ends_of = ends
    positions = ops.slice(_constant(table), _whole([0]), length, _whole([1]), _whole([0]))
    tokens = ops.add(ops.gather(_constant(state["token_embedding.weight"]), ids, _whole(0)), positions)
    for number in range(int(model["layers"])):
        tokens = tower.block(tower.prompted(tokens, number), f"transformer.resblocks.{number}.", causal=True)
    # The layer norm treats each token alone, so that of the end tokens is enough.
    last = tower.norm(ops.gather(tokens, ends_of, _whole(1), batch_dims=1), "ln_final")
    projected = ops.matmul(last, _constant(state["text_projection"]), transpose_a=False, transpose_b=False)
    return _named(openvino.Model([ops.result(projected, name="projected")], [ids, ends], "text encoder"))


def _named(graph: openvino.Model) -> openvino.Model:
    # OpenVINO numbers nodes per process; with names by position, equal towers give equal files.
    for number, node in enumerate(graph.get_ordered_ops()):
        if node.get_type_name() not in {"Parameter", "Result"}:
            node.set_friendly_name(f"{node.get_type_name()}_{number}")
    return graph


class _Tower:
    """The layers of a tower.

    Args:
        state: The tower's weights.
        heads: h.
        quick_gelu: Whether the MLPs use x * sigmoid(1.702 x).
    """

    def __init__(self, state: State, heads: int, *, quick_gelu: bool) -> None:
        self.state = state
        self.heads = heads
        self.quick_gelu = quick_gelu
        self.prompt_tokens = state["prompts"].shape[1] if "prompts" in state else 0

    def prompted(self, tokens: Node, number: int) -> Node:
        """Put the deep prompts of a block after the first token, as `deep_prompts.put_prompts` does."""
        if not self.prompt_tokens or number >= len(self.state["prompts"]):
            return tokens
        added = self.prompt_tokens
        # A row of zeros per prompt takes the prompts, so no node depends on the batch size.
        rows = np.concatenate((np.zeros_like(self.state["prompts"][number][:1]), self.state["prompts"][number]))
        first = ops.pad(_first_token(tokens), _whole([0, 0, 0]), _whole([0, added, 0]), "constant")
        start = 1 if number == 0 else 1 + added
        rest = ops.slice(tokens, *(_whole(value) for value in ([start], [LAST], [1], [1])))
        return ops.concat([ops.add(first, _constant(rows[None])), rest], 1)

    def tokens(self, pixels: Node, first: Node, geometry: Geometry) -> Node:
        """Embed the patches and add the class token, (1 or B, 1, W), and position embeddings: (B, 1 + n, W)."""
        step, weights = [geometry.stride] * 2, self.state["conv1.weight"]
        patches = ops.convolution(pixels, _constant(weights), step, [0, 0], [0, 0], [1, 1])
        patches = ops.reshape(patches, _whole(0, len(weights), -1), special_zero=True)  # (B, W, n)
        patches = ops.transpose(patches, _whole(0, 2, 1))
        batch = ops.slice(ops.shape_of(pixels), *(_whole(value) for value in ([0], [1], [1], [0])))
        first = ops.broadcast(first, ops.concat([batch, _whole(1, len(weights))], 0))
        return ops.add(ops.concat([first, patches], 1), _constant(self.state["positional_embedding"][None]))

    def block(self, tokens: Node, name: str, *, last: bool = False, causal: bool = False) -> Node:
        """Run a residual attention block on (B, T, W), with `last` only for the first token."""
        normal = self.norm(tokens, name + "ln_1")
        queries = normal
        if last:
            tokens, queries = (_first_token(node) for node in (tokens, normal))
        tokens = ops.add(tokens, self.attention(queries, normal, name + "attn.", causal=causal))
        hidden = self.linear(self.norm(tokens, name + "ln_2"), name + "mlp.c_fc.")
        hidden = ops.swish(hidden, _constant(np.float32(QUICK))) if self.quick_gelu else ops.gelu(hidden, "erf")
        return ops.add(tokens, self.linear(hidden, name + "mlp.c_proj."))

    def attention(self, queries: Node, normal: Node, name: str, *, causal: bool) -> Node:
        """Let the query tokens, (B, q, W), attend to all tokens, (B, T, W); if `causal`, only to earlier ones."""
        weights, biases = (np.split(self.state[f"{name}in_proj_{part}"], 3) for part in ("weight", "bias"))
        query, key, value = (
            self._by_head(_affine(node, weight, bias))
            for node, weight, bias in zip((queries, normal, normal), weights, biases, strict=True)
        )
        mixed = ops.transpose(ops.scaled_dot_product_attention(query, key, value, causal=causal), _whole(0, 2, 1, 3))
        width = len(biases[0])
        return self.linear(ops.reshape(mixed, _whole(0, -1, width), special_zero=True), name + "out_proj.")

    def norm(self, node: Node, name: str) -> Node:
        """Apply a layer norm over the last axis."""
        weight = self.state[name + ".weight"]
        if len(weight) % MVN_WIDTH:  # the same, in a form that OpenVINO does not turn into `mvn`
            centred = ops.subtract(node, ops.reduce_mean(node, _whole([-1]), keep_dims=True))
            shares = _constant(np.full((len(weight), 1), 1 / len(weight), np.float32))
            variance = ops.matmul(ops.multiply(centred, centred), shares, transpose_a=False, transpose_b=False)
            normal = ops.divide(centred, ops.sqrt(ops.add(variance, _constant(np.float32(EPSILON)))))
        else:
            normal = ops.mvn(node, _whole([-1]), True, EPSILON, "inside_sqrt")
        scaled = ops.multiply(normal, _constant(weight))
        return ops.add(scaled, _constant(self.state[name + ".bias"]))

    def linear(self, node: Node, name: str) -> Node:
        """Apply a linear layer to the last axis."""
        return _affine(node, self.state[name + "weight"], self.state[name + "bias"])

    def _by_head(self, node: Node) -> Node:
        """Split (B, T, W) into heads: (B, h, T, W / h)."""
        split = ops.reshape(node, _whole(0, 0, self.heads, -1), special_zero=True)
        return ops.transpose(split, _whole(0, 2, 1, 3))


def _affine(node: Node, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> Node:
    return ops.add(ops.matmul(node, _constant(weight), transpose_a=False, transpose_b=True), _constant(bias))


def _first_token(node: Node) -> Node:
    return ops.slice(node, *(_whole(value) for value in ([0], [1], [1], [1])))


def _constant(values: Any) -> Node:
    return ops.constant(np.asarray(values, order="C"))


def _whole(*values: Any) -> Node:
    """Return integers as a constant: a single number as a scalar, a list or several numbers as a vector."""
    return _constant(np.array(values[0] if len(values) == 1 else values, np.int64))
