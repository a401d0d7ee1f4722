"""`--processes` from the command line: one output, one message, signals, lost processes, torchrun, two machines."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from patience import HANG
from pipeline.conftest import FAST, MODEL

LONG = ("--epochs", "60", "--batch-size", "16", "--lr", "1e-4", "--save-minutes", "0")
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("ip") is not None


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def start(*arguments, prefix=(), **environment):
    command = [*prefix, sys.executable, "-m", "scing_cli", *map(str, arguments)]
    ours = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ours)


def ended(process):
    out, err = process.communicate(timeout=HANG)
    return process.returncode, out, " ".join(err.split())


def run(*arguments, **options):
    return ended(start(*arguments, **options))


def steps_of(folder):
    """The saved steps of an unfinished training."""
    return sorted((folder / "state").glob("train-*.[0-9]*-[0-9]*.safetensors"))


def wait_for(condition, process):
    deadline = time.monotonic() + HANG
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ranks_of(process):
    """The process ids of the ranks, by rank: the children of the launcher."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == process.pid:
                variables = dict(part.partition("=")[::2] for part in (folder / "environ").read_text().split("\0"))
                if "RANK" in variables:
                    found[int(variables["RANK"])] = int(folder.name)
    return found


def same_prompts(one, other):
    return (
        Path(one, "prompts/prompts.safetensors").read_bytes() == Path(other, "prompts/prompts.safetensors").read_bytes()
    )


def test_two_processes_print_one_json_object_and_refuse_with_one_message(world) -> None:
    command = ("train-prompts", "--data", world, *MODEL, *FAST, "--processes", "2", "--json")
    code, out, err = run(*command, "--run", "two")
    assert code == 0, err
    assert out.count("\n") == 1
    assert json.loads(out)["run"] == "two"
    assert err.count("Run folder: two") == 1
    assert err.count("Dry run") == 1
    code, out, err = run(*command, "--run", "two")
    assert code == 2
    assert err.count("Error:") == 1
    assert json.loads(out)["exit_code"] == 2
    alone = run("train-prompts", "--data", world, *MODEL, *FAST, "--json", "--run", "two")
    assert alone[0] == 2
    assert json.loads(alone[1]) == json.loads(out)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_lost_process_ends_all_with_one_message_or_is_started_again(world) -> None:
    draw = random.Random(5)
    command = ("train-prompts", "--data", world, *MODEL, *LONG, "--processes", "2", "--run")
    assert run(*command, "whole")[0] == 0
    for rank in (0, 1):
        process = start(*command, f"lost {rank}")
        wait_for(lambda rank=rank: len(steps_of(Path(f"lost {rank}"))) >= 1, process)
        time.sleep(draw.uniform(0, 2))
        os.kill(ranks_of(process)[rank], signal.SIGKILL)
        code, _, err = ended(process)
        assert code == 2, err
        assert err.count("Error:") == 1
        assert f"Process {rank} of 2 on " in err
        assert "was ended by SIGKILL" in err
        assert run(*command, f"lost {rank}")[0] == 0
        assert same_prompts(f"lost {rank}", "whole")
        process = start(*command, f"again {rank}", "--max-restarts", "3")
        wait_for(lambda rank=rank: len(steps_of(Path(f"again {rank}"))) >= 1, process)
        time.sleep(draw.uniform(0, 2))
        os.kill(ranks_of(process)[rank], signal.SIGKILL)
        code, _, err = ended(process)
        assert code == 0, err
        assert "Resuming after" in err
        assert same_prompts(f"again {rank}", "whole")


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_all_and_any_number_of_processes_goes_on(world, number, code) -> None:
    command = ("train-prompts", "--data", world, *MODEL, *LONG, "--run")
    assert run(*command, "whole")[0] == 0
    for processes in (2, 1, 3):
        process = start(*command, "cut", "--processes", processes)
        before = steps_of(Path("cut"))
        wait_for(lambda before=before: steps_of(Path("cut")) != before, process)
        process.send_signal(number)
        found, _, err = ended(process)
        assert found == code, err
        assert err.count("Interrupted; saved:") == 1
        assert (
            f"Resume with: scing train-prompts --resume --run cut --processes {processes}".removesuffix(
                " --processes 1"
            )
            in err
        )
    found, _, err = run("train-prompts", "--resume", "--run", "cut", "--processes", "2")
    assert found == 0, err
    from safetensors.torch import load_file

    one, other = (load_file(f"{folder}/prompts/prompts.safetensors") for folder in ("cut", "whole"))
    for name, value in other.items():
        assert float((one[name] - value).norm()) <= 1e-3 * float(value.norm()) + 1e-5, name


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_process_lost_before_the_first_step_is_no_interruption(world) -> None:
    """torch ends the other process by SIGTERM, which must not be taken for the user's."""
    process = start("train-prompts", "--data", world, *MODEL, *LONG, "--processes", "2", "--run", "early")
    wait_for(lambda: len(ranks_of(process)) == 2 and Path("early/state").exists(), process)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    code, _, err = ended(process)
    assert code == 2, err
    assert err.count("Error:") == 1
    assert "was ended by SIGKILL" in err


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_signal_to_one_process_stops_all(world) -> None:
    process = start("train-prompts", "--data", world, *MODEL, *LONG, "--processes", "2", "--run", "one")
    wait_for(lambda: len(steps_of(Path("one"))) >= 1, process)
    os.kill(ranks_of(process)[1], signal.SIGTERM)
    code, _, err = ended(process)
    assert code == 143, err
    assert err.count("Interrupted; saved:") == 1
    assert "Resume with: scing train-prompts --resume --run one" in err


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_what_was_ignored_at_the_start_stays_ignored_and_nothing_is_left_behind(world, tmp_path) -> None:
    """As nohup does; and a module of the working folder is none of ours."""
    Path("random.py").write_text("raise SystemExit('imported from the working folder')")
    folder = tmp_path / "temporary"
    folder.mkdir()
    script = Path(sys.executable).with_name("scing")
    if not script.exists():
        pytest.skip("the command scing is not installed beside this Python")
    command = ["nohup", script, "train-prompts", "--data", world, *MODEL, *FAST, "--processes", "2", "--run", "kept"]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        list(map(str, command)),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: len(ranks_of(process)) == 2, process)
    process.send_signal(signal.SIGHUP)
    code, _, err = ended(process)
    assert code == 0, err
    assert Path("kept/prompts").is_dir()
    assert list(folder.glob("torchelastic*")) == list(folder.glob("scing-launch*")) == []


@pytest.mark.long
def test_a_closed_output_is_no_lost_process(world) -> None:
    """With restarts, a training whose output nobody reads any more would begin again."""
    command = (
        "train-prompts",
        "--data",
        world,
        *MODEL,
        *FAST,
        "--processes",
        "2",
        "--max-restarts",
        "2",
        "--run",
        "shut",
    )
    process = start(*command)
    process.stdout.close()
    err = " ".join(process.stderr.read().split())
    assert process.wait(HANG) == 141, err
    assert "Error" not in err
    assert err.count("Dry run") == 1
    assert Path("shut/prompts").is_dir()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_processes_end_with_their_launcher_and_before_they_have_met(world) -> None:
    command = ("train-prompts", "--data", world, *MODEL, *LONG, "--processes", "2", "--run")
    process = start(*command, "orphans")
    wait_for(lambda: len(steps_of(Path("orphans"))) >= 1, process)
    ranks = ranks_of(process)
    process.kill()
    process.wait(HANG)
    deadline = time.monotonic() + HANG
    while any(Path(f"/proc/{number}").exists() for number in ranks.values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert steps_of(Path("orphans"))
    for delay in (0.0, 1.0, 3.0):
        process = start(*command, "early", "--json")
        wait_for(lambda process=process: len(ranks_of(process)) == 2, process)
        time.sleep(delay)
        os.kill(ranks_of(process)[0], signal.SIGTERM)
        code, out, err = ended(process)
        assert code in {2, 143}, err
        assert out.count("\n") == 1
        assert json.loads(out)["exit_code"] == code


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_restart_after_no_resume_does_not_take_an_older_training(world) -> None:
    command = ("train-prompts", "--data", world, *MODEL, *LONG, "--processes", "2")
    process = start(*command)
    wait_for(lambda: any(steps_of(run) for run in Path("runs").glob("*")), process)
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143
    (older,) = Path("runs").iterdir()
    before = [file.name for file in steps_of(older)]
    process = start(*command, "--no-resume", "--max-restarts", "3")
    wait_for(lambda: any(steps_of(run) for run in Path("runs").glob("*") if run != older), process)
    os.kill(ranks_of(process)[1], signal.SIGKILL)
    code, _, err = ended(process)
    assert code == 0, err
    assert err.count(f"Resuming the unfinished train-prompts in {older}") == 0
    assert [file.name for file in steps_of(older)] == before


@pytest.mark.long
def test_torchrun_starts_it_too(world) -> None:
    command = ("train-prompts", "--data", world, *MODEL, *FAST, "--run")
    assert run(*command, "ours", "--processes", "2")[0] == 0
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*launcher, "scing_cli", *map(str, command), "theirs"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Run folder: theirs") == 1
    assert same_prompts("ours", "theirs")


@pytest.mark.long
def test_srun_needs_no_option(world) -> None:
    """Two processes with the environment that srun gives them; Slurm itself is not here."""
    command = ("train-prompts", "--data", world, *MODEL, *FAST, "--run")
    assert run(*command, "ours", "--processes", "2")[0] == 0
    task = {
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_JOB_ID": str(os.getpid()),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    places = [{"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(2)]
    results = [ended(each) for each in [start(*command, "theirs", **task, **place) for place in places]]
    assert [code for code, _, _ in results] == [0, 0], results
    assert "Run folder: theirs" in results[0][2]
    assert results[1][1:] == ("", "")
    assert same_prompts("ours", "theirs")


@pytest.mark.long
@pytest.mark.skipif(not AS_ROOT, reason="makes network namespaces")
def test_two_machines_give_the_bits_of_one(world) -> None:
    """Two network namespaces, each with a host name of its own, over a virtual cable."""
    name = f"scing{os.getpid() % 10_000}"
    spaces = [f"{name}a", f"{name}b"]
    command = ("train-prompts", "--data", world, *MODEL, *FAST, "--run")
    assert run(*command, "one host", "--processes", "2")[0] == 0

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True, timeout=60)

    try:
        for space in spaces:
            ip("netns", "add", space)
        ip("link", "add", "wire", "netns", spaces[0], "type", "veth", "peer", "name", "wire", "netns", spaces[1])
        for number, space in enumerate(spaces, 1):
            ip("-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", "wire")
            for link in ("wire", "lo"):
                ip("-n", space, "link", "set", link, "up")
        several = ("--nodes", "2", "--rendezvous", "10.77.0.1:29400", "--node-rank")
        processes = []
        for number, space in enumerate(spaces):
            inside = (
                "ip",
                "netns",
                "exec",
                space,
                "unshare",
                "--uts",
                "sh",
                "-c",
                f'hostname {space}; exec "$@"',
                "sh",
            )
            folder = ("two hosts",) if number == 0 else ("elsewhere",)  # the first one alone writes
            processes.append(start(*command, *folder, *several, str(number), prefix=inside, GLOO_SOCKET_IFNAME="wire"))
        results = [ended(process) for process in processes]
    finally:
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], check=False, timeout=60)
    assert [code for code, _, _ in results] == [0, 0], results
    assert results[1][2].count("Run folder") == 0
    assert not Path("elsewhere").exists()
    assert same_prompts("two hosts", "one host")
