"""test_ranks: two processes that share a batch do what one process does with all of it."""

import multiprocessing
import socket

import pytest
import torch
from ranked import trained, work


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
