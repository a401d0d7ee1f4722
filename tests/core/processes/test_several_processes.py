"""Meetings of several real processes: what they exchange, gradients over shares, and errors of one of them."""

from __future__ import annotations

import math

import pytest
import torch
from ranks import in_processes

COUNTS = {(7, 1): "uneven", (6, 1): "even", (5, 3): "copies", (2, 1): "fewer rows than processes", (1, 2): "one row"}
FAILURES = [("agreed", 0), ("agreed", 1), ("together", 1), ("from_first", 0)]


def jobs(size):
    return [
        ("exchange", {}),
        *(("gather", {"count": count, "copies": copies}) for count, copies in COUNTS),
        ("compressed", {}),
        *(("fail", {"rank": rank, "how": how}) for how, rank in [*FAILURES, ("agreed", size - 1)]),
    ]


@pytest.fixture(scope="module", params=[2, 3])
def results(request, tmp_path_factory):
    size = request.param
    return size, in_processes(size, jobs(size), tmp_path_factory.mktemp("ranks"))


def test_meetings_give_all_processes_the_same(results) -> None:
    size, every = results
    for ranked in every:
        assert ranked[0] == {
            "first": "from 0",
            "everyone": [10 * rank for rank in range(size)],
            "highest": size - 1,
            "tensors": {
                "a": ["torch.bfloat16", [0.0, 1.0, 2.0]],
                "none": ["torch.float32", []],
                "flag": ["torch.bool", [True]],
            },
            "mean": [[pytest.approx((size - 1) / 2)], None],
            "agreed": [0, 1, 2],
        }


@pytest.mark.parametrize("number", range(len(COUNTS)), ids=list(COUNTS.values()))
def test_gradients_over_shares_are_those_of_one_process(results, number) -> None:
    _, every = results
    count, copies = list(COUNTS)[number]
    draw = torch.Generator().manual_seed(7)
    inputs = torch.randn(copies * count, 5, generator=draw)
    shared, head = (torch.randn(5, 4, generator=draw).requires_grad_() for _ in range(2))
    features = inputs @ shared
    ((features @ features.T).tanh().sum() + (features @ head.T @ head).square().mean()).backward()
    for ranked in every:
        found = ranked[1 + number]
        torch.testing.assert_close(torch.tensor(found["features"]), features)
        torch.testing.assert_close(torch.tensor(found["shared"]), shared.grad)
        torch.testing.assert_close(torch.tensor(found["head"]), head.grad)
        assert found["unused"]
        assert found == every[0][1 + number]  # to the bit


def test_compressed_gradients_are_the_mean_to_the_digits_of_bf16(results) -> None:
    size, every = results
    values = [torch.randn(1000, generator=torch.Generator().manual_seed(rank)) for rank in range(size)]
    mean = torch.stack(values).mean(0)
    for ranked in every:
        full, short = (torch.tensor(each) for each in ranked[1 + len(COUNTS)])
        torch.testing.assert_close(full, mean)
        assert not torch.equal(short, mean)
        assert float((short - mean).norm() / mean.norm()) < 2**-7
        assert torch.equal(short, torch.tensor(every[0][1 + len(COUNTS)][1]))


def test_an_error_of_one_process_is_raised_in_all(results) -> None:
    _, every = results
    for ranked in every:
        assert ranked[2 + len(COUNTS) :] == [["image 7 is damaged.", "Repair it."]] * (len(FAILURES) + 1)


@pytest.mark.parametrize(("count", "size"), [(1, 1), (7, 3), (2, 3), (64, 8)])
def test_shares_cover_a_batch_in_order(count, size) -> None:
    from scing_cli.core.processes.several_processes import SeveralProcesses

    rows = []
    for rank in range(size):
        group = SeveralProcesses.__new__(SeveralProcesses)
        group.rank, group.size = rank, size
        own = group.share(count).rows
        assert len(own) == math.ceil(count / size)
        rows += own
    assert rows[:count] == list(range(count))
    assert set(rows[count:]) <= {count - 1}
