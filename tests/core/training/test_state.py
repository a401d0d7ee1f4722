"""Saved steps: training that is stopped anywhere and resumed ends bit by bit like uninterrupted training."""

from __future__ import annotations

import json
import signal

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from scing_cli.core.errors import RunError
from scing_cli.core.methods.task import Batch, Losses
from scing_cli.core.runtime import Silent, generator
from scing_cli.core.training import Checkpoints, Interruption, LearningRate, MetricsLog, Trainer
from scing_cli.core.training import state as state_module

EPOCHS = 3
PLANS = ([[0, 1, 2], [3, 4, 5], [6, 7, 0]], [[1, 3, 5], [2, 4, 6]], [[7, 6, 5], [4, 3, 2], [1, 0, 7], [2, 3, 4]])
STEPS = sum(map(len, PLANS))
FACTS = {"settings": {"lr": 0.01}}


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)

    warn = note


class Normalised:
    """A task with batch normalisation, whose buffers change in the forward pass; `hook` is called at (key, place)."""

    name = "small"
    reads = frozenset()

    def __init__(self, hook=lambda key, place: None):
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 1))
        self.hook = hook

    def trainable(self):
        return self.module

    def losses(self, batch, key):
        self.hook(key, "before")
        pixels = torch.randn(len(batch.rows), 4, generator=generator(*key)) + torch.tensor(batch.rows)[:, None]
        error = (self.module(pixels) - 1).square().mean()
        self.hook(key, "forward")
        error.register_hook(lambda gradient: self.hook(key, "backward"))
        return Losses({"error": error}, {"mean": pixels.mean()})


def train(folder, task, *, minutes=0.0, reporter=None, facts=FACTS, keep=True, read_every=1):
    reporter = reporter or Silent()
    checkpoints = Checkpoints(folder / "state", task.name, facts=facts, minutes=minutes, reporter=reporter)
    with Interruption() as interruption:
        trainer = Trainer(
            task,
            batch_sampler=lambda epoch: PLANS[epoch],
            batches_of=lambda plan: (Batch(rows) for rows in plan),
            rate=LearningRate(0.01, (1,)),
            bias_factor=2.0,
            weight_decay=1e-3,
            seed=3,
            log=MetricsLog(folder / "metrics.jsonl"),
            reporter=reporter,
            describe=str,
            checkpoints=checkpoints if keep else None,
            interruption=interruption,
        )
        trainer.read_every = read_every
        return trainer.fit(EPOCHS, dry_run=lambda: None)


def result(folder, task, fit):
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["seconds"], row["images_per_second"]
    state = {name: value.clone() for name, value in task.module.state_dict().items()}
    return state, rows, (fit.steps, fit.images, dict(fit.first), dict(fit.last))


def assert_same(one, other):
    assert one[0].keys() == other[0].keys()
    for name in one[0]:
        assert torch.equal(one[0][name], other[0][name]), name
    assert one[1:] == other[1:]


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    """Save at the end of every epoch, however short."""
    monkeypatch.setattr(state_module, "SHARE", 0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder, task = tmp_path_factory.mktemp("whole"), Normalised()
    return result(folder, task, train(folder, task, keep=False))


def interrupted_at(steps_and_places):
    """Return a hook that sends Ctrl-C at some (step counted from the start of all, place)."""
    starts = [sum(map(len, PLANS[:epoch])) for epoch in range(EPOCHS)]
    left = list(steps_and_places)

    def hook(key, place):
        if isinstance(key[2], int) and left and (starts[key[2]] + key[3], place) == left[0]:
            left.pop(0)
            signal.raise_signal(signal.SIGINT)

    return hook


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stops=st.lists(
        st.tuples(st.integers(0, STEPS - 1), st.sampled_from(["before", "forward", "backward"])), min_size=1, max_size=4
    ).map(sorted),
    read_every=st.sampled_from([1, 2, 50]),
    minutes=st.sampled_from([0.0, 1e9]),
)
def test_stopped_anywhere_and_gone_on_with_it_ends_the_same(undisturbed, tmp_path_factory, stops, read_every, minutes):
    folder = tmp_path_factory.mktemp("cut")
    hook = interrupted_at(stops)
    tries = 0
    while True:
        tries += 1
        task = Normalised(hook)
        try:
            fit = train(folder, task, read_every=read_every, minutes=minutes)
        except KeyboardInterrupt:
            assert tries <= len(stops)
        else:
            break
    assert tries > 1
    assert_same(result(folder, task, fit), undisturbed)
    assert len(list((folder / "state").iterdir())) == 2


@pytest.mark.parametrize("step", range(STEPS))
def test_a_process_that_ends_without_saving_goes_on_from_an_earlier_step(undisturbed, tmp_path, step):
    """As after SIGKILL: nothing is saved at the end, and what was logged since the last save is logged again."""

    class Killed(BaseException):
        pass

    def hook(key, place):
        if isinstance(key[2], int) and sum(map(len, PLANS[: key[2]])) + key[3] == step and place == "forward":
            raise Killed

    with pytest.raises(Killed):
        train(tmp_path, Normalised(hook), minutes=1e9)
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"stage": "small", "epo')  # cut short
    task = Normalised()
    assert_same(result(tmp_path, task, train(tmp_path, task)), undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", ["weights", "save", "log"])
def test_what_is_whole_is_not_cut(undisturbed, tmp_path, monkeypatch, place, number):
    """A signal amid the optimiser's step, a save or an epoch's end waits for its end."""
    owner, name = {
        "weights": (torch.optim.Adam, "step"),
        "save": (Checkpoints, "_write"),
        "log": (MetricsLog, "write"),
    }[place]
    real, calls = getattr(owner, name), []

    def late(*arguments, **options):
        found = real(*arguments, **options)
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(number)
        return found

    monkeypatch.setattr(owner, name, late)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Normalised())
    monkeypatch.setattr(owner, name, real)
    notes, task = Notes(), Normalised()
    assert_same(result(tmp_path, task, train(tmp_path, task, reporter=notes)), undisturbed)
    after = {"weights": "0 epochs and 2 steps", "save": "0 epochs and 2 steps", "log": "3 epochs and 0 steps"}
    assert f"Resuming after {after[place]}." in notes.said


def test_a_second_ctrl_c_stops_at_once_and_what_was_saved_stays(tmp_path, undisturbed, monkeypatch):
    real = state_module.save_file

    def save(*arguments):
        if sent:
            signal.raise_signal(signal.SIGINT)
        real(*arguments)

    sent = []

    def hook(key, place):
        if key[2:] == (1, 1) and place == "before":
            sent.append(key)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(state_module, "save_file", save)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Normalised(hook), minutes=1e9)
    monkeypatch.setattr(state_module, "save_file", real)
    names = sorted(file.name for file in (tmp_path / "state").iterdir())
    assert names == ["small.000001-000000.safetensors"]  # the epoch's end; no part of the last save
    task = Normalised()
    assert_same(result(tmp_path, task, train(tmp_path, task)), undisturbed)


@pytest.mark.parametrize("first", ["weights", "save"])
def test_a_second_ctrl_c_amid_a_step_or_a_save_saves_nothing_more(tmp_path, undisturbed, monkeypatch, first):
    """The first one waits for the end of what is whole, the second does not: what is torn then is no step."""
    owner, name = {"weights": (torch.optim.Adam, "step"), "save": (Checkpoints, "_write")}[first]
    real, calls = getattr(owner, name), []

    def twice(*arguments, **options):
        calls.append(1)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
            if first == "weights":
                real(*arguments, **options)
            signal.raise_signal(signal.SIGINT)
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, twice)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Normalised(), minutes=0.0 if first == "save" else 1e9)
    assert len(calls) == 5
    monkeypatch.setattr(owner, name, real)
    task = Normalised()
    assert_same(result(tmp_path, task, train(tmp_path, task)), undisturbed)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError(), SystemExit(1)])
def test_whatever_ends_it_the_steps_are_saved(tmp_path, undisturbed, error):
    def hook(key, place):
        if key[2:] == (2, 1) and place == "forward":
            raise error

    with pytest.raises(type(error)):
        train(tmp_path, Normalised(hook), minutes=1e9)
    notes, task = Notes(), Normalised()
    assert_same(result(tmp_path, task, train(tmp_path, task, reporter=notes)), undisturbed)
    assert "Resuming after 2 epochs and 1 step." in notes.said


def test_a_log_that_cannot_be_written_loses_no_step(tmp_path, undisturbed, monkeypatch):
    real = MetricsLog.write

    def write(self, row):
        if row["epoch"] == 2:
            raise RunError("Cannot write metrics.jsonl: No space left on device.")
        real(self, row)

    monkeypatch.setattr(MetricsLog, "write", write)
    with pytest.raises(RunError):
        train(tmp_path, Normalised(), minutes=1e9)
    monkeypatch.setattr(MetricsLog, "write", real)
    notes, task = Notes(), Normalised()
    assert_same(result(tmp_path, task, train(tmp_path, task, reporter=notes)), undisturbed)
    assert "Resuming after 1 epoch and 2 steps." in notes.said


@pytest.mark.parametrize(
    ("name", "value"),
    [("epoch", "x"), ("step", -1), ("steps", None), ("sums", [1]), ("seconds", "1"), ("optimiser", None), ("more", 1)],
)
def test_a_step_that_a_stranger_wrote_is_told(tmp_path, undisturbed, name, value):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Normalised(interrupted_at([(4, "forward")])))
    for file in sorted((tmp_path / "state").iterdir()):
        with state_module.safe_open(file, framework="pt") as source:
            texts = dict(source.metadata())
            tensors = {key: source.get_tensor(key) for key in source.keys()}  # noqa: SIM118
        del texts["digest"]
        if name == "optimiser":
            tensors["optimiser.foo"] = torch.zeros(1)
        else:
            texts["progress"] = json.dumps(json.loads(texts["progress"]) | {name: value})
        state_module.save_file(tensors, file, {**texts, "digest": state_module.tensors_digest(tensors, texts)})
    notes, task = Notes(), Normalised()
    if name == "optimiser":
        with pytest.raises(RunError, match="another model"):
            train(tmp_path, task)
        return
    with pytest.raises(RunError, match="No saved step"):
        train(tmp_path, task, reporter=notes)
    assert sum("does not contain a saved step" in said for said in notes.said) == 2


def test_a_damaged_step_gives_way_to_the_one_before(tmp_path, undisturbed):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Normalised(interrupted_at([(6, "forward")])))
    older, newer = sorted((tmp_path / "state").iterdir())
    content = bytearray(newer.read_bytes())
    content[-3] ^= 1
    newer.write_bytes(content)
    notes, task = Notes(), Normalised()
    assert_same(result(tmp_path, task, train(tmp_path, task, reporter=notes)), undisturbed)
    assert any(newer.name in said and "damaged" in said for said in notes.said)
    assert "Resuming after 2 epochs and 0 steps." in notes.said
    assert older.name == "small.000002-000000.safetensors"


@pytest.mark.parametrize("damage", ["empty", "cut", "flip", "metadata", "other facts", "no safetensors"])
def test_without_a_whole_step_nothing_begins_from_the_start_in_silence(tmp_path, undisturbed, damage):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Normalised(interrupted_at([(4, "forward")])))
    for file in (tmp_path / "state").iterdir():
        content = file.read_bytes()
        changed = {
            "empty": b"",
            "cut": content[: len(content) // 2],
            "flip": content[:-20] + bytes([content[-20] ^ 64]) + content[-19:],
            "metadata": content.replace(b'\\"steps\\": ', b'\\"steps\\":1', 1),
            "no safetensors": b"x" * 500,
        }
        file.write_bytes(changed.get(damage, content))
    facts = {"settings": {"lr": 0.02}} if damage == "other facts" else FACTS
    notes, before = Notes(), sorted((tmp_path / "state").iterdir())
    with pytest.raises(RunError, match=r"(?s)No saved step in .* can be used to resume.*--no-resume"):
        train(tmp_path, Normalised(), reporter=notes, facts=facts)
    assert sum(".safetensors" in said for said in notes.said) == 2
    assert sorted((tmp_path / "state").iterdir()) == before


def test_a_full_disk_ends_no_training_and_is_told(tmp_path, undisturbed, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    def hook(key, place):
        if key[2] == 0:
            monkeypatch.setattr(state_module, "save_file", full)

    notes, task = Notes(), Normalised(hook)
    assert_same(result(tmp_path, task, train(tmp_path, task, reporter=notes)), undisturbed)
    assert any("No space left" in said and "not saved" in said for said in notes.said)


def test_a_full_disk_is_seen_at_the_dry_run(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_module, "save_file", full)
    with pytest.raises(Exception, match="No space left"):
        train(tmp_path, Normalised())
    assert not list((tmp_path / "state").iterdir())


def test_epochs_are_saved_unless_saving_becomes_the_work(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(state_module, "SHARE", 20)
    monkeypatch.setattr(state_module.time, "monotonic", lambda: clock[0])
    checkpoints = Checkpoints(tmp_path, "small", facts={}, minutes=10, reporter=Silent())
    checkpoints._cost = 2.0
    clock[0] = 39.0
    assert not checkpoints.worth_saving()
    clock[0] = 40.0
    assert checkpoints.worth_saving()
    assert not checkpoints.due()
    clock[0] = 600.0
    assert checkpoints.due()


def test_what_was_made_once_is_kept_for_the_same_training_alone(tmp_path):
    made = []

    def make():
        made.append(1)
        return torch.arange(6.0).reshape(2, 3)

    for facts, times in ((FACTS, 1), (FACTS, 1), ({"settings": {}}, 2)):
        found = Checkpoints(tmp_path, "small", facts=facts, reporter=Silent()).cached("view-0", make)
        assert torch.equal(found, torch.arange(6.0).reshape(2, 3))
        assert len(made) == times
    checkpoints = Checkpoints(tmp_path, "small", facts=FACTS, reporter=Silent())
    assert checkpoints.has_any()
    assert checkpoints.latest() is None
    checkpoints.clear()
    assert not checkpoints.has_any()


def test_a_step_of_another_model_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Normalised(interrupted_at([(4, "forward")])))
    task = Normalised()
    task.module = nn.Linear(4, 1)
    with pytest.raises(RunError, match=r"(?s)another model.*--no-resume"):
        train(tmp_path, task)


def test_signals_are_left_as_they_were(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)  # ignored, as the process was told to
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
            assert interruption.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
