"""Builds CLIP's image tower as an ONNX graph from its weights, without torch; needs the package `onnx`.

The graph computes unit descriptors as `image.ImageEncoder` and `image.descriptor` do, for any batch size. The last
block is computed only for the class token, because no other output of it is used.

Legend: B batch, H x W' pixels, n patches, W width of the tower, h heads, D width of the descriptor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from scing_cli.core.encoders.geometry import Geometry, check_descriptor

State = Mapping[str, npt.NDArray[np.float32]]
OPSET, IR_VERSION = 17, 8  # the first opset with LayerNormalization, and the format that came with it
INPUT, OUTPUT = "images", "vectors"
LAST = np.iinfo(np.int64).max  # ends a slice at the end of the axis
EPSILON = 1e-5  # of the layer norms, as in open_clip
QUICK = 1.702  # of QuickGELU, x * sigmoid(1.702 x)
SHORTEST = 1e-12  # lower limit of a descriptor's length, as in torch's `normalize`


def image_onnx(state: State, geometry: Geometry, model: Mapping[str, Any], *, kind: str) -> onnx.ModelProto:
    """Build the graph of an image tower without camera vectors.

    Args:
        state: The tower's weights by name, float32.
        geometry: The tower's geometry.
        model: The tower's `config`.
        kind: The descriptor: `projected`, or `concat` for class token and projection joined.

    Returns:
        A model with the input `images`, (B, 3, H, W') float32, normalised, and the output `vectors`, (B, D) float32, of
        unit length.

    Raises:
        SettingError: If the kind is unknown.
    """
    joined = check_descriptor(kind) == "concat"
    tower = _Tower(state, int(model["heads"]), quick_gelu=bool(model["quick_gelu"]))
    tokens = tower.norm(tower.tokens(INPUT, geometry), "ln_pre")
    layers = int(model["layers"])
    for number in range(layers):
        tokens = tower.prompted(tokens, number)
        tokens = tower.block(tokens, f"transformer.resblocks.{number}.", last=number == layers - 1)
    graph = tower.graph
    cls = tower.norm(graph.add("Squeeze", tokens, graph.whole(1)), "ln_post")
    found = graph.add("MatMul", cls, graph.constant(state["proj"], "proj"))
    width = state["proj"].shape[1]
    if joined:
        found, width = graph.add("Concat", cls, found, axis=1), sum(state["proj"].shape)
    length = graph.add("Max", graph.add("ReduceL2", found, axes=[1], keepdims=1), graph.number(SHORTEST))
    graph.nodes.append(helper.make_node("Div", [found, length], [OUTPUT], name=OUTPUT))
    given = helper.make_tensor_value_info(
        INPUT, TensorProto.FLOAT, ["batch", 3, geometry.height, geometry.width], "RGB, normalised"
    )
    result = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", width], f"unit vectors ({kind})")
    built = helper.make_graph(graph.nodes, "image encoder", [given], [result], graph.constants)
    return helper.make_model(
        built, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="scing"
    )


class _Graph:
    """Nodes and constants that are named in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: npt.ArrayLike, name: str = "") -> str:
        """Add a constant and return its name, which is a number if none is given."""
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def number(self, value: float) -> str:
        """Add a float32 scalar."""
        return self.constant(np.float32(value).reshape(()))

    def whole(self, *values: int) -> str:
        """Add a vector of integers."""
        return self.constant(np.array(values, np.int64))


class _Tower:
    """The layers of the tower; every method adds nodes to `graph` and returns the name of the result.

    Args:
        state: The tower's weights.
        heads: h.
        quick_gelu: Whether the MLPs use x * sigmoid(1.702 x).
    """

    def __init__(self, state: State, heads: int, *, quick_gelu: bool) -> None:
        self.state = state
        self.heads = heads
        self.quick_gelu = quick_gelu
        self.graph = _Graph()

    def tokens(self, pixels: str, geometry: Geometry) -> str:
        """Embed the patches and add the class token and the position embeddings: (B, 1 + n, W)."""
        add, state = self.graph.add, self.state
        weights = self._weights("conv1.weight")
        patches = add("Conv", pixels, weights, strides=[geometry.stride] * 2, kernel_shape=[geometry.patch] * 2)
        rows = add("Transpose", add("Reshape", patches, self.graph.whole(0, 0, -1)), perm=[0, 2, 1])  # (B, n, W)
        # A row of zeros in front takes the class token; so no node depends on the batch size.
        padded = add("Pad", rows, self.graph.whole(0, 1, 0, 0, 0, 0))
        table = state["positional_embedding"].copy()
        table[0] += state["class_embedding"]
        return add("Add", padded, self.graph.constant(table[None], "positional_embedding"))

    def prompted(self, tokens: str, number: int) -> str:
        """Put the deep prompts of a block after the class token, as `deep_prompts.put_prompts` does."""
        if "prompts" not in self.state or number >= len(self.state["prompts"]):
            return tokens
        add, whole = self.graph.add, self.graph.whole
        own = self.state["prompts"][number]  # (p, W)
        rows = np.concatenate((np.zeros_like(own[:1]), own))
        first = add("Pad", add("Gather", tokens, whole(0), axis=1), whole(0, 0, 0, 0, len(own), 0))
        start = 1 if number == 0 else 1 + len(own)
        rest = add("Slice", tokens, whole(start), whole(LAST), whole(1))
        put = add("Add", first, self.graph.constant(rows[None], f"prompts.{number}"))
        return add("Concat", put, rest, axis=1)

    def block(self, tokens: str, name: str, *, last: bool) -> str:
        """Run a residual attention block on (B, 1 + n, W); the last block returns only the class token."""
        add = self.graph.add
        normal = self.norm(tokens, name + "ln_1")
        queries = normal
        if last:
            tokens, queries = (add("Gather", node, self.graph.whole(0), axis=1) for node in (tokens, normal))
        tokens = add("Add", tokens, self.attention(queries, normal, name + "attn."))
        hidden = self.linear(self.norm(tokens, name + "ln_2"), name + "mlp.c_fc.")
        return add("Add", tokens, self.linear(self._activation(hidden), name + "mlp.c_proj."))

    def attention(self, queries: str, normal: str, name: str) -> str:
        """Let the query tokens, (B, q, W), attend to all tokens, (B, 1 + n, W)."""
        add = self.graph.add
        weights, biases = (np.split(self.state[f"{name}in_proj_{part}"], 3) for part in ("weight", "bias"))
        width = len(biases[0])
        scale = np.float32((width // self.heads) ** -0.5)
        query = self._by_head(self._affine(queries, scale * weights[0], scale * biases[0], f"{name}query."), 0, 2, 1, 3)
        key = self._by_head(self._affine(normal, weights[1], biases[1], f"{name}key."), 0, 2, 3, 1)
        value = self._by_head(self._affine(normal, weights[2], biases[2], f"{name}value."), 0, 2, 1, 3)
        shares = add("Softmax", add("MatMul", query, key), axis=-1)  # (B, h, q, 1 + n)
        mixed = add("Transpose", add("MatMul", shares, value), perm=[0, 2, 1, 3])
        return self.linear(add("Reshape", mixed, self.graph.whole(0, 0, width)), name + "out_proj.")

    def norm(self, node: str, name: str) -> str:
        """Apply a layer norm over the last axis."""
        weight, bias = (self._weights(f"{name}.{part}") for part in ("weight", "bias"))
        return self.graph.add("LayerNormalization", node, weight, bias, axis=-1, epsilon=EPSILON)

    def linear(self, node: str, name: str) -> str:
        """Apply a linear layer to the last axis."""
        return self._affine(node, self.state[name + "weight"], self.state[name + "bias"], name)

    def _activation(self, hidden: str) -> str:
        add, number = self.graph.add, self.graph.number
        if self.quick_gelu:
            return add("Mul", hidden, add("Sigmoid", add("Mul", hidden, number(QUICK))))
        error = add("Erf", add("Mul", hidden, number(math.sqrt(0.5))))
        return add("Mul", add("Mul", hidden, number(0.5)), add("Add", error, number(1.0)))

    def _by_head(self, node: str, *order: int) -> str:
        """Split (B, T, W) into (B, T, h, W / h), and put the axes in an order."""
        return self.graph.add(
            "Transpose", self.graph.add("Reshape", node, self.graph.whole(0, 0, self.heads, -1)), perm=list(order)
        )

    def _affine(self, node: str, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32], name: str) -> str:
        product = self.graph.add("MatMul", node, self.graph.constant(weight.T, name + "weight"))
        return self.graph.add("Add", product, self.graph.constant(bias, name + "bias"))

    def _weights(self, name: str) -> str:
        return self.graph.constant(self.state[name], name)
