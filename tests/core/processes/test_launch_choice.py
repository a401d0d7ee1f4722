"""Which processes the options ask for, and which of them do not fit together."""

from __future__ import annotations

import pytest

from scing_cli.core.errors import SettingError
from scing_cli.core.processes import launch_choice
from scing_cli.core.processes.launch import Launch
from scing_cli.core.processes.launch_choice import LaunchChoice


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"processes": "1"}, None),
        ({"processes": "1", "nodes": 1, "node_rank": 0}, None),
        ({"processes": "3"}, Launch(3)),
        ({"processes": "2", "max_restarts": 4}, Launch(2, max_restarts=4)),
        ({"nodes": 2, "node_rank": 1, "rendezvous": "gpu01:99"}, Launch(1, 2, 1, "gpu01:99")),
    ],
)
def test_what_is_started(given, expected) -> None:
    assert LaunchChoice(**given).checked() == expected


@pytest.mark.parametrize(("gpus", "expected"), [(0, None), (1, None), (8, Launch(8))])
def test_auto_is_one_process_for_each_gpu(gpus, expected, monkeypatch) -> None:
    monkeypatch.setattr(launch_choice, "gpu_count", lambda: gpus)
    assert LaunchChoice("auto").checked() == expected


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"processes": "0"}, "--processes '0'"),
        ({"processes": "many"}, "--processes 'many'"),
        ({"processes": "9999999999999"}, "--processes"),
        ({"nodes": 0}, "--nodes 0"),
        ({"nodes": 2, "node_rank": 0}, "where should the machines meet"),
        ({"nodes": 2, "rendezvous": "a:1"}, "which of them is this machine"),
        ({"nodes": 2, "node_rank": 2, "rendezvous": "a:1"}, "--node-rank 2"),
        ({"node_rank": -1}, "--node-rank -1"),
        ({"node_rank": 1}, "--node-rank 1"),
        ({"rendezvous": "a:1", "processes": "2"}, "--rendezvous has no effect"),
        ({"nodes": 2, "node_rank": 0, "rendezvous": "a:"}, "--rendezvous 'a:'"),
        ({"nodes": 2, "node_rank": 0, "rendezvous": ":1"}, "--rendezvous ':1'"),
        ({"nodes": 2, "node_rank": 0, "rendezvous": "a:70000"}, "--rendezvous 'a:70000'"),
        ({"max_restarts": 1}, "--max-restarts has no effect"),
        ({"max_restarts": -1, "processes": "2"}, "--max-restarts -1"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(given, named) -> None:
    with pytest.raises(SettingError, match=named):
        LaunchChoice(**given).checked()


def test_more_processes_than_gpus_are_refused_before_they_start(monkeypatch) -> None:
    monkeypatch.setattr(launch_choice, "gpu_count", lambda: 2)
    started = []
    monkeypatch.setattr(launch_choice, "launch", lambda how, arguments: started.append(how.processes))
    with pytest.raises(SettingError, match="--processes 3: each process needs a GPU of its own, and torch finds 2"):
        LaunchChoice("3").run([])
    assert LaunchChoice("3").run([], "cpu")
    assert LaunchChoice("2").run([])
    assert started == [3, 2]


def test_gradients_of_one_process_are_not_sent() -> None:
    with pytest.raises(SettingError, match="--compress-gradients has no effect"):
        LaunchChoice(compress=True).run([])


@pytest.mark.parametrize(
    ("text", "point"), [("gpu01:99", ("gpu01", 99)), ("gpu01", ("gpu01", 29_400)), ("[fe80::1]:7", ("fe80::1", 7))]
)
def test_the_meeting_point(text, point) -> None:
    assert Launch(1, 2, 0, text).meeting_point() == point
