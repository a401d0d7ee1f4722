"""How a process learns that it is one of several: from torchrun's environment, or from Slurm's."""

from __future__ import annotations

import pytest

from scing_cli.core.errors import SettingError
from scing_cli.core.processes.started import Start, first_host, start_of, tasks_of_node

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
MEETING = {"MASTER_ADDR": "gpu01", "MASTER_PORT": "29500"}
SRUN = {
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_PROCID": "4",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_STEP_NODELIST": "gpu[07-09]",
    "SLURM_JOB_ID": "1234567",
}


def test_a_process_alone_is_alone() -> None:
    assert start_of({}) is None
    assert start_of({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert start_of({"RANK": "a word of somebody else"}) is None
    assert start_of({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) is None
    batch_script = {"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_JOB_ID": "5"}  # no step of srun
    assert start_of(batch_script) is None


def test_torchrun_tells_the_place() -> None:
    restarted = {**TORCHRUN, **MEETING, "TORCHELASTIC_RESTART_COUNT": "2"}
    assert start_of(restarted) == Start(3, 4, 1, 2, "torchrun", 2)


def test_srun_tells_the_place_and_where_to_meet() -> None:
    assert start_of(SRUN) == Start(4, 5, 0, 1, "srun", 0, "1234567.0", ("gpu07", 20_000 + 1234567 % 20_000))
    assert start_of({**SRUN, "SLURM_STEP_ID": "3"}).address == ("gpu07", 20_000 + (1234567 + 3 * 97) % 20_000)
    own = {**SRUN, **MEETING, "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"}
    assert start_of(own) == Start(3, 5, 1, 2, "srun", 0, "1234567.0", ("gpu01", 29500))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"RANK": "4"}, "RANK='4'"),
        ({"RANK": ""}, "RANK=''"),
        ({"WORLD_SIZE": "many"}, "WORLD_SIZE='many'"),
        ({"LOCAL_RANK": "2"}, "LOCAL_RANK='2'"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        ({"MASTER_PORT": ""}, "MASTER_PORT is not set"),
        ({"TORCHELASTIC_RESTART_COUNT": "-1"}, "TORCHELASTIC_RESTART_COUNT='-1'"),
    ],
)
def test_an_inconsistent_environment_is_refused(change, named) -> None:
    with pytest.raises(SettingError, match=named):
        start_of({**TORCHRUN, **MEETING, **change})


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("gpu[07-09,12]", "gpu07"),
        ("a1,b[2-3]", "a1"),
        ("rack[1-2]n[04,6]", "rack1n04"),
        ("one", "one"),
        ("", "localhost"),
    ],
)
def test_the_first_host_of_a_list(nodes, host) -> None:
    assert first_host(nodes) == host


@pytest.mark.parametrize(("text", "node", "count"), [("4(x2),3", 2, 3), ("4(x2),3", 9, 1), ("2", 0, 2)])
def test_the_tasks_of_a_node(text, node, count) -> None:
    assert tasks_of_node(text, node) == count
