"""The GPU benchmark: every part runs on a CPU at a small size, a table is printed even after failures, and counts are correct."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from patience import HANG

from scing_cli.core.encoders.clip import empty_clip
from scing_cli.core.errors import InterruptionError

FOLDER = Path(__file__).resolve().parent
PARTS = ["rates", "embedding", "stage2", "stage1", "stages", "files", "evaluation", "profile", "compile", "several"]
AIMED = {"embedding": 1, "stage2": 3, "stage1": 1, "stages": 2, "files": 1, "evaluation": 2}  # figures with an aim
COMMAND = [sys.executable, str(FOLDER / "gpu.py"), "--device", "cpu", "--quick"]
ENVIRONMENT = os.environ | {"HF_HUB_OFFLINE": "1"}


def told(output: str) -> list[dict]:
    """Return what the JSON lines say."""
    return [json.loads(row, parse_constant=pytest.fail) for row in output.splitlines() if row.startswith("{")]


def table_of(output: str) -> list[str]:
    return output[output.index("\nfigure") :].splitlines()[1:]


def test_every_part_runs_without_a_gpu() -> None:
    code = f"""
import sys, gpu
gpu.MOST = {HANG}  # times what a part is expected to take: none is stopped
sys.argv = ["gpu.py", "--device", "cpu", "--quick", "--minutes", "{HANG / 60}"]
with gpu.Limit() as limit:
    gpu.main(limit)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * HANG, cwd=FOLDER, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    lines = told(done.stdout)
    assert not [row for row in lines if "error" in row or "skipped" in row]
    figures = [row for row in lines if "part" in row and "value" in row]
    assert list(dict.fromkeys(row["part"] for row in figures)) == PARTS
    assert all(math.isfinite(row["value"]) and row["value"] >= 0 for row in figures)
    names = [(row["part"], row.get("of"), row["name"]) for row in figures]
    assert len(names) == len(set(names))
    aimed = [row["part"] for row in figures if "aim" in row]
    assert {part: aimed.count(part) for part in aimed} == AIMED
    assert all(row["met"] == "yes" for row in figures if "apart" in row["name"])
    assert [row["graphs later"] for row in figures if "graphs later" in row] == [0, 0, 0, 0]
    against = [row for row in lines if "ratio" in row]
    assert len(against) == 3  # a step of stage 2, and of stage 1 with either kind of views
    assert lines[-1]["figures"] == len(figures)
    assert [(row["part"], row["name"]) for row in lines[-1]["aims"]] == [
        (row["part"], row["name"]) for row in figures if "aim" in row
    ]
    table = table_of(done.stdout)
    assert len(table) == 1 + len(PARTS) + len(figures)
    assert max(map(len, table)) <= 100


def test_sigterm_ends_in_the_table() -> None:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        head = []
        while '"part": "stage2"' not in "".join(head):
            head.append(process.stdout.readline())
            assert head[-1], "".join(head)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=HANG)
    assert process.returncode == 128 + signal.SIGTERM
    figures = [row for row in told("".join(head) + rest) if "value" in row]
    assert len(table_of(rest)) == 1 + 3 + len(figures)  # rates, embedding, stage 2
    assert {row["part"] for row in told(rest) if "skipped" in row} == set(PARTS[3:])


def test_a_part_that_never_ends_leaves_the_table(tmp_path: Path) -> None:
    """As a call into a library that does not come back; and no files. Kernels lie where libraries may be run from."""
    code = """
import json, os, sys, time, gpu
def stuck(ground):
    places = [os.environ[name] for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")]
    for place in places:
        os.mkdir(place)
    print(json.dumps({"kernels": places}))
    yield gpu.Figure("found", 1.0, "s")
    while True:
        try:
            time.sleep(9)
        except BaseException:
            pass
gpu.PARTS = {"rates": gpu.Part(stuck, 1)}
gpu.CLOSING, gpu.HANGING = 0, 1
sys.argv = ["gpu.py", "--device", "cpu", "--quick", "--minutes", "0.05"]
with gpu.Limit() as limit:
    gpu.main(limit)
"""
    environment = ENVIRONMENT | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, cwd=FOLDER, env=environment
    )
    assert done.returncode == 1, done.stderr
    assert len(table_of(done.stdout)) == 3
    (kernels,) = (row["kernels"] for row in told(done.stdout) if "kernels" in row)
    assert all(Path(place).parent.parent == tmp_path for place in kernels)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def script(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(FOLDER)
    import gpu

    return gpu


@pytest.fixture
def ground(script, tmp_path):
    sizes = script.QUICK
    return script.Ground(torch.device("cpu"), sizes, tmp_path, quick=True, deadline=time.monotonic() + 60)


@pytest.fixture
def measured(script, ground):
    """Measure a part by itself: what it does, what it may take -> its figures."""
    with script.Limit() as limit:

        def run(measure, seconds=4.0, later=0.0):
            found = []
            script.measured("own", script.Part(measure, seconds), ground, limit, found=found, later=later)
            return [figure for _, _, figure in found]

        yield run


def test_a_part_that_fails_keeps_what_it_found_and_is_told(script, measured, capsys):
    def broken(ground):
        yield script.Figure("found", 1.0, "s", aim=2.0, least=False)
        raise ValueError("no more")

    (figure,) = measured(broken)
    found, error, end = told(capsys.readouterr().out)
    assert (figure.name, found["met"]) == ("found", "yes")
    assert error["error"] == "ValueError: no more"
    assert error["where"][-1].startswith("test_gpu.py:")
    assert end["part"] == "own"


@pytest.mark.parametrize("swallowed", [0, 1])
def test_a_part_that_takes_too_long_is_stopped(script, measured, capsys, swallowed):
    """Also where it catches every Exception, or even the first alarm."""
    alarms, armed = [], []

    def slow(ground):
        yield script.Figure("first", 1.0, "s")
        armed.append(signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01))
        while True:
            try:
                time.sleep(0.01)
            except Exception:  # noqa: BLE001 - that is the point
                continue
            except BaseException as error:
                alarms.append(error)
                if len(alarms) > swallowed:
                    raise

    assert len(measured(slow, 25)) == 1
    assert 0 < armed[0][0] <= 50
    assert len(alarms) == 1 + swallowed
    assert "LateError: stopped after 50 s" in capsys.readouterr().out
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_no_part_begins_without_time(measured, ground, capsys):
    ground.deadline = time.monotonic()
    assert measured(lambda ground: (_ for _ in ())) == []
    (row,) = told(capsys.readouterr().out)
    assert row["skipped"] == "no time left"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InterruptionError("stopped", "", number=signal.SIGTERM)])
def test_no_part_begins_after_a_signal_that_a_training_heard(measured, capsys, error):
    def heard(ground):
        raise error
        yield

    assert measured(heard) == measured(heard) == []
    *_, row = told(capsys.readouterr().out)
    assert row["skipped"] == "ended by a signal"


@pytest.mark.parametrize(("seconds", "later", "allowed"), [(4, 10, 8), (1_000, 0, 55), (1_000, 40, 25)])
def test_a_part_leaves_time_to_those_after_it(script, measured, ground, monkeypatch, seconds, later, allowed):
    """At most twice what it is expected to take; the others keep three quarters of what they are expected to take."""
    monkeypatch.setattr(time, "monotonic", lambda: ground.deadline - 60)
    (figure,) = measured(lambda ground: (script.Figure("left", ground.left(), "s") for _ in range(1)), seconds, later)
    assert figure.value == pytest.approx(allowed)


def test_a_usual_way_that_fails_costs_no_figure_of_ours(ground, capsys):
    from gpu_parts import steps

    def reference(ours, plain):
        raise torch.cuda.OutOfMemoryError("no room")

    found = list(steps.compared(ground, "own", lambda: steps.visual(ground, 8), reference, views=1, aim=40))
    assert [figure.name.strip() for figure in found][::4] == ["own: a step", "peak memory"]
    (row,) = told(capsys.readouterr().out)
    assert (row["name"], row["error"]) == ("own: the usual way", "OutOfMemoryError: no room")


def test_losses_that_differ_are_a_figure_and_the_steps_are_timed(ground, monkeypatch, capsys):
    from gpu_parts import steps

    monkeypatch.setattr(steps, "apart", lambda *_: 0.5)
    monkeypatch.setattr(steps, "compared", lambda ground, name, *_, **__: iter([name]))
    losses, *timed = steps.stage2(ground)
    assert (losses.value, losses.met(), timed) == (0.5, "no", ["stage 2, batch 8"])

    monkeypatch.setattr(steps, "apart", lambda *_: 1 / 0)
    assert list(steps.stage2(ground)) == ["stage 2, batch 8"]
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_rankings_that_differ_are_a_figure(ground, monkeypatch):
    """And for one that would take too long, how long at least."""
    from gpu_parts import ranking

    honest = ranking.ranked

    def ranked(query, gallery, products):
        scores, seconds = honest(query, gallery, products)
        other = SimpleNamespace(mAP=scores.mAP, rank1=scores.rank1 - 0.25, valid_queries=scores.valid_queries)
        return (scores if products else other), seconds

    monkeypatch.setattr(ranking, "ranked", ranked)
    monkeypatch.setattr(ranking, "SPARE", 1e9)
    *_, apart, whole = found = list(ranking.measure(ground))
    assert [(figure.value, figure.met()) for figure in found if "apart" in figure.name] == [(0.25, "no")] * 2
    assert apart.met() == "no"
    assert whole.bound.startswith("at least")


@pytest.mark.parametrize(("room", "way"), [(2**40, "shared memory"), (2**16, "pipes")])
def test_the_usual_way_is_timed_while_its_workers_load(ground, monkeypatch, room, way):
    """Its batches are the same, whether its workers have memory to share or not."""
    from gpu_parts import usual

    seen = []

    def step(pixels, rows):
        assert pixels.shape == (2 * len(rows), 3, 32, 16)
        seen.append((rows.tolist(), float(pixels.abs().amax())))

    monkeypatch.setattr(usual, "shared_room", lambda: room)
    plan = [[0, 1, 2], [3, 4]]
    found = usual.pace(ground, step, plan, 2)
    warm, timed = usual.workers(ground) + 1, usual.ROUNDS * usual.workers(ground)
    assert (found.way, found.steps) == (way, timed)
    assert [rows for rows, _ in seen] == [plan[number % 2] for number in range(warm + timed)]
    assert all(most > 0.1 for _, most in seen)
    assert found.seconds > 0

    monkeypatch.setattr(usual, "LONGEST", 0.0)
    assert usual.pace(ground, step, plan, 2).steps == 1


@pytest.mark.usefixtures("script")
@pytest.mark.parametrize("before", [False, True])
def test_the_usual_way_leaves_the_products_of_plain_attention_as_they_were(before):
    from gpu_parts import usual

    backends = torch.backends.cuda
    usually = backends.fp16_bf16_reduction_math_sdp_allowed()
    backends.allow_fp16_bf16_reduction_math_sdp(before)
    try:
        with usual.usual_way(torch.device("cpu"), plain=True):
            assert backends.fp16_bf16_reduction_math_sdp_allowed()
        with pytest.raises(MemoryError), usual.usual_way(torch.device("cpu"), plain=True):
            raise MemoryError
        assert backends.fp16_bf16_reduction_math_sdp_allowed() is before
    finally:
        backends.allow_fp16_bf16_reduction_math_sdp(usually)


@pytest.mark.parametrize("stage", ["visual", "tuning"])
def test_compiled_steps_are_a_training_s(ground, stage):
    """Their first backward keeps its graph, and so may any later one."""
    from gpu_parts import compiling, steps

    views = ("fresh",) if stage == "tuning" else ()
    ours = getattr(steps, stage)(ground, 8, *views, compiled=True)
    with compiling.engine(ground):
        compiling.trained(ours)
        done, batch = ours.trainer.progress, next(iter(ours.batches_of(ours.plan)))
        _, norms = ours.trainer._gradients(batch, (0, "again"), ours.optimiser)
    assert done.step == len(ours.plan)
    assert done.norms.keys() == norms.keys() > set()


def test_nothing_is_compiled_without_a_compiler(ground, monkeypatch, capsys):
    from gpu_parts import compiling

    ground.quick = False
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    assert list(compiling.measure(ground)) == []
    (row,) = told(capsys.readouterr().out)
    assert row == {"part": "compile", "skipped": "no C compiler"}


def test_time_on_the_device_is_its_kernels_alone(script):
    """What launches them, and spans around them, are told with the same time by torch's profiler."""
    from gpu_parts.profiling import DeviceType, own_times

    def row(key, place, device=0.0, annotation=False):
        return SimpleNamespace(
            key=key,
            device_type=place,
            self_device_time_total=device,
            self_cpu_time_total=7.0,
            is_user_annotation=annotation,
        )

    alike = "void at::native::vectorized_elementwise_kernel<4, at::native::"
    rows = [
        row("cudaLaunchKernel", DeviceType.CPU, 3_000.0),
        row(f"{alike}Add>", DeviceType.CUDA, 1_000.0),
        row(f"{alike}Mul>", DeviceType.CUDA, 2_000.0),
        row("Optimizer.step#Adam.step", DeviceType.CUDA, 3_000.0, annotation=True),
    ]
    assert own_times(rows, gpu=True) == {f"{alike}Add>": 1.0, f"{alike}Mul>": 2.0}
    assert own_times(rows, gpu=False) == {"cudaLaunchKernel": 0.007}


def test_a_graph_for_each_shape_is_seen(ground):
    """As one for each block would be, where there should be one for all."""
    from gpu_parts import compiling

    from scing_cli.core.encoders.attention import run_block

    def make(compiled):
        run = torch.compile(run_block, backend="eager", dynamic=False) if compiled else None
        sizes = iter((1, 2, 3, 4))  # of a first run and another

        def rate():
            with torch.no_grad():
                for _ in range(2):
                    ground.clip.image(torch.zeros(next(sizes), 3, 32, 16), run=run)
            return 1.0

        return rate

    compiled, first = compiling.beside(ground, "own", make)
    assert (first.more["graphs"], compiled.more["graphs later"]) == (2, 2)
    assert compiled.more["frames given up"] == 0


def blocks(width: int, heads: int, layers: int, places: int) -> int:
    """All blocks but the last at every place; of the last, one place that asks, and meets the others as they are."""
    products, scores = 2 * 12 * width**2, 4 * places * width
    return (layers - 1) * places * (products + scores) + products + heads * scores


@pytest.mark.parametrize("size", ["FULL", "QUICK"])
def test_operations_are_those_that_the_sizes_of_a_tower_say(script, size):
    from gpu_parts.ground import image_operations, text_operations

    model = getattr(script, size).model
    image, text = empty_clip(model).image, empty_clip(model).text
    shape, geometry = image.config, image.geometry
    rows, columns = geometry.grid
    width = shape["width"]
    patches = 2 * rows * columns * 3 * geometry.patch**2 * width
    inside = blocks(width, shape["heads"], shape["layers"], 1 + rows * columns)
    assert image_operations(model) == patches + inside + 2 * width * image.embed_dim
    stack = text.transformer.resblocks
    inside = blocks(text.width, stack[0].attn.num_heads, len(stack), 12)
    assert text_operations(model, 11) == inside + 2 * text.width * text.embed_dim
