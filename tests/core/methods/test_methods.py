"""What every row of the method table must do, and what a method refuses."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from built import prompt_task_of, visual_task_of
from tiny import tiny_clip

from scing_cli.core.errors import SettingError
from scing_cli.core.methods import Similarity, load_method
from scing_cli.core.methods.stage2 import joined_texts
from scing_cli.core.methods.task import Batch
from scing_cli.core.settings import METHODS, PromptSettings, VisualSettings, build_settings, check_method, unread
from scing_cli.core.settings.method_table import OF_IDENTITIES

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
KEY = (0, "test", 0, 0)
every_method = pytest.mark.parametrize("method", METHODS)
of_images = pytest.mark.parametrize("method", OF_IDENTITIES)


def normals(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def prompt_task(clip, method, **options):
    settings = PromptSettings(method=method, model="test", pretrained="random", **options)
    return prompt_task_of(method, settings, clip=clip, features=normals(6, 16), labels=LABELS, precision="fp32")


def visual_task(clip, method, texts, cameras=None, **options):
    return visual_task_of(
        method,
        VisualSettings(**options),
        encoder=clip.image,
        texts=texts,
        similarity=Similarity("cosine", 100.0),
        labels=LABELS,
        cameras=cameras,
        precision="fp32",
    )


def step_twice(task):
    optimiser = torch.optim.Adam(task.trainable().parameters(), lr=1e-2)
    rows = list(range(6))
    for step in range(2):
        optimiser.zero_grad(set_to_none=True)
        inputs = {"pixels": normals(6, 3, 32, 16)} if task.reads else {}
        task.losses(Batch(rows, inputs), (0, "test", 0, step)).total().backward()
        optimiser.step()


@of_images
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_stage_1_learns_its_prompts_alone_and_names_every_identity(method, similarity):
    clip = tiny_clip()
    task = prompt_task(clip, method, similarity=similarity)
    step_twice(task)
    assert all(value.grad is not None and value.grad.any() for value in task.trainable().parameters())
    assert all(value.grad is None for tower in (clip.image, clip.text) for value in tower.parameters())
    texts = task.identity_texts()
    assert texts.shape == (3, 16)
    assert torch.unique(texts, dim=0).shape == (3, 16)
    lengths = texts.norm(dim=1)
    assert torch.allclose(lengths, torch.ones(3)) == (similarity == "cosine")


@of_images
@pytest.mark.parametrize("loss", ["paper", "clip-reid"])
def test_stage_2_learns_the_encoder_and_its_heads_alone(method, loss):
    clip = tiny_clip()
    texts = prompt_task(clip, method).identity_texts()
    task = visual_task(clip, method, texts, stage2_loss=loss)
    before = texts.clone()
    step_twice(task)
    still = {name for name, value in task.trainable().named_parameters() if value.grad is None or not value.grad.any()}
    assert still == ({"objective.necks.cls.bias", "objective.necks.projected.bias"} if loss == "clip-reid" else set())
    assert all(value.grad is None for value in clip.text.parameters())
    assert torch.equal(texts, before)


@every_method
def test_every_row_says_what_it_is(method):
    assert METHODS[method].summary


def test_an_unknown_method_lists_the_known_ones():
    with pytest.raises(SettingError, match=r"--method 'scin' is unknown") as caught:
        load_method("scin")
    assert "Did you mean scing?" in caught.value.remedy
    assert all(name in caught.value.remedy for name in METHODS)


@pytest.mark.parametrize(
    ("method", "given", "named"),
    [
        ("clip-reid", {"gate": "token", "fused-tokens": 3}, "--gate, --fused-tokens are"),
        ("clip-reid", {"identity_text": "mean-text"}, "--identity-text is"),
        ("cocoop", {"consistency": False}, "--no-consistency is"),
        ("cocoop", {"flip": 0.5}, "--flip is"),
        ("clip-reid", {"specific_tokens": 2, "bind_tokens": 2}, "--specific-tokens, --bind-tokens are"),
        ("dmpt", {"tokens": 5, "contrast": "infonce", "similarity": "dot"}, "--tokens, --contrast, --similarity are"),
        ("dmpt", {"prompt_tokens": 2, "prompt_depth": 2}, "--prompt-tokens, --prompt-depth are"),
    ],
)
def test_what_a_method_does_not_read_is_refused(method, given, named):
    with pytest.raises(SettingError) as caught:
        check_method(build_settings(PromptSettings, {"method": method}, given))
    assert caught.value.what == f"{named} not read by --method {method}."
    own = next(name for name in METHODS if not {entry.replace("-", "_") for entry in given} & unread(name))
    check_method(build_settings(PromptSettings, {"method": own}, given))


@every_method
def test_the_defaults_suit_every_method(method):
    check_method(PromptSettings(method=method))


def test_camera_vectors_are_learnt_for_known_cameras_and_are_added_to_them_alone():
    clip = tiny_clip()
    encoder = clip.image
    pixels = normals(6, 3, 32, 16)
    plain = encoder(pixels).projected
    encoder.learn_cameras(("a", "b", "c"), seed=1)
    places = encoder.camera_rows(["a", "b", "", "a", "nowhere", "b"])
    assert places.tolist() == [0, 1, -1, 0, -1, 1]
    added = encoder.tokens(pixels, places) - encoder.tokens(pixels)
    expected = torch.zeros_like(added)
    expected[[0, 3], 0], expected[[1, 5], 0] = encoder.camera_embedding[0], encoder.camera_embedding[1]
    torch.testing.assert_close(added, expected, rtol=0, atol=1e-6)  # the class token alone, coefficient 1
    with torch.no_grad():
        apart = (encoder(pixels, places).projected - plain).abs().amax(dim=1)
    same = apart < 1e-6
    assert float(apart[~same].min()) > 1e-4
    assert same.tolist() == [False, False, True, False, True, False]
    assert torch.equal(encoder(pixels).projected, plain)
    task = visual_task(clip, "scing", normals(3, 16), cameras=places)
    task.losses(Batch(list(range(6)), {"pixels": pixels}), KEY).total().backward()
    assert encoder.camera_embedding.grad.any(dim=1).tolist() == [True, True, False]  # nobody was seen by c


def test_camera_vectors_follow_the_seed_alone():
    drawn = []
    for seed in (0, 0, 1):
        encoder = tiny_clip().image
        encoder.learn_cameras([str(number) for number in range(200)], seed)
        drawn.append(encoder.camera_embedding.detach())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert float(drawn[0].std()) == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("kind", ["cosine", "dot"])
@pytest.mark.parametrize("spectra", [1, 3])
def test_a_repeated_text_compares_with_the_mean_over_the_spectra(kind, spectra):
    similarity = Similarity(kind, 100.0)
    draw = torch.Generator().manual_seed(4)
    texts = similarity.prepare(torch.randn(5, 16, generator=draw))
    parts = torch.randn(7, spectra, 16, generator=draw).double()
    found = similarity.prepare(parts.flatten(1)) @ joined_texts(texts, similarity, 16 * spectra).T
    expected = torch.empty(7, 5, dtype=torch.float64)
    for row, text in itertools.product(range(7), range(5)):
        dots = [float(part @ texts[text].double()) for part in parts[row]]
        whole = math.sqrt(spectra * sum(float(part @ part) for part in parts[row]))
        expected[row, text] = sum(dots) / (whole if kind == "cosine" else spectra)
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-5)
