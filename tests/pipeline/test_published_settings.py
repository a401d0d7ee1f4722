"""The settings shipped for each published figure, started through the command line on data of the same layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from fixtures import FIXTURES
from pipeline.conftest import MODEL

from scing_cli.core.datasets.published_counts import PUBLISHED
from scing_cli.core.evaluation.tables import read_tables
from scing_cli.core.settings import METHODS, PromptSettings, VisualSettings, read_config

CONFIGS = Path(__file__).parents[2] / "examples" / "configs"
DATA = {
    "market1501": "Market-1501",
    "dukemtmc": "DukeMTMC-reID",
    "occluded-duke": "Occluded-Duke",
    "p-dukemtmc": "P-DukeMTMC-reID",
    "occluded-market": "Occluded-Market",
}
SMALL = (*MODEL, "--stride", "6", "--epochs", "1")
CAMERAS = {"P-DukeMTMC-reID": False}
PAPERS_METHODS = [name for name, method in METHODS.items() if method.published]
OURS = ("scing-stride-16", "scing-centroids")  # further settings of SCING for each data set


def tables_of(method, data):
    return read_config(CONFIGS / f"{method}-{data}.toml")


@pytest.fixture(scope="module", params=DATA)
def data(request, tmp_path_factory):
    """The short name of a data set, and a small one of its layout under the name that the settings say."""
    name = DATA[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    written = FIXTURES[name].write(folder / "raw")
    (folder / name).symlink_to(written, target_is_directory=True)
    return request.param, folder


@pytest.mark.parametrize("method", [*PAPERS_METHODS, *OURS])
def test_each_published_setting_trains_and_evaluates(scing, data, method, monkeypatch):
    short, folder = data
    monkeypatch.chdir(folder)
    file = CONFIGS / f"{method}-{short}.toml"
    run = f"run-{method}"
    first = scing("train-prompts", "--config", file, *SMALL, "--run", run, "--json")
    assert first.code == 0, first.err
    second = scing("train-visual", "--config", file, "--run", run, "--epochs", "1", "--json")
    assert second.code == 0, second.err
    heads = method == "clip-reid"
    assert set(second.json["trainable"]) == ({"image encoder", "heads"} if heads else {"image encoder"})
    for descriptor in ("projected", "concat"):
        found = scing("evaluate", "--run", run, "--descriptor", descriptor, "--json")
        assert found.code == 0, found.err
        assert 0 < found.json["mAP"] <= 100
        new = short == "occluded-market" and method != "scing-stride-16"  # one camera of its gallery is new
        assert ("camera vector" in found.err) == new


@pytest.mark.parametrize("short", DATA)
@pytest.mark.parametrize("method", PAPERS_METHODS)
def test_what_data_sets_settings_differ_in_is_the_data_and_its_cameras(method, short):
    own, usual = tables_of(method, short), tables_of(method, "market1501")
    assert own["train-prompts"] == usual["train-prompts"]
    cameras = own["train-visual"].pop("camera-embedding", False)
    assert usual["train-visual"].pop("camera-embedding")
    assert cameras == CAMERAS.get(DATA[short], True)
    assert own["train-visual"] == usual["train-visual"]
    assert own["train-prompts"]["method"] == method
    assert own["data"] == {"path": DATA[short], "layout": PUBLISHED[DATA[short]].layout}


@pytest.mark.parametrize("short", DATA)
def test_scings_other_settings_differ_from_its_own_in_what_they_say(short):
    own = tables_of("scing", short)
    cameras = own["train-visual"].pop("camera-embedding", None)
    assert own["train-prompts"].pop("stride") == 12
    plain = tables_of("scing-stride-16", short)
    assert plain["train-prompts"].pop("stride") == 16
    assert plain == own
    ours = tables_of("scing-centroids", short)
    assert ours["train-prompts"].pop("stride") == 12
    assert ours["train-visual"].pop("camera-embedding", None) == cameras
    assert ours["train-visual"].pop("prototype-weight") > 0
    assert ours["train-visual"].pop("prototype-cameras", None) == cameras
    assert ours == own
    common = read_config(CONFIGS / "scing-centroids.toml")
    assert common["train-visual"].pop("prototype-weight") > 0
    assert common["train-visual"].pop("prototype-cameras")
    assert common["train-prompts"] == own["train-prompts"]
    assert common["train-visual"] == own["train-visual"]


@pytest.mark.parametrize("short", DATA)
@pytest.mark.parametrize(
    ("method", "row"),
    [("scing", "SCING"), ("scing-stride-16", "SCING"), ("clip-reid", "CLIP-ReID"), ("cocoop", "CoCoOp")],
)
def test_the_figures_named_in_the_settings_are_the_tables(method, row, short):
    heading = (CONFIGS / f"{method}-{short}.toml").read_text(encoding="utf-8").splitlines()[0]
    rows = [each for each in read_tables() if each.row == row and each.data == DATA[short]]
    assert rows
    assert all(f"{each.mAP:.1f} / {each.rank1:.1f}" in heading for each in rows)


def test_scings_settings_are_the_defaults_but_for_the_stride():
    table = tables_of("scing", "market1501")["train-prompts"]
    assert table.pop("stride") == 12
    defaults = PromptSettings().model_dump(by_alias=True)
    assert tables_of("scing", "market1501")["train-visual"].pop("warmup-epochs") == VisualSettings().warmup_epochs == 10
    pretrained = table.pop("pretrained")
    assert pretrained == "openai"
    assert {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()} | table == {
        name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()
    }
