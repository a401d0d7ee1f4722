"""The loop: what it minimises, logs, undoes and refuses; it knows nothing of the method."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from scing_cli.core.errors import TrainingError
from scing_cli.core.methods.task import Batch, Losses
from scing_cli.core.runtime import Silent
from scing_cli.core.training import LearningRate, MetricsLog, Trainer, gradient_norms

PLAN = [[0, 1], [2, 3]]


class Line:
    """Fit y = 2 x: the smallest task there is; `break_at` makes a term infinite at that key."""

    name = "line"
    reads = frozenset()

    def __init__(self, break_at=None):
        torch.manual_seed(0)
        self.module = nn.Linear(1, 1)
        self.break_at = break_at
        self.keys = []

    def trainable(self):
        return self.module

    def losses(self, batch, key):
        self.keys.append(key)
        x = torch.tensor([[float(row)] for row in batch.rows])
        error = (self.module(x) - 2 * x).square().mean()
        factor = float("inf") if key == self.break_at else 1.0
        return Losses(
            {"error": error * factor, "size": 0.01 * self.module.weight.abs().sum()}, {"rows": x.detach().sum()}
        )


def trainer(task, tmp_path, **changes):
    options = {
        "batch_sampler": lambda _epoch: PLAN,
        "batches_of": lambda plan: (Batch(rows) for rows in plan),
        "rate": LearningRate(0.05, (400,)),
        "weight_decay": 0.0,
        "seed": 7,
        "log": MetricsLog(tmp_path / "metrics.jsonl"),
        "reporter": Silent(),
        "describe": lambda rows: " and ".join(f"image-{row}.jpg" for row in rows),
        **changes,
    }
    return Trainer(task, **options)


def test_it_learns_and_reports_first_and_last_epoch(tmp_path):
    task = Line()
    fit = trainer(task, tmp_path).fit(200, dry_run=lambda: None)
    assert fit.steps == 400
    assert fit.images == 800
    assert fit.last["error"] < 0.05 * fit.first["error"]
    assert float(task.module.weight.detach()) == pytest.approx(2, abs=0.3)


def test_every_epoch_is_one_line_of_metrics(tmp_path):
    trainer(Line(), tmp_path).fit(3, dry_run=lambda: None)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["gradient_error"] > 0 and row["gradient_size"] > 0 for row in rows)
    assert rows[0]["loss"] == pytest.approx(rows[0]["error"] + rows[0]["size"], rel=1e-5)
    assert rows[0]["rows"] == 3.0  # the mean of 0 + 1 and 2 + 3


def test_every_draw_has_its_own_key(tmp_path):
    task = Line()
    trainer(task, tmp_path).fit(2, dry_run=lambda: None)
    assert task.keys == [
        (7, "line", "dry run", 0),
        (7, "line", 0, 0),
        (7, "line", 0, 1),
        (7, "line", 1, 0),
        (7, "line", 1, 1),
    ]


def test_the_dry_run_sees_one_step_and_leaves_no_trace(tmp_path):
    task, seen = Line(), []
    before = task.module.weight.detach().clone()
    trainer(task, tmp_path).fit(1, dry_run=lambda: seen.append(task.module.weight.detach().clone()))
    assert not torch.equal(seen[0], before)
    other = Line()
    plain = trainer(other, tmp_path)
    optimiser = torch.optim.Adam(other.module.parameters(), lr=0.05)
    for step, rows in enumerate(PLAN):
        plain._gradients(Batch(rows), (7, "line", 0, step), optimiser)
        optimiser.step()
    assert torch.equal(task.module.weight, other.module.weight)


def test_what_fails_in_the_dry_run_fails_before_the_first_epoch(tmp_path):
    def dry_run():
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        trainer(Line(), tmp_path).fit(1, dry_run=dry_run)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_loss_that_is_not_finite_names_term_batch_and_images(tmp_path):
    with pytest.raises(TrainingError) as caught:
        trainer(Line(break_at=(7, "line", 1, 1)), tmp_path).fit(3, dry_run=lambda: None)
    assert "the loss term error is not finite at epoch 2, step 2" in caught.value.what
    assert "image-2.jpg and image-3.jpg" in caught.value.what
    assert "--lr" in caught.value.remedy


def test_a_figure_that_is_read_late_is_told_with_its_own_step(tmp_path):
    """As on a device that is not waited for at every step."""
    late = trainer(Line(break_at=(7, "line", 1, 1)), tmp_path)
    late.read_every = 50
    with pytest.raises(TrainingError) as caught:
        late.fit(3, dry_run=lambda: None)
    assert "the loss term error is not finite at epoch 2, step 2" in caught.value.what
    assert "image-2.jpg and image-3.jpg" in caught.value.what


def test_a_loss_that_is_not_finite_in_the_dry_run_says_so(tmp_path):
    with pytest.raises(TrainingError, match="not finite at the dry run"):
        trainer(Line(break_at=(7, "line", "dry run", 0)), tmp_path).fit(1, dry_run=lambda: None)


@pytest.mark.parametrize("seat", ["figure", "gradient", "weight"])
def test_other_values_that_are_not_finite_stop_the_run_too(tmp_path, seat):
    class Broken(Line):
        def losses(self, batch, key):
            losses = super().losses(batch, key)
            if seat == "figure" and key[2] == 1:
                return Losses(losses.terms, {"rows": torch.tensor(float("nan"))})
            if seat == "gradient":
                root = (
                    (self.module.weight - self.module.weight.detach()).abs().sum().sqrt()
                )  # its slope at 0 is infinite
                return Losses({**losses.terms, "root": root}, losses.figures)
            if seat == "weight" and key[2] == 1 and key[3] == 1:
                self.module.bias.register_hook(lambda grad: grad * float("nan"))
            return losses

    expected = {
        "figure": "the figure rows is not",
        "gradient": "the gradient of",
        "weight": "bias is not finite after the last",
    }
    with pytest.raises(TrainingError, match=expected[seat]):
        trainer(Broken(), tmp_path).fit(2, dry_run=lambda: None)


def test_a_second_try_replaces_the_metrics_of_its_own_stage_only(tmp_path):
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"stage": "other", "epoch": 1}\n')
    for _ in range(2):
        trainer(Line(), tmp_path).fit(2, dry_run=lambda: None)
    assert [json.loads(line)["stage"] for line in log.read_text().splitlines()] == ["other", "line", "line"]


def test_gradient_norms_are_those_of_each_term_alone():
    task = Line()
    losses = task.losses(Batch([1, 3]), (0,))
    norms = gradient_norms(losses.terms, task.module)
    for name, term in losses.terms.items():
        gradients = torch.autograd.grad(term, list(task.module.parameters()), retain_graph=True, allow_unused=True)
        expected = sum(float(value.square().sum()) for value in gradients if value is not None) ** 0.5
        assert norms[f"gradient_{name}"] == pytest.approx(expected)


def test_weight_decay_is_coupled_adam(tmp_path):
    """Adam adds the decay to the gradient (paper, 4.2); AdamW would shrink the weight by itself."""
    optimiser = trainer(Line(), tmp_path, weight_decay=0.3)._optimiser()
    assert type(optimiser) is torch.optim.Adam
    assert optimiser.param_groups[0]["weight_decay"] == 0.3
    assert not optimiser.param_groups[0].get("decoupled_weight_decay", False)


def test_its_steps_are_adams_and_the_same_each_time(tmp_path):
    """Adam written out in float64, with the decay in the gradient; two runs agree to the bit."""

    def stepped():
        task = Line()
        optimiser = trainer(task, tmp_path, weight_decay=0.3)._optimiser()
        trail = []
        for step in range(6):
            optimiser.zero_grad()
            task.losses(Batch([step, step + 1]), (7, "line", 0, step)).total().backward()
            trail.append((task.module.weight.item(), task.module.weight.grad.item()))
            optimiser.step()
        return trail, task.module.weight.item()

    trail, final = stepped()
    weight, mean, square = trail[0][0], 0.0, 0.0
    for step, (at, gradient) in enumerate(trail, start=1):
        assert weight == pytest.approx(at, rel=1e-5)
        whole = gradient + 0.3 * weight
        mean, square = 0.9 * mean + 0.1 * whole, 0.999 * square + 0.001 * whole**2
        weight -= 0.05 * mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)) ** 0.5 + 1e-8)
    assert weight == pytest.approx(final, rel=1e-5)
    assert stepped() == (trail, final)


def test_the_rate_follows_warm_up_and_milestones():
    rate = LearningRate(5e-5, (30, 50), 10)
    assert rate.at(0) == pytest.approx(5e-6)
    assert rate.at(5) == pytest.approx(2.75e-5)
    assert rate.at(10) == rate.at(29) == pytest.approx(5e-5)
    assert rate.at(30) == pytest.approx(5e-6)
    assert rate.at(119) == pytest.approx(5e-7)
    assert LearningRate(5e-5, (30, 50)).at(0) == pytest.approx(5e-5)


def test_biases_learn_at_a_rate_of_their_own(tmp_path):
    """Adam's first step is as long as the rate: with the factor, the bias moves that much further."""
    moved = {}
    for factor in (1.0, 3.0):
        task = Line()
        before = {name: value.detach().clone() for name, value in task.module.named_parameters()}
        trainer(task, tmp_path, bias_factor=factor, batch_sampler=lambda _epoch: PLAN[:1]).fit(1, dry_run=lambda: None)
        for name, value in task.module.named_parameters():
            moved[name, factor] = float((value.detach() - before[name]).abs())
    assert moved["weight", 3.0] == pytest.approx(moved["weight", 1.0], rel=1e-4)
    assert moved["bias", 3.0] == pytest.approx(3 * moved["bias", 1.0], rel=1e-4)


def test_what_wants_no_gradient_is_not_learnt(tmp_path):
    task = Line()
    task.module.bias.requires_grad_(False)
    before = task.module.bias.detach().clone()
    trainer(task, tmp_path).fit(3, dry_run=lambda: None)
    assert torch.equal(task.module.bias, before)
