"""Settings: the paper's defaults, the order of sources, and messages that name the option."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.errors import SettingError
from scing_cli.core.methods.visual_condition import condition_of
from scing_cli.core.settings import (
    METHODS,
    TABLES,
    PromptSettings,
    VisualSettings,
    build_settings,
    check_method,
    check_planned,
    check_used,
    given_settings,
    of_method,
    read_config,
    saved_settings,
    with_effect,
)

CONFIGS = sorted((Path(__file__).parents[3] / "examples" / "configs").glob("*.toml"))


def test_defaults_are_the_papers():
    prompts, visual = PromptSettings(), VisualSettings()
    for stage in (prompts, visual):
        assert (stage.epochs, stage.lr, stage.weight_decay, stage.milestones) == (120, 5e-5, 5e-4, (30, 50))
        assert (stage.batch_size, stage.instances, stage.identities_per_batch) == (64, 4, 16)
        assert (stage.flip, stage.erase, stage.crop) == (0.5, 0.5, 0.5)
    assert (prompts.tokens, prompts.fused_tokens, prompts.consistency_weight, prompts.gate) == (4, 2, 1.0, "channel")
    assert (prompts.model, prompts.pretrained, prompts.warmup_epochs) == ("ViT-B-16-quickgelu", None, 0)
    assert (visual.triplet_weight, visual.margin, visual.warmup_epochs, visual.label_smoothing) == (1.0, 0.2, 10, 0.0)
    paper = read_config(CONFIGS[0].with_name("paper.toml"))
    assert build_settings(PromptSettings, {**paper["train-prompts"], "pretrained": None}, {}) == prompts
    assert build_settings(VisualSettings, paper["train-visual"], {"warmup_epochs": 10}) == visual
    assert paper["train-visual"]["warmup-epochs"] == 0  # section 4.2: the rate begins at 5e-5


def test_options_go_before_the_file_and_the_file_before_defaults(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text('[train-prompts]\nepochs = 7\nfused-tokens = 1\nmilestones = [3, 5]\n[data]\npath = "x"\n')
    tables = read_config(file)
    settings = build_settings(PromptSettings, tables["train-prompts"], {"epochs": 9, "lr": None})
    assert (settings.epochs, settings.fused_tokens, settings.milestones, settings.lr) == (9, 1, (3, 5), 5e-5)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_a_file_is_read_without_a_warning_of_any_library(file):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_config(file)


def test_a_pipe_may_stand_for_the_file_and_no_device_is_read_to_its_end():
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        stream.write("[train-prompts]\nepochs = 7\n")
    assert read_config(Path(f"/dev/fd/{reading}"))["train-prompts"] == {"epochs": 7}
    os.close(reading)
    with pytest.raises(SettingError, match="more than 16,384 bytes"):
        read_config(Path("/dev/zero"))


def test_no_file_gives_empty_tables():
    assert read_config(None) == {name: {} for name in TABLES}


NO_CONDITIONS = ("", "Raw", "unit:", "unit:0", "unit:-1", "unit:1e3", "unit:1001", "unit:nan", "raw:2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fused_tokens": 4}, "--fused-tokens 4 must be less than --tokens 4 (M < L)"),
        ({"gate": "door"}, "--gate door: must be 'channel' or 'token'."),
        ({"lr": -1}, "--lr -1: must be more than 0."),
        ({"lr": float("nan")}, "--lr nan"),
        ({"batch_size": 10}, "--batch-size 10 must be a multiple of --instances 4"),
        ({"milestones": (50, 30)}, "--milestones 50,30: must rise, as in 30,50"),
        ({"flip": 1.5}, "--flip 1.5: must be at most 1."),
        ({"contrast": "triplet"}, "--contrast triplet: must be 'supervised' or 'infonce'."),
        ({"precision": "fp16"}, "--precision fp16"),
        *(({"condition": text}, f"--condition {text}: must be unit, raw, or unit:N") for text in NO_CONDITIONS),
    ],
)
def test_a_value_out_of_range_names_the_option(options, message):
    with pytest.raises(SettingError) as caught:
        build_settings(PromptSettings, {}, options)
    assert message in str(caught.value)


def test_all_faults_come_at_once():
    with pytest.raises(SettingError) as caught:
        build_settings(VisualSettings, {}, {"margin": 5, "lr": 0, "epochs": 0})
    assert [option for option in ("--margin", "--lr", "--epochs") if option in str(caught.value)] == [
        "--margin",
        "--lr",
        "--epochs",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train-prompts]\nfusedtokens = 2\n", "unknown setting 'fusedtokens'"),
        ("[training]\nepochs = 2\n", "unknown entry [training]"),
        ("epochs = 2\n", "unknown entry [epochs]"),
        ("[train-visual\n", "cannot be read"),
        ("[train-visual]\nepochs = 'many'\n", "--epochs many"),
        ("[train-visual]\nmilestones = [50, 30]\n", "[train-visual]: --milestones 50,30: must rise"),
        (
            "[train-prompts]\nbatch-size = 1\ninstances = 3\n",
            "--batch-size 1: must be at least 2.",
        ),
        ("a = " + "[" * 5000, "cannot be read"),
    ],
)
def test_a_faulty_file_is_named(tmp_path, text, message):
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(SettingError) as caught:
        read_config(file)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('epochs = "1"', 'epochs = "1": must be a whole number, without quotes.'),
        ("epochs = true", "epochs = true: must be a whole number."),
        ("epochs = 3.0", "epochs = 3.0: must be a whole number."),
        ('lr = "1e-3"', 'lr = "1e-3": must be a number, without quotes.'),
        ("lr = true", "lr = true: must be a number."),
        ('milestones = ["3", 5]', 'milestones = ["3", 5]: must be a whole number'),
        ("milestones = [true, 5]", "must be a whole number"),
        ('camera-embedding = "yes"', 'camera-embedding = "yes": must be true or false, without quotes.'),
        ("camera-embedding = 1", "camera-embedding = 1: must be true or false."),
    ],
)
def test_a_value_of_a_file_has_the_type_of_its_setting(tmp_path, line, message):
    file = tmp_path / "own.toml"
    file.write_text(f"[train-visual]\n{line}\n")
    with pytest.raises(SettingError) as caught:
        read_config(file)
    assert f"[train-visual]: {message}" in str(caught.value) or message == "must be a whole number"
    assert message in str(caught.value)


def test_whole_numbers_are_numbers_and_one_path_is_a_list(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text('[data]\npath = "a"\ninclude-val = true\n[train-visual]\nlr = 1\nmilestones = [3]\n')
    assert read_config(file)["train-visual"] == {"lr": 1, "milestones": [3]}


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("batch-size = 6", {"instances": 3}),
        ("instances = 3", {"batch_size": 6}),
        ("fused-tokens = 5", {"tokens": 8}),
        ("tokens = 2", {"fused_tokens": 1}),
        ("batch-size = 4", {"instances": 2}),
    ],
)
def test_values_of_file_and_options_must_go_together_not_those_of_the_file_alone(tmp_path, text, options):
    file = tmp_path / "own.toml"
    file.write_text(f"[train-prompts]\n{text}\n")
    table = read_config(file)["train-prompts"]
    settings = build_settings(PromptSettings, table, options)
    assert settings.model_dump().items() >= options.items()
    with pytest.raises(SettingError, match=r"must be a multiple of|must be less than"):
        build_settings(PromptSettings, table, {})


def test_a_method_without_fused_tokens_has_no_limit_from_them():
    assert build_settings(PromptSettings, {}, {"method": "cocoop", "tokens": 2}).tokens == 2


def test_a_faulty_value_is_told_even_if_an_option_replaces_it(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text("[train-prompts]\nlr = -1\nbatch-size = 6\n")
    with pytest.raises(SettingError) as caught:
        read_config(file)
    assert str(caught.value) == f"{file}, [train-prompts]: --lr -1: must be more than 0."


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingError, match="there is no such file"):
        read_config(tmp_path / "none.toml")


@given(st.integers(2, 32), st.integers(1, 31), st.integers(2, 40), st.integers(1, 8))
def test_what_is_accepted_is_consistent(tokens, fused, batch_size, instances):
    options = {"tokens": tokens, "fused_tokens": fused, "batch_size": batch_size, "instances": instances}
    fits = fused < tokens and batch_size % instances == 0 and batch_size // instances >= 2
    try:
        settings = build_settings(PromptSettings, {}, options)
    except SettingError:
        assert not fits
        return
    assert fits
    assert build_settings(PromptSettings, saved_settings(settings), {}) == settings


@pytest.mark.parametrize("file", CONFIGS, ids=[file.stem for file in CONFIGS])
def test_shipped_settings_are_read(file):
    tables = read_config(file)
    first = build_settings(PromptSettings, tables["train-prompts"], {})
    check_method(first)
    check_used(first)
    check_planned(first.method, tables["train-visual"])
    second = build_settings(VisualSettings, tables["train-visual"], {"method": first.method})
    assert of_method(second, first.method) == second


@pytest.mark.parametrize("method", METHODS)
def test_defaults_of_a_method_are_no_settings_that_were_given(method):
    for kind in (PromptSettings, VisualSettings):
        settings = kind(method=method)
        assert given_settings(settings) == ({"method": method} if kind is PromptSettings else {})
        check_method(settings)
        check_used(settings)
        assert build_settings(kind, given_settings(settings), {"method": method}) == settings
    assert of_method(VisualSettings(), method) == VisualSettings(method=method)


def test_methods_of_captions_have_defaults_of_their_own():
    first = PromptSettings(method="prompt-decoupling")
    assert (first.lr, first.epochs, first.weight_decay, first.schedule, first.final_lr) == (
        3e-4,
        20,
        0.0,
        "cosine",
        0.0,
    )
    for method in ("prompt-decoupling", "direct"):
        second = VisualSettings(method=method)
        rates = (second.lr, second.epochs, second.weight_decay, second.schedule, second.final_lr, second.warmup_epochs)
        assert rates == (1e-5, 60, 4e-5, "cosine", 0.0, 5)
        assert (second.stage2_loss, second.mask_words, second.identity_batches) == ("sdm+id", 0.0, False)
        own = VisualSettings(method=method, schedule="steps", lr=2e-5)
        assert (own.lr, own.schedule) == (2e-5, "steps")
        check_used(own)  # the method's own final rate has no effect then, but it was not given
    assert VisualSettings(method="direct", batch_size=5).batch_size == 5  # no identities in equal parts
    with pytest.raises(ValueError, match="must be a multiple of --instances"):
        VisualSettings(batch_size=5)


def test_settings_of_stage_2_take_over_the_method_of_the_run():
    assert of_method(VisualSettings(lr=1e-3), "direct") == VisualSettings(method="direct", lr=1e-3)
    assert "method" not in saved_settings(VisualSettings(method="direct"))
    with pytest.raises(SettingError, match="of --method direct, and the run's stage 1 is of scing"):
        of_method(VisualSettings(method="direct"), "scing")
    with pytest.raises(SettingError, match="--stage2-loss itc does not belong to --method scing"):
        of_method(VisualSettings(stage2_loss="itc"), "scing")
    with pytest.raises(SettingError, match="--margin is not read by --method direct"):
        of_method(VisualSettings(margin=0.3), "direct")


@pytest.mark.parametrize(("text", "size"), [("384x128", (384, 128)), ("1x9999", (1, 9999)), (None, None)])
def test_a_size_of_images_is_a_height_and_a_width(text, size):
    assert PromptSettings(image_size=text).size == size


@pytest.mark.parametrize("text", ["", "384", "384x", "0x128", "-1x2", "384X128", "384x128x3", " 3x3", "99999x1", "٣x٣"])
def test_another_text_is_no_size(text):
    with pytest.raises(SettingError, match=r"--image-size .*: must be a height and a width in pixels, as in 384x128"):
        build_settings(PromptSettings, {}, {"image_size": text})


def test_some_settings_are_shipped():
    assert CONFIGS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schedule": "cosine", "milestones": (3, 4)}, "--milestones has no effect with --schedule cosine"),
        ({"final-lr": 1e-7}, "--final-lr has no effect with --schedule steps"),
        ({"warmup-lr": 1e-6, "warmup-epochs": 0}, "--warmup-lr has no effect with --warmup-epochs 0"),
    ],
)
def test_settings_without_effect_are_refused(given, message):
    for kind in (PromptSettings, VisualSettings):
        with pytest.raises(SettingError, match=message):
            check_used(build_settings(kind, {}, given))
        check_used(build_settings(kind, {}, {"schedule": "cosine", "final-lr": 1e-7}))


def test_random_batches_may_have_any_size():
    assert build_settings(PromptSettings, {}, {"sampler": "random", "batch-size": 63}).batch_size == 63
    with pytest.raises(SettingError, match="--instances 4"):
        build_settings(PromptSettings, {}, {"batch-size": 63})


def test_each_loss_of_stage_2_has_a_margin_and_a_smoothing_of_its_own():
    for options, expected in (
        ({}, (0.2, 0.0)),
        ({"stage2-loss": "clip-reid"}, (0.3, 0.1)),
        ({"stage2_loss": "clip-reid", "margin": 0.5}, (0.5, 0.1)),
    ):
        settings = build_settings(VisualSettings, {}, options)
        assert (settings.margin, settings.label_smoothing) == expected
        assert build_settings(VisualSettings, saved_settings(settings), {}) == settings


@pytest.mark.parametrize(
    ("stage", "method", "values", "idle"),
    [
        ("train-prompts", "scing", {"consistency": False}, {"views", "final-lr", "warmup-lr"}),
        ("train-prompts", "scing", {"schedule": "cosine", "warmup-epochs": 2}, {"milestones"}),
        ("train-visual", "scing", {"stage2-loss": "clip-reid", "schedule": "cosine"}, {"milestones", "mask-words"}),
        ("train-visual", "direct", {"stage2-loss": "itc"}, {"milestones", "head-lr-factor", "margin", "instances"}),
    ],
)
def test_settings_without_an_effect_are_left_out(stage, method, values, idle):
    saved = saved_settings(build_settings(TABLES[stage], {}, {"method": method, **values}))
    shown = with_effect(stage, method, saved)
    assert idle <= set(saved) - set(shown)
    assert shown.items() <= saved.items()
    assert {name: shown[name] for name in values} == values
    given = build_settings(TABLES[stage], {}, {"method": method, **shown})
    check_method(given)
    check_used(given)
    assert with_effect(stage, "a method of tomorrow", saved) == saved


def test_a_stage_without_training_shows_its_model_alone():
    saved = saved_settings(build_settings(PromptSettings, {}, {"method": "direct"}))
    shown = with_effect("train-prompts", "direct", saved)
    assert set(shown) == {
        "method",
        "model",
        "pretrained",
        "stride",
        "statistics",
        "interpolation",
        "image-size",
        "seed",
    }


def test_the_settings_of_dmpt_are_those_of_the_public_code_for_three_spectra():
    file = next(file for file in CONFIGS if file.stem == "dmpt")
    table = read_config(file)["train-prompts"]
    settings = build_settings(PromptSettings, table, {})
    assert (settings.method, settings.model, settings.size) == ("dmpt", "ViT-B-16-quickgelu", (256, 128))
    assert (settings.lr, settings.weight_decay, settings.bias_lr_factor) == (3.5e-4, 1e-4, 2)
    assert (settings.epochs, settings.warmup_epochs, settings.schedule) == (60, 10, "cosine")
    assert settings.warmup_lr == pytest.approx(0.01 * settings.lr)
    assert settings.final_lr == pytest.approx(0.001 * settings.lr)
    assert (settings.batch_size, settings.instances) == (64, 4)
    assert (settings.flip, settings.erase, settings.crop) == (0.5, 0.5, 1.0)
    assert (settings.statistics, settings.interpolation) == ("half", "bicubic")
    assert (settings.specific_tokens, settings.semantic_tokens, settings.bind_tokens) == (4, 8, 4)


def test_what_belongs_to_centroids_has_no_effect_without_them():
    for name, value in (("prototype-momentum", 0.9), ("prototype-softmax", "joint"), ("prototype-cameras", True)):
        with pytest.raises(SettingError, match=f"--{name} has no effect with --prototype-weight 0"):
            check_used(build_settings(VisualSettings, {}, {name: value}))
        check_used(build_settings(VisualSettings, {}, {name: value, "prototype-weight": 1}))
    with pytest.raises(SettingError, match="--consistency-target has no effect with --no-consistency"):
        check_used(build_settings(PromptSettings, {}, {"consistency": False, "consistency-target": "both"}))


@pytest.mark.parametrize(("text", "length"), [("unit", 1.0), ("raw", None), ("unit:10", 10.0), ("unit:0.5", 0.5)])
def test_a_condition_is_a_length_of_features_or_none(text, length):
    assert build_settings(PromptSettings, {}, {"condition": text}).condition == text
    assert condition_of(text).length == length
