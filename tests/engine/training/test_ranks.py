"""test_ranks: two processes that share a batch do what one process does with all of it, or are stopped."""

import multiprocessing
import socket

import pytest
import torch
from ranked import trained, work

from lichen.core import peers
from lichen.core.errors import UsageError
from lichen.engine.training import ranks


@pytest.mark.slow
def test_two_processes_equal_one_with_the_whole_batch():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=work, args=(rank, port, results)) for rank in range(2)]
    for process in processes:
        process.start()
    found = sorted(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join(timeout=30)
    weights, history = trained()
    assert found[0][1] == found[1][1]
    torch.testing.assert_close(torch.tensor(found[0][1]), weights, rtol=0, atol=1e-5)
    assert abs(found[0][2][1]["loss"] - history[1]["loss"]) < 1e-5


@pytest.mark.parametrize(("apart", "is_refused"), [(0.01, True), (1e-7, False)])
def test_nets_that_have_come_apart_are_refused(apart, is_refused, monkeypatch):
    def all_reduce(ends_2, op):
        theirs = 3.0 * (1.0 + apart)
        ends_2.copy_(torch.maximum(ends_2, torch.tensor([theirs, -theirs], dtype=torch.float64)))

    monkeypatch.setattr(ranks, "ranks", lambda: (0, 2))
    monkeypatch.setattr(ranks.distributed, "all_reduce", all_reduce)
    if is_refused:
        with pytest.raises(UsageError, match="different weights"):
            ranks.require_one_net([-torch.ones(3)])
    else:
        ranks.require_one_net([-torch.ones(3)])


def test_who_works_aside_is_one_of_one(monkeypatch):
    monkeypatch.setattr(ranks.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(ranks.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(ranks.distributed, "get_world_size", lambda: 4)
    assert ranks.ranks() == (1, 4)
    with peers.aside():
        assert ranks.ranks() == (0, 1)
        assert ranks.agreed(lambda: 7) == 7  # waits for nobody
