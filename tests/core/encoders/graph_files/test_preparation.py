"""How pixels are prepared for a graph: options before the JSON, the JSON before the metadata, ImageNet's else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scing_cli.core.artifacts.schemas import GraphStatement
from scing_cli.core.batches import normalise
from scing_cli.core.encoders.geometry import STATISTICS
from scing_cli.core.encoders.graph_files.graph_facts import GraphFacts, ImageInput
from scing_cli.core.encoders.graph_files.preparation import IMAGENET, KEYS, Preparation, prepare
from scing_cli.core.errors import SettingError, WeightsError

IMAGE = ImageInput("f32", None, 64, 32, channels_last=False)
FREE = ImageInput("f32", None, None, None, channels_last=False)
BYTES = ImageInput("u8", None, 64, 32, channels_last=True)
HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 0.25]}


@pytest.fixture
def prepared(tmp_path: Path) -> Any:
    def run(inside: Any = None, beside: Any = None, image: ImageInput = IMAGE, **options: str) -> Preparation:
        source = tmp_path / "encoder.onnx"
        if beside is not None:
            source.with_suffix(".json").write_text(beside if isinstance(beside, str) else json.dumps(beside))
        source.touch()
        text = inside if inside is None or isinstance(inside, str) else json.dumps(inside)
        return prepare(GraphFacts((), text), image, source, **options)

    return run


def test_the_keys_are_those_of_the_schema() -> None:
    assert set(KEYS) == set(GraphStatement.model_fields)


def test_what_is_assumed_is_said(prepared: Any) -> None:
    found = prepared()
    assert (found.geometry.mean, found.geometry.std) == IMAGENET
    assert (found.geometry.height, found.geometry.width, found.geometry.interpolation) == (64, 32, "bilinear")
    assert found.assumed == ("ImageNet's mean and deviation", "range 0 to 1", "RGB", "bilinear")
    whole = {**HALF, "range": 1, "channels": "rgb", "interpolation": "bicubic", "format": 1, "output": "o"}
    found = prepared(whole)
    assert not found.assumed
    assert found.output == "o"
    assert found.geometry.interpolation == "bicubic"
    assert prepared(statistics="clip", interpolation="bicubic").assumed == ("range 0 to 1", "RGB")


def test_options_precede_the_json_which_precedes_the_metadata(prepared: Any) -> None:
    assert prepared(HALF).geometry.std == (0.25, 0.5, 0.25)
    assert prepared(HALF, {"std": [1, 1, 1]}).geometry.std == (1, 1, 1)
    assert prepared(HALF, {"std": [1, 1, 1]}).geometry.mean == (0.5, 0.5, 0.5)
    found = prepared(HALF, {"interpolation": "bicubic"}, statistics="clip", interpolation="bilinear")
    assert (found.geometry.mean, found.geometry.std) == STATISTICS["clip"]
    assert found.geometry.interpolation == "bilinear"


@pytest.mark.parametrize("scale", [1, 255])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
def test_mean_and_deviation_apply_after_scaling_in_the_order_of_the_channels(
    prepared: Any, scale: int, channels: str
) -> None:
    stated = {"mean": [0.1 * scale, 0.2 * scale, 0.3 * scale], "std": [0.5 * scale, 0.6 * scale, 0.7 * scale]}
    found = prepared({**stated, "range": scale, "channels": channels})
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 32), np.uint8)
    shown = pixels[:, ::-1] if channels == "bgr" else pixels
    mean, std = (np.array(stated[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    expected = (shown * (scale / 255) - mean) / std
    normal = normalise(pixels, found.geometry.mean, found.geometry.std)
    np.testing.assert_allclose(normal[:, ::-1] if found.bgr else normal, expected, atol=1e-5)


def test_a_range_of_255_and_bytes_are_not_normalised(prepared: Any) -> None:
    pixels = np.full((1, 3, 2, 2), 200, np.uint8)
    found = prepared({"range": 255})
    np.testing.assert_allclose(normalise(pixels, found.geometry.mean, found.geometry.std), pixels, rtol=1e-6)
    assert found.assumed[0] == "no mean and deviation"
    assert prepared(image=BYTES).raw
    assert prepared(image=BYTES).assumed == ("RGB", "bilinear")
    for given in ({"inside": HALF}, {"statistics": "half"}):
        with pytest.raises(WeightsError, match="it reads bytes, so no mean or deviation is used"):
            prepared(image=BYTES, **given)


def test_a_free_size_must_be_stated_and_a_fixed_one_not_contradicted(prepared: Any) -> None:
    with pytest.raises(WeightsError, match=r"its height is free, and nothing states one") as failure:
        prepared(image=FREE)
    assert 'encoder.json, such as {"height": 256, "width": 128}' in failure.value.remedy
    found = prepared(image=FREE, beside={"height": 96, "width": 48})
    assert (found.geometry.height, found.geometry.width) == (96, 48)
    with pytest.raises(WeightsError, match="its height is 64, but 96 is stated"):
        prepared(beside={"height": 96})
    with pytest.raises(WeightsError, match=r"9000x32 pixels are too many"):
        prepared(beside={}, image=ImageInput("f32", 1, 9000, 32, channels_last=False))


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"colour": 1}, "has the unknown key colour"),
        ({"mean": [0.5, 0.5]}, "has an invalid value: mean is"),
        ({"std": [0, 1, 1]}, "has an invalid value: std.0 is 0"),
        ({"mean": "imagenet"}, 'has an invalid value: mean is "imagenet"'),
        ({"range": 128}, "has an invalid value: range is 128: must be 1 or 255"),
        ({"height": 64.5}, "has an invalid value: height is 64.5"),
        ({"height": True}, "has an invalid value: height is true"),
        ({"channels": "gray"}, 'has an invalid value: channels is "gray"'),
        ({"interpolation": "nearest"}, "has an invalid value: interpolation"),
        ({"digest": "no hex\n"}, "has an invalid value: digest"),
        ({"format": 2}, "has format 2; this version reads 1"),
        ({"format": "new\n"}, r"has format new\\n; this version reads 1"),
        ([1], "does not contain a JSON object"),
        ('{"mean": NaN}', "cannot be read as JSON"),
        ('{"range": 1, "range": 255}', "cannot be read as JSON"),
        ("\x00", "cannot be read as JSON"),
    ],
)
@pytest.mark.parametrize("where", ["inside", "beside"])
def test_a_wrong_statement_is_refused(prepared: Any, where: str, stated: Any, reason: str) -> None:
    file = "encoder.onnx" if where == "inside" else "encoder.json"
    with pytest.raises(WeightsError, match=f"{file} {reason}"):
        prepared(**{where: stated})


def test_null_states_nothing(prepared: Any) -> None:
    assert prepared({"mean": None, "height": None, "range": None}).geometry.mean == IMAGENET[0]


def test_unknown_options_are_refused(prepared: Any) -> None:
    with pytest.raises(SettingError, match="--statistics 'x' is unknown"):
        prepared(statistics="x")
    with pytest.raises(SettingError, match="--interpolation 'x' is unknown"):
        prepared(interpolation="x")
