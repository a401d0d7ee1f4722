"""Each equation of the paper against a plain float64 loop."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import clip as clip_oracle
from oracles import method as oracle
from oracles.openclip import twin
from tiny import tiny_clip
from torch.nn import functional as F

from scing_cli.core.batches.augment import Augmentation
from scing_cli.core.encoders.image import descriptor
from scing_cli.core.methods import losses
from scing_cli.core.methods.losses import Similarity
from scing_cli.core.methods.objectives import PaperObjective
from scing_cli.core.methods.perturbed_views import FreshViews, Perturbation, ViewBank, ViewEncoder
from scing_cli.core.methods.prompts import PromptLearner
from scing_cli.core.methods.scing import SelectiveVisualPrompt
from scing_cli.core.methods.stage1 import PromptTuning
from scing_cli.core.methods.stage2 import VisualTuning
from scing_cli.core.methods.task import Batch
from scing_cli.core.methods.visual_condition import Condition, condition_of
from scing_cli.core.runtime import Silent

D, WIDTH = 16, 24


def double(state):
    return {name: value.detach().double().numpy() for name, value in state.items()}


def svip(gate, fused=2, seed=0):
    """SVIP with every weight away from its start, so that no term hides behind the zero."""
    torch.manual_seed(seed)
    module = SelectiveVisualPrompt(D, WIDTH, fused_tokens=fused, gate=gate)
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn_like(value) * 0.3)
    return module


def unit_vectors(count, seed, width=D):
    draw = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, width, generator=draw), dim=1)


@pytest.fixture(scope="module")
def clip():
    return tiny_clip(seed=3)


def learner(clip, *, gate="channel", identities=3, tokens=4, fused=2, seed=0):
    torch.manual_seed(seed)
    visual = functools.partial(SelectiveVisualPrompt, fused_tokens=fused, gate=gate)
    prompts = PromptLearner(clip=clip, identities=identities, tokens=tokens, visual=visual)
    with torch.no_grad():
        for value in prompts.parameters():
            value.copy_(torch.randn_like(value) * 0.2)
    return prompts


def task(clip, prompts, labels, features, **changes):
    settings = {
        "similarity": Similarity("cosine", clip.logit_scale),
        "perturbation": None,
        "contrast": "supervised",
        "condition": Condition(1.0),
        "negatives": "own",
        "precision": "fp32",
        **changes,
    }
    return PromptTuning(clip=clip, prompts=prompts, features=features, labels=labels, **settings)


def test_equation_7_the_image_feature(clip):
    pixels = torch.randn(2, 3, 32, 16, generator=torch.Generator().manual_seed(1))
    state = double(clip.image.state_dict())
    expected = [
        oracle.unit(clip_oracle.encode_image(one, state, patch=8, stride=8, heads=2, quick=True))
        for one in pixels.double().numpy()
    ]
    with torch.no_grad():
        found = descriptor(clip.image(pixels), "projected")
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("gate", ["channel", "token"])
def test_equations_8_to_10_condition_gate_and_fusion(gate):
    module = svip(gate)
    features = unit_vectors(5, seed=2)
    state = double(module.state_dict())
    tokens = np.zeros((4, WIDTH))
    expected = [
        oracle.fused_tokens(state, tokens, feature, 2, per_token=gate == "token")[:2]
        for feature in features.double().numpy()
    ]
    np.testing.assert_allclose(module(features).detach().numpy(), expected, atol=1e-6)


def test_the_gate_lies_between_zero_and_one_and_bounds_the_fusion():
    module = svip("channel")
    features = unit_vectors(50, seed=4)
    condition = module.condition(features)
    ratio = module(features)[:, 0] / condition
    assert ((ratio > 0) & (ratio < 1)).all()
    assert ratio.std() > 0.01  # the gate selects: it is no constant


@pytest.mark.parametrize("gate", ["channel", "token"])
@pytest.mark.parametrize(("tokens", "fused"), [(4, 2), (3, 1), (6, 5)])
def test_equation_11_the_text_feature(clip, gate, tokens, fused):
    prompts = learner(clip, gate=gate, tokens=tokens, fused=fused)
    features = unit_vectors(2, seed=5)
    labels = torch.tensor([2, 0])
    found, _ = task(clip, prompts, labels, features).texts(labels, features)
    words = double(clip.text.state_dict())["token_embedding.weight"]
    ids = clip.tokenizer("A photo of a " + "X " * tokens + "person.")
    state, text_state = double(prompts.visual.state_dict()), double(clip.text.state_dict())
    for row, label in enumerate(labels.tolist()):
        own = oracle.fused_tokens(
            state,
            prompts.tokens[label].detach().double().numpy(),
            features[row].double().numpy(),
            fused,
            per_token=gate == "token",
        )
        places = np.zeros((77, WIDTH))
        places[: len(ids)] = words[ids]
        places[5 : 5 + tokens] = own  # after the start token and "A photo of a"
        expected = clip_oracle.encode_text(places, len(ids) - 1, text_state, heads=3, quick=True)
        np.testing.assert_allclose(found[row].detach().numpy(), oracle.unit(expected), atol=3e-6)


def test_at_four_tokens_twelve_places_are_run(clip):
    prompts = learner(clip)
    embeddings, _ = prompts(torch.tensor([0]), unit_vectors(1, seed=0))
    assert embeddings.shape[1] == prompts.end + 1 == 12


def test_texts_run_as_far_as_the_end_token_and_learn_as_over_all_77_places(clip):
    """The text tower's layers see `end` + 1 places; the gradients of tokens and SVIP are those of all 77, to 1e-5."""
    labels, features = torch.tensor([2, 0, 0]), unit_vectors(3, seed=5)
    one = task(clip, learner(clip), labels, features)
    weights, places, gradients = unit_vectors(3, seed=6), [], []
    watched = clip.text.transformer.resblocks[0].ln_1.register_forward_pre_hook(
        lambda _, given: places.append(given[0].shape[1])
    )
    (one.texts(labels, features)[0] * weights).sum().backward()
    watched.remove()
    assert places == [one.prompts.end + 1]
    gradients.append([value.grad.clone() for value in one.prompts.parameters()])
    one.prompts.zero_grad()
    embeddings, _ = one.prompts(labels, features)
    padded = F.pad(embeddings, (0, 0, 0, 77 - embeddings.shape[1]))
    whole = twin(clip)
    hidden = whole.transformer(padded + whole.positional_embedding, attn_mask=whole.attn_mask)
    texts = whole.ln_final(hidden)[:, one.prompts.end] @ whole.text_projection
    (F.normalize(texts, dim=1) * weights).sum().backward()
    gradients.append([value.grad for value in one.prompts.parameters()])
    for ours, theirs in zip(*gradients, strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-5


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000), size=st.integers(2, 7), every=st.booleans(), scale=st.sampled_from([1.0, 14.3, 100.0])
)
def test_equations_1_and_15_the_contrast(seed, size, every, scale):
    images, texts = unit_vectors(size, seed), unit_vectors(size, seed + 1)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 3, size))
    expected = oracle.clip_loss(
        images.double().numpy(), texts.double().numpy(), labels.tolist(), scale, every_positive=every
    )
    if every:
        found = [losses.supervised_contrast(*pair, labels, scale) for pair in ((images, texts), (texts, images))]
    else:
        found = [losses.single_contrast(*pair, scale) for pair in ((images, texts), (texts, images))]
    np.testing.assert_allclose([float(value) for value in found], expected, rtol=1e-4, atol=1e-5)


def test_the_floor_of_the_contrast_with_four_positives_is_two_ln_four():
    labels = torch.arange(4).repeat_interleave(4)
    vectors = torch.eye(4)[labels]
    total = 2 * losses.supervised_contrast(vectors, vectors, labels, 100.0)
    assert float(total) == pytest.approx(2 * math.log(4), abs=1e-5)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 6))
def test_equations_13_and_14_the_consistency(seed, size):
    triple = [unit_vectors(size, seed + part) for part in range(3)]
    expected = oracle.consistency_loss(*(part.double().numpy() for part in triple))
    assert float(losses.consistency(*triple)) == pytest.approx(expected, abs=2e-6)


def test_equal_texts_have_no_consistency_gradient():
    """Stage 1 begins with texts that no view changes. Adam would make whole steps of gradients that are only rounding."""
    text = unit_vectors(24, seed=0)
    others = [text.clone().requires_grad_() for _ in range(2)]
    loss = losses.consistency(text, *others)
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(float(other.grad.abs().max()) == 0 for other in others)


def test_the_consistency_of_nearly_equal_texts_keeps_its_digits():
    text, turn = unit_vectors(24, seed=1), unit_vectors(24, seed=2)
    triple = [torch.nn.functional.normalize(text + step * turn, dim=1) for step in (0.0, 1e-4, -1e-4)]
    expected = oracle.consistency_loss(
        *(torch.nn.functional.normalize(part.double(), dim=1).numpy() for part in triple)
    )
    assert 1e-9 < expected < 1e-7
    assert float(losses.consistency(*triple)) == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("banked", [False, True])
def test_equation_16_the_sum_of_stage_1(clip, banked):
    prompts = learner(clip)
    labels, features = torch.tensor([0, 0, 1, 2]), unit_vectors(4, seed=6)
    pixels = torch.randn(4, 3, 32, 16, generator=torch.Generator().manual_seed(7))
    encode = ViewEncoder(clip.image, Augmentation(occlusion=0.5, padding=2), "fp32")
    source = ViewBank(encode, views=3, batch_size=2, seed=0) if banked else FreshViews(encode)
    one = task(clip, prompts, labels, features, perturbation=Perturbation(source, 0.5, 0.7, Condition(1.0)))
    one.prepare(lambda plan: [Batch(rows, {"pixels": pixels[rows]}) for rows in plan], Silent())
    batch = Batch([0, 1, 2, 3], {} if banked else {"pixels": pixels})
    result = one.losses(batch, (0, "train-prompts", 0, 0))
    views = one.perturbation(batch, (0, "train-prompts", 0, 0))
    texts = [one.texts(labels, part)[0].detach().double().numpy() for part in (features, views[:4], views[4:])]
    i2t, t2i = oracle.clip_loss(
        features.double().numpy(), texts[0], labels.tolist(), clip.logit_scale, every_positive=True
    )
    expected = i2t + t2i + 0.7 * oracle.consistency_loss(*texts)
    assert float(result.total().detach()) == pytest.approx(expected, rel=1e-4)
    assert set(result.terms) == {"contrast", "consistency"}
    assert float(result.figures["i2t"]) == pytest.approx(i2t, rel=1e-4)


def text_by_loops(clip, prompts, label, condition):
    """w of an identity under a condition: Eq. 8-11 in float64."""
    tokens = prompts.tokens[label].detach().double().numpy()
    own = oracle.fused_tokens(double(prompts.visual.state_dict()), tokens, condition, 2, per_token=False)
    ids = clip.tokenizer("A photo of a " + "X " * len(tokens) + "person.")
    places = np.zeros((77, WIDTH))
    places[: len(ids)] = double(clip.text.state_dict())["token_embedding.weight"][ids]
    places[5 : 5 + len(tokens)] = own
    return oracle.unit(
        clip_oracle.encode_text(places, len(ids) - 1, double(clip.text.state_dict()), heads=3, quick=True)
    )


def stage_1_by_loops(clip, prompts, labels, raw, conditions, negatives, target):
    """L_i2t, L_t2i and what R20 aligns, from V and from the conditions of the images and of both views."""
    texts = [
        [text_by_loops(clip, prompts, label, v) for label, v in zip(labels, part, strict=True)] for part in conditions
    ]
    i2t, t2i = oracle.clip_loss(raw, texts[0], labels, clip.logit_scale, every_positive=True)
    if negatives == "query":
        people = range(max(labels) + 1)
        of_query = [[text_by_loops(clip, prompts, k, v) for k in people] for v in conditions[0]]
        i2t = oracle.query_loss(raw, of_query, labels, clip.logit_scale)
    aligned = oracle.consistency_loss(*texts) if target in ("text", "both") else 0.0
    aligned += oracle.image_consistency_loss(raw, *texts[1:]) if target in ("image", "both") else 0.0
    return i2t, t2i, aligned


@pytest.mark.parametrize("condition", ["unit", "raw", "unit:3"])
@pytest.mark.parametrize("negatives", ["own", "query"])
@pytest.mark.parametrize("target", ["text", "image", "both"])
def test_readings_19_to_21_the_losses_of_stage_1(clip, condition, negatives, target):
    prompts, draw = learner(clip), torch.Generator().manual_seed(8)
    labels, features = torch.tensor([0, 0, 2, 1]), 2 * torch.randn(4, D, generator=draw)
    pixels = torch.randn(4, 3, 32, 16, generator=draw)
    encode = ViewEncoder(clip.image, Augmentation(padding=2), "fp32")
    scaled = condition_of(condition)
    perturbation = Perturbation(FreshViews(encode), 0.5, 0.7, condition=scaled, target=target)
    one = task(clip, prompts, labels, features, perturbation=perturbation, condition=scaled, negatives=negatives)
    batch, key = Batch([0, 1, 2, 3], {"pixels": pixels}), (0, "train-prompts", 0, 0)
    result = one.losses(batch, key)
    raw = features.double().numpy()
    dropped = perturbation.drop(perturbation.views.pair(batch, key), key).double().numpy()
    conditions = [[oracle.conditioned(v, condition) for v in part] for part in (raw, dropped[:4], dropped[4:])]
    i2t, t2i, aligned = stage_1_by_loops(clip, prompts, labels.tolist(), raw, conditions, negatives, target)
    assert float(result.figures["i2t"]) == pytest.approx(i2t, rel=1e-4)
    assert float(result.terms["contrast"].detach()) == pytest.approx(i2t + t2i, rel=1e-4)
    assert float(result.terms["consistency"].detach()) == pytest.approx(0.7 * aligned, rel=1e-4)
    alpha = np.array([oracle.gate(double(prompts.visual.state_dict()), v) for v in conditions[0]])
    assert float(result.figures["alpha_mean"]) == pytest.approx(alpha.mean(), rel=1e-5)
    assert float(result.figures["alpha_over_images"]) == pytest.approx(alpha.std(0).mean(), rel=1e-4)
    assert float(result.figures["alpha_over_channels"]) == pytest.approx(alpha.std(1).mean(), rel=1e-4)


@pytest.mark.parametrize("tokens", [2, 4, 6])
def test_tokens_can_start_as_the_words_of_cocoop(clip, tokens):
    """The words' own embeddings, as far as there are tokens; those after them start as always."""
    made = {}
    for as_words in (False, True):
        torch.manual_seed(1)
        made[as_words] = PromptLearner(clip=clip, identities=3, tokens=tokens, visual=None, as_words=as_words).tokens
    ids = clip.tokenizer("a photo of a")[1:-1]
    assert len(ids) == 4
    words = clip.text.token_embedding.weight[ids[:tokens]]
    for identity in range(3):
        assert torch.equal(made[True][identity, :4], words)
    assert torch.equal(made[True][:, 4:], made[False][:, 4:])


@pytest.mark.parametrize(("negatives", "target"), [("own", None), ("own", "both"), ("query", "text")])
def test_reading_22_the_losses_and_their_gradient_reach_the_image_encoder(negatives, target):
    clip = tiny_clip(seed=3)
    prompts, draw = learner(clip), torch.Generator().manual_seed(8)
    labels, pixels = torch.tensor([0, 0, 1]), torch.randn(3, 3, 32, 16, generator=draw)
    batch, key = Batch([0, 1, 2], {"pixels": pixels}), (0, "train-prompts", 0, 0)
    perturbation = None
    if target:
        encode = ViewEncoder(clip.image, Augmentation(occlusion=0.5, padding=2), "fp32", learns=True)
        perturbation = Perturbation(FreshViews(encode), 0.5, 0.7, Condition(1.0), target)
    stale = torch.full((3, D), 9.0)  # V of before the training, which the losses do not read
    one = task(clip, prompts, labels, stale, perturbation=perturbation, negatives=negatives, learns_encoder=True)
    weights = {"proj": clip.image.proj, "conv1.weight": clip.image.conv1.weight}
    assert {f"encoder.{name}" for name in weights} < {name for name, _ in one.trainable().named_parameters()}
    total = one.losses(batch, key).total()
    total.backward()
    views, masks = (), ()
    if target:
        views = [encode.image(pixels, *key, number).double().numpy() for number in (1, 2)]
        masks = perturbation.drop(torch.ones(6, D), key).double().numpy().reshape(2, 3, D)

    def by_loops(state):
        def encoded(image):
            return clip_oracle.encode_image(image, state, patch=8, stride=8, heads=2, quick=True)

        raw = [encoded(image) for image in pixels.double().numpy()]
        dropped = [
            [mask * encoded(image) for mask, image in zip(*both, strict=True)]
            for both in zip(masks, views, strict=True)
        ]
        conditions = [[oracle.unit(v) for v in part] for part in (raw, *dropped)]
        i2t, t2i, aligned = stage_1_by_loops(clip, prompts, labels.tolist(), raw, conditions, negatives, target)
        return i2t + t2i + 0.7 * aligned

    state = double(clip.image.state_dict())
    assert float(total.detach()) == pytest.approx(by_loops(state), rel=1e-4)
    step = 1e-5
    for name, value in weights.items():
        way = torch.randn(value.shape, generator=draw).double().numpy()
        ends = [by_loops({**state, name: state[name] + sign * step * way}) for sign in (1, -1)]
        found = float((value.grad.double().numpy() * way).sum())
        assert found == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("condition", ["unit", "raw", "unit:3"])
def test_readings_6_and_19_the_text_of_an_identity(clip, condition):
    prompts = learner(clip)
    labels, features = torch.tensor([0, 1, 0, 2]), 2 * unit_vectors(4, seed=9) * torch.tensor([[1.0], [2], [3], [4]])
    one = task(clip, prompts, labels, features, condition=condition_of(condition))
    found = one.identity_texts()
    scaled = np.array([oracle.conditioned(v, condition) for v in features.double().numpy()])
    for label, rows in ((0, [0, 2]), (1, [1]), (2, [3])):
        mean = oracle.conditioned(scaled[rows].mean(0), condition)
        expected = text_by_loops(clip, prompts, label, mean)
        np.testing.assert_allclose(found[label].detach().numpy(), expected, atol=3e-6)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), size=st.integers(2, 6), smoothing=st.sampled_from([0.0, 0.1]))
def test_equation_17_the_classification(seed, size, smoothing):
    images, texts = unit_vectors(size, seed), unit_vectors(5, seed + 1)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 5, size))
    expected = oracle.classification_loss(
        images.double().numpy(), texts.double().numpy(), labels.tolist(), 100.0, smoothing
    )
    found = losses.text_classification(images, texts, labels, 100.0, label_smoothing=smoothing)
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), size=st.integers(2, 8), margin=st.sampled_from([0.0, 0.2, 1.0]))
def test_equations_18_and_19_the_triplet(seed, size, margin):
    images, texts = unit_vectors(size, seed, width=3), unit_vectors(3, seed + 1, width=3)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 3, size))
    labels[0], labels[1] = 0, 1  # at least two identities
    expected, active = oracle.triplet_loss(images.double().numpy(), texts.double().numpy(), labels.tolist(), margin)
    found, share = losses.cross_modal_triplet(images, texts, labels, margin)
    assert float(found) == pytest.approx(expected, abs=2e-6)
    assert float(share) == pytest.approx(active, abs=1 / size + 1e-6 if margin == 0 else 1e-6)


def test_the_triplet_falls_as_an_image_nears_its_own_text():
    """The direction that R8 settles: <,> is a distance there, not a similarity."""
    texts = torch.eye(2)
    labels = torch.tensor([0, 1])
    values = []
    for angle in (0.2, 0.5, 0.9):
        images = torch.tensor([[math.cos(angle), math.sin(angle)], [0.0, 1.0]])
        values.append(float(losses.cross_modal_triplet(images, texts, labels, 0.2)[0]))
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_equation_20_the_sum_of_stage_2(clip):
    """All of stage 2 as it is composed: encoder, unit length, w_k, both losses and gamma; nothing augmented."""
    import copy

    encoder = copy.deepcopy(clip.image)
    texts, labels = unit_vectors(3, seed=9), torch.tensor([2, 0, 1, 1])
    pixels = torch.randn(4, 3, 32, 16, generator=torch.Generator().manual_seed(10))
    task = VisualTuning(
        encoder=encoder,
        objective=PaperObjective(
            texts=texts,
            similarity=Similarity("cosine", 50.0),
            triplet_weight=0.3,
            margin=0.4,
            label_smoothing=0.0,
        ),
        labels=labels,
        cameras=None,
        augmentation=Augmentation(flip=0, erase=0, crop=0),
        precision="fp32",
    )
    result = task.losses(Batch([3, 0, 1], {"pixels": pixels[[3, 0, 1]]}), (0, "train-visual", 0, 0))
    state = double(clip.image.state_dict())
    images = [
        oracle.unit(clip_oracle.encode_image(one, state, patch=8, stride=8, heads=2, quick=True))
        for one in pixels[[3, 0, 1]].double().numpy()
    ]
    own = [1, 2, 0]
    expected = oracle.classification_loss(images, texts.double().numpy(), own, 50.0)
    expected += 0.3 * oracle.triplet_loss(images, texts.double().numpy(), own, 0.4)[0]
    assert float(result.total().detach()) == pytest.approx(expected, rel=1e-4)


def test_equation_21_the_distance_of_descriptors(clip):
    pixels = torch.randn(2, 3, 32, 16, generator=torch.Generator().manual_seed(8))
    with torch.no_grad():
        features = clip.image(pixels)
    for kind, raw in (("projected", features.projected), ("concat", torch.cat(features[:2], dim=1))):
        left, right = descriptor(features, kind)
        expected = 1 - oracle.cosine(*raw.double().numpy())
        assert float(1 - left @ right) == pytest.approx(expected, abs=1e-6)
        assert float(left.norm()) == pytest.approx(1, abs=1e-6)
